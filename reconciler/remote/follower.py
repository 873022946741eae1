"""A remote is asked again and again, beside everything else: at the start, every interval, and when somebody says so.

In: `fetch`, which makes one try. Out: `tell` is given what came of each, and decides what is news. After a failure the
next try comes sooner than usual, then later and later; never is there more than one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Event

from ..errors import LbError
from . import Record

SOON, LATEST = 5.0, 300.0  # seconds, of backing off


class Follower:
    """`interval` is asked after each try, so that it may change. What goes over the network is ended by `ending`."""

    def __init__(
        self,
        fetch: Callable[[], Record],
        interval: Callable[[], float],
        tell: Callable[[Record | LbError], None],
        ending: Event,
    ) -> None:
        self._fetch, self._interval, self._tell, self._ending = fetch, interval, tell, ending
        self._asked, self._tried = Event(), Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self) -> None:
        """Tries now; from any thread."""
        self._asked.set()

    def first(self, stop: Event) -> None:
        """Returns when the first try is over, or `stop` is set."""
        while not stop.is_set() and not self._tried.wait(0.1):
            pass

    def stop(self) -> None:
        self._ending.set()
        self._asked.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._asked.clear()
            try:
                came: Record | LbError = self._fetch()
                self._failures = 0
            except LbError as error:
                came = error
                self._failures += 1
            if not self._ending.is_set():
                self._tell(came)
            self._tried.set()
            self._asked.wait(pause(self._interval(), self._failures))


def pause(interval: float, failures: int) -> float:
    """Seconds until the next try, after so many failures in a row."""
    if not failures:
        return interval
    return min(min(interval, SOON) * 2.0 ** min(failures - 1, 20), LATEST)
