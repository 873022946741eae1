"""`lb daemon`: watches a source and keeps the engine as it says, until it is told to stop."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event, Lock
from types import FrameType
from typing import TYPE_CHECKING

import click

from .. import clock, handover, lock, views
from .. import host as hosts
from .. import source as sources
from ..daemon import Daemon, Doors
from ..daemon.journal import Journal, Level, Log
from ..daemon.wakes import Wakes
from ..errors import LockedError
from ..model import Activity, Desired, Observed, Recorded, Ref
from ..runtime import LogStream
from ..store import Store
from . import doors
from .options import Outside, debug_option, outside_options, say, state_dir, state_option, this_host
from .serving import address, listen_option, token, token_option

if TYPE_CHECKING:
    from .. import api


@click.command(
    epilog="\b\nExamples:\n  lb daemon /srv/shop\n  lb daemon --set TAG=7.2 --log-format json examples/quickstart"
)
@click.argument("path", default=".", type=click.Path(path_type=Path))
@outside_options
@listen_option
@token_option
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@state_option
@debug_option
def daemon(
    path: Path, outside: Outside, listen: str, token_file: Path | None, log_format: str, state: str | None
) -> None:
    """Watch a source and keep the engine as it says; answer the read-only HTTP API.

    File changes, the engine's events and SIGHUP wake it; SIGTERM and Ctrl-C finish the step in flight and end it. `lb
    apply` beside it hands over to it.
    """
    from ..api import Server
    from ..watch import Watch

    directory, host, log = state_dir(state), this_host(), _log(log_format)
    where, secret = address(listen), token(token_file)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one(directory))
        store = stack.enter_context(contextlib.closing(Store.open(directory)))
        wakes, stop, window = Wakes(), Event(), Window(directory, store)
        # A folder that is renamed is another one.
        source = sources.Source(path.absolute(), outside.variables(), host=outside.host)
        connect = functools.partial(doors.engine, directory, host)
        read = functools.partial(_judged, source, outside, host)
        life = Daemon(Doors(read, connect, doors.engine_lock, store, window.show), wakes, Journal(log, store))
        server = Server(*where, window.sources, token=secret)
        server.start()
        stack.callback(server.stop)
        stack.callback(handover.Server(directory, life.ask).close)
        root = source.folder()
        watch = Watch(root, wakes.kick, lambda line: log("warning", "watch", line), without=directory)
        watch.start()
        stack.callback(watch.stop)
        stack.enter_context(_signals(stop, wakes))
        log("info", "daemon", f"watches {root} ({watch.mode}), state in {directory}, answers at {server.url}")
        life.run(stop)
        log("info", "daemon", "ends; what runs, runs on")


class Window:
    """What the HTTP API shows of the daemon: the picture of its last look, whole; the activity; logs."""

    def __init__(self, state: Path, store: Store) -> None:
        self._state, self._store = state, store
        self._picture = views.picture(store.recorded(), None)

    @property
    def sources(self) -> api.Sources:
        from ..api import Sources

        return Sources(lambda: self._picture, self._activity, self._logs)

    def show(self, recorded: Recorded, observed: Observed) -> None:
        self._picture = views.picture(recorded, observed, self._picture)

    def _activity(self, ref: Ref) -> Sequence[Activity]:
        return self._store.activity(ref.namespace, ref.name or None)

    def _logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream:
        runtime = doors.engine(self._state)
        try:
            return runtime.logs(container, follow=follow, tail=tail, since=since, timestamps=timestamps)
        finally:
            runtime.close()  # the stream has a connection of its own


def _judged(source: sources.Source, outside: Outside, host: hosts.Host) -> Desired:
    source.vary(outside.variables())
    return hosts.judge(source.read(), host)


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
