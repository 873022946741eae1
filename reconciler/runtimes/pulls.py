"""Pulls under way: all who want an image share one, and each may stop waiting for it.

A pull has a thread of its own: an engine that waits for a silent registry can't be interrupted, only left. When nobody
waits any more, the pull is ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TypeVar

from ..errors import EngineError, InterruptedByUser, LbError
from .calls import PullStream

T = TypeVar("T")
Wanted = tuple[str, str]  # image, and platform ("" is the engine's own)
_LOOK = 0.05  # seconds between two looks whether to stop waiting


@dataclass(slots=True, eq=False)
class _Pull:
    stream: PullStream
    waiting: list[Callable[[str], None]] = field(default_factory=list)
    said: str = ""
    error: LbError | None = field(default_factory=lambda: EngineError("the pull ended without saying what came of it"))
    ended: Event = field(default_factory=Event)


class Pulls:
    """`open` begins a pull of an image for a platform."""

    def __init__(self, open: Callable[[str, str], PullStream]) -> None:
        self._open, self._lock = open, Lock()
        self._running: dict[Wanted, _Pull] = {}

    def want(self, wanted: Wanted, report: Callable[[str], None], cancel: Event) -> None:
        """Returns once the image is pulled; `report` is called from other threads. Raises what the pull raised, and
        InterruptedByUser."""
        with self._lock:
            pull = self._running.get(wanted)
            if pull is None:
                pull = self._running[wanted] = _Pull(self._open(*wanted))
                Thread(target=self._run, args=(wanted, pull), daemon=True, name="pull").start()
            pull.waiting.append(report)
            said = pull.said
        if said:
            report(said)
        try:
            until(pull.ended, cancel, f"image {wanted[0]} is pulled")
        finally:
            with self._lock:
                pull.waiting.remove(report)
                left = not pull.waiting and not pull.ended.is_set()
                if left:
                    self._forget(wanted, pull)
            if left:
                pull.stream.close()
        if pull.error:
            raise type(pull.error)(pull.error.message, hint=pull.error.hint)  # one a thread: raising writes into it

    def _run(self, wanted: Wanted, pull: _Pull) -> None:
        try:
            for said in pull.stream:
                with self._lock:
                    pull.said, waiting = said, list(pull.waiting)
                for report in waiting:
                    report(said)
            pull.error = None
        except LbError as error:
            pull.error = error
        finally:
            with self._lock:
                self._forget(wanted, pull)
            pull.ended.set()

    def _forget(self, wanted: Wanted, pull: _Pull) -> None:
        if self._running.get(wanted) is pull:
            del self._running[wanted]


def asked(call: Callable[[], T], cancel: Event, what: str) -> T:
    """What the call returns or raises; InterruptedByUser when `cancel` comes first, and then nobody hears of it."""
    answer: list[T] = []
    error: LbError = EngineError("the call ended without an answer")
    given = Event()

    def run() -> None:
        nonlocal error
        try:
            answer.append(call())
        except LbError as raised:
            error = raised
        finally:
            given.set()

    Thread(target=run, daemon=True, name="ask").start()
    until(given, cancel, what)
    if not answer:
        raise error
    return answer[0]


def until(happened: Event, cancel: Event, what: str) -> None:
    """Raises InterruptedByUser."""
    while not happened.wait(_LOOK):
        if cancel.is_set():
            raise InterruptedByUser(f"while {what}; the next apply carries on")
