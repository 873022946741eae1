"""A source that host.yaml says is fetched: one try for a command, one after the other for the daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from .. import clock, remote
from ..daemon.journal import Journal
from ..errors import LbError
from ..host import Host
from ..lock import Lock
from ..model import Ref
from ..model.recorded import ActivityType
from ..remote import Record, RemoteError
from ..remote.follower import Follower
from ..remote.repository import Repository
from ..store import Store

PATIENCE = 60.0  # seconds that one waits for another who fetches the same
SUBJECT = "remote"


def fetched(state: Path, name: str, host: Callable[[], Host], cancel: Event | None = None) -> Record:
    """One try, as this host's settings say now. Raises RemoteError, LockedError, StateError."""
    said = host().settings.remote(name)
    if said is None:
        raise RemoteError(f"{host().file} has no source {name} with remote: any more", kind="settings")
    place = remote.folder(state, name)
    with Lock.acquire(f"remote\n{place}", " ".join(["lb", *sys.argv[1:]]), wait=PATIENCE):
        return Repository(place, said, clock.now, cancel).refresh()


class Following:
    """A source that the daemon fetches; what comes of it is told, each transition once."""

    def __init__(
        self, state: Path, name: str, host: Callable[[], Host], journal: Journal, store: Store, wake: Callable[[], None]
    ) -> None:
        self._state, self._name, self._host, self._wake = state, name, host, wake
        self._journal, self._store = journal, store
        self._commit = remote.record(remote.folder(state, name)).commit
        self._trouble: LbError | None = None
        ending = Event()
        self._follower = Follower(lambda: fetched(state, name, host, ending), self._interval, self._tell, ending)
        self.start, self.ask, self.stop = self._follower.start, self._follower.ask, self._follower.stop

    def __str__(self) -> str:
        said = self._host().settings.remote(self._name)
        return f"{self._name}, {said} every {self._interval():g} s"

    def ready(self, stop: Event) -> None:
        """Returns when there is a checkout to read, or `stop` is set. Raises RemoteError where none could be made."""
        there = remote.current(self._state, self._name)
        if not there.exists():
            self._follower.first(stop)
        if not there.exists():
            why = self._trouble.line if self._trouble else "it is being fetched"
            raise RemoteError(f"{self._name} was not fetched yet: {why}")

    def _interval(self) -> float:
        said = self._host().settings.remote(self._name)
        return said.interval if said else remote.INTERVAL

    def _tell(self, came: Record | LbError) -> None:
        """From the thread that fetches."""
        if isinstance(came, LbError):
            before, self._trouble = self._trouble, came
            there = remote.current(self._state, self._name).exists()
            text = came.line + ("; what was fetched last stays" if there else "")
            self._journal.state(SUBJECT, "error", text, kind=_kind(came))
            if before is None or _kind(before) != _kind(came):
                self._note("warning", "FetchFailed", text)
                self._wake()
            return
        if self._trouble is not None:
            self._trouble = None
            self._note("normal", "Fetched", f"{came.remote} can be fetched again, and is at {came.commit[:12]}")
        self._journal.clear(SUBJECT)
        if came.commit != self._commit:
            self._commit = came.commit
            signed = ", signed as it must be" if came.verified else ""
            self._journal.say(SUBJECT, f"{self._name} is at {came.commit[:12]} of {came.remote} now{signed}")
        self._wake()

    def _note(self, level: ActivityType, reason: str, text: str) -> None:
        try:
            self._store.add_activity(Ref(""), level, reason, text)
        except LbError as error:  # it was logged and told; the daemon itself says what is wrong with the state
            self._journal.say(SUBJECT, f"the activity could not be written: {error.message}")


def _kind(error: LbError) -> str:
    return error.kind if isinstance(error, RemoteError) else type(error).__name__
