"""Content-addressed copies of the files that containers mount, kept in the state folder, outside the checkout.

A bind from inside the source is mounted from here, so that an edit or a `git checkout` never changes a file under a
running container: changed content is another digest, hence another revision.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .errors import SourceError, StateError

Entry = tuple[str, bytes, bool]  # path within the tree ("" for a single file), content, executable


def content(root: Path, relative: str) -> Iterator[Entry]:
    """The regular files at a path of the source, sorted. Raises SourceError when it is missing or leads outside."""
    top = root / relative
    for path in _files(top, root):
        data, mode = path.read_bytes(), path.stat().st_mode
        yield ("" if path == top else path.relative_to(top).as_posix()), data, bool(mode & 0o100)


def digest(entries: Iterable[Entry]) -> str:
    """SHA-256 over paths, contents and mode bits."""
    total = hashlib.sha256()
    for name, data, executable in entries:
        head = f"{name}\0{'x' if executable else '-'}\0{hashlib.sha256(data).hexdigest()}\n"
        total.update(head.encode())
    return total.hexdigest()


def path(state: Path, name: str) -> Path:
    return state / "snapshots" / name / "content"


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


def _write(target: Path, entries: list[Entry]) -> None:
    """All or nothing: written beside, then renamed."""
    store = target.parent.parent
    store.mkdir(mode=0o755, parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=store, prefix=".new-"))
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


def _files(top: Path, root: Path) -> list[Path]:
    if not top.exists():
        raise SourceError("does not exist; create it, or correct the path (it counts from the manifest's folder)")
    found = sorted(_under(top)) if top.is_dir() else [top]
    for file in found:
        if not _resolved(file).is_relative_to(root.resolve()):
            raise SourceError("leads outside the source through a link; that needs the host's policy")
        if not file.is_file():
            raise SourceError(f"holds {file.name}, which is no regular file (a linked folder, or a device); remove it")
    return found


def _under(top: Path) -> Iterator[Path]:
    """Everything below but folders. Raises OSError for a folder that can't be read: it must not look empty."""

    def unreadable(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(top, onerror=unreadable):
        yield from (Path(folder, file) for file in files)
        yield from (path for path in (Path(folder, f) for f in folders) if path.is_symlink())


def _resolved(file: Path) -> Path:
    try:
        return file.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, until Python 3.12
        raise SourceError(f"has a link that leads nowhere ({file.name}); correct or remove it") from error
