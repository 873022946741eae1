"""Content-addressed copies of the files that containers mount, kept in the state folder, outside the checkout.

A bind from inside the source is mounted from here, so that an edit or a `git checkout` never changes a file under a
running container: changed content is another digest, hence another revision.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import SourceError, StateError
from .seen import Seen

_OUTSIDE = "leads outside the source through a link; that needs the host's policy"
FOLDER = "snapshots"  # in the state folder
_NEW = ".new-"  # a copy that is being written
_ABANDONED = 3600.0  # seconds after which nobody writes it any more
Entry = tuple[str, bytes, bool]  # path within the tree ("" for a single file), content, executable


@dataclass(frozen=True, slots=True)
class _File:
    """A regular file of a tree; a link to one is that file. `status` was taken before it is read."""

    name: str  # path within the tree, "" for a single file
    path: Path
    status: os.stat_result

    @property
    def executable(self) -> bool:
        return bool(self.status.st_mode & 0o100)


def content(root: Path, relative: str) -> Iterator[Entry]:
    """The regular files at a path of the source, sorted. Raises SourceError when it is missing or leads outside."""
    for file in _files(root / relative, root):
        yield file.name, file.path.read_bytes(), file.executable


def digest(entries: Iterable[Entry]) -> str:
    """SHA-256 over paths, contents and mode bits."""
    return _total((name, hashlib.sha256(data).hexdigest(), executable) for name, data, executable in entries)


def digest_now(root: Path, relative: str, seen: Seen) -> str:
    """The digest of the content at a path of the source; only files that changed since they were seen are read.

    Raises like `content`."""
    parts = []
    for file in _files(root / relative, root):
        key = str(file.path)
        sha = seen.unchanged(key, file.status) or seen.keep(key, file.status, file.path.read_bytes())
        parts.append((file.name, sha, file.executable))
    return _total(parts)


def _total(parts: Iterable[tuple[str, str, bool]]) -> str:
    total = hashlib.sha256()
    for name, sha, executable in parts:
        head = f"{name}\0{'x' if executable else '-'}\0{sha}\n"
        total.update(head.encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def path(state: Path, name: str) -> Path:
    return state / FOLDER / name / "content"


def keep(state: Path, root: Path, files: Mapping[str, str]) -> None:
    """Copies what is not there yet. Raises SourceError when content changed since it was read, StateError when the
    state folder can't be written."""
    for name, relative in files.items():
        if path(state, name).exists():
            continue
        try:
            entries = list(content(root, relative))
        except OSError as error:
            raise SourceError(f"{relative} can't be read: {error.strerror}") from error
        if digest(entries) != name:
            raise SourceError(f"{relative} changed while it was read", hint="apply again")
        try:
            _write(path(state, name), entries)
        except OSError as error:
            raise StateError(f"the snapshot of {relative} can't be written: {error}") from error


def prune(state: Path, used: Collection[str]) -> None:
    """Removes copies of files and secrets that nobody needs any more: `used` are sources of mounts, and digests that
    are wanted. What can't be removed is left to the next time."""
    with contextlib.suppress(FileNotFoundError):  # nothing was ever mounted
        for entry in os.scandir(state / FOLDER):
            stale = entry.name.startswith(_NEW) and entry.stat().st_mtime < time.time() - _ABANDONED
            if stale or not (entry.name.startswith(_NEW) or any(entry.name in use for use in used)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _write(target: Path, entries: list[Entry]) -> None:
    """All or nothing: written beside, then renamed."""
    store = target.parent.parent
    store.mkdir(mode=0o755, parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=store, prefix=_NEW))
    try:
        if all(name for name, _, _ in entries):  # a folder, perhaps an empty one
            (work / "content").mkdir()
        for name, data, executable in entries:
            file = work / "content" / name if name else work / "content"
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_through(file, data)
            file.chmod(0o755 if executable else 0o644)
        for folder in (work, *(f for f in work.rglob("*") if f.is_dir())):
            folder.chmod(0o755)  # whatever the umask: a container's user must be able to read it
        work.rename(target.parent)
    except OSError:
        shutil.rmtree(work, ignore_errors=True)
        if not target.exists():  # else another apply was quicker, with the same content
            raise


def _write_through(file: Path, data: bytes) -> None:
    """On the disk when this returns: a snapshot that a power cut emptied would never be written again."""
    with file.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _files(top: Path, root: Path) -> list[_File]:
    """In the order of their paths' parts, on which digests depend."""
    if not top.exists():
        raise SourceError("does not exist; create it, or correct the path (it counts from the manifest's folder)")
    real = root.resolve()
    if not _resolved(top).is_relative_to(real):
        raise SourceError(_OUTSIDE)
    if not top.is_dir():
        return [_regular("", top)]
    found = []
    for name, linked in sorted(_under(top), key=lambda item: item[0].split("/")):
        path = top / name
        if linked and not _resolved(path).is_relative_to(real):
            raise SourceError(_OUTSIDE)
        found.append(_regular(name, path))
    return found


def _under(top: Path) -> Iterator[tuple[str, bool]]:
    """Everything below but folders, and whether it is a link. Raises OSError for a folder that can't be read: it must
    not look empty."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(str(top / prefix)) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name, entry.is_symlink()


def _regular(name: str, path: Path) -> _File:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"holds {path.name}, which is no regular file (a linked folder, or a device); remove it")
    return _File(name, path, status)


def _resolved(file: Path) -> Path:
    try:
        return file.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, until Python 3.12
        raise SourceError(f"has a link that leads nowhere ({file.name}); correct or remove it") from error
