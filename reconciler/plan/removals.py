"""What is recorded for this source and no longer mentioned in it. Pure.

A removal follows only from desired against recorded, read as a whole: an object whose manifest could not be
understood is still mentioned. Services go before what they depend on, a namespace goes last; volumes stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..model import Action, Cause, Desired, Observed, Recorded, RecordedNamespace, RecordedService, Ref
from .services import replicas_of


def decide(desired: Desired, recorded: Recorded, observed: Observed) -> list[Action]:
    if desired.additive or desired.selected is not None:
        return []
    gone = [
        service
        for ref, service in recorded.services.items()
        if service.source == desired.source and ref not in desired.mentioned
    ]
    refs = {service.ref for service in gone}
    found: list[Action] = []
    for service in sorted(gone, key=lambda s: s.ref):
        dependents = tuple(s.ref for s in gone if any(d.ref == service.ref for d in s.depends_on))
        found.append(
            Action(
                "remove",
                service.ref,
                causes=(_cause(desired, service),),
                impact="removal",
                after=dependents,
                recorded=service,
                replicas=replicas_of(service, observed, service.drift),
            )
        )
    for name, namespace in sorted(recorded.namespaces.items()):
        if namespace.source != desired.source or Ref(name) in desired.mentioned:
            continue
        inside = [ref for ref in recorded.services if ref.namespace == name]
        if any(ref not in refs for ref in inside):
            continue  # still mentioned by a service, or another source lives in it
        causes = (_cause(desired, namespace),)
        found.append(
            Action("remove", Ref(name), causes=causes, impact="removal", after=tuple(inside),
                   recorded_namespace=namespace, networks={name: namespace.network})
        )  # fmt: skip
    return found


def after_users(gone: Sequence[Action], others: Sequence[Action]) -> list[Action]:
    """A namespace that goes comes after all that is done to replicas in its network: those of other namespaces may be
    joined to it too, and the engine refuses to remove a network that has any."""
    found = []
    for action in gone:
        if not action.ref.name:
            users = [a.ref for a in (*gone, *others) if any(action.network in r.seen.networks for r in a.replicas)]
            action = replace(action, after=tuple(dict.fromkeys((*action.after, *users))))
        found.append(action)
    return found


def _cause(desired: Desired, known: RecordedService | RecordedNamespace) -> Cause:
    if not known.place.file:
        return Cause("finished by the engine after it had been removed")
    if desired.down:
        return Cause(f"the source is taken down (was in {known.place.file})")
    if any(problem.place.file == known.place.file for problem in desired.problems):
        return Cause(f"not found in {known.place.file}, which has a problem")
    if known.ref in desired.elsewhere:
        return Cause(f"no longer for host {desired.host} (was in {known.place.file})")
    return Cause(f"no longer in the source (was in {known.place.file})")
