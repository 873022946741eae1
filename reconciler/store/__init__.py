"""What we remember, in SQLite: namespaces, services, revisions, containers, intents, activity. The only door to SQL.

Every public method is one transaction, durable when it returns (WAL, synchronous=FULL), safe from any thread.
Raises StateError, and nothing else, when the state can't be opened, read or written. Never holds a resolved value.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock

from ..clock import Clock, now
from ..errors import StateError
from ..model import (
    Activity,
    Namespace,
    Recorded,
    RecordedContainer,
    Ref,
    Revision,
    Service,
)
from ..runtime import Effect, Intent
from . import rows
from .schema import MIGRATIONS

BUDGET_WINDOW = 600.0  # seconds over which removals are counted
ACTIVITY_KEPT = 1000  # entries a service


class Store:
    def __init__(self, db: sqlite3.Connection, directory: Path, clock: Clock) -> None:
        self._db, self.directory, self._clock, self._lock = db, directory, clock, RLock()
        with self._transaction():
            self._migrate()
            row = db.execute("select value from meta where key = 'state_id'").fetchone()
            self.state_id: str = row["value"] if row else uuid.uuid4().hex
            if not row:
                db.execute("insert into meta values ('state_id', ?)", (self.state_id,))

    @classmethod
    def open(cls, directory: Path, clock: Clock = now, *, create: bool = True) -> Store:
        """With `create` False a state that is not there yet is an empty one in memory: reading leaves no file."""
        file = directory / "state.db"
        target = str(file) if create or file.exists() else ":memory:"
        try:
            if target != ":memory:":
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                directory.chmod(0o700)
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = sqlite3.connect(target, isolation_level=None, check_same_thread=False, timeout=10.0)
            db.row_factory = sqlite3.Row
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
        except (OSError, sqlite3.Error) as error:
            raise _unusable(directory, error) from error
        return cls(db, directory, clock)

    def close(self) -> None:
        self._db.close()

    def recorded(self) -> Recorded:
        with self._transaction() as db:
            return rows.recorded(db, time.time() - BUDGET_WINDOW)

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
            if pending and dict(pending.digests) == dict(digests_of(pending.id)):
                same_image = not (pending.image_id and image_id) or pending.image_id == image_id
                if same_image and (base is None or base == pending.base):
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
            for table in ("revisions", "containers"):
                db.execute(f"delete from {table} where namespace = ? and service = ?", ref)
            db.execute("insert into removals values (?, ?)", (source, time.time()))
            db.execute("delete from removals where at < ?", (time.time() - BUDGET_WINDOW,))

    def adopt(self, containers: Sequence[RecordedContainer]) -> None:
        with self._transaction() as db:
            for container in containers:
                rows.put_container(db, container)

    def adopt_network(self, namespace: str, network: str) -> None:
        with self._transaction() as db:
            db.execute("update namespaces set network = ? where name = ?", (network, namespace))

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
        with self._transaction() as db:
            return rows.activity(db, namespace, service)

    # --- inside

    def _next_attempt(self, ref: Ref) -> int:
        row = self._db.execute(
            "insert into attempts values (?,?,1) on conflict do update set last = last + 1 returning last", ref
        ).fetchone()
        return int(row["last"])

    def _migrate(self) -> None:
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StateError(
                f"the state in {self.directory} was written by a newer lb (version {version} of its tables)",
                hint="use that lb, or restore a backup of the state",
            )
        for script in MIGRATIONS[version:]:
            for statement in script.split(";"):
                if statement.strip():
                    self._db.execute(statement)
        self._db.execute(f"pragma user_version = {len(MIGRATIONS)}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("begin immediate")
                try:
                    yield self._db
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("rollback")
                    raise
                self._db.execute("commit")
            except (sqlite3.Error, OSError) as error:
                raise _unusable(self.directory, error) from error


def _unusable(directory: Path, error: Exception) -> StateError:
    return StateError(
        f"the state in {directory} can't be used: {error}",
        hint="check the disk and the folder's owner, or name another folder with --state",
    )
