"""What happened, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model import Activity, Ref
from . import Table
from .tables import age


def activity_table(entries: Sequence[Activity], now: str) -> Table:
    """From newest-first entries: the newest stands last, next to the prompt. AGE is of the latest repeat."""
    rows = [
        [age(e.updated or e.created, now), e.type, e.reason, str(e.count), str(Ref(e.namespace, e.service)), e.message]
        for e in reversed(entries)
    ]
    return [["AGE", "TYPE", "REASON", "COUNT", "OBJECT", "MESSAGE"], *rows]


def activity_json(entry: Activity) -> dict[str, Any]:
    """The entry of the API reference."""
    return {
        "id": entry.id, "created": entry.created, "namespace": entry.namespace, "service": entry.service,
        "type": entry.type, "reason": entry.reason, "message": entry.message, "revision": entry.revision,
        "commit": entry.commit, "count": entry.count,
    }  # fmt: skip
