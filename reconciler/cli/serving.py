"""`lb serve`: the read-only HTTP API without a daemon."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import FrameType

import click

from ..errors import UsageError
from ..host import settings
from .lookout import Lookout
from .options import debug_option, state_dir, state_option, this_host
from .terminal import say

ADDRESS = "127.0.0.1:2967"

listen_option = click.option("--listen", metavar="HOST:PORT", help=f"Where; else as host.yaml says, else {ADDRESS}.")
token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Answer only who sends the token in this file; else as host.yaml says.",
)


@click.command(
    epilog="\b\nExamples:\n  lb serve\n  lb serve --listen 0.0.0.0:2967 --token-file /etc/lb/token\n"
    "  curl http://127.0.0.1:2967/namespace"
)
@listen_option
@token_option
@state_option
@debug_option
def serve(listen: str | None, token_file: Path | None, state: str | None) -> int:
    """Answer the read-only HTTP API. Changes neither engine nor state."""
    from ..api import Server, Sources

    host, port, secret = where(listen, token_file)
    folder = state_dir(state)
    lookout = Lookout(folder)
    sources = Sources(lookout.picture, lookout.activity, lookout.logs)
    server = Server(host, port, sources, token=secret)
    with ending() as ended:
        lookout.start()
        server.start()
        say(f"{server.url} answers from the state in {folder}")
        ended.wait()
        server.stop()
        lookout.stop()
    return 0


def where(listen: str | None, token_file: Path | None) -> tuple[str, int, str]:
    """Host, port and token: what host.yaml says, unless an option says otherwise."""
    said = this_host().settings
    return *address((said.listen or ADDRESS) if listen is None else listen), token(token_file or said.token_file)


def address(listen: str) -> tuple[str, int]:
    """`127.0.0.1:2967`, `localhost:2967`, `[::1]:2967`."""
    found = settings.address(listen)
    if found is None:
        raise UsageError(f"--listen {listen}: write HOST:PORT, like {ADDRESS} or [::1]:2967")
    return found


def token(file: Path | None) -> str:
    """ "" when no token is asked for."""
    if file is None:
        return ""
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file {file} can't be read: {error}") from error
    if not found or not found.isascii() or any(sign.isspace() for sign in found):
        raise UsageError(f"the token file {file} must hold one word", hint="openssl rand -hex 32 makes one")
    return found


@contextlib.contextmanager
def ending() -> Iterator[Event]:
    """An event that Ctrl-C or SIGTERM sets."""
    ended = Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
