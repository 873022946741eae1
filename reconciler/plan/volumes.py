"""Volumes that exist already, with other options than their namespace gives them now. Pure.

A volume can't be changed once it was made, and making it anew would lose its data: what mounts it is held back.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import fingerprint
from ..model import Desired, Guard, NamedVolume, Observed, Recorded, Ref, Volume
from ..runtime import LABEL_FINGERPRINT, named_volume


def redefined(desired: Desired, recorded: Recorded, observed: Observed) -> list[Guard]:
    """One guard a volume, over the services that mount it and its namespace."""
    seen = {volume.name: volume for volume in observed.volumes}
    users: dict[NamedVolume, list[Ref]] = {}
    for ref, service in sorted(desired.services.items()):
        for mount in service.spec.mounts:
            volume = named_volume(service, mount.source) if mount.kind == "volume" else None
            if volume and not volume.external and volume.name in seen:
                made = _made(seen[volume.name], recorded)
                if not fingerprint.defined_alike(volume, made):
                    users.setdefault(volume, []).append(ref)
    return [_guard(volume, tuple(refs), desired) for volume, refs in users.items()]


def _made(seen: Volume, recorded: Recorded) -> str:
    known = recorded.volumes.get(seen.name)
    return known.definition if known and known.is_(seen) else seen.labels.get(LABEL_FINGERPRINT, "")


def _guard(volume: NamedVolume, refs: tuple[Ref, ...], desired: Desired) -> Guard:
    namespace = desired.namespaces[refs[0].namespace]
    name = _declared(namespace.volumes, volume)
    place = namespace.places.get(f"volumes.{name}", namespace.place)
    message = (
        f"volume {volume.name} was made with other options than {place} gives it now, and its data would be lost: "
        f"put the old options back, or declare a volume of another name and copy the data"
    )
    return Guard("conflict", message, (*refs, namespace.ref))


def _declared(volumes: Mapping[str, NamedVolume], volume: NamedVolume) -> str:
    return next((name for name, declared in volumes.items() if declared == volume), "")
