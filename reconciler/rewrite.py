"""What is recorded goes back into the manifests: the file changes, and nothing is committed or applied.

In: a source as files, and the value that one of its documents shall have, or that shall be a document again. Out: a
Change, which was read again and says exactly that, and leaves what the file's other documents say; `write` puts it in
place, as a whole or not at all. Values are those that were written, so no variable's value gets into a file. Nothing
outside the source's root is written, and nothing that changed since it was looked at.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import manifests
from .errors import LbError, SourceError
from .model import Ref
from .source import Files

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Change:
    """`file` is relative to the root. `before` is None where there is no such file yet."""

    root: Path
    file: str
    before: bytes | None
    after: bytes

    @property
    def changes(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """As `diff -u` and `git diff` show it."""
        old, new = _lines(self.before or b""), _lines(self.after)
        names = ("/dev/null" if self.before is None else f"a/{self.file}", f"b/{self.file}")
        lines = difflib.unified_diff(old, new, *names)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def stands(files: Files, ref: Ref) -> tuple[str, int]:
    """The file and the document that declare the object. Raises SourceError where that is none, or several."""
    found = files.stand.get(ref, ())
    if not found:
        if files.problems:
            raise SourceError(f"{files.problems[0]}; mend it first: {ref} is declared nowhere else")
        raise SourceError(f"{ref} is declared nowhere in {files.root}; nothing is changed")
    if len(found) > 1:
        raise SourceError(f"{ref} is declared twice, in {found[0][0]} and {found[1][0]}; remove one")
    return found[0]


def says(files: Files, ref: Ref) -> Mapping[str, Any]:
    """The spec that its manifest has now."""
    file, index = stands(files, ref)
    _, _, documents = _read(files, file)
    spec = documents[index].get("spec")
    return spec if isinstance(spec, dict) else {}


def respecified(files: Files, ref: Ref, spec: Mapping[str, Any]) -> Change:
    """The object's manifest with this spec. Raises SourceError where the file can't be edited."""
    file, index = stands(files, ref)
    content, text, documents = _read(files, file)
    wanted = {**documents[index], "spec": dict(spec)}
    try:
        after = manifests.edited(text, index, wanted)
    except manifests.Unable as error:
        raise SourceError(f"{file}:{error.line}: {error.what}; edit it by hand") from error
    return _checked(Change(files.root, file, content, _encoded(content, after)), _replaced(documents, index, wanted))


def declared_again(files: Files, documents: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Change]:
    """Each document in the file where it stood, at its end; where the file is gone, it is made again."""
    changes: dict[str, Change] = {}
    for stood_in, document in documents:
        file = stood_in if _usable(files.root, stood_in) else _own_file(document)
        made = changes.get(file)
        there = (files.root / file).exists()
        if made:
            before, content, text = made.before, made.after, _decoded(file, made.after)
            said, _ = manifests.documents(file, content)
        elif there:
            content, text, said = _read(files, file)
            before = content
        else:
            before, content, text, said = None, b"", "", []
        change = Change(files.root, file, before, _encoded(content, manifests.appended(text, document)))
        changes[file] = _checked(change, [*said, document])
    return list(changes.values())


def write(change: Change) -> None:
    """The file keeps its mode, owner and group. Raises LbError where it changed meanwhile, or can't be written."""
    target = _inside(change.root, change.file)
    try:
        _folders(change.root, target.parent)
        with _beside(target, change) as temporary:
            if (target.read_bytes() if target.exists() else None) != change.before:
                raise FileExistsError
            temporary.replace(target)
        _sync(target.parent)
    except (FileExistsError, FileNotFoundError) as error:
        raise LbError(f"{change.file} changed meanwhile; nothing was written", hint="run it again") from error
    except OSError as error:
        raise LbError(f"{change.file} can't be written: {error.strerror}", hint="check the folder's owner") from error


# --- reading and checking


def _read(files: Files, file: str) -> tuple[bytes, str, list[Any]]:
    """Content, text and documents. Raises SourceError when it is no YAML, or can't be read."""
    try:
        content = _inside(files.root, file).read_bytes()
    except OSError as error:
        raise SourceError(f"{file} can't be read: {error.strerror}") from error
    documents, problems = manifests.documents(file, content)
    if problems:
        raise SourceError(f"{problems[0]}; mend the file first")
    return content, _decoded(file, content), documents


def _checked(change: Change, wanted: Sequence[Any]) -> Change:
    """Raises SourceError unless the file says exactly this then."""
    found, problems = manifests.documents(change.file, change.after)
    if problems or _exact(found) != _exact(wanted):
        raise SourceError(f"{change.file} is written in a way that can't be edited here; edit it by hand")
    return change


def _exact(documents: Sequence[Any]) -> str:
    """1, 1.0 and true are three."""
    return json.dumps(list(documents), sort_keys=True)


def _replaced(documents: Sequence[Any], index: int, value: Any) -> list[Any]:
    return [value if i == index else document for i, document in enumerate(documents)]


def _decoded(file: str, content: bytes) -> str:
    try:
        return content.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is not UTF-8 text; save it as UTF-8") from error


def _encoded(before: bytes, text: str) -> bytes:
    return (BOM if before.startswith(BOM) else b"") + text.encode()


def _lines(content: bytes) -> list[str]:
    *lines, last = content.decode("utf-8", "replace").split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])


# --- where


def _own_file(document: Mapping[str, Any]) -> str:
    meta = document["meta"]
    return ".".join(filter(None, [meta.get("namespace", ""), meta["name"], "yaml"]))


def _usable(root: Path, file: str) -> bool:
    """Not one that was read from standard input, or from outside of the source."""
    path = PurePosixPath(file)
    named = file.endswith((".yaml", ".yml")) and not any(part.startswith(".") for part in path.parts)
    return named and not path.is_absolute() and (root / file).resolve().is_relative_to(root.resolve())


def _inside(root: Path, file: str) -> Path:
    """The file itself, behind any link. Raises SourceError where it lies outside the root."""
    real = (root / file).resolve()
    if not real.is_relative_to(root.resolve()):
        raise SourceError(f"{file} leads outside of the source; nothing is written")
    return real


# --- writing


def _folders(root: Path, folder: Path) -> None:
    missing = [f for f in (folder, *folder.parents) if f.is_relative_to(root) and not f.exists()]
    for each in reversed(missing):
        each.mkdir()
        if os.geteuid() == 0:
            os.chown(each, *_owner(each.parent.stat()), follow_symlinks=False)


@contextlib.contextmanager
def _beside(target: Path, change: Change) -> Iterator[Path]:
    """The new content under another name, which no reader of manifests looks at; it is gone in the end."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".lb", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(change.after)
            stream.flush()
            _belongs(handle, target, new=change.before is None)
            os.fsync(handle)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _belongs(handle: int, target: Path, *, new: bool) -> None:
    """What root writes into somebody's checkout is theirs. By the handle: a name there may lead elsewhere by now."""
    like = target.parent.stat() if new else target.stat()
    if os.geteuid() == 0:
        os.fchown(handle, *_owner(like))
    os.fchmod(handle, like.st_mode & 0o666 if new else like.st_mode & 0o7777)


def _owner(like: os.stat_result) -> tuple[int, int]:
    return like.st_uid, like.st_gid


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
