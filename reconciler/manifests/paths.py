"""Paths that a manifest writes: they count from its folder, a template's from that of lb.yaml. Pure."""

from __future__ import annotations

import posixpath

from .maker import Maker
from .reading import Path


def inside(maker: Maker, path: Path, written: str) -> str | None:
    """The path relative to the source that is written at this place; None when it leads outside."""
    found = joined(maker, path, written)
    return None if found.startswith(("/", "../", "~")) or found == ".." or written.startswith("~") else found


def joined(maker: Maker, path: Path, written: str) -> str:
    """Relative to the source, or absolute as it is. `..` is taken away, as far as no link can be in the way."""
    if written.startswith("/"):
        return written
    return posixpath.normpath(posixpath.join(posixpath.dirname(maker.document.at(path).file), written))
