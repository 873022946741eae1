"""What happened, for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

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
