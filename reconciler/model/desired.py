"""What the manifests say: places, problems, and the canonical form of namespaces and services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .parts import EnvFile, Limits, Links, Logging, NamedVolume, Powers, Process, Secret

if TYPE_CHECKING:
    from .recorded import Revision  # which itself speaks of what is here

Kind = Literal["namespace", "service"]
Condition = Literal["started", "healthy", "completed"]
Order = Literal["auto", "start-first", "stop-first"]
OnFailure = Literal["rollback", "stop"]
PullPolicy = Literal["missing", "always", "never"]
DriftMode = Literal["heal", "report"]


class Place(NamedTuple):
    """Where something is written. `file` is relative to the source; line and column count from 1."""

    file: str
    line: int = 1
    col: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"


NOWHERE = Place("")
POLICY_DENIED = "POLICY_DENIED"  # the code of what only a host's policy could allow


class Ref(NamedTuple):
    """The identity of an object. A namespace's own ref has an empty `name`."""

    namespace: str
    name: str = ""

    @property
    def kind(self) -> Kind:
        return "service" if self.name else "namespace"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else self.namespace


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one manifest.

    `path` is the field ("spec.memory"), `code` the name the API reference gives to this kind of error,
    `ref` the object that is held back because of it (None when not even that could be read).
    """

    place: Place
    path: str
    message: str
    code: str = "BAD_PARAMETER"
    ref: Ref | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """Durations in nanoseconds, as the Docker API wants them; None leaves the image's or the engine's own.

    `test` begins with CMD, CMD-SHELL or NONE (which turns the image's check off).
    """

    test: tuple[str, ...] | None = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """`external` None asks the engine for any free port of the host. `host_ip` "" is every address."""

    internal: int
    protocol: str = "tcp"
    external: int | None = None
    host_ip: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Mount:
    """One mount, named by its target.

    `source` is the volume's name within its namespace (kind "volume"), the SHA-256 of the content (kind "bind": files
    from inside the source are mounted from a snapshot of that content), a path of the host as written, absolute or
    relative to the source (kind "host"), or "" (kind "tmpfs"; `size` in bytes, `mode` as of chmod).
    """

    target: str
    kind: Literal["volume", "bind", "host", "tmpfs"]
    source: str
    read_only: bool = False
    nocopy: bool = False
    size: int | None = None
    mode: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Dependency:
    ref: Ref
    condition: Condition = "started"


@dataclass(frozen=True, slots=True)
class Update:
    """How a new revision is rolled out. Durations in nanoseconds; None means the default of the situation."""

    order: Order = "auto"
    parallelism: int = 1
    min_ready: int | None = None
    timeout: int | None = None
    on_failure: OnFailure = "rollback"
    monitor: int | None = None  # how long a new replica is watched once it is ready


@dataclass(frozen=True, slots=True)
class Spec:
    """A service's canonical spec: defaults filled, variables resolved, units normalised, sets sorted.

    It holds resolved values, so it lives in memory only and is never stored or printed.
    """

    image: str  # a full reference: docker.io/library/redis:7.0
    pull_policy: PullPolicy = "missing"
    replicas: int = 1
    memory: int | None = None  # bytes
    cpus: int | None = None  # billionths of a CPU
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] | None = None  # sorted by name
    ports: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    healthcheck: Healthcheck | None = None
    depends_on: tuple[Dependency, ...] = ()
    restart: str = "unless-stopped"  # no | always | unless-stopped | on-failure | on-failure:N
    stop_signal: str | None = None
    stop_grace_period: int = 10_000_000_000  # nanoseconds
    update: Update = Update()
    platform: str | None = None
    limits: Limits = field(default_factory=Limits)
    process: Process = field(default_factory=Process)
    links: Links = field(default_factory=Links)
    powers: Powers = field(default_factory=Powers)
    logging: Logging = field(default_factory=Logging)
    labels: tuple[tuple[str, str], ...] = ()  # on the containers, sorted by name
    env_files: tuple[EnvFile, ...] = ()  # in order: a later one goes before an earlier one
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """Whether drift is repaired or only told of, and the fields whose drift does not count."""

    mode: DriftMode = "heal"
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service as wanted.

    `written` is its spec as it was written, with what its template says (variables unresolved), JSON-able; `authored`
    is what stands in the manifest, where that is not the same because of a template. `hosts` are those that its own
    `meta` names, () for all or those of its namespace. `shown` and `places`
    are keyed by canonical field path ("image", "env.LOG_LEVEL", "ports", "volumes./data", "meta.description"):
    how the value was written, for people, and where. `files` maps the digest of each bind's content to the path
    it was read from, relative to the source; `secrets` that of each secret to its absolute path on the host.
    `volumes` are those that its namespace declares, by their names in the namespace. `hidden` are the values that it
    got from variables and from files of variables: nothing that is printed or written down may have them.
    """

    ref: Ref
    spec: Spec
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    place: Place = NOWHERE
    written: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, NamedVolume] = field(default_factory=dict)
    protect: bool = False  # its removal is refused
    drift: DriftPolicy = DriftPolicy()  # its own over that of lb.yaml
    authored: Mapping[str, Any] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    hidden: frozenset[str] = field(default=frozenset(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace as wanted: one network, and the services in it.

    `volumes` are those that it declares, by their names in it; `share_with` the namespaces whose services may join its
    network; `written` its spec as its author wrote it.
    """

    ref: Ref
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    place: Place = NOWHERE
    places: Mapping[str, Place] = field(default_factory=dict)
    volumes: Mapping[str, NamedVolume] = field(default_factory=dict)
    share_with: tuple[str, ...] = ()
    protect: bool = False
    written: Mapping[str, Any] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteBudget:
    """How many services one source may lose in ten minutes without a confirmation: the larger of the two."""

    count: int = 2
    percent: int = 20

    def allows(self, services: int) -> int:
        return max(self.count, services * self.percent // 100)


def _gone(revision: Revision) -> Service | None:
    """Nothing is known of how it was."""


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything a source says, read as a whole.

    Objects that have a problem are not in `namespaces` or `services`; `mentioned` still names them, so that
    nobody takes "could not be read" for "was removed". `complete` is False when some file could not even be
    understood far enough to know which objects it declares: then nothing may be removed.
    `selected` are the objects that a path or `-f` asks to act on; None is all of them.
    `additive` (with `-f`): nothing is removed because it is not mentioned. `down`: a person wants all of it gone.
    `digest` is the SHA-256 of everything that was read: manifests, lb.yaml and what is mounted from the source.
    `root` is where it lies; `named` the same as it was named: a link that leads there may lead elsewhere later.
    `host` is this host's name, "" where it has none; `elsewhere` are the objects that are for other hosts only.
    `remake` gives a service as a revision of it was, as far as that can still be had: at least as it was written, with
    the variables and files of now. Copies of files with the digests `spared` may be wanted again. `variables` are the
    names of those that its manifests use, for this host or another.
    """

    source: str
    root: str = ""
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    services: Mapping[Ref, Service] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    mentioned: frozenset[Ref] = frozenset()
    complete: bool = True
    budget: DeleteBudget = DeleteBudget()
    selected: frozenset[Ref] | None = None
    additive: bool = False
    down: bool = False
    digest: str = ""
    host: str = ""
    elsewhere: frozenset[Ref] = frozenset()
    drift: DriftPolicy = DriftPolicy()
    named: str = ""
    remake: Callable[[Revision], Service | None] = field(default=_gone, compare=False, repr=False)
    spared: frozenset[str] = field(default=frozenset(), compare=False)
    variables: frozenset[str] = field(default=frozenset(), compare=False)
