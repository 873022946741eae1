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

from .. import clock, handover, lock, remote, views
from .. import host as hosts
from .. import source as sources
from ..daemon import Daemon, Doors
from ..daemon.journal import EventKind, Journal, Level, Log, Tell
from ..daemon.wakes import Wakes
from ..errors import LockedError, UsageError
from ..host.settings import Followed
from ..host.standing import AT_START, Standing
from ..model import Activity, Desired, Observed, Recorded, Ref
from ..notify import Event as Told
from ..notify import Notifier
from ..runtime import LogStream
from ..store import Store
from . import doors
from .fetching import Following
from .options import Outside, debug_option, outside_options, state_dir, state_option, this_host
from .serving import listen_option, token_option, where
from .terminal import say

if TYPE_CHECKING:
    from .. import api

SETTINGS = "host.yaml"


@click.command(
    epilog="\b\nExamples:\n  lb daemon /srv/shop\n  lb daemon --set TAG=7.2 --log-format json examples/quickstart"
)
@click.argument("path", required=False, type=click.Path())
@outside_options
@listen_option
@token_option
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@state_option
@debug_option
def daemon(
    path: str | None, outside: Outside, listen: str | None, token_file: Path | None, log_format: str,
    state: str | None,
) -> None:  # fmt: skip
    """Watch a source and keep the engine as it says.

    It answers the read-only HTTP API too.

    PATH is a folder, or the name of one of host.yaml's sources; without it, the one source that is listed there, else
    the current folder. A source with a remote is fetched again and again. File changes, the engine's events and SIGHUP
    wake it; SIGHUP also makes it fetch, and read host.yaml again. SIGTERM and Ctrl-C finish the step in flight and end
    it. `lb apply` beside it hands over to it.
    """
    from ..api import Server
    from ..watch import Watch

    directory, host, log = state_dir(state), Standing(this_host()), _log(log_format)
    address, port, secret = where(listen, token_file)
    listed = _followed(path, host.host)
    # A folder that is renamed is another one.
    folder = (listed.path or remote.current(directory, listed.name)).absolute()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one(directory))
        store = stack.enter_context(contextlib.closing(Store.open(directory)))
        wakes, stop, window = Wakes(), Event(), Window(directory, store)
        notifier = Notifier(lambda: host.host.settings.notify, lambda line: log("warning", "notify", line))
        stack.callback(notifier.close)
        source = sources.Source(folder, outside.variables(folder, host.host), host=outside.host)
        journal = Journal(log, store, _teller(notifier, folder, outside.host))
        following = _following(listed, directory, host, journal, store, wakes)
        reading = _Reading(source, outside, host, journal, store)
        connect = functools.partial(doors.engine, directory, host)
        read = functools.partial(_read_fetched, following, stop, reading) if following else reading.read
        life = Daemon(Doors(read, connect, doors.engine_lock, store, window.show), wakes, journal)
        server = Server(address, port, window.sources, token=secret)
        server.start()
        stack.callback(server.stop)
        stack.callback(handover.Server(directory, life.ask).close)
        root = source.folder()
        watch = Watch(root, wakes.kick, lambda line: log("warning", "watch", line), without=directory)
        watch.start()
        stack.callback(watch.stop)
        if following:
            following.start()
            stack.callback(following.stop)
        stack.enter_context(_signals(stop, wakes, [reading.ask, *([following.ask] if following else [])]))
        what = f"{root} ({watch.mode})" + (f", which is {following}" if following else "")
        log("info", "daemon", f"watches {what}, state in {directory}, answers at {server.url}")
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


def _followed(path: str | None, host: hosts.Host) -> Followed:
    """What the command line means; a listed name goes before a folder, which may be written ./NAME."""
    listed = host.settings.sources
    if path is None and len(listed) > 1:
        raise UsageError(f"{host.file} lists several sources: name one of {', '.join(map(str, listed))}")
    if path is None:
        return listed[0] if listed else Followed(Path())
    return next((found for found in listed if found.name == path), Followed(Path(path)))


def _following(
    listed: Followed, state: Path, host: Standing, journal: Journal, store: Store, wakes: Wakes
) -> Following | None:
    if listed.remote is None:
        return None
    return Following(state, listed.name, lambda: host.host, journal, store, wakes.kick)


def _read_fetched(following: Following, stop: Event, reading: _Reading) -> Desired:
    following.ready(stop)
    return reading.read()


class _Reading:
    """The source, read as this host's settings let it be; those are read again too, when they have changed."""

    def __init__(
        self, source: sources.Source, outside: Outside, host: Standing, journal: Journal, store: Store
    ) -> None:
        self._source, self._outside, self._host = source, outside, host
        self._journal, self._store = journal, store
        self._asked = False
        self._wrong = ""

    def ask(self) -> None:
        """The settings are read again at the next turn, changed or not; from any thread."""
        self._asked = True

    def read(self) -> Desired:
        self._look()
        host = self._host.host
        self._source.vary(self._outside.variables(self._source.path, host))
        return hosts.judge(self._source.read(), host)

    def _look(self) -> None:
        asked, self._asked = self._asked, False
        try:
            changed = self._host.look(asked=asked)
        except hosts.HostError as error:
            text = f"{error.message}; what was read before holds"
            self._journal.state(SETTINGS, "error", text)
            if text != self._wrong:
                self._wrong = text
                self._store.add_activity(Ref(""), "warning", "HostSettings", text)
            return
        if changed is None:
            return
        self._wrong = ""
        self._journal.clear(SETTINGS)
        later = [name for name in changed if name in AT_START]
        now = [f"{name} changed" for name in changed if name not in AT_START]
        now += [f"{name} changed, which counts from the next start" for name in later]
        if now:
            self._journal.say(SETTINGS, f"{self._host.file} was read again: {', '.join(now)}")


def _teller(notifier: Notifier, folder: Path, host: str) -> Tell:
    def tell(event: EventKind, subject: str, text: str) -> None:
        notifier.tell(Told(clock.now(), event, subject, text, str(folder), host))

    return tell


def _only_one(state: Path) -> lock.Lock:
    """Two daemons of one state would undo nothing of each other, and do everything twice."""
    try:
        return lock.Lock.acquire(f"daemon\n{state}", " ".join(["lb", *sys.argv[1:]]))
    except LockedError as error:
        raise LockedError(f"a daemon runs for this state already: {error.message}", hint="stop it first") from error


@contextlib.contextmanager
def _signals(stop: Event, wakes: Wakes, reloads: Sequence[Callable[[], None]]) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)  # asked twice: what was written ahead is carried on by the next
        say("stopping after the steps in flight")
        stop.set()
        wakes.kick()

    def again(number: int, frame: FrameType | None) -> None:
        for reload in reloads:
            reload()
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
