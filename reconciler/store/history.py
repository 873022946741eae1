"""What happened: the activity, and the revisions that a service had. Runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
import uuid

from ..model import Activity, Ref, Revision
from . import rows

ACTIVITY_KEPT = 1000  # entries an object


def note(db: sqlite3.Connection, entry: Activity) -> None:
    """The same as the object's latest entry is counted, not written again. The oldest ones over the limit go."""
    ref = Ref(entry.namespace, entry.service)
    last = db.execute(
        "select * from activity where namespace = ? and service = ? order by seq desc limit 1", ref
    ).fetchone()
    if last and (last["reason"], last["message"], last["revision"]) == (entry.reason, entry.message, entry.revision):
        db.execute("update activity set count = count + 1, updated = ? where seq = ?", (entry.created, last["seq"]))
        return
    db.execute(
        "insert into activity (id, created, updated, namespace, service, type, reason, message, revision, "
        "commit_id, count) values (?,?,?,?,?,?,?,?,?,?,1)",
        (
            str(uuid.uuid4()), entry.created, entry.created, *ref, entry.type, entry.reason, entry.message,
            entry.revision, entry.commit,
        ),
    )  # fmt: skip
    db.execute(
        "delete from activity where namespace = ? and service = ? and seq <= (select seq from activity "
        "where namespace = ? and service = ? order by seq desc limit 1 offset ?)",
        (*ref, *ref, ACTIVITY_KEPT),
    )


def activity(db: sqlite3.Connection, namespace: str | None, service: str | None, limit: int | None) -> list[Activity]:
    """Newest first. None is any namespace, any service, as many as there are."""
    asked = {column: value for column, value in (("namespace", namespace), ("service", service)) if value is not None}
    where = " and ".join(f"{column} = ?" for column in asked) or "true"
    found = db.execute(
        f"select * from activity where {where} order by seq desc limit ?",
        (*asked.values(), -1 if limit is None else limit),
    )
    return [
        Activity(r["id"], r["created"], r["namespace"], r["service"], r["type"], r["reason"], r["message"],
                 r["revision"], r["commit_id"], r["count"], r["updated"])
        for r in found
    ]  # fmt: skip


def revisions(db: sqlite3.Connection, ref: Ref) -> list[Revision]:
    """By number; superseded ones too."""
    found = db.execute("select * from revisions where namespace = ? and service = ? order by number", ref)
    return [rows.to_revision(row) for row in found]
