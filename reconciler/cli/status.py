"""`lb status`: one screen on how things stand, once or as it changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep as pause
from typing import Any

import click

from .. import remote
from ..clock import now
from ..errors import EXIT_UNREACHABLE, EngineError, EngineUnreachable
from ..lock import holder, key
from ..model import EngineInfo, Observed
from ..render import overview as shown
from ..render.overview import Overview
from ..runtime import Runtime
from . import doors
from .options import debug_option, output_option, state_dir, state_option
from .terminal import echo_json

PERIOD = 1.0  # seconds between two looks


@click.command(epilog="\b\nExamples:\n  lb status\n  lb status -o json\n  lb status --watch")
@click.option("--watch", is_flag=True, help="Go on, and show what changes, until Ctrl-C.")
@state_option
@output_option("table", "json")
@debug_option
def status(watch: bool, state: str | None, output: str) -> int:
    """Show how things stand.

    The engine, the state, who changes it, and the services that are not in order.

    Exits 0 also when some are not, and 69 when no engine answers. With --watch a terminal is drawn anew on a change;
    elsewhere each change is a line, with -o json an object a line.
    """
    look = _Look(state_dir(state))
    try:
        if watch:
            _watch(look, output)
        found = look()
        if output == "json":
            echo_json(shown.overview_json(found))
        else:
            click.echo(shown.overview_text(found))
        return 0 if found.engine else EXIT_UNREACHABLE
    finally:
        look.close()


class _Look:
    """One look after the other; an engine that went away is asked for again each time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runtime: Runtime | None = None

    def __call__(self) -> Overview:
        seen = self._observe()
        with doors.remembered(self._directory) as store:
            recorded, bound = store.recorded(), store.engine()
        engine = seen.engine if isinstance(seen, Observed) else None
        if engine is None and bound:
            engine = EngineInfo(bound["id"], bound["root"], bound["endpoint"], "")
        held = holder(key(engine)) if engine else None
        return shown.make(recorded, seen, str(self._directory), held, remote.records(self._directory))

    def close(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
        self._runtime = None

    def _observe(self) -> Observed | EngineUnreachable | EngineError:
        try:
            if self._runtime is None:
                self._runtime = doors.engine(self._directory)
            return self._runtime.observe()
        except (EngineUnreachable, EngineError) as error:
            self.close()
            return error


def _watch(look: Callable[[], Overview], output: str) -> None:
    """Until it is interrupted."""
    if output == "json":
        for found, _ in _changes(look):
            click.echo(json.dumps(shown.overview_json(found), ensure_ascii=False))
    elif sys.stdout.isatty():
        _draw(look)
    else:
        for found, before in _changes(look):
            if before is None:
                click.echo(shown.overview_text(found))
            for line in shown.transitions(before, found) if before else ():
                click.echo(f"{now()[:19]}Z {line}")


def _draw(look: Callable[[], Overview]) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def screen(text: str) -> Any:
        return Text(text, no_wrap=True, overflow="ellipsis")

    with Live(screen("looking"), console=Console(), auto_refresh=False) as live:
        for found, _ in _changes(look):
            live.update(screen(f"{shown.overview_text(found)}\n\nas of {now()[:19]}Z; Ctrl-C ends"), refresh=True)


def _changes(look: Callable[[], Overview]) -> Iterator[tuple[Overview, Overview | None]]:
    """Each overview that differs from the one before it, beside that one."""
    before: Overview | None = None
    while True:
        found = look()
        if found != before:
            yield found, before
            sys.stdout.flush()
        before = found
        pause(PERIOD)
