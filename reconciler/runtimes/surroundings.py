"""What a service needs around its replicas: the image, the volumes, the namespace's network.

Each function makes sure of one thing, written ahead like any step. What exists and is not ours is never touched.
"""

from __future__ import annotations

from ..errors import EngineError, ImageUnavailable, NameConflict
from ..model import Service, Volume
from ..runtime import LABEL_INTENT, LABEL_NAMESPACE, LABEL_SOURCE, Effect, network_name
from . import subnets
from .work import Work


def image(work: Work, service: Service) -> str:
    if work.action.image_id:
        return work.action.image_id
    reference = service.spec.image
    if service.spec.pull_policy == "never":
        raise ImageUnavailable(f"image {reference} is not on this engine and pull_policy is never")
    work.say("pulling", reference)
    intent = work.begin("pull", reference)
    work.calls.pull(reference, lambda detail: work.say("pulling", detail))
    work.journal.end(intent, Effect())
    found = work.calls.image(reference)
    if not found:
        raise ImageUnavailable(f"image {reference} was pulled but the engine does not have it")
    return found


def volume(work: Work, name: str) -> None:
    namespace, source = work.action.ref.namespace, work.journal.source
    known = work.calls.volume(name)
    if known:
        _check_ours(known, namespace)
        return
    intent = work.begin("volume", name)
    labels = {LABEL_NAMESPACE: namespace, LABEL_SOURCE: source, LABEL_INTENT: intent.nonce}
    volume = work.calls.create_volume(name, labels)  # answers with another's, where one was made in between
    if volume.labels.get(LABEL_INTENT) != intent.nonce:
        work.journal.end(intent, Effect())
        _check_ours(volume, namespace)
        return
    work.journal.end(intent, Effect("volume", id=volume.name, name=volume.name, created=volume.created))


def _check_ours(volume: Volume, namespace: str) -> None:
    if volume.labels.get(LABEL_NAMESPACE) != namespace:
        raise NameConflict(f"volume {volume.name} exists and was not made by lb", hint="rename the volume")


def network(work: Work) -> str:
    name = work.action.ref.namespace
    if work.action.verb == "adopt":
        work.shared.networks[name] = work.action.network
        return ""
    with work.shared.lock:  # one at a time: concurrent creates of one name or subnet all succeed on old engines
        work.say("creating network", network_name(name))
        taken = work.calls.taken_subnets() + [s for net in work.calls.networks() for s in net.subnets]
        intent = work.begin("network", network_name(name))
        labels = {LABEL_NAMESPACE: name, LABEL_SOURCE: work.journal.source, LABEL_INTENT: intent.nonce}
        network = work.calls.create_network(network_name(name), labels, subnets.pick(taken))
        work.journal.end(intent, Effect("network", id=network, name=network_name(name)))
        work.shared.networks[name] = network
    return ""


def remove_network(work: Work) -> str:
    if not work.action.network:
        return ""
    name = network_name(work.action.ref.namespace)
    work.say("removing network", name)
    intent = work.begin("remove-network", work.action.network)
    try:
        work.calls.remove_network(work.action.network)
    except EngineError as error:
        # Engine 20.10 can leak an endpoint count for good, and a stranger's container may be joined to it.
        if "has active endpoints" not in error.message:
            raise
        work.journal.end(intent, Effect())
        return f"network {name} is still in use; it is removed by a later apply"
    work.journal.end(intent, Effect("network-gone", id=work.action.network))
    return ""
