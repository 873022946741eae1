"""Live progress: on a terminal a line an object that changes in place, elsewhere a plain line a phase."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from threading import Lock
from typing import Any

import click

from .. import runtime

_BETWEEN = 5.0  # seconds between two plain lines about one pull


class Progress:
    """Where the threads of an apply report to. `live` is rich's Live, or None for plain lines."""

    def __init__(self, live: Any | None, quiet: bool) -> None:
        self._live, self._quiet, self._lock = live, quiet, Lock()
        self._lines: dict[str, tuple[str, str]] = {}
        self._said: dict[str, float] = {}  # when a plain line was written last
        self._begun = time.monotonic()

    def report(self, at: runtime.Progress) -> None:
        with self._lock:
            name, now = str(at.ref), time.monotonic()
            same = self._lines.get(name, ("", ""))[0] == at.phase == "pulling"
            if self._quiet or (same and now - self._said.get(name, now) < _BETWEEN):
                self._lines[name] = (at.phase, at.detail)
                self._draw()
                return
            self._lines[name] = (at.phase, at.detail)
            if self._live is None:
                detail = f": {at.detail}" if at.detail else ""
                self._said[name] = now
                click.echo(f"{now - self._begun:6.1f}s {name} {at.phase}{detail}", err=True)
            self._draw()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _draw(self) -> None:
        if self._live is None:
            return
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, (phase, detail) in sorted(self._lines.items()):
            table.add_row(name, phase, detail)
        self._live.update(table)


@contextlib.contextmanager
def progress(visible: bool) -> Iterator[Progress]:
    live = None
    if visible and sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        from rich.console import Console
        from rich.live import Live

        live = Live(console=Console(stderr=True), refresh_per_second=8)
    shown = Progress(live, quiet=not visible)
    if live is not None:
        live.start()
    try:
        yield shown
    finally:
        shown.close()
