"""host.yaml becomes Settings: what this host is called, allows and keeps. Never read from a repository.

Raises HostError with `file:line:col` for everything that is wrong: nothing in it is passed over.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EXIT_INVALID, LbError
from ..manifests import units
from ..manifests.configuration import complain, configuration
from ..manifests.reading import MAX_BYTES, Document
from ..manifests.reading import read as documents
from ..model import Problem
from ..policy import Grant, Policy, Root
from ..remote import INTERVAL, Remote
from ..runtimes.subnets import Pool
from . import paths

SECRETS = Path("/etc/lb/secrets")
SECOND = 1_000_000_000  # of a duration's nanoseconds
EVENTS = ("failed", "recovered", "drift")
_LIKE = {
    "binds": "/srv/media:ro",
    "devices": "/dev/ttyUSB0",
    "secrets": "/etc/lb/secrets",
    "token_file": "/etc/lb/token",
    "state": "/var/lib/lb",
    "path": "/srv/shop",
    "signers": "/etc/lb/allowed_signers",
    "docker_config": "/etc/lb/ghcr",
    "env_files": "/etc/lb/shop.env",
}
_REMOTE = re.compile(
    r"(https|ssh|git|file)://[^-].*|[A-Za-z0-9_][^:/\s]*:(?!:|//).+|/.*"
)  # a URL, HOST:PATH, or a path
_OF_A_REMOTE = ("branch", "interval", "verify", "signers")


class HostError(LbError):
    """The host's own settings can't be used. Nothing is changed."""

    exit_code = EXIT_INVALID


@dataclass(frozen=True, slots=True)
class Followed:
    """A source that the daemon may follow: a folder, or a remote that it fetches. `name` is how a command line calls
    it, "" for none; `env_files` are variables of the source, for every command that reads it."""

    path: Path | None
    name: str = ""
    env_files: tuple[str, ...] = ()
    remote: Remote | None = None

    def __str__(self) -> str:
        return self.name or str(self.path)


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
    registries: Mapping[str, Path] = field(default_factory=dict)  # → the folder of a config.json of the docker client

    def remote(self, name: str) -> Remote | None:
        """The remote of the source of this name, where it has one."""
        return next((listed.remote for listed in self.sources if listed.name == name), None)


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
    found: list[Problem] = []
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
    found: list[Problem] = []
    names: set[str] = set()
    for i, source in enumerate(document.value.get("sources", ())):
        at = ("sources", i)
        if ("path" in source) == ("remote" in source):
            found.append(complain(document, at, "path: or remote: is needed: a folder, or a git repository elsewhere"))
        elif "path" in source:
            lost = [key for key in _OF_A_REMOTE if key in source]
            found += [complain(document, (*at, key), "goes with remote:, and this one has path:") for key in lost]
        else:
            found += _of_a_remote(document, at, source)
        if source.get("name") in names:
            found.append(complain(document, (*at, "name"), f"{source['name']} is another one's name already"))
        names |= {source["name"]} if "name" in source else set()
    return found


def _of_a_remote(document: Document, at: tuple[str | int, ...], source: Mapping[str, Any]) -> list[Problem]:
    found = []
    if "name" not in source:
        found.append(complain(document, at, "name: is needed beside remote:, for its folder and the command line"))
    if not _REMOTE.fullmatch(source["remote"]):
        message = "must be a URL (https, ssh, git or file), HOST:PATH, or the absolute path of a git repository"
        found.append(complain(document, (*at, "remote"), message))
    if "interval" in source and units.duration(source["interval"]) < SECOND:
        found.append(complain(document, (*at, "interval"), "must be 1s or longer"))
    if source.get("verify") and "signers" not in source:
        message = "needs signers:, a file of allowed signers (see `man ssh-keygen`)"
        found.append(complain(document, (*at, "verify"), message))
    if "signers" in source and "verify" not in source:
        found.append(complain(document, (*at, "signers"), "has no effect without verify: true"))
    return found


def _absolute(value: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """All that must be an absolute path, and where it stands."""
    yield from (((key,), value[key]) for key in ("secrets", "token_file", "state") if key in value)
    for i, source in enumerate(value.get("sources", ())):
        yield from ((("sources", i, key), source[key]) for key in ("path", "signers") if key in source)
        yield from ((("sources", i, "env_files", j), file) for j, file in enumerate(source.get("env_files", ())))
    for name, registry in value.get("registries", {}).items():
        yield ("registries", name, "docker_config"), registry["docker_config"]
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
        sources=tuple(_followed(source) for source in value.get("sources", ())),
        notify=tuple(
            Hook(tuple(hook["command"]), tuple(hook.get("events", EVENTS))) for hook in value.get("notify", ())
        ),
        registries={name: Path(said["docker_config"]) for name, said in value.get("registries", {}).items()},
    )


def _followed(value: Mapping[str, Any]) -> Followed:
    name, env_files = value.get("name", ""), tuple(value.get("env_files", ()))
    if "remote" not in value:
        return Followed(Path(value["path"]), name, env_files)
    interval = units.duration(value["interval"]) / SECOND if "interval" in value else INTERVAL
    signers = value["signers"] if value.get("verify") else ""
    return Followed(None, name, env_files, Remote(value["remote"], value.get("branch", ""), interval, signers))


def _grant(value: Mapping[str, Any]) -> Grant:
    return Grant(
        services=tuple(value["services"]),
        privileged=value.get("privileged", False),
        host_network=value.get("network_mode") == "host",
        docker_socket=value.get("docker_socket", False),
        cap_add=tuple(name.upper().removeprefix("CAP_") for name in value.get("cap_add", ())),
        security_opt=tuple(_option(text) for text in value.get("security_opt", ())),
        binds=tuple(_root(text) for text in value.get("binds", ())),
        devices=tuple(paths.look(path).real for path in value.get("devices", ())),
        volume_drivers=tuple(value.get("volume_drivers", ())),
    )


def _option(text: str) -> str:
    """As manifests have it in the end: `label=disable`, which may be written with a colon too."""
    return text if "=" in text else text.replace(":", "=", 1)


def _root(text: str) -> Root:
    """`/srv/media` and `/srv/media:ro` may be read, `/srv/media:rw` written too."""
    path, write = text.removesuffix(":ro"), False
    if path.endswith(":rw"):
        path, write = path.removesuffix(":rw"), True
    return Root(paths.look(path).real.rstrip("/") or "/", write)
