"""Recorded + Observed become a state word, counters, pods and one line of why, as the API reference has them. Pure.

A pod is a replica: one container of ours. A word is about what is wanted (the revision that is shown), the counters
are about the pods that exist. What is ready is judged by the clock of the look, so an old look gives an old answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import clock, drift
from .model import Container, Observed, OpenIntent, Recorded, RecordedContainer, RecordedService, Ref, Replica

Word = Literal["created", "provision", "started", "warning", "error", "stopped", "destroyed"]
PodWord = Literal["created", "started", "stopped", "error", "destroyed"]
CRASHES = 3  # restarts after which a replica that is not ready counts as looping
UNSEEN = "not observed yet: no engine has answered"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)")
_VOLUME = "error while mounting volume"  # as the engine says it
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Counters:
    """`total` is the pods that exist; running, created, stopped and errored sum up to no more than it.

    `provision` are pods with work going on, `ready` those that run and are healthy, or past their min_ready.
    """

    total: int = 0
    provision: int = 0
    ready: int = 0
    running: int = 0
    created: int = 0
    stopped: int = 0
    errored: int = 0


@dataclass(frozen=True, slots=True)
class Pod:
    """One replica as the API shows it. `why` is what is wrong with it, "" when nothing; `drift` the part of that
    which the next cycle repairs."""

    replica: Replica
    word: PodWord
    why: str = ""
    provision: bool = False
    ready: bool = False
    drift: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    word: Word
    why: str
    wanted: int
    counters: Counters
    containers: tuple[Container, ...] = ()
    pods: tuple[Pod, ...] = ()


def of(service: RecordedService, observed: Observed, recorded: Recorded | None = None) -> Status:
    """Of one service. `recorded` adds what only the whole state knows: steps under way, and the network to be on."""
    return _status(service, _Look.at_all(observed, recorded or Recorded()))


def each(recorded: Recorded, observed: Observed | None) -> dict[Ref, Status]:
    """Of every service; None is an engine that has not answered yet."""
    if observed is None:
        return {ref: _unseen(service) for ref, service in recorded.services.items()}
    look = _Look.at_all(observed, recorded)
    return {ref: _status(service, look) for ref, service in recorded.services.items()}


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the engine, and what was under way, in the form in which a service asks for it."""

    now: float  # seconds; when the engine was looked at
    seen: Mapping[str, Container] = field(default_factory=dict)
    steps: Mapping[Ref, Sequence[OpenIntent]] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)  # namespace → id of its network

    @classmethod
    def at_all(cls, observed: Observed, recorded: Recorded) -> _Look:
        steps: dict[Ref, list[OpenIntent]] = {}
        for intent in recorded.intents:
            steps.setdefault(intent.ref, []).append(intent)
        networks = {name: ns.network for name, ns in recorded.namespaces.items() if ns.network}
        seen = {container.id: container for container in observed.containers}
        return cls(clock.seconds(observed.at), seen, steps, networks)


def _unseen(service: RecordedService) -> Status:
    revision = service.shown
    return Status("warning", UNSEEN, revision.replicas if revision else 0, Counters())


def _status(service: RecordedService, look: _Look) -> Status:
    live = (Replica(look.seen[row.id], row) for row in service.containers if row.id in look.seen)
    pods = tuple(_pod(service, drift.overlooked(replica, service.drift.ignore), look) for replica in live)
    revision = service.shown
    wanted = revision.replicas if revision else 0
    words = [pod.word for pod in pods]
    counters = Counters(
        total=len(pods),
        provision=sum(pod.provision for pod in pods),
        ready=sum(pod.ready for pod in pods),
        running=words.count("started"),
        created=words.count("created"),
        stopped=words.count("stopped"),
        errored=words.count("error"),
    )
    if _leaves(look.steps.get(service.ref, ())):
        word, why = _destroyed()
    else:
        word, why = _word(service, wanted, counters, pods)
    if service.note:
        word = "warning" if word == "started" else word
        why = service.note if service.note.startswith(why) else f"{why}; {service.note}"
    return Status(word, why, wanted, counters, tuple(pod.replica.seen for pod in pods), pods)


def _leaves(steps: Sequence[OpenIntent]) -> bool:
    """Only the removal of a whole service stops and removes under no revision."""
    return any(step.step in ("stop", "remove") and not step.revision for step in steps)


def _destroyed() -> tuple[Word, str]:
    return "destroyed", "is being removed"


def _word(service: RecordedService, wanted: int, counters: Counters, pods: Sequence[Pod]) -> tuple[Word, str]:
    live = [pod.replica.seen for pod in pods]
    ended = sum(1 for c in live if drift.completed(c))
    if service.failed:
        why = f"revision {service.failed.number} failed: {service.failed.cause}"
        return ("warning" if service.current and (counters.ready or not wanted) else "error"), why
    if service.pending and service.current is None:
        return "provision" if live else "created", f"revision {service.pending.number} is being rolled out"
    if service.shown is None:
        return "created", "nothing was rolled out yet"
    if wanted == 0:
        return "stopped", "0 replicas wanted"
    if ended and ended >= wanted:
        return "stopped", "completed"
    if service.pending:
        return "provision", f"revision {service.pending.number} is being rolled out"
    if counters.ready + ended >= wanted:
        changed = next((pod.drift for pod in pods if pod.drift), "")
        return ("warning", changed) if changed else ("started", "")
    looping = next((pod.replica.seen for pod in pods if _loops(pod)), None)
    why = f"{counters.ready} of {wanted} replicas are ready"
    if looping:
        why = f"CrashLoopBackOff: {looping.name} exit {looping.exit_code}, {looping.restarts} restarts"
    coming = counters.ready or (counters.provision and not looping)
    return ("warning" if coming else "error"), why


