"""What the answers come from, and how much of it one server gives at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..model import Activity, Ref
from ..runtime import LogStream
from ..views import Picture


class Logs(Protocol):
    """`Runtime.logs`: raises NotFound and EngineUnreachable."""

    def __call__(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """`picture` is asked for at every request and must answer at once. `activity`, of a service or of a whole
    namespace, and `logs` are called from other threads and may take their time."""

    picture: Callable[[], Picture]
    activity: Callable[[Ref], Sequence[Activity]]
    logs: Logs


@dataclass(frozen=True, slots=True)
class Limits:
    """`streams` logs at once; a reader that takes nothing for `stall` seconds is cut; a client has `patience` seconds
    to say what it wants; `poll` seconds between two looks for new replicas while logs are followed."""

    streams: int = 32
    connections: int = 512
    stall: float = 30.0
    patience: float = 10.0
    poll: float = 0.25
