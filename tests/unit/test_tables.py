"""Columns and ages."""

from __future__ import annotations

import pytest

from reconciler.render.tables import age, columns


def test_columns_are_aligned_and_end_without_blanks() -> None:
    table = [["NAME", "WHY"], ["a", ""], ["longer", "two\nlines"]]
    assert columns(table) == "NAME    WHY\na\nlonger  two lines"
    assert columns(table[:2], indent="  ") == "  NAME  WHY\n  a"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-01-09T12:00:00Z", "0s"),
        ("2026-01-09T12:00:07Z", "0s"),  # an engine whose clock is ahead
        ("2026-01-09T11:59:15.5Z", "44s"),
        ("2026-01-09T11:59:00Z", "1m"),
        ("2026-01-09T11:56:50Z", "3m10s"),
        ("2026-01-09T11:35:01Z", "24m"),
        ("2026-01-09T09:55:00Z", "2h5m"),
        ("2026-01-09T13:55:00+04:00", "2h5m"),
        ("2026-01-07T11:00:00.123456789Z", "2d"),
        ("2026-01-07T10:00:00Z", "2d2h"),
        ("2025-11-30T12:00:00Z", "40d"),
        ("", "-"),
    ],
)
def test_an_age_in_one_unit_or_two(at: str, said: str) -> None:
    assert age(at, "2026-01-09T12:00:00Z") == said
