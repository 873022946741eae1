"""One cycle: recover, observe, plan, apply, record. The CLI takes one; a daemon takes one whenever it is woken.

`preview` is the first half of it and changes nothing, neither the engine nor the state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from . import apply, checkout, marker, plan, remote, secrets, snapshots, source, streams
from .errors import EXIT_FAILED, EXIT_INVALID, EXIT_REFUSED, ImageUnavailable, SourceError, worst
from .model import Desired, Observed, Outcome, Plan, Problem, Recorded, Ref, Service, UnnamedVolume
from .model.desired import POLICY_DENIED
from .recovery import Recovery, recover
from .runtime import Progress, Report, Runtime, secret_folder
from .store import Store

QUESTIONS = 8  # images asked for at once
_WAITING = ("incomplete", "dependency")  # the exit code is that of what is waited for


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle planned and what came of it. `unasked` says which images a registry could not be asked for."""

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    unasked: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit code that it stands for."""
        failed = [EXIT_FAILED] if self.unasked else []
        return worst([*codes(self.plan), *failed, *(outcome.code for outcome in self.outcomes)])


def codes(decided: Plan) -> list[int]:
    """The exit codes that hold before anything is done. What only a host's policy could allow is refused; anything
    else that is wrong with a manifest is invalid."""
    found = problem_codes(decided.problems)
    found += [EXIT_REFUSED] if any(guard.kind not in _WAITING for guard in decided.guards) else []
    return found + [EXIT_FAILED for action in decided.actions if action.verb in ("held", "take-back")]


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
    return decide(desired, look(store, runtime), answers or plan.Answers())


def decide(desired: Desired, sight: Sight, answers: plan.Answers) -> Plan:
    """What is to be done now."""
    answers = replace(answers, formers=_formers(desired, sight))
    decided = plan.make(desired, sight.recorded, sight.observed, answers)
    return decided if answers.take_over else in_force(desired, sight.recorded, decided)


def _formers(desired: Desired, sight: Sight) -> dict[str, Service]:
    """Services as revisions had them that may have to be made again, by revision."""
    again = plan.wanted_again(desired, sight.recorded, sight.observed)
    found = {revision.id: desired.remake(revision) for revision in again}
    return {revision: service for revision, service in found.items() if service}


def in_force(desired: Desired, recorded: Recorded, decided: Plan) -> Plan:
    """The plan, held back where another checkout of the source counts. Git is asked only where its author changed
    something."""
    why = _another_checkout(desired, recorded) if desired.named and plan.authored(decided) else ""
    return plan.of_another_checkout(decided, why) if why else decided


def _another_checkout(desired: Desired, recorded: Recorded) -> str:
    """Why this is not the checkout that is in force, "" when it is: that one lies elsewhere, or was newer."""
    known = recorded.sources.get(desired.source)
    owners = {service.source for service in recorded.services.values()}
    owners |= {namespace.source for namespace in recorded.namespaces.values()}
    if known is None or desired.source not in owners:
        return ""
    same = desired.named == known.named or desired.root in (known.root, str(Path(known.named).resolve()))
    if not same and any(_holds(Path(path), desired.source) for path in (known.root, known.named)):
        return (
            f"source {desired.source} was applied from {known.root} last, and this is {desired.root}: apply it there, "
            f"or make this the one in force with --take-over"
        )
    if fetched := remote.name(Path(desired.root)):
        return _rewritten(fetched, desired.root, known.commit)
    if checkout.older(desired.root, known.commit):
        return (
            f"{desired.root} is at a commit that is older than {known.commit[:12]}, which was applied last: pull, or "
            f"revert in a commit of its own, or go back to this one with --take-over"
        )
    return ""


def _rewritten(fetched: str, root: str, last: str) -> str:
    """A branch that nobody here moves by hand only ever grows: what does not come after the commit that was applied
    last was rewritten, or went back."""
    if not last or checkout.follows(root, last):
        return ""
    now = checkout.look(root).commit[:12] or "a commit that git can't name"
    return (
        f"{fetched} was fetched at {now}, which does not come after {last[:12]}, which was applied last: its branch "
        f"was rewritten or went back. Revert in a commit of its own, or make this one count with --take-over"
    )


def _holds(root: Path, name: str) -> bool:
    """Whether that source is still there. One that can't be read is."""
    try:
        return source.name(root) == name
    except SourceError:
        return root.exists()


def stamped(desired: Desired, decided: Plan) -> Plan:
    """The plan with the commit that it carries out. Git is asked only where something is to be done."""
    if not decided.changes or not desired.named:
        return decided
    return replace(decided, commit=str(checkout.look(desired.root)))


