"""The fields that few services write: limits, process, links, powers, logs, labels and secrets. Pure."""

from __future__ import annotations

import posixpath
import re
from functools import partial

from ..model import Device, Limits, Links, Logging, Powers, Process, Secret, Ulimit
from . import units
from .env import as_text
from .maker import Maker
from .reading import Path

SECRETS = "/run/secrets"
OURS = "lb."  # labels that begin so say whose a container is
_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PLATFORM = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+(/[a-z0-9_]+)?)?")
_HARMLESS = "no-new-privileges"


def platform(maker: Maker) -> str | None:
    def convert(value: str) -> str:
        if not _PLATFORM.fullmatch(value):
            raise ValueError("must look like linux/arm64")
        return value

    return maker.opt("platform", convert)


def limits(maker: Maker, memory: int | None) -> Limits:
    raw = maker.raw
    found = Limits(
        mem_reservation=maker.opt("mem_reservation", units.reservation),
        pids_limit=maker.opt("pids_limit", units.pids),
        shm_size=maker.opt("shm_size", units.size),
        ulimits=_ulimits(maker),
        sysctls=_pairs(maker, "sysctls"),
    )
    if memory and found.mem_reservation and found.mem_reservation > memory:
        message = f"mem_reservation {raw['mem_reservation']} is more than memory {raw['memory']}; lower it"
        maker.complain(("spec", "mem_reservation"), message, "is more than memory; lower it")
    return found


def _ulimits(maker: Maker) -> tuple[Ulimit, ...]:
    found = []
    for name, value in maker.raw.get("ulimits", {}).items():
        limit = maker.attempt(("spec", "ulimits", name), partial(units.ulimit, name), value)
        found += [limit] if limit else []
    return tuple(sorted(found))


def process(maker: Maker) -> Process:
    raw = maker.raw
    return Process(
        user=maker.opt("user", as_text),
        group_add=tuple(sorted({as_text(group) for group in raw.get("group_add", ())})),
        working_dir=maker.opt("working_dir", units.absolute),
        read_only=raw.get("read_only", False),
        init=raw.get("init"),
        tty=raw.get("tty", False),
        stdin_open=raw.get("stdin_open", False),
    )


def links(maker: Maker) -> Links:
    raw = maker.raw
    mode = raw.get("network_mode")
    if mode and raw.get("networks"):
        maker.complaints.append((("spec", "networks"), f"can't be had with network_mode: {mode}; remove one of them"))
    if mode and raw.get("ports"):
        maker.complaints.append((("spec", "ports"), f"can't be had with network_mode: {mode}; remove one of them"))
    own = maker.ref.namespace
    for i, name in enumerate(raw.get("networks", ())):
        if name == own:
            message = f"every service is in its own namespace's network; remove {own}"
            maker.complain(("spec", "networks", i), message, "is this service's own; remove it")
    return Links(
        network_mode=mode,
        networks=tuple(sorted(raw.get("networks", ()))),
        hostname=raw.get("hostname"),
        dns=tuple(maker.each("dns", units.address)),
        extra_hosts=_extra_hosts(maker),
    )


def _extra_hosts(maker: Maker) -> tuple[tuple[str, str], ...]:
    raw = maker.raw.get("extra_hosts", ())
    if not isinstance(raw, dict):
        return tuple(sorted(set(maker.each("extra_hosts", units.host_entry))))
    found = []
    for name, target in raw.items():
        pair = maker.attempt(("spec", "extra_hosts", name), partial(units.host, name), target)
        found += [pair] if pair else []
    return tuple(sorted(found))


def powers(maker: Maker) -> Powers:
    added = set(maker.each("cap_add", units.capability))
    dropped = set(maker.each("cap_drop", units.capability))
    for name in sorted(added & dropped):
        message = f"{name} is added and dropped; remove one"
        maker.complain(("spec", "cap_drop"), message, "holds what is added too; remove one")
    return Powers(
        privileged=maker.raw.get("privileged", False),
        cap_add=tuple(sorted(added)),
        cap_drop=tuple(sorted(dropped)),
        security_opt=tuple(sorted(set(maker.each("security_opt", _security_opt)))),
        devices=_devices(maker),
    )


def _devices(maker: Maker) -> tuple[Device, ...]:
    return tuple(sorted(set(maker.each("devices", units.device))))


def _security_opt(value: str) -> str:
    """`name=value`; Compose writes `name:value` too."""
    name, cut, rest = value.partition("=") if "=" in value else value.partition(":")
    if name == _HARMLESS and rest in ("", "true", "false"):
        return _HARMLESS if rest != "false" else f"{_HARMLESS}=false"
    if not cut or not rest or name == _HARMLESS:
        raise ValueError("must look like no-new-privileges:true or apparmor=unconfined")
    if name == "seccomp" and rest != "unconfined":
        raise ValueError(
            "a seccomp profile from a file is not supported; write seccomp=unconfined, or leave the engine's own"
        )
    return f"{name}={rest}"


def logging(maker: Maker) -> Logging:
    raw = maker.raw.get("logging", {})
    options = raw.get("options", {})
    texts = maker.document.texts
    found = {name: texts.get(("spec", "logging", "options", name)) or as_text(v) for name, v in options.items()}
    return Logging(raw.get("driver", "local"), tuple(sorted(found.items())))


def labels(maker: Maker) -> tuple[tuple[str, str], ...]:
    for path, name, _ in maker.pairs("labels"):
        if name.startswith(OURS):
            message = f"labels that begin with {OURS} belong to lb; write {name.removeprefix(OURS)}, or another name"
            maker.complain(path, message, f"labels that begin with {OURS} belong to lb; write another name")
    return _pairs(maker, "labels")


def _pairs(maker: Maker, key: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for path, name, value in maker.pairs(key):
        if not name:
            maker.complain(path, "has no name before =; write NAME=value")
        elif name in found:
            maker.complain(path, f"{name} is set twice; remove one", "this name is set twice; remove one")
        else:
            found[name] = "" if value is None else maker.document.texts.get(path) or as_text(value)
        if value is None and key == "sysctls":
            maker.complain(path, f"write {name}=value", "write NAME=value")
    return tuple(sorted(found.items()))


def secrets(maker: Maker) -> tuple[Secret, ...]:
    """Where each is mounted: under /run/secrets, unless the target is an absolute path. Not yet looked up."""
    found: dict[str, Secret] = {}
    targets: dict[str, None] = {path.removeprefix("volumes."): None for path in maker.paths if path[:8] == "volumes."}
    for i, raw in enumerate(maker.raw.get("secrets", ())):
        path: Path = ("spec", "secrets", i)
        name, target = (raw, raw) if isinstance(raw, str) else (raw["source"], raw.get("target", raw["source"]))
        if not _SECRET.fullmatch(name):
            maker.complain(path, f"{name!r} is no name of a secret; write something like pg_password",
                           "is no name of a secret; write something like pg_password")  # fmt: skip
            continue
        where = posixpath.normpath(posixpath.join(SECRETS, target))
        if where == "/" or not posixpath.isabs(where) or where == SECRETS:
            maker.complain(path, "its target must be a file in the container")
        elif name in found:
            maker.complain(path, f"{name} is named twice; remove one", "this secret is named twice; remove one")
        elif where in targets:
            maker.complain(path, f"{where} is mounted twice; remove one", "its target is mounted twice; remove one")
        targets[where] = None
        found.setdefault(name, Secret(name, where))
        maker.paths[f"secrets.{name}"] = path
    return tuple(sorted(found.values()))
