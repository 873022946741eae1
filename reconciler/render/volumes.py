"""Named volumes of ours, and what mounts them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..model import RecordedVolume
from . import Table
from .tables import age


@dataclass(frozen=True, slots=True)
class Held:
    """`there` is False for one that is recorded and that the engine no longer has."""

    volume: RecordedVolume
    users: tuple[str, ...]
    there: bool


def volumes_table(rows: Sequence[Held], now: str) -> Table:
    found = [
        [row.volume.namespace, row.volume.name, age(row.volume.created, now) if row.there else "gone",
         ",".join(row.users)]
        for row in rows
    ]  # fmt: skip
    return [["NAMESPACE", "VOLUME", "AGE", "USED BY"], *found]


def volume_json(row: Held) -> dict[str, Any]:
    volume = row.volume
    return {
        "name": volume.name, "namespace": volume.namespace, "created": volume.created, "there": row.there,
        "used_by": list(row.users),
    }  # fmt: skip
