"""Secrets of this host: what a container is given is a copy that does not change under it.

A secret is a file in a folder of the host that no repository reaches. Its content counts as part of the service, so a
new one is a new revision of those services that use it. The copy lies in the state folder, in a folder that only its
owner may enter, and may be read by everybody who can see it: on the host that is the owner alone, in the container the
process, whoever it runs as (the image decides that, and may change it while it runs). It never appears anywhere else:
of its content the state and the engine's labels know a hash over namespace, name and content.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import SourceError, StateError
from .runtime import secret_folder

MAX_BYTES = 1024 * 1024


def digest(namespace: str, name: str, path: Path) -> tuple[str, str]:
    """The hash of what it holds now, or why there is none. The content itself is never in either."""
    try:
        return _hash(namespace, name, _content(path)), ""
    except FileNotFoundError:
        return "", f"there is no secret {name} on this host; put it into {path}"
    except OSError as error:
        return "", f"the secret {path} can't be read: {error.strerror}"


def keep(files: Path, namespace: str, wanted: Mapping[str, str]) -> None:
    """Copies what is not there yet; `files` is the folder of the snapshots, `wanted` maps hashes to absolute paths.

    Raises SourceError when a secret changed since it was read, StateError when the copy can't be written.
    """
    for name, source in wanted.items():
        target, path = Path(secret_folder(str(files), name)), Path(source)
        if (target / "content").exists():
            continue
        try:
            content = _content(path)
        except OSError as error:
            raise SourceError(f"the secret {path} can't be read: {error.strerror}") from error
        if _hash(namespace, path.name, content) != name:
            raise SourceError(f"the secret {path} changed while it was read", hint="apply again")
        try:
            _write(files, target, content)
        except OSError as error:
            raise StateError(f"the copy of the secret {path} can't be written: {error.strerror}") from error


def contents(files: Path, wanted: Iterable[str]) -> frozenset[str]:
    """What is in the copies with these hashes, as far as there are any and they are text."""
    found = set()
    for name in wanted:
        with contextlib.suppress(OSError, UnicodeDecodeError):  # it is looked for in text, and only by who has read it
            found.add(_content(Path(secret_folder(str(files), name)) / "content").decode())
    return frozenset(found)


def _content(path: Path) -> bytes:
    """Raises OSError, also for what is no regular file: a FIFO would be waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if status.st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES // 1024} KiB")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MAX_BYTES)
    finally:
        os.close(handle)


def _hash(namespace: str, name: str, content: bytes) -> str:
    """Over the names too, so that equal secrets of two services are not seen to be equal."""
    return hashlib.sha256(f"lb secret\0{namespace}\0{name}\0".encode() + content).hexdigest()


def _write(files: Path, target: Path, content: bytes) -> None:
    """All or nothing: written beside, then renamed. `mkdtemp` gives the folder to its owner alone."""
    files.mkdir(mode=0o755, parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=files, prefix=".new-"))
    try:
        file = work / "content"
        with file.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        file.chmod(0o444)
        work.rename(target)
    except OSError:
        shutil.rmtree(work, ignore_errors=True)
        if not target.exists():  # else another apply was quicker, with the same content
            raise
