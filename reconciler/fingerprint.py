"""The canonical form of a spec, field by field, and what follows from a change of each. Pure.

`fields` flattens a Spec into field path → JSON-able value; a field that is unset is left out. `fingerprint` is
SHA-256 over those fields that force replacement, with a version in front: it stands on containers as a label.
`digests` are what the state keeps instead of values: one salted hash a field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from .model import DriftPolicy, Healthcheck, Logging, Mount, NamedVolume, Port, Revision, Service, Update

VERSION = "h1"
Class = Literal["record", "scale", "in-place", "replace"]

_CLASS: dict[str, Class] = {
    "meta": "record",
    "template": "record",  # its name; what it says counts as written in the manifest
    "update": "record",
    "drift": "record",
    "pull_policy": "record",
    "depends_on": "record",
    "env_file": "record",  # what it sets counts as env
    "replicas": "scale",
    "memory": "in-place",
    "mem_reservation": "in-place",
    "cpus": "in-place",
    "pids_limit": "in-place",
    "restart": "in-place",
}


def field_class(path: str) -> Class:
    """What a change of the field at this path asks for; anything not named here forces replacement."""
    return _CLASS.get(path.split(".", 1)[0], "replace")


def fields(service: Service) -> dict[str, Any]:
    """Field path → canonical value, for every field that is set."""
    spec = service.spec
    flat: dict[str, Any] = {
        "meta.description": service.description or None,
        "meta.labels": dict(sorted(service.labels.items())) or None,
        "meta.hosts": service.hosts or None,
        "meta.protect": service.protect or None,
        "image": spec.image,
        "pull_policy": spec.pull_policy,
        "replicas": spec.replicas,
        "memory": spec.memory,
        "cpus": spec.cpus,
        "entrypoint": spec.entrypoint,
        "command": spec.command,
        "ports": [_given(port) for port in spec.ports] or None,
        "healthcheck": _given(spec.healthcheck) if spec.healthcheck else None,
        "depends_on": [[str(d.ref), d.condition] for d in spec.depends_on] or None,
        "restart": spec.restart,
        "stop_signal": spec.stop_signal,
        "stop_grace_period": spec.stop_grace_period,
        "update": _given(spec.update),
        "drift": _drift(service.drift),
        "platform": spec.platform,
        "labels": dict(spec.labels) or None,
        "logging": asdict(spec.logging) if spec.logging != Logging() else None,
        "env_file": [[file.path, file.digest] for file in spec.env_files] or None,
    }
    flat |= {f"env.{name}": value for name, value in spec.env or ()}
    flat |= {f"volumes.{m.target}": _mount(service, m) for m in spec.mounts}
    flat |= {f"secrets.{secret.name}": [secret.target, secret.digest] for secret in spec.secrets}
    for part in (spec.limits, spec.process, spec.links, spec.powers):
        # An `init: false` is told from the engine's default; any other false is what an unset field is.
        flat |= {k: v for k, v in asdict(part).items() if v != () and (v is not False or k == "init")}
    return {path: value for path, value in flat.items() if value is not None}


def _drift(policy: DriftPolicy) -> dict[str, Any] | None:
    return {"mode": policy.mode, "ignore": policy.ignore} if policy != DriftPolicy() else None


def _mount(service: Service, mount: Mount) -> list[Any]:
    volume = service.volumes.get(mount.source) if mount.kind == "volume" else None
    options = {
        "external": volume.name if volume and volume.external else None,
        "nocopy": mount.nocopy or None,
        "size": mount.size,
        "mode": mount.mode,
    }
    given = {key: value for key, value in options.items() if value is not None}
    return [mount.kind, mount.source, mount.read_only, *([given] if given else [])]


def _given(value: Healthcheck | Port | Update) -> dict[str, Any]:
    """Without what is unset, so that a field which a later version adds changes no fingerprint."""
    return {name: item for name, item in asdict(value).items() if item is not None and item != ""}


def fingerprint(service: Service) -> str:
    forcing = {path: value for path, value in fields(service).items() if field_class(path) == "replace"}
    return f"{VERSION}:{hashlib.sha256(_canonical(forcing)).hexdigest()}"


def digests(service: Service, salt: str) -> Mapping[str, str]:
    """One salted hash a field. The salt is the revision's id, so that equal values of two revisions differ."""
    return {path: digest(path, value, salt) for path, value in fields(service).items()}


def differing(service: Service, revision: Revision) -> list[str]:
    """Fields that a container is made with, and that are not as the revision had them."""
    changed = changed_fields(service, revision.digests, revision.id)
    return [path for path in changed if field_class(path) != "record"]


def digest(path: str, value: Any, salt: str) -> str:
    """Of one field."""
    return hashlib.sha256(salt.encode() + b"\0" + path.encode() + b"\0" + _canonical(value)).hexdigest()[:32]


def changed_fields(service: Service, recorded: Mapping[str, str], salt: str) -> list[str]:
    """Paths whose resolved value is not the recorded one, sorted; set, unset and changed alike."""
    now = digests(service, salt)
    return sorted(path for path in now.keys() | recorded.keys() if now.get(path) != recorded.get(path))


def definition(volume: NamedVolume, salt: str) -> str:
    """What is kept of how a volume was made: "salt:hash", or "" for an ordinary one. Its options may hold passwords."""
    if volume.driver == "local" and not volume.driver_opts:
        return ""
    total = hashlib.sha256(salt.encode() + b"\0" + _canonical([volume.driver, volume.driver_opts])).hexdigest()
    return f"{salt}:{total}"


def defined_alike(volume: NamedVolume, recorded: str) -> bool:
    return definition(volume, recorded.partition(":")[0]) == recorded


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
