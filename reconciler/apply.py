"""Carries out a Plan: dependencies in order, independent actions side by side, one Outcome each, all of it recorded.

One failure stops only its dependents. Removals run last. Every mutating step passes `_Journal.begin`, which checks
the lock and commits the intent before the engine is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from . import fingerprint
from .errors import EXIT_FAILED, EngineUnreachable, LockedError, StateError
from .model import Action, ActivityType, Outcome, Plan, RecordedContainer, RecordedVolume, Ref, Revision, Service
from .runtime import Effect, Intent, Progress, Report, Runtime, StepVerb
from .store import Store

THREADS = 64  # actions under way at once; most of them wait at their gate, the runtime bounds the engine calls


@dataclass(frozen=True, slots=True)
class Tools:
    """What applying needs from outside: the doors, and how to be told to stop. `guard` raises when the lock is lost."""

    runtime: Runtime
    store: Store
    guard: Callable[[], None]
    report: Report
    cancel: Event


def run(plan: Plan, tools: Tools) -> tuple[Outcome, ...]:
    """Raises StateError, LockedError or EngineUnreachable after the actions under way have ended."""
    first = [action for action in plan.actions if action.verb != "remove"]
    last = [action for action in plan.actions if action.verb == "remove"]
    outcomes = _side_by_side(first, plan.source, tools)
    if tools.cancel.is_set():
        return outcomes
    return outcomes + _side_by_side(last, plan.source, tools)


def _side_by_side(actions: Sequence[Action], source: str, tools: Tools) -> tuple[Outcome, ...]:
    """Actions come in topological order, so a waiting one never keeps a thread from what it waits for."""
    if not actions:
        return ()
    futures: dict[Ref, Future[Outcome]] = {}
    with ThreadPoolExecutor(max_workers=min(len(actions), THREADS)) as pool:
        for action in _topological(actions):
            needs = [futures[ref] for ref in action.after if ref in futures]
            futures[action.ref] = pool.submit(_one, action, needs, source, tools)
    return tuple(future.result() for future in futures.values())


def _topological(actions: Sequence[Action]) -> list[Action]:
    by_ref = {action.ref: action for action in actions}
    done: dict[Ref, Action] = {}

    def visit(action: Action) -> None:
        if action.ref in done:
            return
        for ref in action.after:
            if ref in by_ref:
                visit(by_ref[ref])
        done[action.ref] = action

    for action in actions:
        visit(action)
    return list(done.values())


def _one(action: Action, needs: Sequence[Future[Outcome]], source: str, tools: Tools) -> Outcome:
    for need in needs:
        outcome = need.result()
        if outcome.result not in ("done", "deferred"):
            return Outcome(action.ref, action.verb, "blocked", f"waits for {outcome.ref}", EXIT_FAILED)
    if tools.cancel.is_set():
        return Outcome(action.ref, action.verb, "interrupted", "not begun", 130)
    if action.verb == "held":
        return Outcome(action.ref, "held", "held", "; ".join(map(str, action.causes)), EXIT_FAILED)
    try:
        outcome = _Recording(action, source, tools).carry_out()
    except (StateError, LockedError, EngineUnreachable):
        tools.cancel.set()  # nothing more may be begun
        raise
    word = outcome.result if outcome.result != "done" else "done"
    tools.report(Progress(action.ref, word, outcome.message))
    return outcome


class _Recording:
    """One action between its records: what is written before it, and what came of it after."""

    def __init__(self, action: Action, source: str, tools: Tools) -> None:
        self.action, self.source, self.tools, self.store = action, source, tools, tools.store

    def carry_out(self) -> Outcome:
        return self._service() if self.action.ref.name else self._namespace()

    def _namespace(self) -> Outcome:
        action, store = self.action, self.store
        name = action.ref.namespace
        if action.namespace:
            store.record_namespace(action.namespace, self.source)
        if action.verb == "adopt":
            store.adopt_network(name, action.network)
        outcome = self._perform(None)
        if action.verb == "remove" and outcome.result == "done":
            store.forget_namespace(name)
        self._note(outcome, "")
        return outcome

    def _service(self) -> Outcome:
        action, store = self.action, self.store
        if action.verb == "remove":
            outcome = self._perform(None)
            if outcome.result == "done":
                store.forget_service(action.ref, self.source)
            self._note(outcome, "")
            return outcome
        service = action.service
        if service is None:
            raise ValueError(f"{action.verb} {action.ref} carries no service")
        for volume in action.claims:
            store.adopt_volume(RecordedVolume(volume.name, action.ref.namespace, volume.created))
        revision = self._revision(service)
        if action.verb == "adopt":
            self._adopt(service, revision)
        outcome = self._perform(revision)
        if outcome.result == "done":
            self._good(service, revision)
        elif outcome.condemns and action.verb in ("create", "replace", "update"):
            store.fail(revision.id, outcome.message, outcome.logs)
        self._note(outcome, revision.id)
        return outcome

    def _revision(self, service: Service) -> Revision:
        """The revision that this action brings about; healing and recording keep the current one."""
        action = self.action
        current = action.recorded.current if action.recorded else None
        if action.verb in ("heal", "record") and current:
            return current
        in_place = action.verb in ("update", "scale") and current is not None
        return self.store.open_revision(
            service,
            source=self.source,
            fingerprint=action.fingerprint,
            digests_of=lambda salt: fingerprint.digests(service, salt),
            parent=current,
            base=action.base or None,
            image_id=current.image_id if in_place and current else action.image_id,
        )

    def _adopt(self, service: Service, revision: Revision) -> None:
        rows = []
        for seen in self.action.candidates:
            attempt = int(seen.name.rpartition("-")[2]) if seen.name.rpartition("-")[2].isdigit() else 0
            rows.append(
                RecordedContainer(
                    seen.id, service.ref, seen.number, attempt, seen.name, revision.id, revision.base, seen.projection
                )
            )
        self.store.set_image(revision.id, self.action.candidates[0].image_id)
        self.store.adopt(rows)
        self.store.raise_attempts(service.ref, max(row.attempt for row in rows))

    def _good(self, service: Service, revision: Revision) -> None:
        if self.action.verb in ("heal", "record"):
            self.store.record_service(service, self.source, fingerprint.digests(service, revision.id))
        else:
            self.store.promote(revision.id, service, self.source)

    def _perform(self, revision: Revision | None) -> Outcome:
        tools = self.tools
        journal = _Journal(self.store, self.source, revision, tools.guard)
        return tools.runtime.perform(self.action, journal, tools.report, tools.cancel)

    def _note(self, outcome: Outcome, revision: str) -> None:
        action = self.action
        kind: ActivityType = "normal" if outcome.result == "done" else "warning"
        why = "; ".join(str(cause) for cause in action.causes)
        message = why if outcome.result == "done" else f"{outcome.message} ({why})"
        reason = f"{action.verb}-{outcome.result}" if outcome.result != "done" else action.verb
        self.store.add_activity(action.ref, kind, reason, message, revision)


class _Journal:
    """Writes each step ahead, and its outcome after; see `reconciler.runtime.Journal`."""

    def __init__(self, store: Store, source: str, revision: Revision | None, guard: Callable[[], None]) -> None:
        self.revision, self.source = revision, source
        self._store, self._guard = store, guard

    def begin(self, verb: StepVerb, ref: Ref, target: str = "", number: int = 0) -> Intent:
        self._guard()
        return self._store.begin(verb, ref, target, number, self.revision.id if self.revision else "")

    def end(self, intent: Intent, effect: Effect) -> None:
        self._store.end(intent.nonce, effect)

    def image(self, image_id: str) -> None:
        if self.revision and self.revision.image_id != image_id:
            self._store.set_image(self.revision.id, image_id)
