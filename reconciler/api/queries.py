"""What a request for logs asks for, from its query string. Pure but for the time it is given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..views import LogSource
from .answers import Refusal

KNOWN = ("pod", "container", "follow", "tail", "since", "timestamps")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRUTH = {"": True, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class LogQuery:
    """`since` in seconds since the epoch. Without `pod` and `container` it is every replica."""

    pod: str = ""
    container: str = ""
    follow: bool = False
    tail: int | None = None
    since: float | None = None
    timestamps: bool = False

    @property
    def whole(self) -> bool:
        return not self.pod and not self.container

    def choose(self, sources: Iterable[LogSource]) -> list[LogSource]:
        """Exact names only: half an id is nobody's."""
        return [s for s in sources if self.pod in ("", s.pod) and self.container in ("", s.container)]


def log_query(items: Iterable[tuple[str, str]], now: float) -> LogQuery:
    """Raises Refusal (400)."""
    given: dict[str, str] = {}
    for name, value in items:
        if name not in KNOWN:
            raise _bad(f"{name} is not known here; there are {', '.join(KNOWN)}")
        if name in given:
            raise _bad(f"{name} is given twice")
        given[name] = value
    return LogQuery(
        pod=given.get("pod", ""),
        container=given.get("container", ""),
        follow=_truth(given, "follow"),
        tail=_tail(given.get("tail", "all")),
        since=since(given["since"], now) if given.get("since") else None,
        timestamps=_truth(given, "timestamps"),
    )


def _truth(given: dict[str, str], name: str) -> bool:
    found = _TRUTH.get(given.get(name, "false").lower())
    if found is None:
        raise _bad(f"{name} must be true or false")
    return found


def _tail(text: str) -> int | None:
    if text in ("", "all"):
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise _bad("tail must be a number of lines, or all")
    return int(text)


def since(text: str, now: float) -> float:
    """Seconds since the epoch. Raises Refusal (400)."""
    if text.isascii() and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    if not _DURATION.sub("", text):
        return max(0.0, now - sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text)))
    if "T" in text:
        text = text.replace(" ", "+")  # a plus that was not escaped arrives as a blank
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _bad("since must be a time like 2026-01-02T03:04:05Z, seconds since 1970, or an age like 10m") from None
    return max(0.0, (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def _bad(message: str) -> Refusal:
    return Refusal(400, "BAD_REQUEST", message)
