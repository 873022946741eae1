"""What carrying out one action needs at hand, and what the actions of one cycle share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Event, Lock

from ..model import Action
from ..policy import Closed, Warden
from ..runtime import Intent, Journal, Progress, Report, StepVerb
from .calls import Calls
from .pulls import Pulls
from .subnets import Pool

# Engine calls at once. On two cores 1 slot takes 1.6 times as long as 8, 2 slots 1.3; 4, 16 and 32 are within the noise
# of 8 (bench/README.md).
SLOTS = 8


@dataclass(slots=True)
class Shared:
    """What the actions of one cycle share: the slots, the pulls, the networks that were made in it, and what this host
    allows."""

    files: str
    slots: BoundedSemaphore
    pulls: Pulls
    warden: Warden = field(default_factory=Closed)
    pool: Callable[[], Pool] = Pool
    networks: dict[str, str] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


@dataclass(slots=True)
class Work:
    calls: Calls
    shared: Shared
    action: Action
    journal: Journal
    report: Report
    cancel: Event

    def say(self, phase: str, detail: str = "") -> None:
        self.report(Progress(self.action.ref, phase, detail))

    def begin(self, verb: StepVerb, target: str, number: int = 0) -> Intent:
        return self.journal.begin(verb, self.action.ref, target, number)
