"""What an interrupted run left open, settled against what the engine shows. Pure.

Ours is a container whose id is in the state, or that carries the nonce of an open intent. An intent to create
something is settled by finding its nonce; any other needs no settling, because the engine shows what came of it. A
create that shows nothing stays open for a while: its answer was lost, and a slow engine may still be about to carry
it out. What then comes for an object that was removed meanwhile is recorded again, so that it is removed too; of two
networks of one name, which engines until 24 can make, the second is removed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from .model import (
    NOWHERE,
    Container,
    Observed,
    OpenIntent,
    Recorded,
    RecordedContainer,
    RecordedNamespace,
    RecordedService,
    RecordedVolume,
    Ref,
    Revision,
)
from .runtime import LABEL_FINGERPRINT, LABEL_INTENT, LABEL_SOURCE, Effect, container_name


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recorded state as it is once this has been written: `settled`, each open intent and its effect, and
    `gone`, ids of recorded containers that are not there any more."""

    recorded: Recorded
    settled: tuple[tuple[OpenIntent, Effect], ...]
    gone: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        return bool(self.settled or self.gone)


def recover(recorded: Recorded, observed: Observed, busy: Collection[Ref] = ()) -> Recovery:
    """`observed` was asked for every recorded container. What is of `busy` objects belongs to actions that are under
    way, and is left to them."""
    settled: list[tuple[OpenIntent, Effect]] = []
    for intent in recorded.intents:
        effect = _effect(intent, observed)
        if intent.ref in busy or _may_come(intent, effect) or _came_too_late(intent, effect, recorded, observed):
            continue
        settled.append((intent, effect))
        recorded = _with(recorded, intent, effect)
    closed = {intent.nonce for intent, _ in settled}
    recorded = replace(recorded, intents=tuple(i for i in recorded.intents if i.nonce not in closed))
    live = {seen.id for seen in observed.containers}
    gone = {c.id for ref, service in recorded.services.items() if ref not in busy for c in service.containers} - live
    return Recovery(_without(recorded, gone), tuple(settled), tuple(sorted(gone)))


def _without(recorded: Recorded, gone: Collection[str]) -> Recorded:
    if not gone:
        return recorded
    services = {
        ref: replace(service, containers=tuple(c for c in service.containers if c.id not in gone))
        for ref, service in recorded.services.items()
    }
    return replace(recorded, services=services)


def _may_come(intent: OpenIntent, effect: Effect) -> bool:
    return intent.step in ("create", "network", "volume") and effect.kind == "none" and not intent.stale


def _came_too_late(intent: OpenIntent, effect: Effect, recorded: Recorded, observed: Observed) -> bool:
    """Its namespace has another network by now: the intent stays open, so that this one is known, and removed."""
    known = recorded.namespaces.get(intent.ref.namespace)
    return (
        effect.kind == "network"
        and known is not None
        and known.network != effect.id
        and any(net.id == known.network for net in observed.networks)
    )


def _effect(intent: OpenIntent, observed: Observed) -> Effect:
    if intent.step == "create" and (seen := _made(intent, observed)):
        name = _name(intent)  # it was given: another that it bears now is drift
        source = seen.labels.get(LABEL_SOURCE, "")
        return Effect.of(seen, name, intent.number, intent.attempt, source)
    if intent.step == "remove-volume" and all(vol.name != intent.target for vol in observed.volumes):
        return Effect("volume-gone", intent.target)
    for net in observed.networks:
        if intent.step == "network" and net.labels.get(LABEL_INTENT) == intent.nonce:
            return Effect("network", net.id, net.name, source=net.labels.get(LABEL_SOURCE, ""))
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
    if effect.kind == "network":
        name = intent.ref.namespace
        namespace = recorded.namespaces.get(name) or RecordedNamespace(
            Ref(name), effect.source, NOWHERE, "", {}, effect.created, effect.created
        )
        known = replace(namespace, network=effect.id)
        return replace(recorded, namespaces={**recorded.namespaces, name: known})
    if effect.kind == "volume":
        volume = RecordedVolume(effect.name, intent.ref.namespace, effect.created, effect.definition, intent.nonce)
        return replace(recorded, volumes={**recorded.volumes, effect.name: volume})
    if effect.kind == "volume-gone":
        named = {n: v for n, v in recorded.volumes.items() if n != effect.id}
        return replace(recorded, volumes=named, unnamed={n: v for n, v in recorded.unnamed.items() if n != effect.id})
    if effect.kind == "container":
        service = recorded.services.get(intent.ref) or RecordedService(
            intent.ref, effect.source, NOWHERE, "", {}, effect.created, effect.created
        )
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
