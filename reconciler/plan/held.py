"""A service that nothing is made anew for: the revision that is wanted failed and is not tried again until something
changes, or its manifest can't be read. Pure.

Its good replicas are kept alive all the same, as far as that needs no spec: the good one's resolved values are
remembered nowhere, so what is gone for good, or was given other limits, waits for its author.
"""

from __future__ import annotations

from dataclasses import replace

from .. import drift, rollout
from ..model import Action, Cause, RecordedService, Replica, Revision


def failed(base: Action, known: RecordedService, revision: Revision) -> Action:
    """`base` has all live replicas; what comes out has them where there is something to be done."""
    return _held(base, known, f"revision {revision.number} failed: {revision.cause}")


def unreadable(known: RecordedService, replicas: tuple[Replica, ...], network: str) -> Action | None:
    """None when there is nothing to be done."""
    base = Action(
        "held", known.ref, "drift", recorded=known, replicas=replicas, networks={known.ref.namespace: network}
    )
    action = _held(base, known, "its manifest can't be read")
    return None if action.idle else action


def _held(base: Action, known: RecordedService, why: str) -> Action:
    good = known.current.base if known.current else ""
    action = replace(base, verb="held", base=good)
    to_do = rollout.steps(action) if base.network else rollout.Rollout()
    texts = [why]
    for replica in base.replicas:
        if replica.recorded.base == good:
            texts += [fault.text for fault in drift.faults(replica, {base.ref.namespace: base.network})]
    numbers = {r.recorded.number for r in base.replicas}
    wanted = known.current.replicas if known.current else 0
    texts += [f"replica {n} was removed" for n in range(1, wanted + 1) if n not in numbers]
    texts += [f"replica {step.number} was left over" for step in to_do.finish if step.verb == "remove"]
    replicas = base.replicas if to_do.batches or to_do.finish else ()
    return replace(action, causes=tuple(map(Cause, texts)), replicas=replicas)
