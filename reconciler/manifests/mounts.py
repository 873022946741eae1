"""The mounts of a service: volumes, files of the source, paths of the host, and tmpfs. Impure only through `Around`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..model import Mount
from . import units
from .maker import Maker
from .paths import inside, joined
from .reading import Path

_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def make(maker: Maker) -> tuple[Mount, ...]:
    found: dict[str, Mount] = {}
    for i, raw in enumerate(maker.raw.get("volumes", ())):
        path: Path = ("spec", "volumes", i)
        wanted = maker.attempt(path, parse, raw)
        if wanted is None:
            continue
        if wanted.target in found:
            message = f"{wanted.target} is mounted twice; remove one"
            maker.complain(path, message, "its target is mounted twice; remove one")
        maker.paths[f"volumes.{wanted.target}"] = path
        mounted = _bind(maker, path, wanted) if wanted.kind == "bind" else wanted
        if mounted:
            found[wanted.target] = mounted
    return tuple(sorted(found.values(), key=lambda mount: mount.target))


def parse(value: str | Mapping[str, Any]) -> Mount:
    """As written: a bind's source is the path. Raises ValueError, with a second text that repeats no value."""
    mount = _long(value) if isinstance(value, Mapping) else _short(value)
    if not mount.target.startswith("/"):
        raise ValueError(
            f"the target {mount.target} must be an absolute path in the container",
            "its target must be an absolute path in the container",
        )
    target = posixpath.normpath("/" + mount.target.lstrip("/"))
    if target == "/":
        raise ValueError("nothing can be mounted over the container's /; write a folder of it, like /data")
    if mount.kind == "volume" and not _VOLUME.fullmatch(mount.source):
        end = "is no volume's name; write something like data, or ./data for a path"
        raise ValueError(f"{mount.source!r} {end}", f"its source {end}")
    return replace(mount, target=target)


def _short(value: str) -> Mount:
    parts = value.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError("must look like data:/data or ./file:/path:ro, a source and a target")
    source, target, *rest = parts
    kind = "bind" if source[0] in "./~" else "volume"
    read_only = nocopy = False
    for option in rest[0].split(",") if rest else ():
        if option in ("z", "Z"):
            raise ValueError(f"the mode {option} (SELinux) is not supported; remove it", "its mode must be ro or rw")
        if option not in ("ro", "rw") and (option != "nocopy" or kind != "volume"):
            raise ValueError(f"the mode {option} is not supported; write ro or rw", "its mode must be ro or rw")
        read_only, nocopy = read_only or option == "ro", nocopy or option == "nocopy"
    return Mount(target, "bind" if kind == "bind" else "volume", source, read_only, nocopy)


def _long(value: Mapping[str, Any]) -> Mount:
    kind, source = value["type"], value.get("source", "")
    for other in {"volume", "bind", "tmpfs"} - {kind}:
        if other in value:
            raise ValueError(f"{other}: goes with type: {other} only; remove it")
    if kind == "tmpfs":
        if source:
            raise ValueError("a tmpfs has no source; remove it")
        options = value.get("tmpfs", {})
        size = units.size(options["size"]) if "size" in options else None
        mode = units.mode(options["mode"]) if "mode" in options else None
        return Mount(value["target"], "tmpfs", "", value.get("read_only", False), size=size, mode=mode)
    if not source:
        what = "data, a volume's name" if kind == "volume" else "./nginx.conf, a path"
        raise ValueError(f"source is missing; write source: {what}")
    nocopy = value.get("volume", {}).get("nocopy", False)
    return Mount(value["target"], kind, source, value.get("read_only", False), nocopy)


def _bind(maker: Maker, path: Path, wanted: Mount) -> Mount | None:
    """Files of the source are mounted from a snapshot; for what lies outside, the host's policy decides."""
    if wanted.source.startswith("~"):
        maker.complain(path, "~ stands for nobody's home here; write the whole path, from / on")
        return None
    relative = inside(maker, path, wanted.source)
    if relative is None:
        return replace(wanted, kind="host", source=joined(maker, path, wanted.source))
    if not wanted.read_only:
        message = "files of the source are mounted read-only"
        advice = _read_only(maker, path, wanted)
        maker.complain(path, f"{message}; {advice}", f"{message}; write SOURCE:TARGET:ro")
        return None
    digest, error = maker.around.trees(relative)
    if error:
        maker.complain(path, error, "its source can't be read: it is missing, or leads outside the source")
        return None
    maker.digests[f"volumes.{wanted.target}"] = digest
    maker.files[digest] = relative
    return replace(wanted, source=digest)


def _read_only(maker: Maker, path: Path, wanted: Mount) -> str:
    short = isinstance(maker.raw["volumes"][path[-1]], str)
    return f"write {wanted.source}:{wanted.target}:ro" if short else "add read_only: true"
