"""One process at a time changes an engine: an flock, with an epoch that every mutating call checks.

The file is named by a hash of what the engine is, and never removed: whoever finds it locked reads who holds it.
An flock ends with its process, however that ends. Where the file is swept away under a holder, or another took
over, `check` notices that path and epoch are no longer ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from .clock import now
from .errors import LockedError, StateError
from .model import EngineInfo

_PAUSE = 0.02  # seconds between two tries
_NAMING = 0.2  # seconds that a holder has to write its name
_COMMAND = 300  # characters of the command line that are kept: what is written must fit in what is read
_SIZE = 4096  # bytes, read and written


def key(engine: EngineInfo) -> str:
    """What names an engine's lock. The endpoint is in it too, because two engines can share an id."""
    return f"{engine.id}\n{engine.root}\n{engine.endpoint}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who changes an engine, since when (RFC 3339)."""

    pid: int
    command: str
    since: str


def holder(name: str, directory: Path | None = None) -> Holder | None:
    """Who holds the lock of this key now; None when nobody does. Raises StateError when the file can't be read.

    Where the file names nobody it is not touched, so looking is not in the way of one who takes the lock.
    """
    path = _path(name, directory or folder())
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"the lock {path} can't be read: {error}", hint="run as the user who applies") from error
    try:
        found = _read(handle)
        if not isinstance(found.get("pid"), int):
            return None
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given: whoever is named there has died
        return None
    except BlockingIOError:
        return _named(found)
    finally:
        os.close(handle)


class Lock:
    """Held from `acquire` to `close`; a context manager."""

    def __init__(self, path: Path, handle: int, epoch: int) -> None:
        self._path, self._handle, self._epoch = path, handle, epoch

    @classmethod
    def acquire(cls, key: str, command: str, directory: Path | None = None, *, wait: float = 0.0) -> Lock:
        """Waits so many seconds for another holder. Raises LockedError, naming it, within a second of that;
        StateError when the file can't be made or written."""
        place = directory or folder()
        path = _path(key, place)
        end = time.monotonic() + wait
        named_by = end + _NAMING
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            while True:
                handle = _try(path)
                if isinstance(handle, int):
                    return cls(path, handle, _sign(handle, command))
                if time.monotonic() >= (end if "pid" in handle else named_by):
                    raise _locked(handle)
                time.sleep(_PAUSE)
        except OSError as error:
            raise StateError(
                f"the lock {path} can't be used: {error}", hint=f"check who owns {place}, and its disk"
            ) from error

    def check(self) -> None:
        """Raises LockedError when the lock is not ours any more. Costs three system calls."""
        if not _stands_at(self._path, self._handle) or _read(self._handle).get("epoch") != self._epoch:
            raise LockedError(
                f"the lock {self._path} was taken away; nothing more is changed",
                hint="find out what removes files there, and apply again",
            )

    def close(self) -> None:
        """Gives the lock back. Another call does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with contextlib.suppress(OSError):  # the next holder only finds an old name
                _write(handle, {"epoch": self._epoch})
            os.close(handle)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _path(name: str, place: Path) -> Path:
    return place / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def folder() -> Path:
    """Where this user's locks and sockets are, gone after a restart of the host."""
    if os.geteuid() == 0:
        return Path("/run/lock/lb")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/lb-{os.geteuid()}") / "lb"


def _try(path: Path) -> int | dict[str, Any]:
    """The handle of the locked file, or what its holder wrote ({} where that isn't there yet)."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _read(handle)
        os.close(handle)
        return holder
    except BaseException:
        os.close(handle)
        raise
    if _stands_at(path, handle):
        return handle
    os.close(handle)  # swept away between the two calls: a lock that nobody else would find
    return {}


def _sign(handle: int, command: str) -> int:
    """Writes who holds it and returns the new epoch."""
    try:
        found = _read(handle).get("epoch")
        epoch = (found if isinstance(found, int) else 0) + 1
        _write(handle, {"pid": os.getpid(), "command": command[:_COMMAND], "since": now(), "epoch": epoch})
    except BaseException:
        os.close(handle)
        raise
    return epoch


def _locked(holder: dict[str, Any]) -> LockedError:
    if "pid" not in holder:
        return LockedError("another process is changing this engine", hint="try again when it is done")
    named = _named(holder)
    return LockedError(
        f"pid {named.pid} (`{named.command}`) has been changing this engine "
        f"since {named.since if named.since == '?' else named.since[:19] + 'Z'}",
        hint="try again when it is done",
    )


def _named(found: dict[str, Any]) -> Holder:
    """Whom a lock's file names; what it does not say of them is ?."""
    since = found.get("since")
    return Holder(found["pid"], str(found.get("command", "?")), since if isinstance(since, str) else "?")


def _stands_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


def _write(handle: int, content: dict[str, Any]) -> None:
    """In one call, and always as long: a reader never sees half of it, nor the rest of an older text."""
    os.pwrite(handle, json.dumps(content).encode().ljust(_SIZE), 0)


def _read(handle: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(handle, _SIZE, 0) or b"{}")
    except ValueError:  # written half when its writer died
        return {}
    return found if isinstance(found, dict) else {}
