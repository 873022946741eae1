"""Gives a live container what can be given without replacing it: limits and the restart policy.

Goes in: the service's spec. Comes out: the container as the engine shows it then, which is what it is compared with
from now on.
"""

from __future__ import annotations

from ..model import Container, Spec
from . import body
from .calls import Calls


def resize(calls: Calls, container: str, spec: Spec) -> Container:
    """Raises UpdateRefused, NotFound and EngineError."""
    calls.update(container, body.resources(spec))
    seen = calls.inspect(container)
    if _differs(seen, spec):
        # An update that was given up on, or a person's, came right after ours. Were it taken for what lb did, nobody
        # would see it any more.
        calls.update(container, body.resources(spec))
        seen = calls.inspect(container)
    return seen


def _differs(seen: Container, spec: Spec) -> bool:
    """What the spec leaves out stays as it was."""
    wanted = {
        "memory": spec.memory,
        "mem_reservation": spec.limits.mem_reservation,
        "cpus": spec.cpus,
        "pids_limit": spec.limits.pids_limit and max(0, spec.limits.pids_limit),  # -1 is none, which is shown as 0
        "restart": spec.restart,
    }
    return any(value is not None and seen.projection.get(key) != value for key, value in wanted.items())
