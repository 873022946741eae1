"""What files held when they were last looked at, so that unchanged ones are not read again.

In: a file's stat signature. Out: the hash of its content, or "" where it must be read. A file that changed less than
two seconds before a cycle began is unsure: it may change once more without another signature, so it is read again. It
never reads, and never takes a file for unchanged because of its name or its size alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

# The coarsest clock of a file system that we know of is FAT's.
UNSURE = 2_000_000_000  # nanoseconds


class _Note(NamedTuple):
    signature: tuple[int, ...]
    sha: str
    sure: bool


class Seen:
    """One memory a source. `clock` gives seconds since the epoch, as the file system's own clock counts them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._began = 0
        self._notes: dict[str, _Note] = {}
        self._touched: set[str] = set()

    @contextlib.contextmanager
    def cycle(self) -> Iterator[None]:
        """Around one reading of everything. Files that it did not ask for are forgotten, unless it failed."""
        self._began = int(self._clock() * 1_000_000_000)  # before any file is looked at: what is written later is newer
        self._touched.clear()
        yield
        self._notes = {file: note for file, note in self._notes.items() if file in self._touched}

    def unchanged(self, file: str, status: os.stat_result) -> str:
        """The SHA-256 of its content; "" when it must be read."""
        note = self._notes.get(file)
        if not note or not note.sure or note.signature != signature(status):
            return ""
        self._touched.add(file)
        return note.sha

    def keep(self, file: str, status: os.stat_result, content: bytes) -> str:
        """The SHA-256 of content that was read after `status` was taken."""
        sure = max(status.st_mtime_ns, status.st_ctime_ns) + UNSURE <= self._began
        self._notes[file] = _Note(signature(status), hashlib.sha256(content).hexdigest(), sure)
        self._touched.add(file)
        return self._notes[file].sha


def signature(status: os.stat_result) -> tuple[int, ...]:
    """Another one when it has changed; also its mode or owner, by the time of that change."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
