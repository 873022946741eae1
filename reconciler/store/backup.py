"""Copies of the state: made while others write, examined before they are trusted, and put back as a whole.

A backup is one SQLite file, readable by its owner only. Putting one back is one transaction on the state's own file,
so that a process which has it open sees the old state or the restored one; what stood there is kept beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..clock import Clock, now
from ..errors import RefusedError, StateError
from ..model import EngineInfo
from . import migration, rows
from .connection import BUSY, FILE, connect
from .schema import MIGRATIONS

_BACKED_UP = "backed_up_at"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a state or a backup says of itself. `version` is that of its tables, `engine` the one it is of, `backed_up`
    when the backup was made ("" for a state)."""

    state_id: str
    version: int
    lb: str
    engine: EngineInfo | None
    services: int
    backed_up: str = ""

    @property
    def outdated(self) -> bool:
        """Written by an older lb: the next one that opens it brings it up to date."""
        return self.version < len(MIGRATIONS)


def examine(file: Path) -> Contents:
    """Changes nothing. Raises StateError when it is missing, damaged, no state, or of a newer lb."""
    with _reading(file) as db:
        damage = db.execute("pragma integrity_check").fetchone()[0]
        if damage != "ok":
            raise StateError(f"{file} is damaged: {damage}", hint="restore a backup of the state")
        if not db.execute("select 1 from sqlite_schema where name = 'meta'").fetchone():
            raise StateError(f"{file} is no state of lb", hint="name a file that `lb state backup` made")
        version = migration.version(db)
        if version > len(MIGRATIONS):
            raise migration.too_new(db, str(file), version)
        engine: Mapping[str, str] | None = json.loads(rows.meta(db, "engine") or "null")
        return Contents(
            rows.meta(db, "state_id"),
            version,
            rows.meta(db, "lb"),
            EngineInfo(engine["id"], engine["root"], engine["endpoint"], "") if engine else None,
            db.execute("select count(*) from services").fetchone()[0],
            rows.meta(db, _BACKED_UP),
        )


def backup(directory: Path, target: Path, *, force: bool = False, clock: Clock = now) -> None:
    """Raises RefusedError when the target exists and `force` is False, StateError when there is no state, or either
    can't be used."""
    source = directory / FILE
    if target.resolve().parent == directory.resolve() and target.name.startswith(FILE):
        raise RefusedError(f"{target} is the state itself, or beside it", hint="name a file in another folder")
    if target.is_dir():
        raise RefusedError(f"{target} is a folder", hint="name a file in it")
    if target.exists() and not force:
        raise RefusedError(f"{target} exists", hint="name another file, or overwrite it with --force")
    with _copied(source, target.parent) as copy:
        with _writing(copy) as db:
            rows.put_meta(db, _BACKED_UP, clock())
        examine(copy)
        with _translated(target):
            _place(copy, target, force)


def restore(file: Path, directory: Path, clock: Clock = now) -> Path | None:
    """Puts the backup in the state's place; returns where the former state is kept, None when there was none.

    What is recorded then may be older than what was done since: the state remembers when it was restored, source by
    source, so that removals can wait until a person has looked.
    """
    examine(file)
    with _translated(directory):
        connect(directory, create=True).close()  # the folder and the file, with their modes
    with _copied(file, directory) as copy:
        with _writing(copy) as db:
            migration.migrate(db, str(file))
            sources = db.execute("select source from services union select source from namespaces")
            rows.put_meta(db, rows.RESTORED, json.dumps({row["source"]: clock() for row in sources}))
            rows.put_meta(db, _BACKED_UP, "")
            db.execute("delete from orders")  # what was asked for then was done since
        kept = _keep(directory, clock)
        with _translated(directory), contextlib.closing(connect(directory, create=False)) as live, _reading(copy) as db:
            db.backup(live, progress=_patience())
    return kept


def _keep(directory: Path, clock: Clock) -> Path | None:
    """A copy of the state as it is; one that can't be read is moved away, whole."""
    file = directory / FILE
    if not file.stat().st_size:
        return None
    kept = directory / f"{FILE}.before-restore-{clock()[:19].replace(':', '')}Z"
    with _translated(directory):
        try:
            with _copied(file, directory) as copy:
                copy.replace(kept)
        except StateError as error:
            if not _damaged(error.__cause__):
                raise
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{file}{end}").rename(f"{kept}{end}")
            connect(directory, create=True).close()
    return kept


def _damaged(error: BaseException | None) -> bool:
    """What SQLite says of a file that is no database any more; a full disk or a busy file is an OperationalError."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


@contextlib.contextmanager
def _copied(source: Path, folder: Path) -> Iterator[Path]:
    """A copy for this block, for its owner only, consistent whoever writes meanwhile. It may be moved elsewhere."""
    with _translated(folder):
        handle, name = tempfile.mkstemp(prefix=f".{FILE}-", dir=folder)  # mode 0600
        os.close(handle)
    copy = Path(name)
    try:
        with _reading(source) as db, _translated(copy), contextlib.closing(sqlite3.connect(copy)) as target:
            db.backup(target, progress=_patience())
            target.execute("pragma journal_mode = delete")  # so that it is one file
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _place(copy: Path, target: Path, force: bool) -> None:
    """On the disk, then under its name: a reader finds all of it or none."""
    with copy.open("rb") as handle:
        os.fsync(handle.fileno())
    if not force:  # taken in one call, so that of two backups only one wins
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    copy.replace(target)


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    with _translated(file):
        if not file.is_file():
            raise StateError(f"there is no file {file}", hint="check the path, or --state")
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=BUSY)) as db:
            db.row_factory = sqlite3.Row
            yield db


@contextlib.contextmanager
def _writing(file: Path) -> Iterator[sqlite3.Connection]:
    with _translated(file), contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        db.execute("begin immediate")
        yield db
        db.execute("commit")


@contextlib.contextmanager
def _translated(what: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: meta that is no JSON
        why = (isinstance(error, OSError) and error.strerror) or error  # without the name of a file that nobody knows
        raise StateError(f"{what} can't be used: {why}", hint="check the file, the disk and who owns it") from error


def _patience() -> Callable[[int, int, int], None]:
    """SQLite's copying waits for a busy file for ever; this ends it."""
    end = time.monotonic() + BUSY

    def look(status: int, remaining: int, total: int) -> None:
        if remaining and time.monotonic() > end:
            raise sqlite3.OperationalError("the file is busy")

    return look
