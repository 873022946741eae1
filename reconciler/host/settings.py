"""host.yaml becomes a Host: what this host is called, allows and keeps. Never read from a repository.

Raises HostError with `file:line:col` for everything that is wrong, and for what this version does not read yet: nothing
in it is passed over.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EXIT_INVALID, LbError
from ..manifests.configuration import complain, configuration
from ..manifests.reading import MAX_BYTES, Document
from ..model import Problem
from ..policy import Grant, Policy, Root
from ..runtimes.subnets import Pool
from . import paths

SECRETS = Path("/etc/lb/secrets")
_NOT_YET = ("sources", "registries", "notify", "listen", "token_file", "state")


class HostError(LbError):
    """The host's own settings can't be used. Nothing is changed."""

    exit_code = EXIT_INVALID


@dataclass(frozen=True, slots=True)
class Settings:
    """`file` is what was read, or would be. `name` "" when it gives none."""

    file: str
    name: str = ""
    policy: Policy = field(default_factory=Policy)
    secrets: Path = SECRETS
    pool: Pool = field(default_factory=Pool)


def usual() -> Path:
    if os.geteuid() == 0:
        return Path("/etc/lb/host.yaml")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "lb" / "host.yaml"


def read(file: Path | None) -> Settings:
    """Without a file named, the usual one; where that is not there, nothing is allowed."""
    path = file or usual()
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            content = handle.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        if file is None:
            return Settings(str(path))
        raise HostError(f"{path} does not exist", hint="correct --host-config or LB_HOST_CONFIG") from error
    except OSError as error:
        raise HostError(f"{path} can't be read: {error.strerror}") from error
    if mode & stat.S_IWOTH:
        raise HostError(f"{path} can be written by everybody", hint=f"chmod o-w {path}")
    document, problems = configuration("host", str(path), content)
    problems += [] if problems else _wrong(document)
    if problems:
        raise HostError("\n".join(str(problem) for problem in problems))
    return _settings(document.value, str(path))


def _wrong(document: Document) -> list[Problem]:
    value = document.value
    found = [
        complain(document, (key,), "is not yet supported by this version; remove it")
        for key in _NOT_YET
        if key in value
    ]
    pool = value.get("network_pool")
    if pool is not None and (reason := _bad_pool(_pool(pool))):
        found.append(complain(document, ("network_pool",), reason))
    if not value.get("secrets", "/").startswith("/"):
        found.append(complain(document, ("secrets",), "must be an absolute path, like /etc/lb/secrets"))
    for i, allowed in enumerate(value.get("policy", {}).get("allow", ())):
        for key in ("binds", "devices"):
            for j, path in enumerate(allowed.get(key, ())):
                if not path.startswith("/"):
                    at = ("policy", "allow", i, key, j)
                    found.append(complain(document, at, f"must be an absolute path, like {_LIKE[key]}"))
    return found


_LIKE = {"binds": "/srv/media:ro", "devices": "/dev/ttyUSB0"}


def _pool(value: str | Mapping[str, Any]) -> Pool:
    return Pool(value) if isinstance(value, str) else Pool(**value)


def _bad_pool(pool: Pool) -> str:
    try:
        base = ipaddress.IPv4Network(pool.base)
    except ValueError as error:
        return f"must be an IPv4 network like 10.208.0.0/12 ({error})"
    if not base.prefixlen <= pool.size <= 29:
        return f"can't be cut into /{pool.size}; write a size from {base.prefixlen} to 29"
    return ""


def _settings(value: Mapping[str, Any], file: str) -> Settings:
    policy = value.get("policy", {})
    registries = policy.get("registries")
    return Settings(
        file=file,
        name=value.get("host", ""),
        policy=Policy(
            grants=tuple(_grant(allowed) for allowed in policy.get("allow", ())),
            registries=None if registries is None else tuple(registries),
            require_digests=policy.get("require_digests", False),
        ),
        secrets=Path(value.get("secrets", SECRETS)),
        pool=_pool(value["network_pool"]) if "network_pool" in value else Pool(),
    )


def _grant(value: Mapping[str, Any]) -> Grant:
    return Grant(
        services=tuple(value["services"]),
        privileged=value.get("privileged", False),
        host_network=value.get("network_mode") == "host",
        docker_socket=value.get("docker_socket", False),
        cap_add=tuple(name.upper().removeprefix("CAP_") for name in value.get("cap_add", ())),
        security_opt=tuple(value.get("security_opt", ())),
        binds=tuple(_root(text) for text in value.get("binds", ())),
        devices=tuple(paths.look(path).real for path in value.get("devices", ())),
        volume_drivers=tuple(value.get("volume_drivers", ())),
    )


def _root(text: str) -> Root:
    """`/srv/media` and `/srv/media:ro` may be read, `/srv/media:rw` written too."""
    path, write = text.removesuffix(":ro"), False
    if path.endswith(":rw"):
        path, write = path.removesuffix(":rw"), True
    return Root(paths.look(path).real.rstrip("/") or "/", write)
