"""Checks of the doctor, for people and for programs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..doctor import Check
from .tables import plain


def checks_text(checks: Sequence[Check]) -> str:
    """A line a check, and the way out under what is wrong."""
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    for check in checks:
        lines.append(f"{check.result:4}  {check.name:{width}}  {plain(check.message)}")
        if check.hint:
            lines.append(f"{'':{width + 6}}  → {plain(check.hint)}")
    return "\n".join([*lines, "", ", ".join(f"{count} {result}" for result, count in _counts(checks).items() if count)])


def checks_json(checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "checks": [
            {"name": c.name, "result": c.result, "message": c.message, "hint": c.hint} for c in checks
        ],
        "summary": _counts(checks),
    }  # fmt: skip


def _counts(checks: Sequence[Check]) -> dict[str, int]:
    counts = Counter(check.result for check in checks)
    return {"ok": counts["ok"], "warn": counts["warn"], "fail": counts["fail"]}
