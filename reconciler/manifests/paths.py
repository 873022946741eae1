"""Paths that a manifest writes: they count from its folder. Pure."""

from __future__ import annotations

import posixpath

from .maker import Maker


def inside(maker: Maker, written: str) -> str | None:
    """The path relative to the source; None when it leads outside."""
    found = joined(maker, written)
    return None if found.startswith(("/", "../", "~")) or found == ".." or written.startswith("~") else found


def joined(maker: Maker, written: str) -> str:
    """Relative to the source, or absolute as it is. `..` is taken away, as far as no link can be in the way."""
    if written.startswith("/"):
        return written
    return posixpath.normpath(posixpath.join(posixpath.dirname(maker.document.file), written))
