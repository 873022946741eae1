"""What is not as it was recorded with the replicas of a service, whoever did that. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .. import drift
from ..model import Action, Cause, RecordedService


@dataclass(frozen=True, slots=True)
class Found:
    """`left` are containers of ours that should be gone, `changed` is what somebody did to the others."""

    left: tuple[Cause, ...] = ()
    changed: tuple[Cause, ...] = ()

    @property
    def causes(self) -> tuple[Cause, ...]:
        return self.left + self.changed


def found(action: Action, known: RecordedService) -> Found:
    """`action` has all live replicas, and the generation that they should have."""
    had = known.current.replicas if known.current else 0
    wanted = action.service.spec.replicas if action.service else had
    left: list[Cause] = []
    changed: list[Cause] = []
    numbers: set[int] = set()
    for replica in action.replicas:
        number = replica.recorded.number
        if replica.recorded.base != action.base:
            left.append(Cause(f"replica {number} is left over from another revision"))
        elif number <= wanted:
            if number in numbers:
                left.append(Cause(f"replica {number} exists twice"))
            else:
                changed += [Cause(fault.text) for fault in drift.faults(replica, action.networks)]
            numbers.add(number)
        elif known.current and number > had:
            left.append(Cause(f"replica {number} is one too many"))
    changed += [Cause(f"replica {n} was removed") for n in range(1, min(had, wanted) + 1) if n not in numbers]
    return Found(tuple(left), tuple(changed))