def settle(desired: Desired, sight: Sight, decided: Plan, tools: apply.Tools) -> None:
    """What must be written before the first action of the plan begins. Under the lock.

    SourceError when the content of a bind or a secret changed since it was read.
    """
    for intent, effect in sight.recovery.settled:
        tools.store.end(intent.nonce, effect)
    if sight.recovery.gone:
        tools.store.forget_containers(sight.recovery.gone)
    _settle_unnamed(sight, tools)
    marker.claim(tools.runtime, tools.store)
    tools.store.bind_engine(sight.observed.engine)
    state = tools.store.directory
    for action in decided.actions:
        if action.service and action.verb not in ("record", "held", "adopt"):
            snapshots.keep(state, Path(desired.root), action.service.files)
            secrets.keep(state / snapshots.FOLDER, action.ref.namespace, action.service.secrets)
    snapshots.prune(state, _in_use(desired, decided, sight.observed))
    if desired.named and plan.authored(plan.allowed(decided)):
        commit = decided.commit.removesuffix("-dirty")
        tools.store.record_source(desired.source, desired.root, desired.named, commit)


def _settle_unnamed(sight: Sight, tools: apply.Tools) -> None:
    """Volumes without a name are known by the containers that they were made for, while those are there. One that is
    not among those observed is asked for by its name, because a list may lag behind."""
    seen = {container.id: container for container in sight.observed.containers}
    found = [
        UnnamedVolume(name, ref, target, seen[row.id].created)
        for ref, service in sight.recorded.services.items()
        for row in service.containers
        if row.id in seen
        for name, target in seen[row.id].unnamed
        if name not in sight.recorded.unnamed
    ]
    missing = sorted(sight.recorded.unnamed.keys() - {volume.name for volume in sight.observed.volumes})
    gone = [name for name in missing if tools.runtime.volume(name) is None]
    if found or gone:
        tools.store.settle_unnamed(found, gone)


def _in_use(desired: Desired, decided: Plan, observed: Observed) -> list[str]:
    """Sources of mounts, and names of copies that are wanted: what else was copied once was changed since."""
    services = [*desired.services.values(), *(action.service for action in decided.actions if action.service)]
    wanted = [secret_folder("", digest) for service in services for digest in service.secrets]
    wanted += [digest for service in services for digest in service.files]
    return [*wanted, *desired.spared] + [source for container in observed.containers for source in container.mounts]


def end_of_restore(desired: Desired, sight: Sight, decided: Plan, store: Store) -> None:
    """After a backup of the state was put back: once the whole source was held against it and no removal waits any
    more, removals are as ever. Writes to the state only, and only then."""
    restored = sight.recorded.restored_at.get(desired.source)
    whole = desired.complete and not desired.problems and desired.selected is None and not desired.additive
    if restored and whole and not any(guard.kind in ("restored", "incomplete") for guard in decided.guards):
        store.settle_restore(desired.source, restored)


def always_pulled(desired: Desired) -> dict[str, Ref]:
    """Images whose `pull_policy` is always, with a service that wants each."""
    return {
        service.spec.image: ref
        for ref, service in desired.services.items()
        if service.spec.pull_policy == "always" and (desired.selected is None or ref in desired.selected)
    }


def refresh(desired: Desired, runtime: Runtime, report: Report, cancel: Event) -> tuple[str, ...]:
    """Asks registries again for the images whose `pull_policy` is always, side by side; pulls none of them.

    Returns which could not be asked for, and why, without what stands in a variable; what runs, runs on. Raises
    InterruptedByUser.
    """

    def ask(image: str, ref: Ref) -> str:
        service = desired.services[ref]
        report(Progress(ref, "asking the registry", service.shown.get("image", image)))
        try:
            runtime.refresh(image, cancel)
        except ImageUnavailable as error:
            (why,) = streams.without(service.hidden, [error.line])
            return f"{ref} runs on as it is; {why}"
        return ""

    wanted = always_pulled(desired)
    if not wanted:
        return ()
    with ThreadPoolExecutor(max_workers=QUESTIONS) as pool:
        return tuple(filter(None, pool.map(ask, wanted.keys(), wanted.values())))


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
    decided = stamped(desired, decide(desired, sight, answers))
    settle(desired, sight, decided, tools)
    for drifted in decided.drifted:
        tools.store.add_activity(drifted.ref, "warning", "Drift", str(drifted))
    outcomes = apply.run(plan.allowed(decided), tools)
    if not tools.cancel.is_set():
        end_of_restore(desired, sight, decided, tools.store)
    return decided, outcomes
