"""What an interrupted run left open, settled against what the engine shows. Pure.

Ours is a container whose id is in the state, or that carries the nonce of an open intent. An intent to create
something is settled by finding its nonce, one to remove a container by not finding that; any other needs no
settling, because the engine shows what came of it. A create that shows nothing stays open for a while: its answer
was lost, and a slow engine may still be about to carry it out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from .model import Container, Observed, OpenIntent, Recorded, RecordedContainer, RecordedVolume, Ref, Revision
from .runtime import LABEL_FINGERPRINT, LABEL_INTENT, Effect, container_name


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recorded state as it is once `settled` (each open intent and its effect) has been written."""

    recorded: Recorded
    settled: tuple[tuple[OpenIntent, Effect], ...]


def recover(recorded: Recorded, observed: Observed, busy: Collection[Ref] = ()) -> Recovery:
    """The intents of `busy` objects belong to actions that are under way, and are left to them."""
    found = [(intent, _effect(intent, observed)) for intent in recorded.intents if intent.ref not in busy]
    settled = tuple((intent, effect) for intent, effect in found if not _may_come(intent, effect))
    for intent, effect in settled:
        recorded = _with(recorded, intent, effect)
    closed = {intent.nonce for intent, _ in settled}
    return Recovery(replace(recorded, intents=tuple(i for i in recorded.intents if i.nonce not in closed)), settled)


def _may_come(intent: OpenIntent, effect: Effect) -> bool:
    return intent.step in ("create", "network", "volume") and effect.kind == "none" and not intent.stale


def _effect(intent: OpenIntent, observed: Observed) -> Effect:
    if intent.step == "create" and (seen := _made(intent, observed)):
        name = _name(intent)  # it was given: another that it bears now is drift
        return Effect("container", seen.id, name, intent.number, intent.attempt, seen.created, seen.projection)
    if intent.step == "remove" and all(seen.id != intent.target for seen in observed.containers):
        return Effect("container-gone", intent.target)
    if intent.step == "remove-volume" and all(vol.name != intent.target for vol in observed.volumes):
        return Effect("volume-gone", intent.target)
    for net in observed.networks:
        if intent.step == "network" and net.labels.get(LABEL_INTENT) == intent.nonce:
            return Effect("network", net.id, net.name)
    for vol in observed.volumes:
        if intent.step == "volume" and vol.labels.get(LABEL_INTENT) == intent.nonce:
            definition = vol.labels.get(LABEL_FINGERPRINT, "")
            return Effect("volume", vol.name, vol.name, created=vol.created, definition=definition)
    return Effect()


def _made(intent: OpenIntent, observed: Observed) -> Container | None:
    """What carries the nonce. Somebody's copy may carry it too, but only one container can have the name."""
    found = [seen for seen in observed.containers if seen.labels.get(LABEL_INTENT) == intent.nonce]
    return next((seen for seen in found if seen.name == _name(intent)), found[0] if len(found) == 1 else None)


def _name(intent: OpenIntent) -> str:
    return container_name(intent.ref, intent.number, intent.attempt)


def _with(recorded: Recorded, intent: OpenIntent, effect: Effect) -> Recorded:
    if effect.kind == "network" and intent.ref.namespace in recorded.namespaces:
        known = replace(recorded.namespaces[intent.ref.namespace], network=effect.id)
        return replace(recorded, namespaces={**recorded.namespaces, intent.ref.namespace: known})
    if effect.kind == "volume":
        volume = RecordedVolume(effect.name, intent.ref.namespace, effect.created, effect.definition)
        return replace(recorded, volumes={**recorded.volumes, effect.name: volume})
    service = recorded.services.get(intent.ref)
    if effect.kind == "volume-gone":
        return replace(recorded, volumes={n: v for n, v in recorded.volumes.items() if n != effect.id})
    if effect.kind == "container-gone" and service:
        left = replace(service, containers=tuple(c for c in service.containers if c.id != effect.id))
        return replace(recorded, services={**recorded.services, intent.ref: left})
    if effect.kind == "container" and service:
        base = next((r.base for r in _revisions(service.current, service.pending, service.failed)
                     if r.id == intent.revision), intent.revision)  # fmt: skip
        row = RecordedContainer(
            effect.id, intent.ref, intent.number, intent.attempt, effect.name, intent.revision, base, effect.projection
        )
        grown = replace(service, containers=(*service.containers, row))
        return replace(recorded, services={**recorded.services, intent.ref: grown})
    return recorded


def _revisions(*found: Revision | None) -> list[Revision]:
    return [revision for revision in found if revision]
