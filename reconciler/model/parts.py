"""The parts of a service's spec that few services write, in canonical form. Pure.

Each default means "not written": it takes no part in the fingerprint, so that a field which is added here replaces no
container of a service that does not use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Pairs = tuple[tuple[str, str], ...]  # sorted by name


@dataclass(frozen=True, slots=True, order=True)
class Ulimit:
    """-1 is no limit."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes."""

    mem_reservation: int | None = None
    pids_limit: int | None = None
    shm_size: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: Pairs = ()


@dataclass(frozen=True, slots=True)
class Process:
    """As whom and how the container's process runs. `init` None leaves the engine's default."""

    user: str | None = None
    group_add: tuple[str, ...] = ()
    working_dir: str | None = None
    read_only: bool = False
    init: bool | None = None
    tty: bool = False
    stdin_open: bool = False


@dataclass(frozen=True, slots=True)
class Links:
    """How a container reaches others. `networks` are other namespaces whose networks it joins besides its own."""

    network_mode: str | None = None  # none | host
    networks: tuple[str, ...] = ()
    hostname: str | None = None
    dns: tuple[str, ...] = ()  # in the order in which they are asked
    extra_hosts: Pairs = ()


@dataclass(frozen=True, slots=True, order=True)
class Device:
    host: str
    container: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Powers:
    """What makes a container more, or less, than an ordinary one. All but `cap_drop` is for the host's policy to
    allow. Capabilities in capitals, without CAP_."""

    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Logging:
    driver: str = "local"
    options: Pairs = ()


@dataclass(frozen=True, slots=True, order=True)
class Secret:
    """`target` is the path in the container; `digest` that of the content on this host, "" before it was looked up."""

    name: str
    target: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """`path` relative to the source, `digest` of the file's content. What it sets is part of the spec's env."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class NamedVolume:
    """A volume by the engine's `name`. An external one is somebody else's: it is never created or removed. `varies`: a
    variable stands in its definition, so what that says must not be told; `hidden` are the values of such."""

    name: str
    driver: str = "local"
    driver_opts: Pairs = ()
    external: bool = False
    varies: bool = field(default=False, compare=False)
    hidden: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
