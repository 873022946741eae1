"""Waiting for a condition: the one place where tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], seconds: float = 20.0) -> T:
    """The first true value of `check`; fails with its last value when the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s; the last value was {value!r}"
        time.sleep(0.02)
