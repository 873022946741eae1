"""The revisions of a service: what each one changed, and its manifest as written. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..model import Cause, Revision
from . import Table
from .tables import age


@dataclass(frozen=True, slots=True)
class Entry:
    """A revision and what it changed against its parent."""

    revision: Revision
    changes: tuple[Cause, ...]


def changes(revision: Revision, parent: Revision | None) -> tuple[Cause, ...]:
    """What the revision changed against its parent, field by field, as written.

    Where nothing that is written differs, the values behind it did: a variable, or what an image tag stands for.
    """
    if parent is None:
        return (Cause("new service"),)
    paths = sorted(path for path in revision.shown.keys() | parent.shown.keys()
                   if revision.shown.get(path) != parent.shown.get(path))  # fmt: skip
    found = [Cause(path, parent.shown.get(path, ""), revision.shown.get(path, "")) for path in paths]
    moved = revision.image_id and parent.image_id and revision.image_id != parent.image_id
    if moved and "image" not in paths:
        found.append(Cause("image digest of", "", f"{revision.image} is {revision.image_id[:19]}"))
    return tuple(found) or (Cause("the value of a variable"),)


def with_changes(revisions: Sequence[Revision]) -> list[Entry]:
    by_id = {revision.id: revision for revision in revisions}
    return [Entry(revision, changes(revision, by_id.get(revision.parent))) for revision in revisions]


def history_table(entries: Sequence[Entry], now: str) -> Table:
    rows = []
    for entry in entries:
        revision, why = entry.revision, ", ".join(map(str, entry.changes))
        failed = f" (failed: {revision.cause})" if revision.cause else ""
        rows.append([str(revision.number), revision.status, age(revision.created, now), revision.image, why + failed])
    return [["REVISION", "STATUS", "AGE", "IMAGE", "CHANGE"], *rows]


def history_json(entry: Entry) -> dict[str, Any]:
    """`spec` is as written; `cause` and `logs` say why it failed."""
    r = entry.revision
    return {
        "revision": r.number, "id": r.id, "parent": r.parent, "status": r.status, "created": r.created,
        "updated": r.updated, "image": r.image, "image_id": r.image_id,
        "changes": [{"field": c.field, "old": c.old, "new": c.new} for c in entry.changes],
        "cause": r.cause, "logs": list(r.logs), "spec": dict(r.written),
    }  # fmt: skip


def revision_manifest(revision: Revision) -> dict[str, Any]:
    """The manifest of one revision as its author wrote it, variables unresolved."""
    meta: dict[str, Any] = {"name": revision.ref.name, "namespace": revision.ref.namespace}
    if description := revision.shown.get("meta.description"):
        meta["description"] = description
    if labels := json.loads(revision.shown.get("meta.labels") or "{}"):
        meta["labels"] = labels
    if hosts := json.loads(revision.shown.get("meta.hosts") or "[]"):
        meta["hosts"] = hosts
    spec = dict(revision.authored or revision.written)
    return {"apiVersion": "lb/v1", "kind": "Service", "meta": meta, "spec": spec}
