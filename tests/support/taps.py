"""Log streams in memory: tests write into them, and see who reads them still."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from typing import Any

from reconciler.errors import LbError, NotFound
from reconciler.runtime import LogStream


class Tap(LogStream):
    """Gives what is written to it until it ends, fails or is closed."""

    def __init__(self, *lines: str) -> None:
        self._queue: Queue[tuple[str, bytes] | LbError | None] = Queue()
        self.closed = False
        for line in lines:
            self.write(line)

    def write(self, line: str, source: str = "stdout") -> None:
        self._queue.put((source, line.encode()))

    def end(self, error: LbError | None = None) -> None:
        self._queue.put(error)

    def close(self) -> None:
        self.closed = True
        self._queue.put(None)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, LbError):
                raise item
            yield item


class Flood(LogStream):
    """Never ends, and is as fast as its reader."""

    def __init__(self) -> None:
        self.closed = False
        self.given = 0

    def close(self) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        while not self.closed:
            self.given += 65536
            yield "stdout", b"x" * 65535 + b"\n"


class Engine:
    """`logs` of a runtime. `taps` are by container, each for one reading in turn; `asked` is what readers asked for."""

    def __init__(self, **taps: LogStream | LbError | list[LogStream | LbError]) -> None:
        self.taps = {name: list(found) if isinstance(found, list) else [found] for name, found in taps.items()}
        self.asked: list[dict[str, Any]] = []
        self.given: list[Any] = []

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream:
        self.asked.append(
            {"container": container, "follow": follow, "tail": tail, "since": since, "timestamps": timestamps}
        )
        waiting = self.taps.get(container)
        found = waiting.pop(0) if waiting else NotFound(f"no such container: {container}")
        if isinstance(found, LbError):
            raise found
        self.given.append(found)
        return found

    @property
    def open(self) -> int:
        return sum(1 for stream in self.given if not stream.closed)
