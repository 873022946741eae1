"""The health gate: when is a replica ready, and when is it hopeless? And when is a dependency as it is asked for?

Healthy by its healthcheck; without one, running with no restart for `min_ready`; with restart "no", ended with 0.
Hopeless: unhealthy, ended otherwise, or restarted three times. Else NotReady when the time is up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

from ..clock import seconds
from ..drift import completed, meets
from ..errors import EngineError, InterruptedByUser, NotFound, NotReady
from ..model import Container, Dependency, Spec
from ..streams import last_lines
from .calls import Calls

SECOND = 1_000_000_000
CRASHES = 3
DEPENDENCY_PATIENCE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds."""

    min_ready: float
    timeout: float


def limits(spec: Spec, *, replaces: bool) -> Limits:
    """A replica that replaces a running one must stay up for longer than one on first creation."""
    ready = spec.update.min_ready
    default = 5.0 if replaces else 1.0
    return Limits(default if ready is None else ready / SECOND, _timeout(spec))


def _timeout(spec: Spec) -> float:
    """From the healthcheck's own numbers (Docker's defaults: 30 s, 30 s, 0 s, 3), at least a minute."""
    if spec.update.timeout is not None:
        return spec.update.timeout / SECOND
    check = spec.healthcheck
    if check is None:
        return 60.0
    interval = (check.interval or 30 * SECOND) / SECOND
    once = (check.timeout or 30 * SECOND) / SECOND
    return max(60.0, (check.start_period or 0) / SECOND + (interval + once) * ((check.retries or 3) + 1))


def nobody() -> None:
    """Is told nothing."""


def wait(
    calls: Calls, container: str, limits: Limits, cancel: Event, name: str, waits: Callable[[], None] = nobody
) -> None:
    """Returns when the replica is ready; `waits` is told, once, that it is not yet. Raises NotReady with its last log
    lines, InterruptedByUser, or EngineError when somebody paused it."""
    checked = calls.has_healthcheck(container)
    begun, first, pause = time.monotonic(), None, 0.02
    while True:
        seen = calls.inspect(container)
        age = _age(seen)
        if first is None and seen.state == "running":
            first = age  # what it had run already: a wait that was cut off goes on, it does not begin anew
        if seen.state == "paused":  # the next cycle takes it from there: of the revision it says nothing
            raise EngineError(f"{name} was paused while it was waited for")
        if completed(seen) or (checked and seen.state == "running" and seen.health == "healthy"):
            return
        if not checked and seen.state == "running" and age >= limits.min_ready:
            return
        reason = _hopeless(seen)
        if not reason and time.monotonic() - begun + (first or 0.0) >= limits.timeout:
            reason = f"not ready within {limits.timeout:g} s ({seen.state}, health {seen.health})"
        if reason:
            raise NotReady(f"{name} {reason}", logs=last_lines(calls, container))
        waits()
        waits = nobody
        if cancel.wait(pause):
            raise InterruptedByUser("while waiting for health; the next apply carries on")
        pause = min(pause * 1.5, 0.25)


def _age(seen: Container) -> float:
    """Seconds since it was started last, by the engine's clock, which is this host's; 0 before."""
    return max(0.0, time.time() - seconds(seen.started)) if seen.started else 0.0


def dependency(
    calls: Calls, wanted: Dependency, containers: Sequence[str], cancel: Event, waits: Callable[[], None] = nobody
) -> None:
    """Returns when one replica runs ("started"), is ready ("healthy"), or all of them ended with 0 ("completed");
    `waits` is told, once, that it is not so yet.

    Raises NotReady when that can't come any more, or does not come within a minute; InterruptedByUser.
    A job that still runs is waited for as long as it takes.
    """
    deadline, pause = time.monotonic() + DEPENDENCY_PATIENCE, 0.02
    while True:
        seen = [found for container in containers if (found := _inspected(calls, container))]
        if meets(wanted.condition, seen):
            return
        why = _never(wanted, seen)
        runs = wanted.condition == "completed" and any(c.state == "running" for c in seen)
        if not why and not runs and time.monotonic() >= deadline:
            why = f"waits for {wanted.ref}, which is not {wanted.condition}"
        if why:
            raise NotReady(why)
        waits()
        waits = nobody
        if cancel.wait(pause):
            raise InterruptedByUser(f"while waiting for {wanted.ref}; the next apply carries on")
        pause = min(pause * 1.5, 0.25)


def _inspected(calls: Calls, container: str) -> Container | None:
    try:
        return calls.inspect(container)
    except NotFound:
        return None


def _never(wanted: Dependency, seen: Sequence[Container]) -> str:
    if not seen:
        return f"waits for {wanted.ref}, which has no replica"
    if wanted.condition == "completed":
        bad = next((c for c in seen if c.state in ("exited", "dead") and not completed(c)), None)
        if bad:
            return f"waits for {wanted.ref}, which ended with exit {bad.exit_code}"
        if any(c.state == "running" and c.restart_policy in ("always", "unless-stopped") for c in seen):
            return f'waits for {wanted.ref} to complete, which its restart policy prevents; write restart: "no" there'
    elif all(c.state in ("exited", "dead") for c in seen):
        return f"waits for {wanted.ref}, which does not run"
    return ""


def _hopeless(seen: Container) -> str:
    """A check that failed because the replica had ended says nothing; how it ended does."""
    if seen.state in ("exited", "dead"):
        return f"ended with exit {seen.exit_code}{': ' + seen.error if seen.error else ''}"
    if seen.restarts >= CRASHES:
        return f"keeps crashing (exit {seen.exit_code}, {seen.restarts} restarts)"
    if seen.state == "running" and seen.health == "unhealthy":
        return "is unhealthy"
    return ""
