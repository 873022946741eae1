"""What any runtime promises, and the names and labels it stamps.

A runtime observes, and carries out one action at a time, each mutating step of it written ahead through the
journal that the caller hands in; so no runtime knows the store. The caller may repeat any action at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal, Protocol

from .model import (
    Action,
    Container,
    Dependency,
    EngineInfo,
    NamedVolume,
    Observed,
    Outcome,
    Ref,
    Revision,
    Service,
    Volume,
)

LABEL_NAMESPACE = "lb.namespace"
LABEL_SERVICE = "lb.service"
LABEL_REPLICA = "lb.replica"
LABEL_REVISION = "lb.revision"
LABEL_FINGERPRINT = "lb.fingerprint"
LABEL_SOURCE = "lb.source"
LABEL_INTENT = "lb.intent"
LOG_LINES = 20  # the last ones of a replica that failed, which are kept
MARKER = "lb.state"  # the volume that says so
LABEL_STATE = "lb.state"  # on the marker volume: which state folder manages this engine

StepVerb = Literal[
    "network",
    "volume",
    "pull",
    "create",
    "connect",
    "start",
    "stop",
    "remove",
    "update",
    "unpause",
    "rename",
    "pin",
    "remove-network",
    "remove-volume",
]


def network_name(namespace: str) -> str:
    return f"lb.{namespace}"


def volume_name(namespace: str, volume: str) -> str:
    return f"lb.{namespace}.{volume}"


def repository(image: str) -> str:
    """Of a full reference, without tag and digest: `docker.io/library/redis:7.0` → `docker.io/library/redis`."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name


def by_digest(image: str, digest: str) -> str:
    """The full reference of exactly one content of that repository."""
    return f"{repository(image)}@{digest}"


def named_volume(service: Service, volume: str) -> NamedVolume:
    """A volume that the service mounts: as its namespace declares it, or an ordinary one of lb's."""
    return service.volumes.get(volume) or NamedVolume(volume_name(service.ref.namespace, volume))


def secret_folder(files: str, digest: str) -> str:
    """Where the copy of a secret lies, in the folder of the snapshots."""
    return f"{files}/secret-{digest}"


def container_name(ref: Ref, number: int, attempt: int) -> str:
    """Injective, because neither namespaces nor services may contain a dot."""
    return f"{ref.namespace}.{ref.name}.{number}-{attempt}"


def aliases(ref: Ref) -> tuple[str, str]:
    """The DNS names of a service inside its namespace's network."""
    return ref.name, f"{ref.name}.{ref.namespace}"


@dataclass(frozen=True, slots=True)
class Intent:
    """A step that has been written ahead: its nonce is stamped as `lb.intent` on what the step creates."""

    nonce: str
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step left in the engine, to be recorded with its outcome.

    `kind` says which record changes: a container was created or changed (`projection` is its inspect projection
    now) or is gone; a network or volume exists (`id`) or is gone; or nothing needs recording ("none").
    """

    kind: Literal["none", "container", "container-gone", "network", "network-gone", "volume", "volume-gone"] = "none"
    id: str = ""
    name: str = ""
    number: int = 0
    attempt: int = 0
    created: str = ""
    projection: Mapping[str, Any] = field(default_factory=dict)
    definition: str = ""  # of a volume
    source: str = ""  # that it was made for
    unnamed: tuple[tuple[str, str], ...] = ()  # see Container.unnamed

    @classmethod
    def of(cls, seen: Container, name: str, number: int, attempt: int = 0, source: str = "") -> Effect:
        """A container of ours as it is now; `name` is the one that it was given."""
        return cls("container", seen.id, name, number, attempt, seen.created, seen.projection, "", source, seen.unnamed)


class Journal(Protocol):
    """The door through which a runtime writes ahead. `revision` is what the action brings about (None for
    namespaces and removals). Both calls are durable when they return.

    Raises StateError when the state can't be written and LockedError when the lock was lost: the step must
    then not be made.
    """

    revision: Revision | None
    source: str

    def begin(self, verb: StepVerb, ref: Ref, target: str = "", number: int = 0) -> Intent: ...
    def end(self, intent: Intent, effect: Effect) -> None: ...
    def image(self, image_id: str, digest: str) -> None:
        """The image that the revision's reference was resolved to; see Revision.digest."""

    def started(self) -> None:
        """Every replica has been started; the gate is still to come."""


class Cancel(Event):
    """Ends one action; so does its parent, which ends all of them."""

    def __init__(self, parent: Event) -> None:
        super().__init__()
        self._parent = parent

    def is_set(self) -> bool:
        return super().is_set() or self._parent.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        super().wait(timeout)
        return self.is_set()


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of live progress: a phase of one object ("pulling", "waiting for health") and its detail."""

    ref: Ref
    phase: str
    detail: str = ""


Report = Callable[[Progress], None]


class LogStream(Protocol):
    """Chunks of ("stdout" | "stderr", bytes), demultiplexed. Raises what its runtime raises.

    `close` may be called from any thread, and more than once: it ends the iteration at once, also one that is waiting
    for the next chunk, and closes the connection to the engine. A stream that was read to its end has closed itself.
    """

    def __iter__(self) -> Iterator[tuple[str, bytes]]: ...
    def close(self) -> None: ...


class Runtime(Protocol):
    """Raises EngineUnreachable when no engine answers; nothing else escapes `perform` but StateError and
    LockedError: what went wrong with an action is its Outcome."""

    def info(self) -> EngineInfo: ...
    def observe(self, known: Collection[str] = ()) -> Observed:
        """`known` are ids of containers that should be there. One that is not among the observed is gone: it was asked
        for by its id, because a list may lag behind."""

    def perform(self, action: Action, journal: Journal, report: Report, cancel: Event) -> Outcome: ...
    def wait(self, ref: Ref, dependency: Dependency, containers: Sequence[str], report: Report, cancel: Event) -> None:
        """Returns once the dependency of the service `ref`, which runs in these containers, is in the state that its
        condition asks for. Raises NotReady when it won't be, InterruptedByUser."""

    def refresh(self, image: str, cancel: Event) -> None:
        """Asks the registry what it has under this reference now (`pull_policy: always`), for `Observed.digests`; pulls
        nothing. Raises ImageUnavailable, InterruptedByUser."""

    def marker(self) -> Mapping[str, str] | None:
        """The labels of the object that says which state manages this runtime; None when there is none."""

    def mark(self, labels: Mapping[str, str] | None) -> None:
        """Replaces that object; None removes it."""

    def changes(self) -> Iterator[None]:
        """One None whenever something may have changed, the first once it listens. It carries no facts, may miss
        some and may repeat itself. Raises EngineUnreachable when the engine goes away."""

    def volume(self, name: str) -> Volume | None:
        """A volume of any maker, None when there is none."""

    def mounted(self) -> Mapping[str, tuple[str, ...]]:
        """Volume → the containers that mount it, running or not, ours or not, by name."""

    def remove_volume(self, name: str) -> None:
        """With its data. Removing what is gone is no error. Raises EngineError when a container mounts it."""

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream:
        """`since` in seconds since the epoch. Raises NotFound; a stream has a connection of its own."""

    def close(self) -> None: ...
