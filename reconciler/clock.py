"""The wall clock, in the one form that is recorded and shown: RFC 3339, UTC, nanoseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], str]


def now() -> str:
    return rfc3339(time.time_ns())


def rfc3339(ns: int) -> str:
    """Nanoseconds since the epoch → 2026-01-02T03:04:05.123456789Z."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def seconds(at: str) -> float:
    """2026-01-02T03:04:05.123456789Z, or with an offset as engines write it → seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()
