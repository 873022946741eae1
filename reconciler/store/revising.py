"""What becomes of revisions. Runs inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from ..model import Ref, Service
from . import orders, rows


def promote(db: sqlite3.Connection, revision: str, ref: Ref, at: str) -> None:
    """It is the service's current one; the one before, and one that failed, are superseded."""
    db.execute(
        "update revisions set status = 'superseded' where namespace = ? and service = ? "
        "and status in ('current', 'failed') and id != ?",
        (*ref, revision),
    )
    db.execute("update revisions set status = 'current', promoted = ? where id = ?", (at, revision))
    db.execute(
        "update containers set revision = ? where namespace = ? and service = ? "
        "and base = (select base from revisions where id = ?)",
        (revision, *ref, revision),
    )
    orders.done(db, revision)


def fail(db: sqlite3.Connection, revision: str, cause: str, logs: Sequence[str], at: str) -> None:
    db.execute(
        "update revisions set status = 'superseded' where status = 'failed' and (namespace, service) = "
        "(select namespace, service from revisions where id = ?)",
        (revision,),
    )
    row = db.execute(
        "update revisions set status = 'failed', cause = ?, logs = ?, updated = ? where id = ? "
        "returning namespace, service",
        (cause, json.dumps(list(logs)), at, revision),
    ).fetchone()
    if row:
        orders.clear(db, Ref(*row))


def fall_back(db: sqlite3.Connection, revision: str, former: str, cause: str, logs: Sequence[str], at: str) -> None:
    """The current revision has failed after all: the one that it took over from is current again."""
    fail(db, revision, cause, logs, at)
    db.execute("update revisions set status = 'current' where id = ?", (former,))


def record(db: sqlite3.Connection, service: Service, digests: Mapping[str, str], at: str) -> None:
    db.execute(
        "update revisions set status = 'superseded' where namespace = ? and service = ? "
        "and status in ('failed', 'pending')",
        service.ref,
    )
    db.execute(
        "update revisions set written = ?, shown = ?, authored = ?, digests = ?, updated = ? "
        "where namespace = ? and service = ? and status = 'current' and digests != ?",
        (
            rows.in_order(service.written), rows.dump(service.shown), rows.in_order(service.authored),
            rows.dump(digests), at, *service.ref, rows.dump(digests),
        ),
    )  # fmt: skip
