"""`lb daemon`: watches a source and keeps the engine as it says, until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event, Lock
from types import FrameType

import click

from .. import clock, handover, lock
from .. import host as hosts
from .. import source as sources
from ..daemon import Daemon, Doors
from ..daemon.journal import Journal, Level, Log
from ..daemon.wakes import Wakes
from ..errors import LockedError
from ..store import Store
from . import doors
from .options import debug_option, host_option, say, state_dir, state_option, this_host, variables


@click.command(
    epilog="\b\nExamples:\n  lb daemon /srv/shop\n  lb daemon --set TAG=7.2 --log-format json examples/quickstart"
)
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a variable.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@host_option
@state_option
@debug_option
def daemon(path: Path, settings: Sequence[str], log_format: str, state: str | None) -> None:
    """Watch a source and keep the engine as it says.

    File changes, the engine's events and SIGHUP wake it; SIGTERM and Ctrl-C finish the step in flight and end it. `lb
    apply` beside it hands over to it.
    """
    directory = state_dir(state)
    host = this_host()
    log = _log(log_format)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one(directory))
        store = Store.open(directory)
        stack.callback(store.close)
        wakes, stop = Wakes(), Event()
        source = sources.Source(path, variables(settings))
        life = Daemon(
            Doors(
                read=lambda: hosts.judge(source.read(), host),
                connect=lambda: doors.engine(directory, host),
                lock=doors.engine_lock,
                store=store,
                publish=lambda recorded, observed: None,
            ),
            wakes,
            Journal(log, store),
        )
        server = handover.Server(directory, life.ask)
        stack.callback(server.close)
        stack.enter_context(_signals(stop, wakes))
        log("info", "daemon", f"watches {path.resolve()}, state in {directory}")
        life.run(stop)
        log("info", "daemon", "ends; what runs, runs on")


def _only_one(state: Path) -> lock.Lock:
    """Two daemons of one state would undo nothing of each other, and do everything twice."""
    try:
        return lock.Lock.acquire(f"daemon\n{state}", " ".join(["lb", *sys.argv[1:]]))
    except LockedError as error:
        raise LockedError(f"a daemon runs for this state already: {error.message}", hint="stop it first") from error


@contextlib.contextmanager
def _signals(stop: Event, wakes: Wakes) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)  # asked twice: what was written ahead is carried on by the next
        say("stopping after the steps in flight")
        stop.set()
        wakes.kick()

    def again(number: int, frame: FrameType | None) -> None:
        wakes.kick()

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: again}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log(form: str) -> Log:
    """A line a transition on stderr, from any thread."""
    writing = Lock()
    line: Callable[[str, str, str, str], str] = _json_line if form == "json" else _text_line

    def log(level: Level, subject: str, text: str) -> None:
        with writing:
            click.echo(line(clock.now(), level, subject, text), err=True)

    return log


def _text_line(at: str, level: str, subject: str, text: str) -> str:
    return f"{at[:23]}Z {level:7} {subject}: {text}"


def _json_line(at: str, level: str, subject: str, text: str) -> str:
    return json.dumps({"time": at, "level": level, "subject": subject, "message": text}, ensure_ascii=False)
