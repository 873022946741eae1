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
from .lookout import Lookout
from .options import debug_option, say, state_dir, state_option

ADDRESS = "127.0.0.1:2967"

listen_option = click.option("--listen", default=ADDRESS, show_default=True, metavar="HOST:PORT", help="Where.")
token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Answer only who sends the token in this file.",
)


@click.command(
    epilog="\b\nExamples:\n  lb serve\n  lb serve --listen 0.0.0.0:2967 --token-file /etc/lb/token\n"
    "  curl http://127.0.0.1:2967/namespace"
)
@listen_option
@token_option
@state_option
@debug_option
def serve(listen: str, token_file: Path | None, state: str | None) -> int:
    """Answer the read-only HTTP API. Changes neither engine nor state."""
    from ..api import Server, Sources

    host, port = address(listen)
    folder = state_dir(state)
    lookout = Lookout(folder)
    sources = Sources(lookout.picture, lookout.activity, lookout.logs)
    server = Server(host, port, sources, token=token(token_file))
    with ending() as ended:
        lookout.start()
        server.start()
        say(f"{server.url} answers from the state in {folder}")
        ended.wait()
        server.stop()
        lookout.stop()
    return 0


def address(listen: str) -> tuple[str, int]:
    """`127.0.0.1:2967`, `localhost:2967`, `[::1]:2967`."""
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or (":" in bare) == (bare == host) or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen {listen}: write HOST:PORT, like {ADDRESS} or [::1]:2967")
    return bare, int(port)


def token(file: Path | None) -> str:
    """ "" when no token is asked for."""
    if file is None:
        return ""
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file} can't be read: {error}") from error
    if not found or not found.isascii() or any(sign.isspace() for sign in found):
        raise UsageError(f"--token-file {file} must hold one word", hint="openssl rand -hex 32 makes one")
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
