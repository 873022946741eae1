"""What is wrong with one live replica of ours, as data. Pure.

Goes in: a replica and the id of its namespace's network. Comes out: faults in the order in which they are
mended. `inspect` now is compared with its projection right after our last change, never with the manifest.
Crash loops are no fault: the engine's own restart policy fights them, we report them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .model import Container, Replica

FaultKind = Literal["rebuild", "paused", "renamed", "resized", "disconnected", "stopped"]


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    text: str


def completed(seen: Container) -> bool:
    """A replica that ended as it should: exit 0 where the restart policy does not bring it back."""
    return seen.state == "exited" and seen.exit_code == 0 and _ends(seen.restart_policy)


def faults(replica: Replica, network: str) -> tuple[Fault, ...]:
    seen, recorded = replica.seen, replica.recorded
    label = f"replica {recorded.number}"
    if seen.state in ("dead", "removing"):
        return (Fault("rebuild", f"{label} is {seen.state}"),)
    if seen.stuck:
        return (Fault("rebuild", f"{label} can't be started any more: {seen.error}"),)
    joined = network in seen.networks
    if not joined and seen.state in ("exited", "created") and seen.networks:
        # A stopped container that refers to a network which is gone can never be started again.
        return (Fault("rebuild", f"{label} lost its network"),)
    found: list[Fault] = []
    if seen.state == "paused":
        found.append(Fault("paused", f"{label} was paused"))
    if seen.name != recorded.name:
        found.append(Fault("renamed", f"{label} was renamed to {seen.name}"))
    for key in ("memory", "cpus", "restart"):
        old, new = recorded.projection.get(key), seen.projection.get(key)
        if recorded.projection and old != new:
            found.append(Fault("resized", f"{label} {key} was changed to {new}"))
    if not joined:
        found.append(Fault("disconnected", f"{label} was disconnected from its network"))
    if seen.state == "created":
        found.append(Fault("stopped", f"{label} was never started"))
    elif seen.state == "exited" and not _ends(recorded.projection.get("restart", seen.restart_policy)):
        found.append(Fault("stopped", f"{label} was stopped (exit {seen.exit_code})"))
    return tuple(found)


def _ends(policy: str) -> bool:
    return policy == "no" or policy.startswith("on-failure")
