"""What was removed, kept for a while so that it can be written again. Runs inside the caller's transaction.

Nothing of it is recorded: no plan sees it.
"""

from __future__ import annotations

import json
import sqlite3

from ..model import Ref, Removed, Revision
from . import rows

KEPT = 200  # services, and as many namespaces
REVISIONS_KEPT = 10  # of one service: the last good one, and the newest


def keep_service(db: sqlite3.Connection, ref: Ref, at: str) -> None:
    """Before it is forgotten. A remnant, which has no revision, does not count."""
    row = db.execute("select * from services where namespace = ? and name = ?", ref).fetchone()
    if row is None or not db.execute("select 1 from revisions where namespace = ? and service = ?", ref).fetchone():
        return
    _keep(db, ref, row, "{}", at)
    db.execute("delete from removed_revisions where namespace = ? and service = ?", ref)
    db.execute(
        "insert into removed_revisions select * from revisions where namespace = ? and service = ? "
        "order by status = 'current' desc, number desc limit ?",
        (*ref, REVISIONS_KEPT),
    )
    db.execute(
        "delete from removed_revisions where (namespace, service) not in (select namespace, service from removed)"
    )


def keep_namespace(db: sqlite3.Connection, name: str, at: str) -> None:
    row = db.execute("select * from namespaces where name = ?", (name,)).fetchone()
    if row and row["file"]:
        _keep(db, Ref(name), row, row["written"], at)


def found(db: sqlite3.Connection, ref: Ref) -> Removed | None:
    row = db.execute("select * from removed where namespace = ? and service = ?", ref).fetchone()
    if row is None:
        return None
    return Removed(ref, row["source"], row["file"], json.loads(row["meta"]), json.loads(row["spec"]), row["removed"])


def revisions(db: sqlite3.Connection, ref: Ref) -> list[Revision]:
    """By number, each with the status that it had when the service was removed."""
    kept = db.execute("select * from removed_revisions where namespace = ? and service = ? order by number", ref)
    return [rows.to_revision(row) for row in kept]


def _keep(db: sqlite3.Connection, ref: Ref, row: sqlite3.Row, spec: str, at: str) -> None:
    """Instead of what was kept under this name before; the oldest over the limit go."""
    said = {
        "description": row["description"],
        "labels": json.loads(row["labels"]),
        "hosts": json.loads(row["hosts"]),
        "protect": bool(row["protect"]),
    }
    meta = json.dumps({key: value for key, value in said.items() if value}, ensure_ascii=False)
    db.execute(
        "insert or replace into removed values (?,?,?,?,?,?,?)", (*ref, row["source"], row["file"], meta, spec, at)
    )
    alike = "service != ''" if ref.name else "service = ''"
    db.execute(
        f"delete from removed where {alike} and rowid not in "
        f"(select rowid from removed where {alike} order by removed desc, rowid desc limit ?)",
        (KEPT,),
    )
