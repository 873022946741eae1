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

from ..clock import Clock, now, rfc3339, seconds
from ..errors import StateError
from ..model import (
    Activity,
    ActivityType,
    Cause,
    EngineInfo,
    Namespace,
    Recorded,
    RecordedContainer,
    RecordedVolume,
    Ref,
    Removed,
    Revision,
    Service,
    UnnamedVolume,
)
from ..runtime import Effect, Intent
from . import history, migration, orders, removed, revising, rows
from .connection import connect, readable, unusable, write_ahead
from .history import ACTIVITY_KEPT

BUDGET_WINDOW = 600.0  # seconds over which removals are counted
INTENT_AGE = 7 * 86400.0  # seconds after which no engine, not even that of a suspended host, is about to do a call
# The last two are values that SQLite can't hold: integers over 64 bits, text that is not Unicode.
_UNUSABLE = (sqlite3.Error, OSError, OverflowError, UnicodeError)

__all__ = ["ACTIVITY_KEPT", "INTENT_AGE", "Store"]


class Store:
    def __init__(self, db: sqlite3.Connection, directory: Path, clock: Clock) -> None:
        self._db, self.directory, self._clock, self._lock = db, directory, clock, RLock()
        if not migration.current(db):  # so that opening to read writes nothing
            with self._transaction():
                migration.migrate(db, f"the state in {directory}")
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
            write_ahead(db)
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
        if self.engine() != bound:
            with self._transaction() as db:
                rows.put_meta(db, "engine", rows.dump(bound))

    def record_source(self, name: str, root: str, named: str, commit: str) -> None:
        """Where the source is whose changes are about to be applied."""
        with self._transaction() as db:
            db.execute("insert or replace into sources values (?,?,?,?,?)", (name, root, named, commit, self._clock()))

    def settle_restore(self, source: str, at: str) -> None:
        """What this source removes need not wait any more because of the backup that was put back at this time."""
        with self._transaction() as db:
            waiting = json.loads(rows.meta(db, rows.RESTORED) or "{}")
            if waiting.get(source) == at:
                del waiting[source]
                rows.put_meta(db, rows.RESTORED, rows.dump(waiting))

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
        digest: str = "",
    ) -> Revision:
        """The pending revision of this spec: the one of an interrupted rollout of the very same, or a new one.

        `base` None makes it a generation of its own. The service is recorded, its current revision stays as it is.
        """
        at = self._clock()
        with self._transaction() as db:
            pending = rows.revision(db, service.ref, "pending")
            image = (image_id, digest)
            if pending and rows.resumes(pending, fingerprint, digests_of(pending.id), base, image):
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
                authored=service.authored,
                digest=digest,
                restart=not base and orders.served_by(db, service.ref, name),
            )
            rows.put_revision(db, revision)
        return revision

    def set_image(self, revision: str, image_id: str, digest: str) -> None:
        with self._transaction() as db:
            db.execute("update revisions set image_id = ?, digest = ? where id = ?", (image_id, digest, revision))

    def promote(self, revision: str, service: Service, source: str) -> None:
        """The pending revision is good: it is current now, and its containers run it."""
        with self._transaction() as db:
            at = self._clock()
            revising.promote(db, revision, service.ref, at)
            rows.put_service(db, service, source, at)

    def fail(self, revision: str, cause: str, logs: Sequence[str]) -> None:
        """Remembered apart from the current one, so that it is not tried again until something changes. A restart that
        was asked for is not tried again either."""
        with self._transaction() as db:
            revising.fail(db, revision, cause, logs, self._clock())

    def fall_back(self, revision: str, former: str, cause: str, logs: Sequence[str]) -> None:
        """The current revision failed soon after it took over: as `fail`, and the former one is current again, though
        its containers may be gone."""
        with self._transaction() as db:
            revising.fall_back(db, revision, former, cause, logs, self._clock())

    def order_restart(self, ref: Ref) -> None:
        """Stands until a revision that is opened from now on is promoted, any fails, or the service is removed."""
        with self._transaction() as db:
            orders.restart(db, ref, self._clock())

    def call_off_restart(self, ref: Ref) -> bool:
        """Also one that failed. Whether there was any."""
        with self._transaction() as db:
            return orders.call_off(db, ref, self._clock())

    def order_retry(self, ref: Ref) -> None:
        with self._transaction() as db:
            orders.retry(db, ref, self._clock())

    def record_service(self, service: Service, source: str, digests: Mapping[str, str]) -> None:
        """A change that needs no engine call: the current revision keeps its id and number. A failed or pending
        revision is forgotten, because the author has gone back to the current one."""
        at = self._clock()
        with self._transaction() as db:
            revising.record(db, service, digests, at)
            rows.put_service(db, service, source, at)

    # --- whole objects

    def record_namespace(self, namespace: Namespace, source: str) -> None:
        with self._transaction() as db:
            rows.put_namespace(db, namespace, source, self._clock())

    def forget_namespace(self, name: str) -> None:
        with self._transaction() as db:
            removed.keep_namespace(db, name, self._clock())
            db.execute("delete from namespaces where name = ?", (name,))

    def forget_service(self, ref: Ref, source: str) -> None:
        """Its activity and attempt numbers stay; the removal counts against the source's budget. What it was is kept
        for a while (see `removed`)."""
        with self._transaction() as db:
            removed.keep_service(db, ref, self._clock())
            db.execute("delete from services where namespace = ? and name = ?", ref)
            db.execute("delete from containers where namespace = ? and service = ?", ref)
            ran = db.execute("delete from revisions where namespace = ? and service = ?", ref).rowcount
            orders.clear(db, ref)
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

    def settle_unnamed(self, found: Sequence[UnnamedVolume], gone: Sequence[str]) -> None:
        """Volumes without a name that containers of ours were found to have, and those that are not there any more."""
        with self._transaction() as db:
            for volume in found:
                rows.put_unnamed(db, volume)
            db.executemany("delete from unnamed_volumes where name = ?", [(name,) for name in gone])

    def set_notes(self, source: str, notes: Mapping[Ref, str]) -> None:
        """Why objects of this source are held back; it replaces what was noted before."""
        with self._transaction() as db:
            db.execute("delete from notes where source = ?", (source,))
            db.executemany("insert into notes values (?,?,?,?)", [(source, *ref, text) for ref, text in notes.items()])

    # --- activity

    def add_activity(
        self, ref: Ref, kind: ActivityType, reason: str, message: str, revision: str = "", commit: str = "",
        causes: tuple[Cause, ...] = (),
    ) -> None:  # fmt: skip
        """The same as the object's latest entry is counted, not written again."""
        entry = Activity("", self._clock(), *ref, kind, reason, message, revision, commit, causes=causes)
        with self._transaction() as db:
            history.note(db, entry)

    def activity(
        self, namespace: str | None = None, service: str | None = None, limit: int | None = None
    ) -> list[Activity]:
        """Newest first; of a whole namespace, its services included, when `service` is None."""
        with self._transaction("deferred") as db:
            return history.activity(db, namespace, service, limit)

    def revisions(self, ref: Ref) -> list[Revision]:
        """All that the service had since it was created, by number; the current one is not always the last."""
        with self._transaction("deferred") as db:
            return history.revisions(db, ref)

    def removed(self, ref: Ref) -> tuple[Removed, list[Revision]] | None:
        """What is kept of an object that was removed; None when nothing is. A namespace has no revisions."""
        with self._transaction("deferred") as db:
            kept = removed.found(db, ref)
            return (kept, removed.revisions(db, ref)) if kept else None

    # --- inside

    def _next_attempt(self, ref: Ref) -> int:
        row = self._db.execute(
            "insert into attempts values (?,?,1) on conflict do update set last = last + 1 returning last", ref
        ).fetchone()
        return int(row["last"])

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
