"""Where manifests come from: a folder now. The whole source is always read; a path inside it only selects.

The root is the nearest folder with an lb.yaml, at the path or above it; without one, the path itself. Raises
SourceError where the source can't be read as a whole: nothing is deleted because of an empty or unmounted folder.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import manifests, snapshots
from .errors import SourceError
from .model import Desired, Problem, Ref
from .model import Place as At

SETTINGS = "lb.yaml"
MAX_FILES = 10_000
STDIN = "<stdin>"
_EMPTY = "the file is empty, perhaps half-written; write a document, or remove the file"


def name(path: Path) -> str:
    """The source's name, for `down`: what its lb.yaml says, else its absolute path."""
    root, _ = _root(path)
    settings, problems = _settings(root)
    if problems:
        raise SourceError(f"{problems[0]}; nothing is changed")
    return settings.name or str(root)


def read(
    path: Path, *, variables: Mapping[str, str], files: Sequence[Path] = (), stdin: bytes | None = None
) -> Desired:
    """Everything the source says. With `files` or `stdin` those join it, only their objects are acted on, and
    nothing is removed; with a path inside the source only the objects under it are acted on."""
    root, inside = _root(path)
    settings, problems = _settings(root)
    found: dict[str, bytes] = {}
    complete, unsettled = not problems, bool(problems)
    for relative in _walk(root):
        try:
            found[relative] = _manifest(root, relative)
        except OSError as error:
            problems.append(Problem(At(relative), "", f"can't be read: {error.strerror}", "INCORRECT_YAML"))
            complete = False
            continue
        if not found[relative].strip():
            problems.append(Problem(At(relative), "", _EMPTY, "INCORRECT_YAML"))
            complete = False
    joined = _joined(root, files, stdin)
    found |= joined
    if not found and not problems:
        raise SourceError(
            f"there are no manifests in {root}; nothing is changed", hint="is it mounted, is it the right folder?"
        )
    desired = manifests.load(
        found, source=settings.name or str(root), root=str(root), settings=settings, variables=variables,
        trees=functools.partial(_tree, root),
    )  # fmt: skip
    if not desired.mentioned and not desired.problems and not problems:
        raise SourceError(f"the manifests in {root} declare nothing; nothing is changed", hint="are they half-written?")
    desired = replace(desired, problems=tuple(problems) + desired.problems, complete=complete and desired.complete)
    if unsettled:  # whose objects these are, and with which values, is not known
        desired = replace(desired, services={}, namespaces={})
    if joined:
        return replace(desired, selected=_under(desired, set(joined)), additive=True)
    if inside:
        if not any(f == inside or f.startswith(inside + "/") for f in found) and complete:
            raise SourceError(f"there are no manifests in {root / inside}; nothing is changed")
        return replace(
            desired, selected=_under(desired, {f for f in found if f == inside or f.startswith(inside + "/")})
        )
    return desired


def _root(path: Path) -> tuple[Path, str]:
    """The source's root, and the path inside it that was named ("" for all of it)."""
    try:
        real = path.resolve(strict=True)
        for folder in (real, *real.parents):
            if (folder / SETTINGS).is_file():
                inside = real.relative_to(folder).as_posix()
                return folder, "" if inside in (".", SETTINGS) else inside
        return (real, "") if real.is_dir() else (real.parent, real.name)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; nothing is changed") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, until Python 3.12
        raise SourceError(f"{path} can't be read: {getattr(error, 'strerror', error)}; nothing is changed") from error


def _settings(root: Path) -> tuple[manifests.Settings, list[Problem]]:
    file = root / SETTINGS
    if not file.exists():
        return manifests.Settings({}), []
    try:
        return manifests.settings(SETTINGS, _read(file))
    except OSError as error:
        raise SourceError(f"{file} can't be read: {error.strerror}; nothing is changed") from error


def _walk(root: Path) -> Iterator[str]:
    """Manifests, sorted: *.yaml and *.yml; no dotfiles, no lb.yaml, no editor leftovers, no folders, FIFOs or devices.

    A link that leads nowhere or outside is among them: what it declared is not removed, it can't be read."""
    count = 0

    def unreadable(error: OSError) -> None:
        raise SourceError(f"{error.filename} can't be read: {error.strerror}; nothing is changed") from error

    for folder, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            path = Path(folder, file)
            relative = path.relative_to(root).as_posix()
            if file.startswith(".") or not file.endswith((".yaml", ".yml")) or file == SETTINGS:
                continue
            if not path.is_symlink() and not stat.S_ISREG(_mode(path)):
                continue
            count += 1
            if count > MAX_FILES:
                raise SourceError(f"more than {MAX_FILES} manifests in {root}; nothing is changed")
            yield relative


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:  # gone since the listing
        return 0


def _manifest(root: Path, relative: str) -> bytes:
    """Its content. Raises OSError, also for a link that leads out of the root or to no regular file."""
    try:
        real = (root / relative).resolve(strict=True)
    except RuntimeError as error:  # a loop of links, until Python 3.12
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if not real.is_relative_to(root):
        raise OSError(errno.EXDEV, "the link leads outside the source; copy the file into it")
    if not real.is_file():
        raise OSError(errno.EINVAL, "the link leads to no regular file; remove it")
    return _read(real)


def _read(path: Path) -> bytes:
    """At most a byte over the limit: the reader then says that it is too large."""
    with path.open("rb") as handle:
        return handle.read(manifests.MAX_BYTES + 1)


def _joined(root: Path, files: Sequence[Path], stdin: bytes | None) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for file in files:
        real = file.resolve()
        try:
            content = _read(real)
        except OSError as error:
            raise SourceError(f"{file} can't be read: {error.strerror}") from error
        found[real.relative_to(root).as_posix() if real.is_relative_to(root) else str(real)] = content
    return found if stdin is None else {**found, STDIN: stdin}


def _under(desired: Desired, files: set[str]) -> frozenset[Ref]:
    services = {ref for ref, service in desired.services.items() if service.place.file in files}
    spaces = {ns.ref for ns in desired.namespaces.values() if ns.place.file in files}
    return frozenset(services | spaces)


def _tree(root: Path, relative: str) -> tuple[str, str]:
    try:
        return snapshots.digest(snapshots.content(root, relative)), ""
    except SourceError as error:
        return "", f"{relative} {error.message}"
    except OSError as error:
        return "", f"{relative} can't be read: {error.strerror}"
