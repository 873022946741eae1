"""The long life: wake, look, plan, act, and again. Level-triggered: a wake says nothing, each turn looks for itself.

One thread decides; the crew's threads act. A turn never waits for an action: what is under way is left alone, or
superseded where its author wants something else by now. The lock is held from the first action to the last, and
never while there is nothing to do. Nothing that goes wrong ends the daemon: it says so once, backs off, comes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Event, Thread

from .. import apply, fingerprint, marker, plan, reconcile
from ..backoff import Backoff
from ..errors import EngineUnreachable, InterruptedByUser, LbError, LockedError, SourceError, StateError
from ..lock import Lock
from ..model import Action, Desired, EngineInfo, Observed, Plan, Recorded, Ref
from ..runtime import Progress, Runtime
from ..store import Store
from .errands import Errand
from .journal import Journal
from .past import Past
from .wakes import Wakes

PERIOD = 30.0  # seconds between two turns that nothing woke: events may be lost, on disk and in the engine
# After `die`, `inspect` says "running" for some 60 ms: an event's own look may come too early.
AFTERLOOKS = (0.08, 0.3)
_SHORTEST, _LONGEST = 0.5, 10.0  # seconds, of backing off while engine, state or source can't be had
_LOCKED = 1.0


@dataclass(frozen=True, slots=True)
class Doors:
    """What the daemon needs from outside. `read` raises SourceError, `connect` EngineUnreachable, `lock` LockedError;
    `publish` is given every look, for those who only want to see."""

    read: Callable[[], Desired]
    connect: Callable[[], Runtime]
    lock: Callable[[EngineInfo], Lock]
    store: Store
    publish: Callable[[Recorded, Observed], None]


@dataclass(slots=True)
class _Shift:
    """A time in which actions are under way: the lock, and the crew that works under it."""

    lock: Lock
    tools: apply.Tools
    crew: apply.Crew


class Daemon:
    """`wakes` may be kicked by anybody; `journal` is told each transition once."""

    def __init__(self, doors: Doors, wakes: Wakes, journal: Journal) -> None:
        self._doors, self._wakes, self._journal = doors, wakes, journal
        self._runtime: Runtime | None = None
        self._desired: Desired | None = None
        self._shift: _Shift | None = None
        self._backoff = Backoff()
        self._past = Past(doors.store.directory)
        self._not_in_place: dict[Ref, tuple[str, str]] = {}  # → the fingerprint that was refused, and why
        self._ended: SimpleQueue[apply.Job] = SimpleQueue()
        self._asked: SimpleQueue[Errand] = SimpleQueue()
        self._errands: list[Errand] = []
        self._refreshed = ""  # the digest of the source whose images the registry was asked for
        self._troubles = 0  # turns in a row that engine or state could not be had
        self._cost = 0.0  # seconds that the last look took
        self._listener: Thread | None = None
        self._stop = Event()

    def ask(self, errand: Errand) -> None:
        """Hands over an apply; from any thread."""
        self._asked.put(errand)
        self._wakes.kick()

    def run(self, stop: Event) -> None:
        """Until `stop` is set; then the steps in flight are finished and recorded."""
        self._stop = stop
        while not stop.is_set():
            self._turn()
            stop.wait(min(0.25, self._cost / 2))  # under a storm of events, turns take two thirds of the time at most
            again = self._backoff.next(time.monotonic())
            self._wakes.wait(PERIOD if again is None else min(PERIOD, max(0.0, again - time.monotonic())))
        self._leave(LbError("the daemon ends"))
        if self._desired:
            self._journal.close(self._desired.source)

    # --- one turn

    def _turn(self) -> None:
        try:
            self._settle_ended()
            self._cycle()
            self._troubles = 0
            self._journal.clear("engine", "state", "lock", "cycle")
        except LockedError as error:
            self._journal.state("lock", "warning", f"{error.message}; waiting")
            self._leave(error, keep_errands=True)
            self._wakes.after(_LOCKED)
        except (EngineUnreachable, StateError) as error:
            what = "engine" if isinstance(error, EngineUnreachable) else "state"
            self._journal.state(what, "error", error.message, kind="away")  # the words vary while it goes
            self._leave(error)
            if isinstance(error, EngineUnreachable):
                self._disconnect()
            self._wakes.after(min(_LONGEST, _SHORTEST * 2**self._troubles))
            self._troubles += 1
        except LbError as error:
            self._journal.state("cycle", "error", error.message)
            self._leave(error)
            self._wakes.after(_LONGEST)
        for errand in self._errands:
            errand.conclude()
        self._errands = [errand for errand in self._errands if not errand.over]

    def _cycle(self) -> None:
        desired = self._read()
        runtime = self._connected()
        errand = self._next_errand(desired, runtime)
        jobs = self._shift.crew.jobs if self._shift else ()
        busy = {job.action.ref: job for job in jobs}
        begun = time.monotonic()
        sight = reconcile.look(self._doors.store, runtime, busy)
        self._cost = time.monotonic() - begun
        self._doors.publish(sight.recorded, sight.observed)
        if desired is None:
            return
        if desired.digest != self._refreshed:
            self._refreshed = desired.digest
            if reconcile.always_pulled(desired):
                self._refresh(desired, runtime)
        superseded = self._supersede(desired, {job.action.ref: job.action for job in jobs})
        answers = errand.answers if errand else plan.Answers()
        answers = replace(answers, busy=frozenset(busy), not_in_place=self._refusals())
        decided = reconcile.decide(desired, sight, answers)
        reconcile.end_of_restore(desired, sight, decided, self._doors.store)
        todo = self._todo(decided, asked=errand is not None)
        if self._journal.plan(decided, sight.recorded):
            self._wakes.kick()  # the next look shows it
        new: list[apply.Job] = []
        if todo.actions or sight.recovery.writes:
            if self._shift is None:
                if errand:
                    self._errands.remove(errand)
                    self._asked.put(errand)
                self._shift = self._begin_shift(runtime)
                return self._cycle()  # what was seen before the lock was ours may be another's work
            todo = reconcile.stamped(desired, todo)
            reconcile.settle(desired, sight, todo, self._shift.tools)
            new = self._shift.crew.take_on(todo)
        for other in self._errands:
            if other is errand:
                other.planned(decided, [*jobs, *new], superseded)
            else:
                other.follow(new, busy)
        if self._shift and not self._shift.crew.jobs:
            self._end_shift()

    def _read(self) -> Desired | None:
        """What is wanted; the last that could be read, while the source can't be."""
        try:
            self._desired = self._past.behind(self._doors.read())
            self._journal.clear("source")
        except SourceError as error:
            self._journal.state("source", "error", f"{error.message}; what was last read is held, nothing is removed")
            if self._desired:
                self._desired = replace(self._desired, complete=False)
            self._wakes.after(_LONGEST)
        return self._desired

    def _connected(self) -> Runtime:
        if self._runtime is None:
            runtime = self._doors.connect()
            try:
                marker.check(runtime, self._doors.store, adopt=False)
            except LbError:
                runtime.close()
                raise
            self._runtime = runtime
        if self._listener is None or not self._listener.is_alive():
            self._listener = Thread(target=self._listen, args=(self._runtime,), daemon=True, name="events")
            self._listener.start()
        return self._runtime

    def _disconnect(self) -> None:
        if self._runtime:
            self._runtime.close()
            self._runtime = None

    def _listen(self, runtime: Runtime) -> None:
        """Wakes at each of the engine's events, until the engine goes away."""
        try:
            for _ in runtime.changes():
                self._wakes.kick()
                self._wakes.after(*AFTERLOOKS)
        except LbError:
            self._wakes.after(0.2)  # that turn finds out what it is, and listens again

    # --- deciding what to begin

    def _supersede(self, desired: Desired, busy: Mapping[Ref, Action]) -> list[Ref]:
        """Ends the actions whose object is wanted otherwise by now, or not at all."""
        found = []
        for ref, action in busy.items():
            wanted = desired.services.get(ref)
            if action.service is None or (wanted is None and ref in desired.mentioned):
                continue
            if wanted is None or fingerprint.fields(wanted) != fingerprint.fields(action.instead or action.service):
                found.append(ref)
                if self._shift:
                    self._shift.crew.drop(ref)
        return found

    def _refusals(self) -> Mapping[Ref, str]:
        """What the engine would not change in place, as long as the same is wanted."""
        services = self._desired.services if self._desired else {}
        self._not_in_place = {
            ref: (key, why)
            for ref, (key, why) in self._not_in_place.items()
            if ref in services and repr(fingerprint.fields(services[ref])) == key
        }
        return {ref: why for ref, (_, why) in self._not_in_place.items()}

    def _todo(self, decided: Plan, *, asked: bool) -> Plan:
        """What may begin now. A person who asks does not wait for what was tried in vain; otherwise that waits, and all
        that comes after it: a network must not go while a service in it is still to be removed."""
        open_to_us = plan.allowed(decided)
        if asked:
            return open_to_us
        now = time.monotonic()
        for action in open_to_us.actions:
            if self._backoff.fights(action, now):
                self._journal.fight(action)
        waiting = {action.ref for action in open_to_us.actions if self._backoff.waits(action, now)}
        behind = waiting
        while behind:
            behind = {a.ref for a in open_to_us.actions if behind.intersection(a.after)} - waiting
            waiting |= behind
        actions = tuple(a for a in open_to_us.actions if not a.idle and a.ref not in waiting)
        return replace(open_to_us, actions=actions)

    # --- shifts

    def _begin_shift(self, runtime: Runtime) -> _Shift:
        store = self._doors.store
        lock = self._doors.lock(runtime.info())
        try:
            marker.check(runtime, store, adopt=False)
        except LbError:
            lock.close()
            raise
        tools = apply.Tools(runtime, store, lock.check, self._report, Event())
        return _Shift(lock, tools, apply.Crew(tools, self._job_ended))

    def _job_ended(self, job: apply.Job) -> None:
        self._ended.put(job)
        self._wakes.kick()

    def _end_shift(self) -> None:
        shift, self._shift = self._shift, None
        if shift:
            shift.crew.close()
            try:
                marker.release(shift.tools.runtime, shift.tools.store)
            finally:
                shift.lock.close()

    def _leave(self, error: LbError, *, keep_errands: bool = False) -> None:
        """Ends what is under way; the next turn, or the next daemon, carries on."""
        shift, self._shift = self._shift, None
        if shift:
            shift.tools.cancel.set()
            shift.crew.close()
            shift.lock.close()
            while not self._ended.empty():
                self._ended.get()
        for errand in [] if keep_errands else self._errands:
            errand.fail(error)

    # --- what came of it

    def _settle_ended(self) -> None:
        """Raises what ended the crew: StateError, LockedError, EngineUnreachable."""
        while True:
            try:
                job = self._ended.get_nowait()
            except Empty:
                return
            outcome = job.future.result()
            self._backoff = self._backoff.after(job.action, outcome, time.monotonic())
            if outcome.result == "refused-in-place" and job.action.service:
                key = repr(fingerprint.fields(job.action.service))
                self._not_in_place[outcome.ref] = (key, outcome.message)
            self._journal.outcome(job.action, outcome)
            for errand in self._errands:
                errand.ended(job, outcome)

    def _report(self, progress: Progress) -> None:
        for errand in tuple(self._errands):
            errand.news.put(progress)

    def _refresh(self, desired: Desired, runtime: Runtime, errand: Errand | None = None) -> None:
        """Asks the registry again for what is always to be pulled, beside everything else; then the errand goes on."""

        def ask() -> None:
            unasked: tuple[str, ...] = ()
            try:
                unasked = reconcile.refresh(desired, runtime, self._report, self._stop)
            except InterruptedByUser:
                return  # the daemon ends
            except LbError as error:
                unasked = (error.message,)
            if unasked:
                self._journal.state("registry", "warning", "; ".join(unasked))
            else:
                self._journal.clear("registry")
            if errand:
                errand.unasked = unasked
                self.ask(errand)
            self._wakes.kick()

        Thread(target=ask, daemon=True, name="pull").start()

    def _next_errand(self, desired: Desired | None, runtime: Runtime) -> Errand | None:
        try:
            errand = self._asked.get_nowait()
        except Empty:
            return None
        refusal = errand.accepts(desired) if desired else SourceError("the source can't be read; nothing is changed")
        if refusal or errand.only_check:
            errand.fail(refusal) if refusal else errand.accepted()
            return self._next_errand(desired, runtime)
        if desired and not errand.refreshed and reconcile.always_pulled(desired):
            errand.refreshed = True
            self._refresh(desired, runtime, errand)
            return self._next_errand(desired, runtime)
        self._errands.append(errand)
        return errand
