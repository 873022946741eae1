"""What is wrong with one live replica of ours, as data. Pure.

Goes in: a replica and the networks that it belongs on. Comes out: faults in the order in which they are
mended. `inspect` now is compared with its projection right after our last change, never with the manifest.
Crash loops are no fault: the engine's own restart policy fights them, we report them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .model import Container, Replica
from .model.desired import Condition

MIB = 1024 * 1024
FaultKind = Literal["rebuild", "paused", "renamed", "resized", "disconnected", "stopped"]


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    text: str


def completed(seen: Container) -> bool:
    """A replica that ended as it should: exit 0 where the restart policy does not bring it back."""
    return seen.state == "exited" and seen.exit_code == 0 and _ends(seen.restart_policy)


def meets(condition: Condition, seen: Sequence[Container]) -> bool:
    """Whether these replicas of a dependency are as its dependents ask: one runs ("started"), one is ready
    ("healthy"), all ended with 0 ("completed")."""
    if condition == "completed":
        return bool(seen) and all(completed(c) for c in seen)
    if condition == "healthy":
        return any(completed(c) or (c.state == "running" and c.health in ("none", "healthy")) for c in seen)
    return any(completed(c) or c.state == "running" for c in seen)


def overlooked(replica: Replica, ignore: Collection[str]) -> Replica:
    """The replica as if it were as recorded, as far as these fields go."""
    if not ignore:
        return replica
    row = replica.recorded
    projection = {key: value for key, value in row.projection.items() if key not in ignore}
    name = replica.seen.name if "name" in ignore else row.name
    return replace(replica, recorded=replace(row, projection=projection, name=name))


def faults(replica: Replica, networks: Mapping[str, str]) -> tuple[Fault, ...]:
    """`networks`: see `Action.networks`."""
    seen, recorded = replica.seen, replica.recorded
    label = f"replica {recorded.number}"
    if seen.state in ("dead", "removing"):
        return (Fault("rebuild", f"{label} is {seen.state}"),)
    if seen.stuck:
        return (Fault("rebuild", f"{label} can't be started any more: {seen.error}"),)
    left = missing(replica, networks)
    stale = set(seen.networks) - set(networks.values())
    if left and stale and seen.state in ("exited", "created"):
        # A stopped container that refers to a network which is gone can never be started again.
        return (Fault("rebuild", f"{label} lost its network"),)
    found: list[Fault] = []
    if seen.state == "paused":
        found.append(Fault("paused", f"{label} was paused"))
    if seen.name != recorded.name:
        found.append(Fault("renamed", f"{label} was renamed to {seen.name}"))
    for key, old in recorded.projection.items():  # what an older lb did not record is not compared
        new = seen.projection.get(key)
        if key in seen.projection and old != new:
            found.append(Fault("resized", f"{label} {key} was changed to {_amount(key, new)}"))
    for namespace in left:
        which = "its network" if namespace == recorded.ref.namespace else f"the network of {namespace}"
        found.append(Fault("disconnected", f"{label} was disconnected from {which}"))
    if seen.state == "created":
        found.append(Fault("stopped", f"{label} was never started"))
    elif seen.state == "exited" and not _ends(recorded.projection.get("restart", seen.restart_policy)):
        found.append(Fault("stopped", f"{label} was stopped (exit {seen.exit_code})"))
    return tuple(found)


def _amount(key: str, value: object) -> str:
    """A value of the projection as a manifest would have it: the engine counts bytes and billionths of a CPU."""
    if not isinstance(value, int) or key == "pids_limit":
        return str(value)
    if not value:
        return "none"
    if key == "cpus":
        return f"{value / 1e9:g}"
    return f"{value} bytes" if value % MIB else f"{value // MIB} MiB"


def missing(replica: Replica, networks: Mapping[str, str]) -> list[str]:
    """Namespaces whose networks the replica is not joined to; its own first."""
    own = replica.recorded.ref.namespace
    found = [namespace for namespace, network in networks.items() if network not in replica.seen.networks]
    return sorted(found, key=lambda namespace: (namespace != own, namespace))


def _ends(policy: str) -> bool:
    return policy == "no" or policy.startswith("on-failure")
