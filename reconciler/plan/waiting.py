"""What waits for a service that is held back, and is held back with it. Pure.

Only what makes replicas waits, and only while the condition does not hold: where the last good revision of what is
depended on serves, its dependents go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import drift
from ..model import Action, Dependency, Desired, Guard, Observed, Recorded, Ref
from ..model.desired import POLICY_DENIED


@dataclass(frozen=True, slots=True)
class Known:
    """`desired` has the services that may be acted on; `mentioned` there names those that can't be, too."""

    desired: Desired
    recorded: Recorded
    observed: Observed


def guards(actions: Sequence[Action], known: Known, found: Sequence[Guard]) -> list[Guard]:
    """`actions` come dependencies first, each with its needs; `found` is what is held back for its own sake."""
    why = _held_back(known.desired, found)
    waiting: list[Guard] = []
    for action in actions:
        need = next((d for d in action.needs if _reason(why, d.ref) and not _serves(d, known)), None)
        if need is None or action.ref in why:
            continue
        text = f"waits for {need.ref}, {_reason(why, need.ref)}"
        why[action.ref] = f"which {text}"
        waiting.append(Guard("dependency", f"{action.ref} {text}", (action.ref,)))
    return waiting


def _held_back(desired: Desired, found: Sequence[Guard]) -> dict[Ref, str]:
    """Why nothing is done for it, by object."""
    why = {ref: "which is held back" for guard in found for ref in guard.refs}
    denied = {problem.ref for problem in desired.problems if problem.code == POLICY_DENIED}
    for ref in desired.mentioned:
        if ref.name and ref not in desired.services:
            why[ref] = "which policy refuses" if ref in denied else "whose manifest has a problem"
    return why


def _reason(why: Mapping[Ref, str], ref: Ref) -> str:
    """A service is held back with its namespace."""
    return why.get(ref, "") or why.get(Ref(ref.namespace), "")


def _serves(need: Dependency, known: Known) -> bool:
    """Whether what runs of it, its last good revision, is as the condition asks."""
    service = known.recorded.services.get(need.ref)
    if service is None or service.current is None:
        return False
    good = {row.id for row in service.containers if row.base == service.current.base}
    return drift.meets(need.condition, [c for c in known.observed.containers if c.id in good])
