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
    it was a restart, which is asked for again. One that was to change containers in place is not finished now: what it
    changed already stays known."""
    found = db.execute(
        "update revisions set status = case when base = id then 'superseded' else 'pending' end "
        "where namespace = ? and service = ? and status = 'failed' returning id, number, base, fingerprint, cause",
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


def call_off(db: sqlite3.Connection, ref: Ref, at: str) -> bool:
    """What was asked for, is half done, or failed."""
    standing = db.execute("delete from orders where namespace = ? and service = ?", ref).rowcount
    open_ones = db.execute(
        "update revisions set status = 'superseded' where namespace = ?1 and service = ?2 and restart = 1 "
        "and status in ('pending', 'failed') and fingerprint in (select fingerprint from revisions "
        "where namespace = ?1 and service = ?2 and status = 'current')",
        ref,
    ).rowcount
    if standing or open_ones:
        history.note(db, Activity("", at, *ref, "normal", "restart-cancelled", "the restart was called off"))
    return bool(standing or open_ones)


def served_by(db: sqlite3.Connection, ref: Ref, revision: str) -> bool:
    """Whether a restart stands; then it is through with this revision."""
    asked = db.execute("update orders set revision = ? where namespace = ? and service = ?", (revision, *ref))
    return asked.rowcount > 0


def done(db: sqlite3.Connection, revision: str) -> None:
    """This revision is through. What was asked for after it was opened still stands."""
    db.execute("delete from orders where revision = ?", (revision,))


def clear(db: sqlite3.Connection, ref: Ref) -> None:
    db.execute("delete from orders where namespace = ? and service = ?", ref)
