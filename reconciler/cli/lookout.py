"""What `lb serve` answers from while no daemon runs: the state, and a look at the engine. Changes neither.

A look is made every ten seconds, and half a second after the state was written, so that an apply beside it can be
watched. It reads the state, then the engine, and replaces the picture whole. An engine that does not answer leaves
what it showed last; a state that can't be read, what was read last. Either is said once, not at every look.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

from .. import views
from ..errors import EngineUnreachable, LbError, StateError
from ..model import Activity, Observed, Recorded, Ref
from ..runtime import LogStream, Runtime
from ..store import Store
from ..store.connection import stamp
from ..views import Picture
from . import doors
from .terminal import say

PERIOD = 10.0  # seconds
TICK = 0.5  # seconds
PATIENCE = 3.0  # seconds that the first answer may wait for the first look


class Lookout:
    def __init__(self, state: Path) -> None:
        self._state = state
        self._recorded = Recorded()
        self._observed: Observed | None = None
        self._picture = views.picture(self._recorded, None)
        self._runtime: Runtime | None = None
        self._stopped, self._looked = Event(), Event()
        self._said: dict[str, str] = {}
        self._thread = Thread(target=self._keep_looking, name="lb look", daemon=True)

    def start(self) -> None:
        """Returns when there is something to answer from."""
        self._read()
        self._draw()
        self._thread.start()
        self._looked.wait(PATIENCE)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(TICK * 2)  # it may be waiting for an engine that hangs

    # --- what answers come from

    def picture(self) -> Picture:
        return self._picture

    def activity(self, ref: Ref) -> Sequence[Activity]:
        with contextlib.closing(Store.open(self._state, create=False)) as store:
            return store.activity(ref.namespace, ref.name or None)

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream:
        if self._runtime is None:
            raise EngineUnreachable("no Docker Engine answers")
        return self._runtime.logs(container, follow=follow, tail=tail, since=since, timestamps=timestamps)

    # --- looking

    def _keep_looking(self) -> None:
        while not self._stopped.is_set():
            written, due = stamp(self._state), time.monotonic() + PERIOD
            self._read()
            self._look()
            self._draw()
            self._looked.set()
            while not self._stopped.wait(TICK) and time.monotonic() < due and stamp(self._state) == written:
                pass

    def _read(self) -> None:
        try:
            with contextlib.closing(Store.open(self._state, create=False)) as store:
                self._recorded = store.recorded()
        except StateError as error:
            self._say("state", error.message)
        else:
            self._say("state", "")

    def _look(self) -> None:
        try:
            self._runtime = self._runtime or doors.engine(self._state)
            self._observed = self._runtime.observe()
        except LbError as error:
            if self._runtime:
                self._runtime.close()
            self._runtime = None
            self._say("engine", error.message)
        else:
            self._say("engine", "")

    def _draw(self) -> None:
        self._picture = views.picture(self._recorded, self._observed, self._picture)

    def _say(self, about: str, trouble: str) -> None:
        before, self._said[about] = self._said.get(about, ""), trouble
        if trouble and trouble != before:
            say(f"{trouble}; answering from what was seen before")
        elif before and not trouble:
            say(f"the {about} can be read again")
