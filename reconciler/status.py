"""Recorded + Observed become a state word, counters and one line of why, as the API reference has them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import drift
from .model import Container, Observed, RecordedService

Word = Literal["created", "provision", "started", "warning", "error", "stopped"]


@dataclass(frozen=True, slots=True)
class Counters:
    """`total` is the replicas that exist; running, created, stopped and errored sum up to no more than it."""

    total: int = 0
    provision: int = 0
    ready: int = 0
    running: int = 0
    created: int = 0
    stopped: int = 0
    errored: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    word: Word
    why: str
    wanted: int
    counters: Counters
    containers: tuple[Container, ...] = ()


def of(service: RecordedService, observed: Observed) -> Status:
    seen = {container.id: container for container in observed.containers}
    live = tuple(seen[row.id] for row in service.containers if row.id in seen)
    revision = service.current or service.pending or service.failed
    wanted = revision.replicas if revision else 0
    counters = Counters(
        total=len(live),
        provision=sum(1 for c in live if c.state == "running" and c.health == "starting"),
        ready=sum(1 for c in live if _ready(c)),
        running=sum(1 for c in live if c.state in ("running", "paused")),
        created=sum(1 for c in live if c.state == "created"),
        stopped=sum(1 for c in live if _stopped(c)),
        errored=sum(1 for c in live if _errored(c)),
    )
    word, why = _word(service, wanted, counters, live)
    if service.note:
        word, why = ("warning" if word == "started" else word), f"{why}; {service.note}" if why else service.note
    return Status(word, why, wanted, counters, live)


def _word(service: RecordedService, wanted: int, counters: Counters, live: tuple[Container, ...]) -> tuple[Word, str]:
    ended = sum(1 for c in live if drift.completed(c))
    if service.failed:
        why = f"revision {service.failed.number} failed: {service.failed.cause}"
        return ("warning" if service.current and counters.ready >= wanted else "error"), why
    if service.pending and service.current is None:
        return "provision" if live else "created", f"revision {service.pending.number} is being rolled out"
    if wanted == 0:
        return "stopped", "0 replicas wanted"
    if ended and ended >= wanted:
        return "stopped", "completed"
    if service.pending:
        return "provision", f"revision {service.pending.number} is being rolled out"
    if counters.ready + ended >= wanted:
        return "started", ""
    looping = next((c for c in live if c.state == "restarting"), None)
    why = f"{counters.ready} of {wanted} replicas are ready"
    if looping:
        why = f"CrashLoopBackOff: {looping.name} exit {looping.exit_code}, {looping.restarts} restarts"
    return ("warning" if counters.ready else "error"), why


def _ready(seen: Container) -> bool:
    return seen.state == "running" and seen.health in ("none", "healthy")


def _stopped(seen: Container) -> bool:
    return seen.state == "exited" and seen.exit_code in (0, 137, 143)


def _errored(seen: Container) -> bool:
    return seen.state in ("restarting", "dead", "removing") or (seen.state == "exited" and not _stopped(seen))
