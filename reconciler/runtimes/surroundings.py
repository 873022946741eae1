"""What a service needs around its replicas: the image, the volumes, the namespace's network.

Each function makes sure of one thing, written ahead like any step. What exists and is not ours is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import EngineError, ImageUnavailable, NameConflict
from ..model import Service
from ..runtime import LABEL_INTENT, LABEL_NAMESPACE, LABEL_SOURCE, Effect, by_digest, network_name, repository
from . import subnets
from .work import Work


def image(work: Work, service: Service) -> tuple[str, str]:
    """Its id, and its digest ("" when it came from no registry). A generation that exists already (`base`) keeps its
    image, wherever the tag points by now; else the tag is pulled, so that it is moved here too."""
    action, tag = work.action, service.spec.image
    exact = by_digest(tag, action.digest) if action.digest else tag
    found = action.image_id or work.calls.image(exact)  # another service may have pulled it since the plan was made
    if not found:
        if service.spec.pull_policy == "never":
            raise ImageUnavailable(f"image {tag} is not on this engine and pull_policy is never")
        wanted = exact if action.base else tag
        work.say("pulling", wanted)
        intent = work.begin("pull", wanted)
        work.shared.pulls.want(wanted, lambda detail: work.say("pulling", detail), work.cancel)
        work.journal.end(intent, Effect())
        found = work.calls.image(wanted)
        if not found:
            raise ImageUnavailable(f"image {wanted} was pulled but the engine does not have it")
    known = work.calls.digests(found)
    return found, action.digest if exact in known else _digest(tag, known)


def _digest(image: str, known: Sequence[str]) -> str:
    names = (name.partition("@") for name in known)
    return next((digest for name, _, digest in names if name == repository(image)), "")


def volume(work: Work, name: str) -> None:
    known = work.calls.volume(name)
    if known:
        if known.labels.get(LABEL_NAMESPACE) != work.action.ref.namespace:
            raise NameConflict(f"volume {name} exists and was not made by lb", hint="rename the volume")
        return
    intent = work.begin("volume", name)
    namespace, source = work.action.ref.namespace, work.journal.source
    labels = {LABEL_NAMESPACE: namespace, LABEL_SOURCE: source, LABEL_INTENT: intent.nonce}
    volume = work.calls.create_volume(name, labels)
    work.journal.end(intent, Effect("volume", id=volume.name, name=volume.name, created=volume.created))


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
