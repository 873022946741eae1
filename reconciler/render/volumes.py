"""Volumes of ours, and what mounts them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..model import RecordedVolume, UnnamedVolume
from . import Table
from .tables import age


@dataclass(frozen=True, slots=True)
class Held:
    """`there` is False for one that is recorded and that the engine no longer has."""

    volume: RecordedVolume | UnnamedVolume
    users: tuple[str, ...]
    there: bool

    @property
    def namespace(self) -> str:
        return self.volume.namespace if isinstance(self.volume, RecordedVolume) else self.volume.ref.namespace


def volumes_table(rows: Sequence[Held], now: str) -> Table:
    """What has no name has a column of its own, which says whose it was and where, where there is any."""
    found = [
        [row.namespace, row.volume.name, age(row.volume.created, now) if row.there else "gone",
         f"{row.volume.ref.name}:{row.volume.target}" if isinstance(row.volume, UnnamedVolume) else "",
         ",".join(row.users)]
        for row in rows
    ]  # fmt: skip
    table = [["NAMESPACE", "VOLUME", "AGE", "UNNAMED OF", "USED BY"], *found]
    return table if any(row[3] for row in found) else [row[:3] + row[4:] for row in table]


def volume_json(row: Held) -> dict[str, Any]:
    volume = row.volume
    unnamed = {"service": volume.ref.name, "path": volume.target} if isinstance(volume, UnnamedVolume) else None
    return {
        "name": volume.name, "namespace": row.namespace, "created": volume.created, "there": row.there,
        "used_by": list(row.users), "unnamed": unnamed,
    }  # fmt: skip
