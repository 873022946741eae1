"""Desired + Recorded + Observed become a Plan; each action says why. Pure.

desired against recorded is the author's change and the only source of removals; recorded against observed is
drift; observed without recorded is a candidate for adoption, or foreign and never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..model import (
    RESTART,
    Action,
    Advice,
    Container,
    Desired,
    Drifted,
    Guard,
    Observed,
    Plan,
    Problem,
    Recorded,
    Ref,
    Service,
)
from . import guards, held, monitor, namespaces, removals, services, told, volumes, waiting
from .monitor import wanted_again

__all__ = ["Answers", "allowed", "authored", "make", "of_another_checkout", "wanted_again"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the person has already answered: adoption, and the hash of a list of removals.

    `not_in_place` are services whose in-place update the engine refused in this cycle, with its reason; `busy` are
    objects with an action still under way, which are left alone. `take_over`: this checkout of the source counts from
    now on. `formers` are services as earlier revisions were written (see `wanted_again`), by revision.
    """

    adopt: bool = False
    confirm: str = ""
    no_wait: bool = False
    take_over: bool = False
    not_in_place: Mapping[Ref, str] = field(default_factory=dict)
    busy: frozenset[Ref] = frozenset()
    formers: Mapping[str, Service] = field(default_factory=dict)


def make(desired: Desired, recorded: Recorded, observed: Observed, answers: Answers | None = None) -> Plan:
    answers = answers or Answers()
    owned, problems = _owned(desired, recorded)
    actions: list[Action] = []
    found: list[Guard] = []
    drifted: list[Drifted] = []
    advice: list[Advice] = []
    strangers = _strangers(recorded, observed)
    vanished = frozenset(recorded.volumes) - {volume.name for volume in observed.volumes}
    for name in sorted(owned.namespaces):
        namespace = owned.namespaces[name]
        if namespace.ref in answers.busy:
            continue
        if _selected(owned, namespace.ref) or _holds_selected(owned, name):
            action, guard = namespaces.decide(namespace, recorded, observed, answers.adopt)
            if action and action.origin == "drift" and desired.drift.mode == "report":
                drifted.append(told.of_namespace(namespace, action))
            else:
                actions += [action] if action else []
            found += [guard] if guard else []
    blocked = {ref for guard in found for ref in guard.refs}
    for ref in services.in_order(owned.services):
        if ref in answers.busy or not _selected(owned, ref):
            continue
        look = services.Look(owned.services[ref], recorded, observed, strangers.get(ref, ()), vanished)
        decided = monitor.decide(look, answers.formers, answers.adopt)
        decided = decided or services.decide(look, answers.not_in_place.get(ref, ""), answers.adopt)
        drifted += told.of_service(look, decided.action)
        advice += told.unnamed(look)
        found += [guard for guard in (decided.guard, told.without_data(look, decided.action)) if guard]
        if decided.action and Ref(ref.namespace) not in blocked:
            actions.append(replace(told.untouched(look, decided.action), unattended=answers.no_wait))
    found += _redefined(owned, recorded, observed, actions)
    actions += _tended(owned, recorded, observed, answers)
    gone = removals.after_users(removals.decide(owned, recorded, observed), actions)
    begun = [action for action in gone if answers.busy.intersection((action.ref, *_inside(action)))]
    gone = [action for action in gone if action not in begun]
    linked = services.link(actions, answers.busy)
    found += waiting.guards(linked, waiting.Known(owned, recorded, observed), found)
    found += guards.for_removals(owned, recorded, guards.Removals(gone, begun), problems, answers.confirm)
    return Plan(
        source=desired.source,
        actions=tuple(linked + gone),
        problems=problems,
        guards=tuple(found),
        drifted=tuple(drifted),
        advice=tuple(advice),
        objects=len(desired.mentioned),
        selected=len(desired.selected) if desired.selected is not None else len(desired.mentioned),
        host=desired.host,
    )


