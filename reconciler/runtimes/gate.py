"""The health gate: when is a replica ready, and when is it hopeless?

Healthy by its healthcheck; without one, running with no restart for `min_ready`; with restart "no", ended with 0.
Hopeless: unhealthy, ended otherwise, or restarted three times. Else NotReady when the time is up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event

from ..drift import completed
from ..errors import InterruptedByUser, NotReady
from ..model import Container, Spec
from .calls import Calls

SECOND = 1_000_000_000
CRASHES = 3
LOG_LINES = 20


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


def wait(calls: Calls, container: str, limits: Limits, cancel: Event, name: str) -> None:
    """Returns when the replica is ready. Raises NotReady with its last log lines, or InterruptedByUser."""
    deadline = time.monotonic() + limits.timeout
    checked = calls.has_healthcheck(container)
    stable_since, restarts, pause = time.monotonic(), 0, 0.02
    while True:
        seen = calls.inspect(container)
        now = time.monotonic()
        if completed(seen) or (checked and seen.state == "running" and seen.health == "healthy"):
            return
        if seen.restarts != restarts or seen.state != "running":
            stable_since, restarts = now, seen.restarts
        elif not checked and now - stable_since >= limits.min_ready:
            return
        reason = _hopeless(seen)
        if not reason and now >= deadline:
            reason = f"not ready within {limits.timeout:g} s ({seen.state}, health {seen.health})"
        if reason:
            raise NotReady(f"{name} {reason}", logs=_last_lines(calls, container))
        if cancel.wait(pause):
            raise InterruptedByUser(f"{name}: interrupted while waiting; the next apply carries on")
        pause = min(pause * 1.5, 0.25)


def _hopeless(seen: Container) -> str:
    """A check that failed because the replica had ended says nothing; how it ended does."""
    if seen.state in ("exited", "dead"):
        return f"ended with exit {seen.exit_code}{': ' + seen.error if seen.error else ''}"
    if seen.restarts >= CRASHES:
        return f"keeps crashing (exit {seen.exit_code}, {seen.restarts} restarts)"
    if seen.state == "running" and seen.health == "unhealthy":
        return "is unhealthy"
    return ""


def _last_lines(calls: Calls, container: str) -> tuple[str, ...]:
    chunks = calls.logs(container, follow=False, tail=LOG_LINES, since=None, timestamps=False)
    text = b"".join(data for _, data in chunks).decode("utf-8", "replace")
    return tuple(text.splitlines()[-LOG_LINES:])
