"""One cycle: recover, observe, plan, apply, record. The CLI takes one; a daemon takes one whenever it is woken.

`preview` is the first half of it and changes nothing, neither the engine nor the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from . import apply, marker, plan, snapshots
from .errors import ImageUnavailable
from .model import Desired, Outcome, Plan, Ref
from .recovery import Recovery, recover
from .runtime import Progress, Report, Runtime
from .store import Store


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle planned and what came of it."""

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()


def preview(desired: Desired, store: Store, runtime: Runtime, answers: plan.Answers | None = None) -> Plan:
    """What a cycle would do now. Mutates nothing and takes no lock."""
    observed = runtime.observe()
    recorded = recover(store.recorded(), observed).recorded
    return plan.make(desired, recorded, observed, answers)


def refresh(desired: Desired, runtime: Runtime, report: Report) -> None:
    """Asks the registry again for images whose `pull_policy` is always.

    A failure is only reported: what runs, runs on.
    """
    for ref, service in desired.services.items():
        if service.spec.pull_policy != "always" or (desired.selected is not None and ref not in desired.selected):
            continue
        try:
            runtime.refresh(service.spec.image, _pulling(ref, report))
        except ImageUnavailable as error:
            report(Progress(ref, "pull failed", error.message))


def _pulling(ref: Ref, report: Report) -> Callable[[str], None]:
    return lambda detail: report(Progress(ref, "pulling", detail))


def carry_out(desired: Desired, answers: plan.Answers, tools: apply.Tools) -> Cycle:
    """One cycle under the lock. What the engine refuses to change in place is planned again as a replacement."""
    decided, outcomes = _pass(desired, answers, tools)
    if not tools.cancel.is_set():
        _settle_restore(desired, decided, tools.store)
    refused = {o.ref: o.message for o in outcomes if o.result == "refused-in-place"}
    if refused and not tools.cancel.is_set():
        again, more = _pass(_only(desired, refused), replace(answers, not_in_place=refused), tools)
        outcomes = tuple(o for o in outcomes if o.ref not in refused) + more
        kept = tuple(a for a in decided.actions if a.ref not in refused)
        decided = replace(decided, actions=kept + again.actions)
    return Cycle(decided, outcomes)


def _pass(desired: Desired, answers: plan.Answers, tools: apply.Tools) -> tuple[Plan, tuple[Outcome, ...]]:
    observed = tools.runtime.observe()
    recovery = recover(tools.store.recorded(), observed)
    _record(recovery, tools.store)
    marker.claim(tools.runtime, tools.store)
    decided = plan.make(desired, recovery.recorded, observed, answers)
    _keep_files(decided, desired, tools.store)
    return decided, apply.run(plan.allowed(decided), tools)


def _settle_restore(desired: Desired, decided: Plan, store: Store) -> None:
    """The whole source was held against a restored state, and no removal waits any more."""
    whole = desired.complete and not desired.problems and desired.selected is None and not desired.additive
    if whole and not any(guard.kind in ("restored", "incomplete") for guard in decided.guards):
        store.settle_restore(desired.source)


def _record(recovery: Recovery, store: Store) -> None:
    for intent, effect in recovery.settled:
        store.end(intent.nonce, effect)


def _keep_files(decided: Plan, desired: Desired, store: Store) -> None:
    """Snapshots the content of every bind that is about to be mounted; SourceError when it changed meanwhile."""
    for action in decided.actions:
        if action.service and action.service.files and action.verb not in ("record", "held", "adopt"):
            snapshots.keep(store.directory, Path(desired.root), action.service.files)


def _only(desired: Desired, refs: Mapping[Ref, str]) -> Desired:
    return replace(desired, selected=frozenset(refs), additive=True)
