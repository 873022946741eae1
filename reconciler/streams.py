"""Log streams of several replicas as one, in the order in which their pieces come.

A thread a stream reads it into one bounded buffer; when that is full the thread waits, so a slow reader holds the
engine back and fills no memory. `close` ends every stream, and with it its thread and its connection. A replica
that is removed while it is read just ends; any other error is kept for the reader, after what was read before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from typing import NamedTuple, Protocol

from .errors import EngineError, EngineUnreachable, LbError, NotFound
from .runtime import LOG_LINES, LogStream

BUFFER = 262_144  # bytes
LONGEST = 65_536  # bytes of a line; a longer one is cut, so that it can't fill memory


SHORTEST = 4  # characters of a value that is hidden; shorter ones stand in half of all words


class Piece(NamedTuple):
    """`name` is the replica's, `source` is stdout or stderr."""

    name: str
    source: str
    data: bytes


Cut = Callable[[Iterable[tuple[str, bytes]]], Iterator[tuple[str, bytes]]]


def without(hidden: Iterable[str], said: Iterable[str]) -> tuple[str, ...]:
    """The lines that were said, with `***` wherever one of these values stands; of a value with several lines, each."""
    found = {line.strip() for value in hidden for line in value.splitlines()}
    values = sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, values)) or "(?!)")
    return tuple(pattern.sub("***", line) for line in said)


def chunks(stream: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """As they come."""
    yield from stream


def lines(stream: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Whole lines, each with its newline, the last one too."""
    rest: dict[str, bytes] = {}
    for source, data in stream:
        *whole, left = (rest.get(source, b"") + data).split(b"\n")
        if len(left) > LONGEST:
            whole, left = [*whole, left], b""
        rest[source] = left
        yield from ((source, line + b"\n") for line in whole)
    yield from ((source, left + b"\n") for source, left in rest.items() if left)


class Readable(Protocol):
    """What has the logs of containers: a runtime, or the calls to an engine."""

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream: ...


def last_lines(readable: Readable, container: str) -> tuple[str, ...]:
    """Those that are kept of a replica that failed; where they can't be read, why. Raises EngineUnreachable."""
    try:
        stream = readable.logs(container, follow=False, tail=LOG_LINES, since=None, timestamps=False)
        text = b"".join(data for _, data in stream).decode("utf-8", "replace")
    except EngineUnreachable:
        raise
    except EngineError as error:  # some logging drivers keep nothing to read
        return (f"(no log lines: {error.message})",)
    return tuple(text.splitlines()[-LOG_LINES:])


class Merged:
    """`wake` is called, from any thread, whenever there is something to take; `cut` says in which pieces."""

    def __init__(self, cut: Cut, wake: Callable[[], None] = lambda: None, limit: int = BUFFER) -> None:
        self._cut, self._wake, self._limit = cut, wake, limit
        self._changed = Condition()
        self._pieces: list[Piece] = []
        self._size = 0
        self._open: set[LogStream] = set()
        self._error: LbError | None = None
        self._closed = False

    def attach(self, name: str, stream: LogStream, ended: Callable[[], None] = lambda: None) -> None:
        """Reads this stream too; `ended` is called when it is over."""
        with self._changed:
            refused = self._closed
            if not refused:
                self._open.add(stream)
        if refused:
            stream.close()
            return
        Thread(target=self._read, args=(name, stream, ended), name=f"logs of {name}", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether every stream has ended and all of it was taken."""
        with self._changed:
            return not self._open and not self._pieces

    def take(self) -> list[Piece]:
        """What came since the last time. Raises the error that ended a stream, when nothing is left before it."""
        with self._changed:
            taken, self._pieces, self._size = self._pieces, [], 0
            self._changed.notify_all()
            if not taken and self._error:
                raise self._error
            return taken

    def wait(self) -> bool:
        """Until there is something to take; False when nothing more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._error or not self._open)
            return bool(self._pieces or self._error)

    def close(self) -> None:
        with self._changed:
            self._closed, self._wake = True, lambda: None
            streams = list(self._open)
            self._changed.notify_all()
        for stream in streams:
            stream.close()

    def _read(self, name: str, stream: LogStream, ended: Callable[[], None]) -> None:
        try:
            for source, data in self._cut(stream):
                if not self._put(Piece(name, source, data)):
                    return
        except NotFound:
            return
        except LbError as error:
            with self._changed:
                self._error = self._error or error
        finally:
            stream.close()
            ended()
            with self._changed:
                self._open.discard(stream)
                self._changed.notify_all()
                self._wake()

    def _put(self, piece: Piece) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._size < self._limit or self._closed)
            if self._closed:
                return False
            self._pieces.append(piece)
            self._size += len(piece.data)
            self._changed.notify_all()
            self._wake()
            return True
