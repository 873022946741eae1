"""The engine calls that a rollout is made of, as a Protocol: the real engine's client is one, the tests' engine in
memory another. Each method is one call; none decides anything.

Errors: EngineUnreachable, NotFound, NameConflict, PortTaken, ImageUnavailable, UpdateRefused, EngineError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from ..model import Container, EngineInfo, NamedVolume, Network, Volume
from ..runtime import LogStream


class PullStream(Protocol):
    """A pull: it begins when it is iterated, says how far it is, and ends when all is there. Iterating raises
    ImageUnavailable and EngineUnreachable."""

    def __iter__(self) -> Iterator[str]: ...
    def close(self) -> None:
        """Ends the pull and the iteration, from any thread."""


class Calls(Protocol):
    def info(self) -> EngineInfo: ...
    def containers(self) -> list[Container]:
        """Every container that carries our labels, inspected."""

    def inspect(self, container: str) -> Container:
        """By id or name. Raises NotFound."""

    def has_healthcheck(self, container: str) -> bool: ...
    def networks(self) -> list[Network]: ...
    def volumes(self) -> list[Volume]:
        """Those that carry our labels, and all without a name."""

    def volume(self, name: str) -> Volume | None: ...
    def mounted(self) -> dict[str, tuple[str, ...]]:
        """Volume → names of all containers that mount it."""

    def images(self) -> dict[str, str]:
        """Full reference → image id, of every image; one without a name stands under its id."""

    def image(self, reference: str) -> str:
        """The id of the image that a reference names now, "" when there is none."""

    def digests(self, image_id: str) -> tuple[str, ...]:
        """What registries call an image: full references by digest; none for one that never came from any."""

    def platform(self, image: str) -> str:
        """`linux/amd64` or `linux/arm/v7`, of the image with this id."""

    def pull(self, image: str, platform: str) -> PullStream:
        """`platform` "" takes the engine's own."""

    def ask(self, image: str) -> str:
        """The digest of what the registry has under this reference now. Raises ImageUnavailable."""

    def create(self, name: str, body: Mapping[str, Any], platform: str) -> str:
        """Returns the id. Raises NameConflict when the name is taken."""

    def start(self, container: str) -> None: ...
    def stop(self, container: str, grace: int) -> None:
        """`grace` in nanoseconds. Stopping what is stopped, or gone, is no error."""

    def remove(self, container: str) -> None:
        """Never its volumes. Removing what is gone is no error."""

    def unpause(self, container: str) -> None: ...
    def rename(self, container: str, name: str) -> None: ...
    def update(self, container: str, body: Mapping[str, Any]) -> None: ...
    def connect(self, network: str, container: str, aliases: tuple[str, ...]) -> None: ...
    def create_network(self, name: str, labels: Mapping[str, str], subnet: str) -> str: ...
    def remove_network(self, network: str) -> None: ...
    def create_volume(self, volume: NamedVolume, labels: Mapping[str, str]) -> Volume: ...
    def remove_volume(self, name: str) -> None: ...
    def taken_subnets(self) -> list[str]:
        """Subnets that a new network must not overlap: the host's routes and name servers."""

    def changes(self) -> Iterator[None]:
        """See `reconciler.runtime.Runtime.changes`."""

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream:
        """On a connection of its own. Raises NotFound."""

    def close(self) -> None: ...
