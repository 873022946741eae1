"""One process at a time changes an engine: an flock, with an epoch that every mutating call checks.

The file is named by a hash of what the engine is, and never removed: whoever finds it locked reads who holds it.
An flock ends with its process, however that ends. Where the file is swept away under a holder, or another took
over, `check` notices that path and epoch are no longer ours.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from .clock import now
from .errors import LockedError, StateError


class Lock:
    """Held from `acquire` to `close`; a context manager. Raises LockedError, naming the holder, and never waits."""

    def __init__(self, path: Path, handle: int, epoch: int) -> None:
        self._path, self._handle, self._epoch = path, handle, epoch

    @classmethod
    def acquire(cls, key: str, command: str, directory: Path | None = None) -> Lock:
        folder = directory or _folder()
        path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"the lock {path} can't be made: {error}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _read(handle)
            os.close(handle)
            who = f"pid {holder.get('pid', '?')} (`{holder.get('command', '?')}`), since {holder.get('since', '?')}"
            raise LockedError(
                f"another process is changing this engine: {who}", hint="try again when it is done"
            ) from error
        epoch = int(_read(handle).get("epoch", 0)) + 1
        text = json.dumps({"pid": os.getpid(), "command": command, "since": now(), "epoch": epoch}).encode()
        os.ftruncate(handle, 0)
        os.pwrite(handle, text, 0)
        return cls(path, handle, epoch)

    def check(self) -> None:
        """Raises LockedError when the lock is not ours any more."""
        try:
            same = os.path.samestat(self._path.stat(), os.fstat(self._handle))
        except OSError:
            same = False
        if not same or _read(self._handle).get("epoch") != self._epoch:
            raise LockedError(f"the lock {self._path} was taken away; nothing more is changed")

    def close(self) -> None:
        os.close(self._handle)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _folder() -> Path:
    if os.geteuid() == 0:
        return Path("/run/lock/lb")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/lb-{os.geteuid()}") / "lb"


def _read(handle: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(handle, 4096, 0) or b"{}")
    except ValueError:  # written half when its writer died
        return {}
    return found if isinstance(found, dict) else {}
