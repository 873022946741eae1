"""The environment of a service: what `env` says, over what its env files say. Impure only through `Around`."""

from __future__ import annotations

import json
from typing import Any

from ..model import EnvFile
from . import envfile
from .maker import HIDDEN, HIDDEN_ADVICE, Maker, at
from .paths import inside
from .reading import Path


def make(maker: Maker) -> tuple[tuple[tuple[str, str], ...] | None, tuple[EnvFile, ...]]:
    """Values sorted by name, None when nothing is given; and the files, in order."""
    from_files, files = _files(maker)
    own = _own(maker)
    if own is None and not files:
        return None, ()
    return tuple(sorted({**from_files, **(own or {})}.items())), files


def as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _own(maker: Maker) -> dict[str, str] | None:
    if maker.raw.get("env") is None:
        return None
    found: dict[str, str] = {}
    for path, name, value in maker.pairs("env"):
        listed = isinstance(path[-1], int)
        if value is None:
            end = "; lb takes nothing from its own environment"
            maker.complain(path, f"write {name}=value, or {name}=${{{name}}}{end}", f"write NAME=value{end}")
            continue
        if name in found:
            maker.complain(path, f"{name} is set twice; remove one", "this name is set twice; remove one")
        if not name or "=" in name or "$" in name:
            end = "is no name of a variable; write something like LOG_LEVEL"
            maker.complain(path, f"{name!r} {end}", f"what stands before = {end}")
        if value == HIDDEN and listed:
            maker.complaints.append((path, HIDDEN_ADVICE))
        found[name] = value if listed else maker.document.texts.get(path) or as_text(value)
        maker.paths[f"env.{name}"] = path
        maker.told.pop(f"env.{name}", None)
    return found


def _files(maker: Maker) -> tuple[dict[str, str], tuple[EnvFile, ...]]:
    raw = maker.raw.get("env_file", ())
    values: dict[str, str] = {}
    files: list[EnvFile] = []
    for i, item in enumerate([raw] if isinstance(raw, str) else raw):
        path: Path = ("spec", "env_file") if isinstance(raw, str) else ("spec", "env_file", i)
        written, required = (item, True) if isinstance(item, str) else (item["path"], item.get("required", True))
        relative = inside(maker, path, written)
        if relative is None:
            maker.complain(path, "must be a file of the source; copy it there and write ./NAME")
            continue
        digest, error = maker.around.trees(relative)
        if error and not required:
            continue
        text, error = maker.around.texts(relative) if not error else ("", error)
        if error:
            maker.complain(path, error, "can't be read: it is missing, or leads outside the source")
            continue
        try:
            found = envfile.parse(text, maker.around.variables)
        except ValueError as problem:
            maker.complain(path, f"{relative}: {problem}", f"in this file, {problem}")
            continue
        for name in found:
            maker.paths[f"env.{name}"] = path
            maker.told[f"env.{name}"] = f"{_written(maker, path)} (content {digest[:8]})"
        values |= found
        files.append(EnvFile(relative, digest))
    return values, tuple(files)


def _written(maker: Maker, path: Path) -> str:
    item = at(maker.document.value, path)
    return str(item["path"] if isinstance(item, dict) else item)
