"""`lb state`: a copy of the state, and the way back from one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ..errors import EngineUnreachable, RefusedError, StateError
from ..lock import Lock, key
from ..model import EngineInfo
from ..render.tables import counted
from ..store.backup import Contents, backup, examine, restore
from ..store.connection import FILE
from . import doors
from .applying import yes_option
from .options import debug_option, state_dir, state_option
from .terminal import confirm, say


@click.group()
def state() -> None:
    """Back up the state, or restore a backup of it."""


@state.command("backup", epilog="\b\nExamples:\n  lb state backup lb-state.db\n  lb state backup --force lb-state.db")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite the file.")
@state_option
@debug_option
def back_up(file: Path, force: bool, state: str | None) -> None:
    """Write a copy of the state to FILE.

    It is consistent also while an apply is under way.

    The copy is readable by its owner only. Asks no engine.
    """
    backup(state_dir(state), file, force=force)
    say(f"the state in {state_dir(state)} was copied to {file}")


@state.command("restore", epilog="\b\nExamples:\n  lb state restore backup.db --yes")
@click.argument("file", type=click.Path(path_type=Path))
@state_option
@yes_option
@debug_option
def put_back(file: Path, state: str | None, yes: bool) -> None:
    """Put a backup in the place of the state, which is kept beside it.

    Refused are damaged files, those of a newer lb, and those of another engine than the state's. Afterwards look at
    `lb plan`: what was done since the backup is not in it, and removals wait until they are confirmed.
    """
    directory = state_dir(state)
    there, found = _there(directory), examine(file)
    if there and there.engine and found.engine and there.engine.id != found.engine.id:
        raise RefusedError(
            f"{file} is the state of another engine ({found.engine.endpoint}) than the one in {directory} "
            f"({there.engine.endpoint})",
            hint="name another folder with --state",
        )
    with _locked(directory, (there and there.engine) or found.engine):
        if not yes:
            confirm(f"Replace the state in {directory} by the backup of {found.backed_up[:19]}Z?")
        kept = restore(file, directory)
    say(f"the state in {directory} is the backup of {found.backed_up[:19]}Z ({counted(found.services, 'service')})")
    if kept:
        say(f"the former one is kept as {kept}")
    say("what was done since is not in it: look at `lb plan` before you apply")


def _there(directory: Path) -> Contents | None:
    """What the state says of itself; None when there is none, or one that can't be read."""
    with contextlib.suppress(StateError):
        return examine(directory / FILE)
    return None


@contextlib.contextmanager
def _locked(directory: Path, engine: EngineInfo | None) -> Iterator[None]:
    """The lock of the engine that the state is of; where none was ever bound, of the one that answers, if any."""
    engine = engine or _answering(directory)
    if engine is None:
        say("no engine is known and none answers: make sure that no other lb uses this state")
        yield
        return
    with Lock.acquire(key(engine), " ".join(["lb", *sys.argv[1:]])):
        yield


def _answering(directory: Path) -> EngineInfo | None:
    try:
        with contextlib.closing(doors.engine(directory)) as runtime:
            return runtime.info()
    except EngineUnreachable:
        return None
