"""What a person asked for that no manifest says: a restart, or another try. Runs inside the caller's transaction.

A restart is served by a revision with a generation of its own that is opened after it was asked for, whatever else
that one is for: the order knows it, and is cleared with its end. So every replica is newer than the order.
"""

from __future__ import annotations

import sqlite3

from ..model import Activity, Ref
from . import history


def restarts(db: sqlite3.Connection) -> dict[Ref, str]:
    """When each restart was asked for that is not through yet."""
    return {Ref(row["namespace"], row["service"]): str(row["asked"]) for row in db.execute("select * from orders")}


def restart(db: sqlite3.Connection, ref: Ref, at: str) -> None:
    """What is half rolled out is older than the order, and is not carried on."""
    db.execute(
        "update revisions set status = 'superseded' where namespace = ? and service = ? and status = 'pending'", ref
    )
    db.execute("insert or replace into orders values (?,?,?,'')", (*ref, at))
    history.note(db, Activity("", at, *ref, "normal", "restart", "a restart was asked for"))


def retry(db: sqlite3.Connection, ref: Ref, at: str) -> None:
    """The failed revision holds nothing back any more. If it differed from the current one in nothing that replaces,
    it was a restart, which is asked for again."""
    found = db.execute(
        "update revisions set status = 'superseded' where namespace = ? and service = ? and status = 'failed' "
        "returning id, number, base, fingerprint, cause",
        ref,
    ).fetchall()
    for row in found:
        text = f"revision {row['number']} is to be tried again; it failed: {row['cause']}"
        history.note(db, Activity("", at, *ref, "normal", "retry", text, row["id"]))
        current = db.execute(
            "select 1 from revisions where namespace = ? and service = ? and status = 'current' and fingerprint = ?",
            (*ref, row["fingerprint"]),
        ).fetchone()
        if current and row["base"] == row["id"]:
            restart(db, ref, at)


def served_by(db: sqlite3.Connection, ref: Ref, revision: str) -> None:
    db.execute("update orders set revision = ? where namespace = ? and service = ?", (revision, *ref))


def done(db: sqlite3.Connection, revision: str) -> None:
    """This revision is through. What was asked for after it was opened still stands."""
    db.execute("delete from orders where revision = ?", (revision,))


def clear(db: sqlite3.Connection, ref: Ref) -> None:
    db.execute("delete from orders where namespace = ? and service = ?", ref)
