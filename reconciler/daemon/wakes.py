"""What wakes the daemon. A wake carries no facts: whoever is woken looks for itself."""

from __future__ import annotations

import heapq
import time
from threading import Condition

_NEAR = 0.03  # seconds; two alarms that are closer are one


class Wakes:
    """`kick` and `at` may be called from any thread, `wait` from one."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._kicked = False
        self._alarms: list[float] = []

    def kick(self) -> None:
        with self._condition:
            self._kicked = True
            self._condition.notify()

    def after(self, *seconds: float) -> None:
        """Wakes so many seconds from now, too."""
        now = time.monotonic()
        with self._condition:
            for wait in seconds:
                if all(abs(at - now - wait) > _NEAR for at in self._alarms):
                    heapq.heappush(self._alarms, now + wait)
            self._condition.notify()

    def wait(self, longest: float) -> None:
        """Returns at a kick, at an alarm, or after `longest` seconds; what was due is done with then."""
        end = time.monotonic() + longest
        with self._condition:
            while not self._kicked:
                now = time.monotonic()
                due = min(end, self._alarms[0]) if self._alarms else end
                if due <= now:
                    break
                self._condition.wait(due - now)
            self._kicked = False
            now = time.monotonic()
            while self._alarms and self._alarms[0] <= now:
                heapq.heappop(self._alarms)
