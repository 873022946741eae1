"""What one namespace needs: its network, and the record of its description and labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import (
    Action,
    Cause,
    Desired,
    Guard,
    Namespace,
    Network,
    Observed,
    Problem,
    Recorded,
    RecordedNamespace,
    Ref,
    Service,
)
from ..runtime import LABEL_INTENT, LABEL_NAMESPACE, LABEL_SERVICE, network_name


def decide(
    namespace: Namespace, recorded: Recorded, observed: Observed, adopt: bool
) -> tuple[Action | None, Guard | None]:
    ref = namespace.ref
    known = recorded.namespaces.get(ref.namespace)
    if known and known.network and any(net.id == known.network for net in observed.networks):
        return _twice(namespace, known, recorded, observed) or _recorded_change(namespace, known), None
    holder = next((net for net in observed.networks if net.name == network_name(ref.namespace)), None)
    if holder is None:
        if known and known.network:
            causes = (Cause(f"network {network_name(ref.namespace)} is gone"),)
            return Action("heal", ref, "drift", causes, namespace=namespace, recorded_namespace=known), None
        causes = (Cause("new namespace", at=namespace.place),)
        return Action("create", ref, "author", causes, namespace=namespace, recorded_namespace=known), None
    return _adoption(namespace, holder, known, adopt)


def _twice(
    namespace: Namespace, known: RecordedNamespace, recorded: Recorded, observed: Observed
) -> Action | None:  # fmt: skip
    """An interrupted run's network came when there was another one: while there are two, nothing can join by name."""
    ref, name = namespace.ref, network_name(namespace.ref.namespace)
    nonces = {intent.nonce for intent in recorded.intents if intent.step == "network" and intent.ref == ref}
    others = (net for net in observed.networks if net.name == name and net.id != known.network)
    surplus = tuple(sorted(net.id for net in others if net.labels.get(LABEL_INTENT) in nonces))
    if not surplus:
        return None
    causes = (Cause(f"network {name} was made once more by a run that was interrupted"),)
    return Action("heal", ref, "failure", causes, namespace=namespace, recorded_namespace=known,
                  networks={ref.namespace: known.network}, surplus=surplus)  # fmt: skip


def _adoption(
    namespace: Namespace, holder: Network, known: RecordedNamespace | None, adopt: bool
) -> tuple[Action | None, Guard | None]:
    ref = namespace.ref
    if holder.labels.get(LABEL_NAMESPACE) != ref.namespace or LABEL_SERVICE in holder.labels:
        message = f"network {holder.name} exists and was not made by lb: remove it, or name the namespace otherwise"
        return None, Guard("conflict", message, (ref,))
    causes = (Cause(f"network {holder.name} carries our labels and is not recorded"),)
    action = Action("adopt", ref, "adoption", causes, namespace=namespace, recorded_namespace=known,
                    networks={ref.namespace: holder.id})  # fmt: skip
    if adopt:
        return action, None
    message = f"namespace {ref} was made by lb under a state that is gone: take it over with --adopt"
    return action, Guard("adoption", message, (ref,))


def _recorded_change(namespace: Namespace, known: RecordedNamespace) -> Action | None:
    causes: list[Cause] = []
    if namespace.description != known.description:
        at = namespace.places.get("meta.description", namespace.place)
        causes.append(Cause("meta.description", known.description, namespace.description, at))
    if dict(namespace.labels) != dict(known.labels):
        at = namespace.places.get("meta.labels", namespace.place)
        causes.append(Cause("meta.labels", _labels(known.labels), _labels(namespace.labels), at))
    if namespace.hosts != known.hosts:
        at = namespace.places.get("meta.hosts", namespace.place)
        causes.append(Cause("meta.hosts", ",".join(known.hosts), ",".join(namespace.hosts), at))
    if namespace.protect != known.protect:
        at = namespace.places.get("meta.protect", namespace.place)
        causes.append(Cause("meta.protect", _word(known.protect), _word(namespace.protect), at))
    if namespace.share_with != known.share_with:
        at = namespace.places.get("share_with", namespace.place)
        causes.append(Cause("share_with", ",".join(known.share_with), ",".join(namespace.share_with), at))
    if namespace.written.get("volumes", {}) != known.written.get("volumes", {}):
        causes.append(Cause("volumes", at=namespace.place))
    if not causes:
        return None
    return Action("record", Ref(namespace.ref.namespace), "author", tuple(causes), namespace=namespace,
                  recorded_namespace=known, networks={namespace.ref.namespace: known.network})  # fmt: skip


def unshared(service: Service, desired: Desired, recorded: Recorded) -> list[Problem]:
    """Namespaces whose networks the service may not join, whichever source they belong to."""
    found = []
    own = service.ref.namespace
    for name in service.spec.links.networks:
        here, known = desired.namespaces.get(name), recorded.namespaces.get(name)
        place = service.places.get("networks", service.place)
        if here is None and known is None:
            message = f"there is no namespace {name}; correct the name, or remove it"
            found.append(Problem(place, "spec.networks", message, ref=service.ref))
        elif own not in (here.share_with if here else known.share_with if known else ()):
            message = f"namespace {name} does not share its network; write share_with: [{own}] under its spec:"
            found.append(Problem(place, "spec.networks", message, ref=service.ref))
    return found


def _word(value: bool) -> str:
    return "true" if value else "false"


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
