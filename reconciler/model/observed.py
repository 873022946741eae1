"""What the engine shows now, translated once and read-only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .desired import Port, Ref

_UNNAMED = re.compile("[0-9a-f]{64}")
ContainerState = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
Health = Literal["none", "starting", "healthy", "unhealthy"]


@dataclass(frozen=True, slots=True)
class Container:
    """One container that carries our labels. Whether it is ours, only the state can say.

    `networks` are ids of the networks it is joined to; `projection` is the part of `inspect` that a human or a
    tool can change on a live container (resources, restart policy, name, networks), in a stable form.
    Times are the engine's own strings, "" where it has none. `stop_grace` is in nanoseconds.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: ContainerState
    health: Health = "none"
    exit_code: int = 0
    error: str = ""
    stuck: bool = False  # the engine lost track of it, and can't start it any more
    restarts: int = 0
    restart_policy: str = "no"
    image: str = ""
    image_id: str = ""
    created: str = ""
    started: str = ""
    finished: str = ""
    stop_grace: int = 10_000_000_000
    networks: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    mounts: tuple[str, ...] = ()  # sources of binds
    unnamed: tuple[tuple[str, str], ...] = ()  # volumes that the engine made for it: name, and where it is mounted
    projection: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> Ref:
        return Ref(self.labels.get("lb.namespace", ""), self.labels.get("lb.service", ""))

    @property
    def number(self) -> int:
        text = self.labels.get("lb.replica", "")
        return int(text) if text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    subnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    driver: str = "local"
    options: tuple[tuple[str, str], ...] = ()  # sorted by name

    @property
    def unnamed(self) -> bool:
        """Whether the engine gave it a name, because nobody else did."""
        return bool(_UNNAMED.fullmatch(self.name))

    @property
    def nonce(self) -> str:
        """Of the step that made it, "" when it was not made by lb."""
        return self.labels.get("lb.intent", "")


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Which engine this is. `local` is False when the lock on this host does not reach it; `lacks` are the limits
    (memory, swap, cpus, pids) that its kernel can't enforce."""

    id: str
    root: str  # DockerRootDir
    endpoint: str
    api_version: str
    version: str = ""
    local: bool = True
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at the engine. `volumes` are those that carry our labels, and all without a name. `images` maps every
    full reference that the engine has to its image id; `digests` those that the registry was asked for to the digest
    that it named."""

    engine: EngineInfo
    at: str
    containers: tuple[Container, ...] = ()
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    by_id: Mapping[str, Container] = field(init=False, compare=False, repr=False)  # its containers

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {container.id: container for container in self.containers})
