"""host.yaml becomes Settings: what this host is called, allows and keeps. Never read from a repository.

Raises HostError with `file:line:col` for everything that is wrong, and for what this version does not read yet: nothing
in it is passed over.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EXIT_INVALID, LbError
from ..manifests.configuration import complain, configuration
from ..manifests.reading import MAX_BYTES, Document
from ..manifests.reading import read as documents
from ..model import Problem
from ..policy import Grant, Policy, Root
from ..runtimes.subnets import Pool
from . import paths

SECRETS = Path("/etc/lb/secrets")
EVENTS = ("failed", "recovered", "drift")
_LIKE = {
    "binds": "/srv/media:ro",
    "devices": "/dev/ttyUSB0",
    "secrets": "/etc/lb/secrets",
    "token_file": "/etc/lb/token",
    "state": "/var/lib/lb",
    "path": "/srv/shop",
    "env_files": "/etc/lb/shop.env",
}
# What nothing reads yet, and what to do instead.
_REGISTRIES = (
    "is not yet supported: credentials are those of `docker login`, a mirror is the engine's (registry-mirrors in its "
    "daemon.json), and where images may come from stands under policy: registries; remove it"
)
_PULL = "is not yet supported: let a timer run `git pull` in a folder, and write path: with that folder"
_VERIFY = "is not yet supported: let `git pull --verify-signatures` do it; remove it"
_OF_A_SOURCE = {"remote": _PULL, "branch": _PULL, "interval": _PULL, "verify": _VERIFY, "signers": _VERIFY}


class HostError(LbError):
    """The host's own settings can't be used. Nothing is changed."""

    exit_code = EXIT_INVALID


@dataclass(frozen=True, slots=True)
class Followed:
    """A source that the daemon may follow. `name` is how its command line calls it, "" for none; `env_files` are
    variables of the source, for every command that reads it."""

    path: Path
    name: str = ""
    env_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hook:
    """A command, and the events that it is told of."""

    command: tuple[str, ...]
    events: tuple[str, ...] = EVENTS


@dataclass(frozen=True, slots=True)
class Settings:
    """`file` is what was read, or would be. `name` "" when it gives none; what is usual where `listen` is "", and
    `token_file` or `state` None."""

    file: str
    name: str = ""
    policy: Policy = field(default_factory=Policy)
    secrets: Path = SECRETS
    pool: Pool = field(default_factory=Pool)
    listen: str = ""
    token_file: Path | None = None
    state: Path | None = None
    sources: tuple[Followed, ...] = ()
    notify: tuple[Hook, ...] = ()


def usual() -> Path:
    if os.geteuid() == 0:
        return Path("/etc/lb/host.yaml")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "lb" / "host.yaml"


def read(file: Path | None) -> Settings:
    """Without a file named, the usual one; where that is not there, nothing is allowed."""
    path = file or usual()
    content = _content(path, named=file is not None)
    if content is None:
        return Settings(str(path))
    document, problems = configuration("host", str(path), content)
    problems += [] if problems else _wrong(document)
    if problems:
        raise HostError("\n".join(str(problem) for problem in problems))
    return _settings(document.value, str(path))


def state(file: Path | None) -> Path | None:
    """The state folder alone, for commands that need no more of it: they go on whatever else is wrong with the file,
    and need not wait until all of it was checked. None where it says nothing of it."""
    path = file or usual()
    content = _content(path, named=file is not None)
    if content is None or b"state" not in content:
        return None
    found, problems = documents(str(path), content)
    if problems:
        raise HostError(str(problems[0]), hint="without it, name the state with --state")
    value = found[0].value.get("state") if found and isinstance(found[0].value, dict) else None
    return Path(value) if isinstance(value, str) and value.startswith("/") else read(file).state


def address(listen: str) -> tuple[str, int] | None:
    """`127.0.0.1:2967`, `localhost:2967`, `[::1]:2967`; None for what is no such thing."""
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or (":" in bare) == (bare == host) or not port.isdecimal() or int(port) > 65535:
        return None
    return bare, int(port)


def _content(path: Path, *, named: bool) -> bytes | None:
    """None where the usual file is not there."""
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            content = handle.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        if not named:
            return None
        raise HostError(f"{path} does not exist", hint="correct --host-config or LB_HOST_CONFIG") from error
    except OSError as error:
        raise HostError(f"{path} can't be read: {error.strerror}") from error
    if mode & stat.S_IWOTH:
        raise HostError(f"{path} can be written by everybody", hint=f"chmod o-w {path}")
    return content


def _wrong(document: Document) -> list[Problem]:
    value = document.value
    found = [complain(document, ("registries",), _REGISTRIES)] if "registries" in value else []
    pool = value.get("network_pool")
    if pool is not None and (reason := _bad_pool(_pool(pool))):
        found.append(complain(document, ("network_pool",), reason))
    if "listen" in value and address(value["listen"]) is None:
        found.append(complain(document, ("listen",), "must be HOST:PORT, like 127.0.0.1:2967 or [::1]:2967"))
    found += _of_sources(document)
    for at, text in _absolute(value):
        if not text.startswith("/"):
            key = next(step for step in reversed(at) if isinstance(step, str))
            found.append(complain(document, at, f"must be an absolute path, like {_LIKE[key]}"))
    return found


def _of_sources(document: Document) -> list[Problem]:
    found, names = [], set()
    for i, source in enumerate(document.value.get("sources", ())):
        later = [complain(document, ("sources", i, key), why) for key, why in _OF_A_SOURCE.items() if key in source]
        if not later and "path" not in source:
            later = [complain(document, ("sources", i), "path: is needed, the folder of the source")]
        if source.get("name") in names:
            later.append(complain(document, ("sources", i, "name"), f"{source['name']} is another one's name already"))
        names |= {source["name"]} if "name" in source else set()
        found += later
    return found


def _absolute(value: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """All that must be an absolute path, and where it stands."""
    yield from (((key,), value[key]) for key in ("secrets", "token_file", "state") if key in value)
    for i, source in enumerate(value.get("sources", ())):
        yield from ((("sources", i, key), source[key]) for key in ("path",) if key in source)
        yield from ((("sources", i, "env_files", j), file) for j, file in enumerate(source.get("env_files", ())))
    for i, allowed in enumerate(value.get("policy", {}).get("allow", ())):
        for key in ("binds", "devices"):
            yield from ((("policy", "allow", i, key, j), path) for j, path in enumerate(allowed.get(key, ())))


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
        listen=value.get("listen", ""),
        token_file=Path(value["token_file"]) if "token_file" in value else None,
        state=Path(value["state"]) if "state" in value else None,
        sources=tuple(
            Followed(Path(source["path"]), source.get("name", ""), tuple(source.get("env_files", ())))
            for source in value.get("sources", ())
        ),
        notify=tuple(
            Hook(tuple(hook["command"]), tuple(hook.get("events", EVENTS))) for hook in value.get("notify", ())
        ),
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
