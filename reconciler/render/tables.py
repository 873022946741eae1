"""Plain aligned columns and short times, the same on a terminal and in a pipe, so that cut and awk work on them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..clock import seconds

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def columns(table: Sequence[Sequence[str]], indent: str = "") -> str:
    """The first row is the head. Nothing is cut off; a cell is one line."""
    rows = [[plain(cell) for cell in row] for row in table]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        (indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))).rstrip() for row in rows
    )


def plain(text: str) -> str:
    """One line that does nothing to a terminal: without escape sequences, breaks and tabs are blanks."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "" for c in _ESCAPES.sub("", text))


def counted(number: int, word: str) -> str:
    """`1 problem`, `2 problems`."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def age(at: str, now: str) -> str:
    """How long ago, in one unit (two below ten of it): `45s`, `3m10s`, `25m`, `2h5m`, `3d`. "-" for a time unknown."""
    if not at:
        return "-"
    passed = max(0, int(seconds(now) - seconds(at)))
    for unit, smaller, letter, less in ((_DAY, _HOUR, "d", "h"), (_HOUR, _MINUTE, "h", "m"), (_MINUTE, 1, "m", "s")):
        if passed >= unit:
            whole, rest = divmod(passed, unit)
            more = f"{rest // smaller}{less}" if whole < 10 and rest >= smaller else ""
            return f"{whole}{letter}{more}"
    return f"{passed}s"