def _tended(desired: Desired, recorded: Recorded, observed: Observed, answers: Answers) -> list[Action]:
    """What runs and can't be read in the source any more: a typing error is no reason to let it lie."""
    unread = [
        known
        for ref, known in sorted(recorded.services.items())
        if known.source == desired.source and ref in desired.mentioned and ref not in desired.services
    ]
    found = [
        held.unreadable(known, services.replicas_of(known, observed, known.drift), network)
        for known in unread
        if known.ref not in answers.busy and _selected(desired, known.ref) and known.drift.mode == "heal"
        for network in [services.network_of(known.ref.namespace, recorded, observed)]
    ]
    return [action for action in found if action]


def authored(plan: Plan) -> tuple[Ref, ...]:
    """Objects that are changed because the source says something else than what is recorded."""
    return tuple(
        action.ref
        for action in plan.actions
        if action.origin == "author" and not action.idle and any(cause.field != RESTART for cause in action.causes)
    )


def of_another_checkout(plan: Plan, why: str) -> Plan:
    """Where the source was applied from elsewhere, or at a later commit, its changes wait for a person's word. What it
    does not change is healed all the same, because that goes by what is recorded."""
    return replace(plan, guards=(*plan.guards, Guard("checkout", why, authored(plan))))


def _inside(removal: Action) -> tuple[Ref, ...]:
    """The services that have to go, or to leave its network, before a namespace can."""
    return () if removal.ref.name else removal.after


def allowed(plan: Plan) -> Plan:
    """The plan without the actions that a guard holds back."""
    held = {ref for guard in plan.guards for ref in guard.refs}
    actions = tuple(a for a in plan.actions if a.ref not in held)
    return replace(plan, actions=actions)


def _owned(desired: Desired, recorded: Recorded) -> tuple[Desired, tuple[Problem, ...]]:
    """The desired objects without those that another source owns, and all problems."""
    problems = list(desired.problems)
    spaces, wanted = dict(desired.namespaces), dict(desired.services)
    for name, namespace in desired.namespaces.items():
        theirs = recorded.namespaces.get(name)
        if theirs and theirs.source != desired.source:
            message = f"namespace {name} belongs to source {theirs.source} ({theirs.place.file}); use another name"
            problems.append(Problem(namespace.place, "meta.name", message, "NAME_NOT_UNIQUE", namespace.ref))
            del spaces[name]
    for ref, service in desired.services.items():
        other = recorded.services.get(ref)
        if other and other.source != desired.source:
            message = f"service {ref} belongs to source {other.source} ({other.place.file}); use another name"
            problems.append(Problem(service.place, "meta.name", message, "NAME_NOT_UNIQUE", ref))
            del wanted[ref]
        elif ref.namespace not in spaces:
            del wanted[ref]
    for ref, service in list(wanted.items()):
        found = namespaces.unshared(service, desired, recorded)
        problems += found
        if found:
            del wanted[ref]
    return replace(desired, namespaces=spaces, services=wanted, problems=tuple(problems)), tuple(problems)


def _redefined(desired: Desired, recorded: Recorded, observed: Observed, actions: Sequence[Action]) -> list[Guard]:
    """A namespace keeps what is recorded of it, but may be given its network."""
    free = {a.ref for a in actions if not a.ref.name and a.verb != "record"}
    found = [g for g in volumes.redefined(desired, recorded, observed) if any(_selected(desired, r) for r in g.refs)]
    return [replace(guard, refs=tuple(ref for ref in guard.refs if ref not in free)) for guard in found]


def _selected(desired: Desired, ref: Ref) -> bool:
    return desired.selected is None or ref in desired.selected


def _holds_selected(desired: Desired, namespace: str) -> bool:
    return any(ref.namespace == namespace for ref in desired.selected or ())


def _strangers(recorded: Recorded, observed: Observed) -> dict[Ref, tuple[Container, ...]]:
    """Containers that carry a service's labels and are not in the state: candidates, or copies by someone else."""
    ours = {c.id for service in recorded.services.values() for c in service.containers}
    found: dict[Ref, tuple[Container, ...]] = {}
    for container in observed.containers:
        if container.id not in ours:
            found[container.ref] = (*found.get(container.ref, ()), container)
    return found
