"""What was tried in vain, or again and again, and how long the same is to wait. Pure; times are seconds of any clock.

Another spec, image or fault is another thing and does not wait. A failure waits 1 s, 2 s, 4 s ... 5 minutes; the same
repair, once it was made three times in ten minutes, 1 minute, 2, 4 ... 10: somebody is undoing it (`DriftFight`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .model import Action, Outcome, Ref

REPAIRS = 3  # of one kind are made before they wait
WINDOW = 600.0
_LONGEST_FAILURE, _LONGEST_FIGHT = 300.0, 600.0
_DEFERRED = 30.0
Key = tuple[Ref, str]


@dataclass(frozen=True, slots=True)
class Past:
    """Of one thing that was tried: failures in a row, when it was a repair that went well, and until when it waits."""

    failures: int = 0
    repairs: tuple[float, ...] = ()
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Backoff:
    pasts: Mapping[Key, Past] = field(default_factory=dict)

    def waits(self, action: Action, now: float) -> bool:
        past = self.pasts.get(_key(action))
        return past is not None and now < past.until

    def fights(self, action: Action, now: float) -> bool:
        """Whether it waits because the same repair was made too often."""
        past = self.pasts.get(_key(action))
        return past is not None and now < past.until and len(past.repairs) >= REPAIRS

    def next(self, now: float) -> float | None:
        """When something that waits may be tried again."""
        return min((past.until for past in self.pasts.values() if past.until > now), default=None)

    def after(self, action: Action, outcome: Outcome, now: float) -> Backoff:
        """With what came of the action."""
        key = _key(action)
        past = self.pasts.get(key, Past())
        repairs = tuple(at for at in past.repairs if now - at < WINDOW)
        kept = {k: p for k, p in self.pasts.items() if k != key and now - max(p.until, *p.repairs, 0.0) < WINDOW}
        match outcome.result:
            case "failed" | "blocked" if not outcome.condemns:
                wait = min(_LONGEST_FAILURE, 2.0**past.failures)
                kept[key] = replace(past, failures=past.failures + 1, until=now + wait, repairs=repairs)
            case "deferred":
                kept[key] = Past(until=now + _DEFERRED)
            case "done" | "held" if _repairs(action):
                repairs = (*repairs, now)
                fight = 60.0 * 2.0 ** (len(repairs) - REPAIRS)
                until = now + min(_LONGEST_FIGHT, fight) if len(repairs) >= REPAIRS else 0.0
                kept[key] = Past(repairs=repairs, until=until)
        return Backoff(kept)


def _repairs(action: Action) -> bool:
    return action.verb == "heal" or (action.verb == "held" and not action.idle)


def _key(action: Action) -> Key:
    if _repairs(action):
        return action.ref, "; ".join(cause.field for cause in action.causes)
    return action.ref, f"{action.verb} {action.fingerprint} {action.image_id}"