def _loops(pod: Pod) -> bool:
    """Between two crashes it runs for a moment."""
    seen = pod.replica.seen
    return seen.state == "restarting" or (seen.restarts >= CRASHES and not pod.ready and seen.state == "running")


def _pod(service: RecordedService, replica: Replica, look: _Look) -> Pod:
    seen, row = replica.seen, replica.recorded
    word = _pod_word(seen)
    waits = seen.state == "running" and (seen.health == "starting" or not _outlived(service, row, seen, look.now))
    busy = any(step.target == seen.id for step in look.steps.get(service.ref, ()))
    under_way = seen.state == "removing" or (word == "created" and service.pending is not None)
    changed = "; ".join(fault.text for fault in _faults(service, replica, look))
    return Pod(
        replica,
        word,
        why=_trouble(service, row, seen) or changed,
        provision=waits or busy or under_way,
        ready=seen.state == "running" and seen.health in ("none", "healthy") and not waits,
        drift=changed,
    )


def _pod_word(seen: Container) -> PodWord:
    if seen.state in ("running", "paused"):
        return "started"
    if seen.state == "created":
        return "created"
    if seen.state == "removing":
        return "destroyed"
    stopped = seen.state == "exited" and seen.exit_code in (0, 137, 143)
    return "stopped" if stopped else "error"


def _outlived(service: RecordedService, row: RecordedContainer, seen: Container, now: float) -> bool:
    """Whether a replica without a healthcheck has run for its min_ready. A healthcheck says it better."""
    if seen.health != "none" or not seen.started:
        return True
    return now - clock.seconds(seen.started) >= _min_ready(service, row)


def _min_ready(service: RecordedService, row: RecordedContainer) -> float:
    """Seconds: as written; else, and where a variable stands there, what the gate waits: 5 for a replica of a revision
    that is replacing another, 1 for any other."""
    replacing = service.pending if service.current else None
    newer = replacing is not None and row.revision == replacing.id
    revision = replacing if newer else service.shown
    update = revision.written.get("update") if revision else None
    written = update.get("min_ready") if isinstance(update, Mapping) else None
    if isinstance(written, str) and written and not _DURATION.sub("", written):
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(written))
    return 5.0 if newer else 1.0


def _faults(service: RecordedService, replica: Replica, look: _Look) -> tuple[drift.Fault, ...]:
    """What the next cycle would repair: on replicas of the current generation, while no rollout changes them."""
    current = service.current
    if current is None or service.pending or replica.recorded.base != current.base:
        return ()
    networks = _networks(service.ref.namespace, current.written, look)
    return () if networks is None else drift.faults(replica, networks)


def _networks(own: str, written: Mapping[str, Any], look: _Look) -> dict[str, str] | None:
    """Those that the replicas belong on, as far as they are known; None when their own is not there."""
    if written.get("network_mode"):
        return {}
    if own not in look.networks:
        return None
    others = written.get("networks", [])
    return {name: look.networks[name] for name in (own, *others) if name in look.networks}


def _trouble(service: RecordedService, row: RecordedContainer, seen: Container) -> str:
    error = f": {engine_error(service, row, seen)}" if seen.error else ""
    match seen.state:
        case "restarting":
            return f"exit {seen.exit_code}, {seen.restarts} restarts{error}"
        case "exited":
            return f"exit {seen.exit_code}{error}" if seen.exit_code or seen.error else ""
        case "created":
            return error[2:]
        case "dead" | "removing" | "paused":
            return seen.state
        case _:
            return "unhealthy" if seen.health == "unhealthy" else ""


def engine_error(service: RecordedService, row: RecordedContainer, seen: Container) -> str:
    """The engine repeats words of the spec in its errors; one whose words come from variables must not be shown. Nor is
    one about a volume: the options that it repeats stand in the namespace, and may be a share's password."""
    if _VOLUME in seen.error:
        return "a volume can't be mounted; see `docker inspect`"
    revisions = (service.current, service.pending, service.failed)
    runs = next((revision for revision in revisions if revision and revision.id == row.revision), None)
    if runs is None or _varies(runs.written):
        return "the engine's error is not shown, because the spec has variables; see `docker inspect`"
    return seen.error


def _varies(written: Any) -> bool:
    if isinstance(written, Mapping):
        return any(_varies(item) for item in written.values())
    if isinstance(written, list):
        return any(_varies(item) for item in written)
    return isinstance(written, str) and "${" in written
