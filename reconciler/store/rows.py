"""Rows become values and values rows. Runs inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ..model import (
    Dependency,
    DriftPolicy,
    Namespace,
    OpenIntent,
    Place,
    Recorded,
    RecordedContainer,
    RecordedNamespace,
    RecordedService,
    RecordedSource,
    RecordedVolume,
    Ref,
    Revision,
    Service,
    Trial,
    UnnamedVolume,
)
from ..runtime import Effect
from . import orders

# Of each service, when the containers of its current revision took over, and the revision that they took over from.
_TRIALS = """
    select base.promoted as since, former.* from revisions now join revisions base on base.id = now.base
    join revisions former on former.id = base.parent where now.status = 'current' and base.promoted != ''
"""
RESTORED = "restored_at"  # meta: source → when a backup of the state was put back and not looked at since


def dump(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=False)


def in_order(value: Mapping[str, Any]) -> str:
    """What an author wrote, its keys in their order."""
    return json.dumps(dict(value), ensure_ascii=False)


def meta(db: sqlite3.Connection, key: str) -> str:
    """What the state says of itself under this key; "" when nothing."""
    row = db.execute("select value from meta where key = ?", (key,)).fetchone()
    return str(row["value"]) if row else ""


def put_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("insert or replace into meta values (?, ?)", (key, value))


def recorded(db: sqlite3.Connection, since: float, stale: str) -> Recorded:
    """Everything; removals are counted from `since` (seconds since the epoch), intents are stale before `stale`."""
    revisions: dict[tuple[Ref, str], Revision] = {}
    for row in db.execute("select * from revisions where status != 'superseded' order by number"):
        found = to_revision(row)
        revisions[found.ref, found.status] = found
    containers: dict[Ref, list[RecordedContainer]] = {}
    for row in db.execute("select * from containers order by number, attempt"):
        containers.setdefault(Ref(row["namespace"], row["service"]), []).append(_container(row))
    trials = {
        Ref(row["namespace"], row["service"]): Trial(row["since"], to_revision(row)) for row in db.execute(_TRIALS)
    }
    notes = {Ref(r["namespace"], r["service"]): str(r["text"]) for r in db.execute("select * from notes")}
    asked = orders.restarts(db)
    services = {
        ref: replace(
            _service(row, ref, revisions, containers.get(ref, [])), note=notes.get(ref, ""), restart=asked.get(ref, ""),
            trial=trials.get(ref),
        )
        for row in db.execute("select * from services order by namespace, name")
        for ref in [Ref(row["namespace"], row["name"])]
    }  # fmt: skip
    removed = {
        row["source"]: row["n"]
        for row in db.execute("select source, count(*) as n from removals where at >= ? group by source", (since,))
    }
    owned: dict[str, int] = dict(removed)
    for service in (s for s in services.values() if not s.remnant):
        owned[service.source] = owned.get(service.source, 0) + 1
    return Recorded(
        namespaces={r["name"]: _namespace(r) for r in db.execute("select * from namespaces order by name")},
        services=services,
        volumes={
            r["name"]: RecordedVolume(r["name"], r["namespace"], r["created"], r["definition"], r["nonce"])
            for r in db.execute("select * from volumes")
        },
        sources={
            r["name"]: RecordedSource(r["root"], r["named"], r["commit_id"], r["at"])
            for r in db.execute("select * from sources")
        },
        unnamed={
            r["name"]: UnnamedVolume(r["name"], Ref(r["namespace"], r["service"]), r["target"], r["created"])
            for r in db.execute("select * from unnamed_volumes order by created, name")
        },
        intents=tuple(
            OpenIntent(r["nonce"], r["step"], Ref(r["namespace"], r["service"]), r["number"], r["attempt"],
                       r["revision"], r["target"], r["created"] < stale)
            for r in db.execute("select * from intents order by created")
        ),
        restored_at=json.loads(meta(db, RESTORED) or "{}"),
        removed_lately=removed,
        held_services=owned,
        notes=notes,
    )  # fmt: skip


def revision(db: sqlite3.Connection, ref: Ref, status: str) -> Revision | None:
    row = db.execute(
        "select * from revisions where namespace = ? and service = ? and status = ? order by number desc",
        (*ref, status),
    ).fetchone()
    return to_revision(row) if row else None


def resumes(
    pending: Revision, fingerprint: str, digests: Mapping[str, str], base: str | None, image: tuple[str, str]
) -> bool:
    """Whether a rollout of this would be the interrupted one, carried on. An image (id and digest) that is not known
    yet may be the same."""
    same_spec = (pending.fingerprint, dict(pending.digests)) == (fingerprint, dict(digests))
    return same_spec and pending.may_run(*image) and pending.base == (base or pending.id)


def apply_effect(db: sqlite3.Connection, intent: sqlite3.Row, effect: Effect) -> None:
    namespace, service = intent["namespace"], intent["service"]
    match effect.kind:
        case "container":
            for name, target in effect.unnamed:
                put_unnamed(db, UnnamedVolume(name, Ref(namespace, service), target, effect.created))
            known = db.execute("select 1 from containers where id = ?", (effect.id,)).fetchone()
            if known:  # another name that it bears now was not given by us, and is drift
                db.execute("update containers set projection = ? where id = ?", (dump(effect.projection), effect.id))
                return
            _put_remnant(db, intent, effect)
            base = db.execute("select base from revisions where id = ?", (intent["revision"],)).fetchone()
            put_container(
                db,
                RecordedContainer(
                    effect.id, Ref(namespace, service), effect.number, effect.attempt, effect.name,
                    intent["revision"], base["base"] if base else intent["revision"], effect.projection,
                ),
            )  # fmt: skip
        case "container-gone":
            db.execute("delete from containers where id = ?", (effect.id,))
        case "network":
            if not db.execute("select 1 from namespaces where name = ?", (namespace,)).fetchone():
                put_namespace(db, Namespace(Ref(namespace)), effect.source, intent["created"])
            db.execute("update namespaces set network = ? where name = ?", (effect.id, namespace))
        case "network-gone":
            db.execute("update namespaces set network = '' where name = ?", (namespace,))
        case "volume":
            put_volume(db, RecordedVolume(effect.name, namespace, effect.created, effect.definition, intent["nonce"]))
        case "volume-gone":
            db.execute("delete from volumes where name = ?", (effect.id,))
            db.execute("delete from unnamed_volumes where name = ?", (effect.id,))


def _put_remnant(db: sqlite3.Connection, intent: sqlite3.Row, effect: Effect) -> None:
    """The service was removed while the engine was about to make the container: it is recorded again, to be removed."""
    ref = Ref(intent["namespace"], intent["service"])
    if not db.execute("select 1 from services where namespace = ? and name = ?", ref).fetchone():
        row = (*ref, effect.source, "", 1, "", "{}", "[]", intent["created"], intent["created"])
        columns = "namespace, name, source, file, line, description, labels, depends_on, created, updated"
        db.execute(f"insert into services ({columns}) values (?,?,?,?,?,?,?,?,?,?)", row)


def put_volume(db: sqlite3.Connection, volume: RecordedVolume) -> None:
    values = (volume.name, volume.namespace, volume.created, volume.definition, volume.nonce)
    db.execute(
        "insert or replace into volumes (name, namespace, created, definition, nonce) values (?,?,?,?,?)", values
    )


def put_unnamed(db: sqlite3.Connection, volume: UnnamedVolume) -> None:
    values = (volume.name, *volume.ref, volume.target, volume.created)
    db.execute("insert or ignore into unnamed_volumes values (?,?,?,?,?)", values)


def put_container(db: sqlite3.Connection, c: RecordedContainer) -> None:
    db.execute(
        "insert or replace into containers values (?,?,?,?,?,?,?,?,?)",
        (c.id, *c.ref, c.number, c.attempt, c.name, c.revision, c.base, dump(c.projection)),
    )


def put_revision(db: sqlite3.Connection, r: Revision) -> None:
    db.execute(
        "insert into revisions values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            r.id, *r.ref, r.number, r.parent, r.base, r.status, r.created, r.updated, r.fingerprint, r.image,
            r.image_id, r.replicas, r.memory, in_order(r.written), dump(r.shown), dump(r.digests), r.cause,
            json.dumps(list(r.logs)), r.digest, in_order(r.authored), r.restart, r.promoted,
        ),
    )  # fmt: skip


def put_namespace(db: sqlite3.Connection, namespace: Namespace, source: str, at: str) -> None:
    place = namespace.place
    said = ("description", "labels", "protect", "share_with", "written", "hosts")
    same = f"({', '.join(said)}) = ({', '.join(f'excluded.{column}' for column in said)})"
    columns = ("name", "source", "file", "line", "created", "updated", *said)
    taken = ", ".join(f"{column} = excluded.{column}" for column in ("source", "file", "line", *said))
    db.execute(
        f"insert into namespaces ({', '.join(columns)}) values (?,?,?,?,?,?,?,?,?,?,?,?) on conflict do update set "
        f"updated = case when {same} then updated else excluded.updated end, {taken}",
        (
            namespace.ref.namespace, source, place.file, place.line, at, at, namespace.description,
            dump(namespace.labels), namespace.protect, json.dumps(namespace.share_with), dump(namespace.written),
            json.dumps(namespace.hosts),
        ),
    )  # fmt: skip


def put_service(db: sqlite3.Connection, service: Service, source: str, at: str, *, new_only: bool = False) -> None:
    """`new_only`: a service that is recorded already keeps what is recorded until its revision proves good."""
    place = service.place
    depends = json.dumps([[*d.ref, d.condition] for d in service.spec.depends_on])
    update = (
        "do nothing"
        if new_only
        else "do update set source = excluded.source, file = excluded.file, line = excluded.line, "
        "description = excluded.description, labels = excluded.labels, depends_on = excluded.depends_on, "
        "updated = excluded.updated, protect = excluded.protect, hosts = excluded.hosts, "
        "drift = excluded.drift"
    )
    db.execute(
        "insert into services (namespace, name, source, file, line, description, labels, depends_on, created, "
        f"updated, protect, hosts, drift) values (?,?,?,?,?,?,?,?,?,?,?,?,?) on conflict {update}",
        (
            *service.ref, source, place.file, place.line, service.description, dump(service.labels), depends, at, at,
            service.protect, json.dumps(service.hosts), dump(asdict(service.drift)),
        ),
    )  # fmt: skip


def _namespace(row: sqlite3.Row) -> RecordedNamespace:
    return RecordedNamespace(
        Ref(row["name"]), row["source"], Place(row["file"], row["line"]), row["description"],
        json.loads(row["labels"]), row["created"], row["updated"], row["network"], protect=bool(row["protect"]),
        share_with=tuple(json.loads(row["share_with"])), written=json.loads(row["written"]),
        hosts=tuple(json.loads(row["hosts"])),
    )  # fmt: skip


def _service(
    row: sqlite3.Row, ref: Ref, revisions: Mapping[tuple[Ref, str], Revision], containers: list[RecordedContainer]
) -> RecordedService:
    return RecordedService(
        ref=ref,
        source=row["source"],
        place=Place(row["file"], row["line"]),
        description=row["description"],
        labels=json.loads(row["labels"]),
        created=row["created"],
        updated=row["updated"],
        depends_on=tuple(Dependency(Ref(ns, name), cond) for ns, name, cond in json.loads(row["depends_on"])),
        current=revisions.get((ref, "current")),
        failed=revisions.get((ref, "failed")),
        pending=revisions.get((ref, "pending")),
        containers=tuple(containers),
        hosts=tuple(json.loads(row["hosts"])),
        protect=bool(row["protect"]),
        drift=_drift(json.loads(row["drift"])),
    )


def _drift(said: Mapping[str, Any]) -> DriftPolicy:
    return DriftPolicy(said.get("mode", "heal"), tuple(said.get("ignore", ())))


def to_revision(row: sqlite3.Row) -> Revision:
    return Revision(
        id=row["id"],
        ref=Ref(row["namespace"], row["service"]),
        number=row["number"],
        parent=row["parent"],
        base=row["base"],
        status=row["status"],
        created=row["created"],
        updated=row["updated"],
        fingerprint=row["fingerprint"],
        image=row["image"],
        image_id=row["image_id"],
        replicas=row["replicas"],
        memory=row["memory"],
        written=json.loads(row["written"]),
        shown=json.loads(row["shown"]),
        digests=json.loads(row["digests"]),
        authored=json.loads(row["authored"]),
        cause=row["cause"],
        logs=tuple(json.loads(row["logs"])),
        digest=row["digest"],
        restart=bool(row["restart"]),
        promoted=row["promoted"],
    )


def _container(row: sqlite3.Row) -> RecordedContainer:
    return RecordedContainer(
        row["id"], Ref(row["namespace"], row["service"]), row["number"], row["attempt"], row["name"],
        row["revision"], row["base"], json.loads(row["projection"]),
    )  # fmt: skip
