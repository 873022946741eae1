"""The actions under way, at most one an object. A later plan's actions join those that are still running.

An action waits for the objects named in its `after` to succeed, and for what its service depends on to be in the
state that it asks for. Waiting holds a thread, never a slot for engine calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EngineError, EngineUnreachable, LockedError, StateError
from ..model import Action, Dependency, Outcome, Plan, Ref
from ..runtime import Cancel, Progress
from .recording import Recording, Tools, held

THREADS = 64  # actions under way at once; most of them wait at their gate, the runtime bounds the engine calls
_GOOD = ("done", "deferred")


@dataclass(slots=True, eq=False)
class Job:
    """An action under way. `started`: its replicas have been started, or it is at its end."""

    action: Action
    cancel: Cancel
    future: Future[Outcome] = field(default_factory=Future)
    started: Event = field(default_factory=Event)


class Crew:
    """`ended` is called, from any thread, whenever an action has ended."""

    def __init__(self, tools: Tools, ended: Callable[[Job], None] = lambda job: None) -> None:
        self._tools, self._ended, self._lock = tools, ended, Lock()
        self._pool = ThreadPoolExecutor(max_workers=THREADS)
        self._jobs: dict[Ref, Job] = {}

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Those under way."""
        with self._lock:
            return tuple(self._jobs.values())

    def take_on(self, plan: Plan) -> list[Job]:
        """Begins every action of the plan; none of them may be about an object that is busy. Topological order, so a
        waiting action never keeps a thread from what it waits for."""
        changes = [
            self._put(action, plan, ()) for action in _topological([a for a in plan.actions if a.verb != "remove"])
        ]
        removals = [
            self._put(action, plan, changes) for action in _topological([a for a in plan.actions if a.verb == "remove"])
        ]
        return changes + removals

    def drop(self, ref: Ref) -> None:
        """The object's action ends after the step in flight; what it left is carried on by the next plan."""
        with self._lock:
            job = self._jobs.get(ref)
        if job:
            job.cancel.set()

    def close(self) -> None:
        """Returns when the actions under way have ended."""
        self._pool.shutdown(wait=True)

    def _put(self, action: Action, plan: Plan, first: Sequence[Job]) -> Job:
        job = Job(action, Cancel(self._tools.cancel))
        with self._lock:
            needs = [self._jobs[ref] for ref in action.after if ref in self._jobs]
            others = {d.ref: self._jobs[d.ref] for d in action.needs if d.ref in self._jobs}
            self._jobs[action.ref] = job
            job.future = self._pool.submit(self._run, job, plan, [j.future for j in first], needs, others)
        return job

    def _run(
        self,
        job: Job,
        plan: Plan,
        first: Sequence[Future[Outcome]],
        needs: Sequence[Job],
        others: Mapping[Ref, Job],
    ) -> Outcome:
        outcome = None
        try:
            wait(first)
            outcome = self._one(job, plan, needs, others)
            return outcome
        finally:
            if outcome is None:
                self._tools.cancel.set()  # state, lock or engine are gone: nothing more may be begun
            with self._lock:
                del self._jobs[job.action.ref]
            job.started.set()
            self._ended(job)

    def _one(self, job: Job, plan: Plan, needs: Sequence[Job], others: Mapping[Ref, Job]) -> Outcome:
        action = job.action
        for need in needs:
            outcome = need.future.result()
            if outcome.result not in _GOOD:
                return _blocked(action, f"waits for {outcome.ref}")
        for dependency in action.needs:
            why = self._unmet(dependency, others.get(dependency.ref), job)
            if why:
                return _blocked(action, why)
        if job.cancel.is_set():
            return Outcome(action.ref, action.verb, "interrupted", "not begun", EXIT_INTERRUPTED)
        if action.idle:
            return held(action)
        outcome = Recording(action, plan, self._tools, job.cancel, job.started).carry_out()
        self._tools.report(Progress(action.ref, outcome.result, outcome.message))
        return outcome

    def _unmet(self, dependency: Dependency, other: Job | None, job: Job) -> str:
        """Why the dependency is not in the state that is asked for, "" once it is. Waits for it."""
        ref = dependency.ref
        if other:
            if not (other.started.is_set() if dependency.condition == "started" else other.future.done()):
                self._tools.report(Progress(job.action.ref, f"waiting for {ref}", dependency.condition))
            if dependency.condition == "started":
                other.started.wait()
            if dependency.condition == "started" and other in self.jobs:
                return ""
            if other.future.result().result not in _GOOD:
                return f"waits for {ref}"
        known = self._tools.store.recorded().services.get(ref)
        if known is None or known.current is None:
            return f"waits for {ref}, which does not run"
        containers = tuple(c.id for c in known.containers if c.base == known.current.base)
        try:
            self._tools.runtime.wait(job.action.ref, dependency, containers, self._tools.report, job.cancel)
        except (EngineUnreachable, StateError, LockedError):
            raise
        except EngineError as error:
            return error.message
        return ""


def _blocked(action: Action, why: str) -> Outcome:
    return Outcome(action.ref, action.verb, "blocked", why, EXIT_FAILED)


def _topological(actions: Sequence[Action]) -> list[Action]:
    by_ref = {action.ref: action for action in actions}
    done: dict[Ref, Action] = {}

    def visit(action: Action) -> None:
        if action.ref in done:
            return
        for ref in (*action.after, *(d.ref for d in action.needs)):
            if ref in by_ref:
                visit(by_ref[ref])
        done[action.ref] = action

    for action in actions:
        visit(action)
    return list(done.values())
