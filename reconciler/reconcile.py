"""One cycle: recover, observe, plan, apply, record. The CLI takes one; a daemon takes one whenever it is woken.

`preview` is the first half of it and changes nothing, neither the engine nor the state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from . import apply, marker, plan, snapshots
from .errors import EXIT_FAILED, EXIT_INVALID, EXIT_REFUSED, ImageUnavailable, worst
from .model import Desired, Observed, Outcome, Plan, Problem, Recorded, Ref
from .model.desired import POLICY_DENIED
from .recovery import Recovery, recover
from .runtime import Progress, Report, Runtime
from .store import Store

PULLS = 4  # images asked for at once


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle planned and what came of it."""

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()

    @property
    def code(self) -> int:
        """The exit code that it stands for."""
        return worst([*codes(self.plan), *(outcome.code for outcome in self.outcomes)])


def codes(decided: Plan) -> list[int]:
    """The exit codes that hold before anything is done. What only a host's policy could allow is refused; anything
    else that is wrong with a manifest is invalid."""
    found = problem_codes(decided.problems)
    found += [EXIT_REFUSED] if any(guard.kind != "incomplete" for guard in decided.guards) else []
    return found + [EXIT_FAILED for action in decided.actions if action.verb == "held"]


def problem_codes(problems: Sequence[Problem]) -> list[int]:
    return [EXIT_REFUSED if problem.code == POLICY_DENIED else EXIT_INVALID for problem in problems]


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at both sides: the engine, and the state with what an interrupted run left open settled by it."""

    observed: Observed
    recovery: Recovery

    @property
    def recorded(self) -> Recorded:
        return self.recovery.recorded


def look(store: Store, runtime: Runtime, busy: Collection[Ref] = ()) -> Sight:
    """Mutates nothing and takes no lock. `busy` are objects with an action under way since before this call."""
    recorded = store.recorded()
    observed = runtime.observe([c.id for service in recorded.services.values() for c in service.containers])
    return Sight(observed, recover(recorded, observed, busy))


def preview(desired: Desired, store: Store, runtime: Runtime, answers: plan.Answers | None = None) -> Plan:
    """What a cycle would do now. Mutates nothing and takes no lock."""
    sight = look(store, runtime)
    return plan.make(desired, sight.recorded, sight.observed, answers)


def settle(desired: Desired, sight: Sight, decided: Plan, tools: apply.Tools) -> None:
    """What must be written before the first action of the plan begins. Under the lock.

    SourceError when the content of a bind changed since it was read.
    """
    for intent, effect in sight.recovery.settled:
        tools.store.end(intent.nonce, effect)
    if sight.recovery.gone:
        tools.store.forget_containers(sight.recovery.gone)
    marker.claim(tools.runtime, tools.store)
    for action in decided.actions:
        if action.service and action.service.files and action.verb not in ("record", "held", "adopt"):
            snapshots.keep(tools.store.directory, Path(desired.root), action.service.files)


def always_pulled(desired: Desired) -> dict[str, Ref]:
    """Images whose `pull_policy` is always, with a service that wants each."""
    return {
        service.spec.image: ref
        for ref, service in desired.services.items()
        if service.spec.pull_policy == "always" and (desired.selected is None or ref in desired.selected)
    }


def refresh(desired: Desired, runtime: Runtime, report: Report) -> None:
    """Asks the registry again for images whose `pull_policy` is always, side by side.

    A failure is only reported: what runs, runs on.
    """
    wanted = always_pulled(desired)
    if not wanted:
        return

    def ask(image: str, ref: Ref) -> None:
        try:
            runtime.refresh(image, lambda detail: report(Progress(ref, "pulling", detail)))
        except ImageUnavailable as error:
            report(Progress(ref, "pull failed", error.message))

    with ThreadPoolExecutor(max_workers=PULLS) as pool:
        list(pool.map(ask, wanted.keys(), wanted.values()))


def carry_out(desired: Desired, answers: plan.Answers, tools: apply.Tools) -> Cycle:
    """One cycle under the lock. What the engine refuses to change in place is planned again as a replacement."""
    decided, outcomes = _pass(desired, answers, tools)
    refused = {o.ref: o.message for o in outcomes if o.result == "refused-in-place"}
    if refused and not tools.cancel.is_set():
        only = replace(desired, selected=frozenset(refused), additive=True)
        again, more = _pass(only, replace(answers, not_in_place=refused), tools)
        outcomes = tuple(o for o in outcomes if o.ref not in refused) + more
        kept = tuple(a for a in decided.actions if a.ref not in refused)
        decided = replace(decided, actions=kept + again.actions)
    return Cycle(decided, outcomes)


def _pass(desired: Desired, answers: plan.Answers, tools: apply.Tools) -> tuple[Plan, tuple[Outcome, ...]]:
    sight = look(tools.store, tools.runtime)
    decided = plan.make(desired, sight.recorded, sight.observed, answers)
    settle(desired, sight, decided, tools)
    return decided, apply.run(plan.allowed(decided), tools)
