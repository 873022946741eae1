"""An older state becomes one of this version, as a whole or not at all. Runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
import uuid

from .. import __version__
from ..errors import StateError
from . import rows
from .schema import MIGRATIONS


def version(db: sqlite3.Connection) -> int:
    """The version of its tables; 0 for a new file."""
    return int(db.execute("pragma user_version").fetchone()[0])


def current(db: sqlite3.Connection) -> bool:
    return version(db) == len(MIGRATIONS)


def migrate(db: sqlite3.Connection, place: str) -> None:
    """Raises StateError where a newer lb wrote it."""
    found = version(db)  # again: another process may have been faster
    if found > len(MIGRATIONS):
        raise too_new(db, place, found)
    for script in MIGRATIONS[found:]:
        for statement in script.split(";"):
            if statement.strip():
                db.execute(statement)
    db.execute(f"pragma user_version = {len(MIGRATIONS)}")
    rows.put_meta(db, "lb", __version__)
    if not rows.meta(db, "state_id"):
        rows.put_meta(db, "state_id", uuid.uuid4().hex)


def too_new(db: sqlite3.Connection, place: str, found: int) -> StateError:
    writer = rows.meta(db, "lb")
    wanted = f"lb {writer} or later" if writer else "the lb that wrote it, or a later one"
    return StateError(
        f"{place} was written by a newer lb (version {found} of its tables; lb {__version__} knows {len(MIGRATIONS)})",
        hint=f"use {wanted}, or restore a backup of the state",
    )
