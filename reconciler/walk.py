"""Which files of a folder are manifests. It opens none.

In: the root. Out: its manifests in the order of their paths, as the folders show them. A folder that can't be read is a
SourceError: it must not look empty.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .errors import SourceError


def manifests(root: Path, settings: str, limit: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Manifests, sorted: *.yaml and *.yml; no dotfiles, no lb.yaml, no editor leftovers, no folders, FIFOs or devices.

    A link that leads nowhere or outside is among them: what it declared is not removed, it can't be read."""
    count = 0
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        folders = []
        for entry in _listed(root / prefix):
            if entry.name.startswith("."):
                continue
            if _is_dir(entry):
                folders += [] if entry.is_symlink() else [f"{prefix}{entry.name}/"]
            elif _is_manifest(entry, settings):
                count += 1
                if count > limit:
                    raise SourceError(f"more than {limit} manifests in {root}; nothing is changed")
                yield prefix + entry.name, entry
        waiting += reversed(folders)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(str(folder)) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"{folder} can't be read: {error.strerror}; nothing is changed") from error


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link whose target can't be looked at
        return False


def _is_manifest(entry: os.DirEntry[str], settings: str) -> bool:
    if not entry.name.endswith((".yaml", ".yml")) or entry.name == settings:
        return False
    return entry.is_symlink() or entry.is_file(follow_symlinks=False)


def followed(root: Path, entry: os.DirEntry[str]) -> os.stat_result:
    """The status of what a link leads to."""
    try:
        real = Path(entry.path).resolve(strict=True)
    except RuntimeError as error:  # a loop of links, until Python 3.12
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if not real.is_relative_to(root):
        raise OSError(errno.EXDEV, "the link leads outside the source; copy the file into it")
    status = real.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "the link leads to no regular file; remove it")
    return status


def named(path: Path, root: Path) -> Path:
    """The root as it was named, where a link leads there; the shell's own idea of the current folder counts."""
    if not path.is_absolute():
        shell = Path(os.environ.get("PWD", ""))
        path = (shell if shell.is_absolute() and shell.is_dir() and shell.samefile(".") else Path.cwd()) / path
    here = Path(os.path.normpath(path))
    return next((folder for folder in (here, *here.parents) if folder.resolve() == root), root)
