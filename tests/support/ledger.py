"""What came of every fault at every step, counted, as a table for docs/."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_HEAD = """# The fault matrix

Written by `make chaos`. A row is a kind of point in an apply, a fault that was made to happen there, what came of it,
and how often that was tried.

After the fault come cycles without faults. Then an oracle reads the engine and the file of the state raw: what is
wanted runs, once, as it is written; nothing leaked; no intent is open but those that an engine may still carry out;
what the change did not mention kept its ids and start times; copies that carry every label of ours are as they were.
A combination that ends otherwise, or whose point is not reached, fails the run.
"""


def settled_after(cycles: int) -> str:
    return "as wanted" if cycles == 0 else f"as wanted after {cycles} more cycle{'s' if cycles > 1 else ''}"


@dataclass
class Ledger:
    rows: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)

    def count(self, place: str, step: str, fault: str, outcome: str) -> None:
        self.rows[place, step, fault, outcome] += 1

    def markdown(self) -> str:
        parts = [_HEAD]
        for place in sorted({row[0] for row in self.rows}):
            mine = {row: n for row, n in self.rows.items() if row[0] == place}
            parts.append(f"## {place}: {sum(mine.values())} combinations\n")
            parts.append("| step | fault | outcome | count |\n|---|---|---|---|")
            parts += [
                f"| {step} | {fault} | {outcome} | {n} |" for (_, step, fault, outcome), n in sorted(mine.items())
            ]
            parts.append("")
        return "\n".join(parts)
