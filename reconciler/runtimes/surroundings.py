"""What a service needs around its replicas: the image, the volumes, the namespace's network.

Each function makes sure of one thing, written ahead like any step. What exists and is not ours is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import fingerprint
from ..errors import EngineError, ImageUnavailable, NameConflict, NotFound
from ..model import NamedVolume, Service, Volume
from ..runtime import (
    LABEL_FINGERPRINT,
    LABEL_INTENT,
    LABEL_NAMESPACE,
    LABEL_SOURCE,
    Effect,
    by_digest,
    network_name,
    repository,
)
from . import subnets
from .work import Work


def image(work: Work, service: Service) -> tuple[str, str]:
    """Its id, and its digest ("" when it came from no registry). A generation that exists already (`base`) keeps its
    image, wherever the tag points by now; else the tag is pulled, so that it is moved here too. Where the service names
    a platform, an image of another one is no answer."""
    action, tag, platform = work.action, service.spec.image, service.spec.platform or ""
    exact = by_digest(tag, action.digest) if action.digest else tag
    found = action.image_id or work.calls.image(exact)  # another service may have pulled it since the plan was made
    here = work.calls.platform(found) if platform and found else ""
    if found and not _suits(here, platform):
        found = ""
    if not found:
        if service.spec.pull_policy == "never":
            what = f"is on this engine for {here} only" if here else "is not on this engine"
            raise ImageUnavailable(f"image {tag} {what} and pull_policy is never")
        wanted = exact if action.base else tag
        work.say("pulling", wanted)
        intent = work.begin("pull", service.shown.get("image", tag))  # as written: a variable may stand in it
        work.shared.pulls.want((wanted, platform), lambda detail: work.say("pulling", detail), work.cancel)
        work.journal.end(intent, Effect())
        found = work.calls.image(wanted)
        if not found:
            raise ImageUnavailable(f"image {wanted} was pulled but the engine does not have it")
    known = work.calls.digests(found)
    return found, action.digest if exact in known else _digest(tag, known)


def _digest(image: str, known: Sequence[str]) -> str:
    names = (name.partition("@") for name in known)
    return next((digest for name, _, digest in names if name == repository(image)), "")


def _suits(here: str, wanted: str) -> bool:
    """`linux` and `linux/arm` are any linux, any variant of arm."""
    return f"{here}/".startswith(f"{wanted}/") if wanted else True


def volume(work: Work, wanted: NamedVolume) -> NamedVolume:
    """The volume as the engine has it, made if need be; an external one shows here what it really is."""
    name, namespace = wanted.name, work.action.ref.namespace
    known = work.calls.volume(name)
    if wanted.external and not known:
        raise NotFound(f"volume {name} does not exist", hint="it is external, so lb never makes it: create it first")
    if known:
        if not wanted.external:
            _check_ours(known, namespace)
        return replace(wanted, driver=known.driver, driver_opts=known.options)
    intent = work.begin("volume", name)
    labels = {LABEL_NAMESPACE: namespace, LABEL_SOURCE: work.journal.source, LABEL_INTENT: intent.nonce}
    definition = fingerprint.definition(wanted, intent.nonce)
    if definition:
        labels[LABEL_FINGERPRINT] = definition
    made = work.calls.create_volume(wanted, labels)  # answers with another's, where one was made in between
    if made.labels.get(LABEL_INTENT) != intent.nonce:
        work.journal.end(intent, Effect())
        _check_ours(made, namespace)
        return replace(wanted, driver=made.driver, driver_opts=made.options)
    work.journal.end(intent, Effect("volume", made.name, made.name, created=made.created, definition=definition))
    return wanted


def _check_ours(volume: Volume, namespace: str) -> None:
    if volume.labels.get(LABEL_NAMESPACE) != namespace:
        raise NameConflict(f"volume {volume.name} exists and was not made by lb", hint="rename the volume")


def of_namespace(work: Work) -> str:
    """Its network is there, or gone. Returns why something was put off, "" when nothing was."""
    if work.action.verb == "remove":
        return _remove_network(work)
    if work.action.surplus:
        return _remove_surplus(work)
    return _network(work)


def _network(work: Work) -> str:
    name = work.action.ref.namespace
    if work.action.verb == "adopt":
        work.shared.networks[name] = work.action.network
        return ""
    with work.shared.lock:  # one at a time: concurrent creates of one name or subnet all succeed on old engines
        work.say("creating network", network_name(name))
        taken = work.calls.taken_subnets() + [s for net in work.calls.networks() for s in net.subnets]
        intent = work.begin("network", network_name(name))
        labels = {LABEL_NAMESPACE: name, LABEL_SOURCE: work.journal.source, LABEL_INTENT: intent.nonce}
        network = work.calls.create_network(network_name(name), labels, subnets.pick(taken, work.shared.pool()))
        work.journal.end(intent, Effect("network", id=network, name=network_name(name)))
        work.shared.networks[name] = network
    return ""


def _remove_surplus(work: Work) -> str:
    for network in work.action.surplus:
        work.say("removing network", f"{network_name(work.action.ref.namespace)} ({network[:12]})")
        intent = work.begin("remove-network", network)
        work.calls.remove_network(network)
        work.journal.end(intent, Effect())
    return ""


def _remove_network(work: Work) -> str:
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
