"""What we remember, in SQLite: namespaces, services, revisions, containers, intents, activity. The only door to SQL.

Every public method is one transaction, durable when it returns (WAL, synchronous=FULL), safe from any thread.
Raises StateError, and nothing else, when the state can't be opened, read or written. Never holds a resolved value.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Literal

from .. import __version__
from ..clock import Clock, now, rfc3339, seconds
from ..errors import StateError
from ..model import (
    Activity,
    EngineInfo,
    Namespace,
    Recorded,
    RecordedContainer,
    RecordedVolume,
    Ref,
    Revision,
    Service,
)
from ..runtime import Effect, Intent
from . import rows
from .connection import connect, readable, unusable
from .schema import MIGRATIONS

BUDGET_WINDOW = 600.0  # seconds over which removals are counted
INTENT_AGE = 7 * 86400.0  # seconds after which no engine, not even that of a suspended host, is about to do a call
ACTIVITY_KEPT = 1000  # entries a service
# The last two are values that SQLite can't hold: integers over 64 bits, text that is not Unicode.
_UNUSABLE = (sqlite3.Error, OSError, OverflowError, UnicodeError)


class Store:
    def __init__(self, db: sqlite3.Connection, directory: Path, clock: Clock) -> None:
        self._db, self.directory, self._clock, self._lock = db, directory, clock, RLock()
        if self._version() != len(MIGRATIONS):  # so that opening to read writes nothing
            self._migrate()
        with self._transaction("deferred"):
            self.state_id: str = rows.meta(db, "state_id")

    @classmethod
    def open(cls, directory: Path, clock: Clock = now, *, create: bool = True) -> Store:
        """With `create` False a state that is not there yet is an empty one in memory: reading leaves no file."""
        try:
            db = connect(directory, create)
        except (OSError, sqlite3.Error) as error:
            raise unusable(directory, error) from error
        try:
            db.row_factory = sqlite3.Row
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            return cls(db, directory, clock)
        except _UNUSABLE as error:
            db.close()
            raise unusable(directory, error) from error
        except StateError:
            db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def recorded(self) -> Recorded:
        """Readable while nothing can be written, and while another process writes."""
        with self._transaction("deferred") as db, readable(self.directory):
            at = seconds(self._clock())
            return rows.recorded(db, at - BUDGET_WINDOW, rfc3339(int((at - INTENT_AGE) * 1e9)))

    # --- the engine that this state is of

    def engine(self) -> Mapping[str, str] | None:
        """`id`, `root` and `endpoint` of the engine bound to this state; None when none is."""
        with self._transaction("deferred") as db:
            found = rows.meta(db, "engine")
        return dict(json.loads(found)) if found else None

    def bind_engine(self, info: EngineInfo) -> None:
        bound = {"id": info.id, "root": info.root, "endpoint": info.endpoint}
        with self._transaction() as db:
            rows.put_meta(db, "engine", rows.dump(bound))

    # --- steps, written ahead

    def begin(self, step: str, ref: Ref, target: str, number: int, revision: str) -> Intent:
        """A create is given the service's next attempt number, so that no two containers ever share a name."""
        nonce = uuid.uuid4().hex
        with self._transaction() as db:
            attempt = self._next_attempt(ref) if step == "create" else 0
            db.execute(
                "insert into intents values (?,?,?,?,?,?,?,?,?)",
                (nonce, step, ref.namespace, ref.name, number, attempt, revision, target, self._clock()),
            )
        return Intent(nonce, attempt)

    def end(self, nonce: str, effect: Effect) -> None:
        """Closes the intent and records what the step left; an intent that is closed already is passed over."""
        with self._transaction() as db:
            row = db.execute("delete from intents where nonce = ? returning *", (nonce,)).fetchone()
            if row:
                rows.apply_effect(db, row, effect)

    def raise_attempts(self, ref: Ref, at_least: int) -> None:
        """After lost state: container names up to this attempt may be taken."""
        with self._transaction() as db:
            db.execute(
                "insert into attempts values (?,?,?) on conflict do update set last = max(last, excluded.last)",
                (*ref, at_least),
            )

    # --- revisions

    def open_revision(
        self,
        service: Service,
        *,
        source: str,
        fingerprint: str,
        digests_of: Callable[[str], Mapping[str, str]],
        parent: Revision | None,
        base: str | None,
        image_id: str,
    ) -> Revision:
        """The pending revision of this spec: the one of an interrupted rollout of the very same, or a new one.

        `base` None makes it a generation of its own. The service is recorded, its current revision stays as it is.
        """
        at = self._clock()
        with self._transaction() as db:
            pending = rows.revision(db, service.ref, "pending")
            if pending and rows.resumes(pending, fingerprint, digests_of(pending.id), base, image_id):
                return pending
            db.execute(
                "update revisions set status = 'superseded' where namespace = ? and service = ? and status = 'pending'",
                service.ref,
            )
            rows.put_service(db, service, source, at, new_only=True)
            last = db.execute(
                "select max(number) as last from revisions where namespace = ? and service = ?", service.ref
            ).fetchone()["last"]
            name = str(uuid.uuid4())
            revision = Revision(
                id=name,
                ref=service.ref,
                number=0 if last is None else last + 1,
                parent=parent.id if parent else "",
                base=base or name,
                status="pending",
                created=at,
                updated=at,
                fingerprint=fingerprint,
                image=service.shown.get("image", ""),
                image_id=image_id,
                replicas=service.spec.replicas,
                memory=service.spec.memory,
                written=service.written,
                shown=service.shown,
                digests=digests_of(name),
            )
            rows.put_revision(db, revision)
        return revision

    def set_image(self, revision: str, image_id: str) -> None:
        with self._transaction() as db:
            db.execute("update revisions set image_id = ? where id = ?", (image_id, revision))

    def promote(self, revision: str, service: Service, source: str) -> None:
        """The pending revision is good: it is current now, and its containers run it."""
        with self._transaction() as db:
            db.execute(
                "update revisions set status = 'superseded' where namespace = ? and service = ? "
                "and status in ('current', 'failed') and id != ?",
                (*service.ref, revision),
            )
            db.execute("update revisions set status = 'current' where id = ?", (revision,))
            db.execute(
                "update containers set revision = ? where namespace = ? and service = ? "
                "and base = (select base from revisions where id = ?)",
                (revision, *service.ref, revision),
            )
            rows.put_service(db, service, source, self._clock())

    def fail(self, revision: str, cause: str, logs: Sequence[str]) -> None:
        """Remembered apart from the current one, so that it is not tried again until something changes."""
        with self._transaction() as db:
            db.execute(
                "update revisions set status = 'superseded' where status = 'failed' and (namespace, service) = "
                "(select namespace, service from revisions where id = ?)",
                (revision,),
            )
            db.execute(
                "update revisions set status = 'failed', cause = ?, logs = ?, updated = ? where id = ?",
                (cause, json.dumps(list(logs)), self._clock(), revision),
            )

    def record_service(self, service: Service, source: str, digests: Mapping[str, str]) -> None:
        """A change that needs no engine call: the current revision keeps its id and number. A failed or pending
        revision is forgotten, because the author has gone back to the current one."""
        at = self._clock()
        with self._transaction() as db:
            db.execute(
                "update revisions set status = 'superseded' where namespace = ? and service = ? "
                "and status in ('failed', 'pending')",
                service.ref,
            )
            db.execute(
                "update revisions set written = ?, shown = ?, digests = ?, updated = ? "
                "where namespace = ? and service = ? and status = 'current' and digests != ?",
                (
                    rows.dump(service.written), rows.dump(service.shown), rows.dump(digests), at, *service.ref,
                    rows.dump(digests),
                ),
            )  # fmt: skip
            rows.put_service(db, service, source, at)

    # --- whole objects

    def record_namespace(self, namespace: Namespace, source: str) -> None:
        with self._transaction() as db:
            rows.put_namespace(db, namespace, source, self._clock())

    def forget_namespace(self, name: str) -> None:
        with self._transaction() as db:
            db.execute("delete from namespaces where name = ?", (name,))

    def forget_service(self, ref: Ref, source: str) -> None:
        """Its activity and attempt numbers stay; the removal counts against the source's budget."""
        with self._transaction() as db:
            db.execute("delete from services where namespace = ? and name = ?", ref)
            db.execute("delete from containers where namespace = ? and service = ?", ref)
            ran = db.execute("delete from revisions where namespace = ? and service = ?", ref).rowcount
            at = seconds(self._clock())
            if ran:  # a remnant of one that was removed already counts no second time
                db.execute("insert into removals values (?, ?)", (source, at))
            db.execute("delete from removals where at < ?", (at - BUDGET_WINDOW,))

    def forget_containers(self, ids: Sequence[str]) -> None:
        """They are not there any more."""
        with self._transaction() as db:
            db.executemany("delete from containers where id = ?", [(key,) for key in ids])

    def adopt(self, containers: Sequence[RecordedContainer]) -> None:
        with self._transaction() as db:
            for container in containers:
                rows.put_container(db, container)

    def adopt_network(self, namespace: str, network: str) -> None:
        with self._transaction() as db:
            db.execute("update namespaces set network = ? where name = ?", (network, namespace))

    def adopt_volume(self, volume: RecordedVolume) -> None:
        with self._transaction() as db:
            rows.put_volume(db, volume)

    def set_notes(self, source: str, notes: Mapping[Ref, str]) -> None:
        """Why objects of this source are held back; it replaces what was noted before."""
        with self._transaction() as db:
            db.execute("delete from notes where source = ?", (source,))
            db.executemany("insert into notes values (?,?,?,?)", [(source, *ref, text) for ref, text in notes.items()])

    # --- activity

    def add_activity(
        self, ref: Ref, kind: str, reason: str, message: str, revision: str = "", commit: str = ""
    ) -> None:
        """The same as the object's latest entry is counted, not written again."""
        at = self._clock()
        with self._transaction() as db:
            last = db.execute(
                "select * from activity where namespace = ? and service = ? order by seq desc limit 1", ref
            ).fetchone()
            if last and (last["reason"], last["message"], last["revision"]) == (reason, message, revision):
                db.execute("update activity set count = count + 1, updated = ? where seq = ?", (at, last["seq"]))
                return
            db.execute(
                "insert into activity (id, created, updated, namespace, service, type, reason, message, revision, "
                "commit_id, count) values (?,?,?,?,?,?,?,?,?,?,1)",
                (str(uuid.uuid4()), at, at, *ref, kind, reason, message, revision, commit),
            )
            db.execute(
                "delete from activity where namespace = ? and service = ? and seq <= (select seq from activity "
                "where namespace = ? and service = ? order by seq desc limit 1 offset ?)",
                (*ref, *ref, ACTIVITY_KEPT),
            )

    def activity(self, namespace: str, service: str | None = None) -> list[Activity]:
        """Newest first; of a whole namespace, its services included, when `service` is None."""
        with self._transaction("deferred") as db:
            return rows.activity(db, namespace, service)

    # --- inside

    def _next_attempt(self, ref: Ref) -> int:
        row = self._db.execute(
            "insert into attempts values (?,?,1) on conflict do update set last = last + 1 returning last", ref
        ).fetchone()
        return int(row["last"])

    def _version(self) -> int:
        return int(self._db.execute("pragma user_version").fetchone()[0])

    def _migrate(self) -> None:
        with self._transaction() as db:
            version = self._version()  # again: another process may have been faster
            if version > len(MIGRATIONS):
                raise self._too_new(version)
            for script in MIGRATIONS[version:]:
                for statement in script.split(";"):
                    if statement.strip():
                        db.execute(statement)
            db.execute(f"pragma user_version = {len(MIGRATIONS)}")
            rows.put_meta(db, "lb", __version__)
            if not rows.meta(db, "state_id"):
                rows.put_meta(db, "state_id", uuid.uuid4().hex)

    def _too_new(self, version: int) -> StateError:
        writer = rows.meta(self._db, "lb")
        wanted = f"lb {writer} or later" if writer else "the lb that wrote it, or a later one"
        return StateError(
            f"the state in {self.directory} was written by a newer lb "
            f"(version {version} of its tables; lb {__version__} knows {len(MIGRATIONS)})",
            hint=f"use {wanted}, or restore a backup of the state",
        )

    @contextlib.contextmanager
    def _transaction(self, kind: Literal["immediate", "deferred"] = "immediate") -> Iterator[sqlite3.Connection]:
        """Committed as a whole or not at all. "deferred" is for reading: it needs no room and waits for no writer."""
        with self._lock:
            try:
                self._db.execute(f"begin {kind}")
                try:
                    yield self._db
                    self._db.execute("commit")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("rollback")
                    raise
            except _UNUSABLE as error:
                raise unusable(self.directory, error) from error
