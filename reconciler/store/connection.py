"""The file of the state: where it is, who may read it, and what is said when it can't be used."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import StateError

FILE = "state.db"
_NOT_WRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL}
BUSY = 10.0  # seconds to wait for another process's transaction


def connect(directory: Path, create: bool) -> sqlite3.Connection:
    """Raises OSError and sqlite3.Error."""
    file = directory / FILE
    if create:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not any(directory.iterdir()):  # one that holds other things already, such as /tmp, is not ours to close
            directory.chmod(0o700)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        file.chmod(0o600)
    elif not _is_there(file):
        return _open(":memory:")
    else:
        return _to_read(file)
    return _open(str(file))


def write_ahead(db: sqlite3.Connection) -> None:
    """Durable commits in a log of their own. SQLite waits for nobody here, so that we do: another process may be
    making or leaving the state at this moment."""
    end = time.monotonic() + BUSY
    while True:
        try:
            db.execute("pragma journal_mode = wal")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
    db.execute("pragma synchronous = full")


def stamp(directory: Path) -> tuple[tuple[int, int], ...]:
    """Another value after each write, by whatever process; empty while there is no state."""
    found = []
    for name in ("state.db", "state.db-wal"):
        with contextlib.suppress(OSError):
            status = (directory / name).stat()
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


def _is_there(file: Path) -> bool:
    try:
        file.stat()
    except FileNotFoundError:
        return False
    return True


def _open(target: str) -> sqlite3.Connection:
    return sqlite3.connect(target, isolation_level=None, check_same_thread=False, timeout=BUSY)


def _to_read(file: Path) -> sqlite3.Connection:
    """SQLite opens no log without a file beside it. Where that is not there and can't be made, because the disk is full
    or can only be read, a copy is opened: nobody else has the state open then, or it would be there."""
    db = _open(str(file))
    try:
        write_ahead(db)
        db.execute("select 1 from sqlite_schema")
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE:
            raise
        return _copied(file)
    return db


def _copied(file: Path) -> sqlite3.Connection:
    memory = _open(":memory:")
    with tempfile.TemporaryDirectory() as folder:
        for name in (FILE, f"{FILE}-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(file.with_name(name), Path(folder) / name)
        with contextlib.closing(_open(str(Path(folder) / FILE))) as copy:
            copy.backup(memory)
    return memory


@contextlib.contextmanager
def readable(directory: Path) -> Iterator[None]:
    """Rows that are no rows of ours any more: the disk changed them."""
    try:
        yield
    except (ValueError, LookupError, TypeError) as error:
        raise unusable(directory, error) from error


def unusable(directory: Path, error: Exception) -> StateError:
    return StateError(
        f"the state in {directory} can't be used: {error}",
        hint="check the disk and the folder's owner, or name another folder with --state",
    )
