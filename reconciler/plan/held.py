"""A service whose wanted revision failed, and is not tried again until something changes. Pure.

Its good replicas are kept alive all the same, as far as that needs no spec: the good one's resolved values are
remembered nowhere, so what is gone for good, or was given other limits, waits for its author.
"""

from __future__ import annotations

from dataclasses import replace

from .. import drift, rollout
from ..model import Action, Cause, RecordedService, Revision


def decide(base: Action, known: RecordedService, failed: Revision) -> Action:
    """`base` has all live replicas; what comes out has them where there is something to be done."""
    good = known.current.base if known.current else ""
    action = replace(base, verb="held", base=good)
    to_do = rollout.steps(action) if base.network else rollout.Rollout()
    texts = [f"revision {failed.number} failed: {failed.cause}"]
    for replica in base.replicas:
        if replica.recorded.base == good:
            texts += [fault.text for fault in drift.faults(replica, {base.ref.namespace: base.network})]
    numbers = {r.recorded.number for r in base.replicas}
    wanted = known.current.replicas if known.current else 0
    texts += [f"replica {n} was removed" for n in range(1, wanted + 1) if n not in numbers]
    texts += [f"replica {step.number} was left over" for step in to_do.finish if step.verb == "remove"]
    replicas = base.replicas if to_do.batches or to_do.finish else ()
    return replace(action, causes=tuple(map(Cause, texts)), replicas=replicas)
