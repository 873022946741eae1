"""What must be confirmed by a person before it happens. Pure: a destructive choice is data, the CLI asks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Action, Desired, Guard, Problem, Recorded, Ref


@dataclass(frozen=True, slots=True)
class Removals:
    """Those to come, and those that are under way: they count against the budget, and can't be held back any more."""

    to_come: Sequence[Action]
    begun: Sequence[Action] = ()


def for_removals(
    desired: Desired, recorded: Recorded, removals: Removals, problems: Sequence[Problem], confirm: str
) -> list[Guard]:
    """The guards over all removals of this plan; each names the removals it holds back."""
    gone = removals.to_come
    if not gone:
        return []
    refs = tuple(action.ref for action in gone)
    found: list[Guard] = []
    incomplete = bool(problems) or not desired.complete
    if incomplete:
        message = f"removals wait until every manifest can be read: {_names(gone)}"
        found.append(Guard("incomplete", message, refs))
    found += _after_restore(recorded.restored_at.get(desired.source, ""), gone, confirm)
    found += _protected(gone, down=desired.down)
    services = [a for a in gone if a.ref.name and not (a.recorded and a.recorded.remnant)]
    begun = sum(1 for action in removals.begun if action.ref.name)
    lately = recorded.removed_lately.get(desired.source, 0) + begun
    owned = sum(1 for s in recorded.services.values() if s.source == desired.source and not s.remnant)
    before = max(recorded.held_services.get(desired.source, 0), owned)
    budget = desired.budget.allows(before)
    all_of_them = owned >= 2 and len(services) + begun == owned
    # A list that may be another one as soon as all can be read is not there to be confirmed.
    if not incomplete and services and (all_of_them or len(services) + lately > budget):
        key = confirmation(gone)
        if confirm != key:
            what = f"all {owned} services" if all_of_them else f"{len(services)} of {owned} services"
            also = f", {lately} more in the last ten minutes" if lately else ""
            message = (
                f"{what} of this source would be removed{also} (budget {budget}): {_names(services)}. "
                f"If that is meant, confirm exactly this list with --confirm-deletes {key}"
            )
            found.append(Guard("mass-delete", message, refs, key))
    return found


def _after_restore(restored: str, gone: Sequence[Action], confirm: str) -> list[Guard]:
    """An older state may remember what has long gone elsewhere: a person looks before anything is removed by it."""
    key = confirmation(gone)
    if not restored or confirm == key:
        return []
    message = (
        f"the state was restored from a backup at {restored[:19]}Z, so removals wait: {_names(gone)}. "
        f"If they are meant, confirm exactly this list with --confirm-deletes {key}"
    )
    return [Guard("restored", message, tuple(action.ref for action in gone), key)]


def _protected(gone: Sequence[Action], *, down: bool) -> list[Guard]:
    """What `meta.protect` keeps; the namespace around a protected service stays with it. A source that is taken down
    as a whole stays as a whole: half of it is what nobody asked for."""
    kept = [a.ref for a in gone if (a.recorded and a.recorded.protect) or _protected_namespace(a)]
    if not kept:
        return []
    around = [Ref(ref.namespace) for ref in kept if Ref(ref.namespace) in {a.ref for a in gone}]
    names = ", ".join(map(str, kept))
    if down:
        verb = "is" if len(kept) == 1 else "are"
        message = (
            f"{names} {verb} protected (meta.protect), so nothing of the source is taken down: "
            f"first apply it with protect: false"
        )
        return [Guard("protected", message, tuple(action.ref for action in gone))]
    message = (
        f"{names} would be removed, which meta.protect refuses: put the manifest back, "
        f"or first apply it with protect: false"
    )
    return [Guard("protected", message, tuple(dict.fromkeys([*kept, *around])))]


def _protected_namespace(action: Action) -> bool:
    return bool(action.recorded_namespace and action.recorded_namespace.protect)


def confirmation(gone: Sequence[Action]) -> str:
    """A hash bound to exactly these objects and the containers that they have now."""
    lines = sorted(f"{a.ref} {' '.join(sorted(r.seen.id for r in a.replicas))}" for a in gone)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _names(actions: Sequence[Action]) -> str:
    names = [str(action.ref) for action in actions]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
