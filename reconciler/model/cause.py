"""Why something is done, or was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .desired import Place

RESTART = "restart was asked for"
Rule = Literal["record", "scale", "in-place", "replace"]


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for an action. `old` and `new` are shown as written; `at` is where the new value stands; `rule` is
    what a change of the field asks for, "" where it is no change of a field."""

    field: str
    old: str = ""
    new: str = ""
    at: Place | None = None
    rule: Rule | Literal[""] = ""

    def __str__(self) -> str:
        if self.old and self.new:
            return f"{self.field} {self.old} → {self.new}"
        if self.new:
            return f"{self.field} {self.new}"
        return f"{self.field} {self.old} → unset" if self.old else self.field
