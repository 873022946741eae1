"""`lb doctor`: finds out the facts of this host, its engine and the state; `reconciler.doctor` judges them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from .. import doctor as judged
from .. import marker, remote
from ..clock import now
from ..errors import EXIT_FAILED, EngineError, EngineUnreachable, LbError, StateError
from ..lock import Holder, holder, key
from ..model import EngineInfo, Observed, Recorded
from ..render import doctor as shown
from ..store.backup import Contents, examine
from ..store.connection import FILE
from . import doors
from .options import debug_option, output_option, state_dir, state_option
from .terminal import echo_json

INOTIFY = Path("/proc/sys/fs/inotify")


@click.command(epilog="\b\nExamples:\n  lb doctor\n  lb doctor -o json")
@state_option
@output_option("text", "json")
@debug_option
def doctor(state: str | None, output: str) -> int:
    """Check the host, the engine and the state.

    Also the rights to the engine, the lock, limits, and what was left over; each with the way out. Changes nothing.
    Exits 1 when a check fails; warnings alone are 0.
    """
    found = judged.checks(_facts(state_dir(state)))
    if output == "json":
        echo_json(shown.checks_json(found))
    else:
        click.echo(shown.checks_text(found))
    return EXIT_FAILED if any(check.result == "fail" for check in found) else 0


def _facts(directory: Path) -> judged.Facts:
    contents = _contents(directory)
    look, marked, refusal = _engine(directory, contents)
    bound = contents.engine if isinstance(contents, Contents) else None
    endpoint = look.engine.endpoint if isinstance(look, Observed) else doors.endpoint()
    return judged.Facts(
        now=now(),
        endpoint=endpoint,
        socket=_socket(endpoint),
        look=look,
        folder=_folder(directory),
        contents=contents,
        recorded=_recorded(directory, contents),
        holder=_holder(look.engine if isinstance(look, Observed) else bound),
        marked=marked,
        refusal=refusal,
        watches=_number(INOTIFY / "max_user_watches"),
        instances=_number(INOTIFY / "max_user_instances"),
        remotes=remote.records(directory),
    )


def _contents(directory: Path) -> Contents | StateError | None:
    try:
        (directory / FILE).stat()
        return examine(directory / FILE)
    except FileNotFoundError:
        return None
    except StateError as error:
        return error
    except OSError as error:
        return StateError(f"{directory} can't be read: {error.strerror}", hint="run as its owner")


def _recorded(directory: Path, contents: Contents | StateError | None) -> Recorded | None:
    """None also where reading would bring an older state up to date: nothing is changed here."""
    if isinstance(contents, StateError) or (contents and contents.outdated):
        return None
    with doors.remembered(directory) as store:
        return store.recorded()


def _engine(directory: Path, contents: Contents | StateError | None) -> tuple[Observed | LbError, bool, LbError | None]:
    """One look, whether any state claims the engine, and why ours may not change it."""
    try:
        runtime = doors.engine(directory)
    except LbError as error:  # also a configuration of the docker client that can't be read
        return error, False, None
    try:
        look, marked = runtime.observe(), runtime.marker() is not None
        if isinstance(contents, StateError) or (contents and contents.outdated):
            return look, marked, None
        with doors.remembered(directory) as store:
            try:
                marker.check(runtime, store, adopt=False)
            except LbError as error:
                return look, marked, error
        return look, marked, None
    except (EngineUnreachable, EngineError) as error:
        return error, False, None
    finally:
        runtime.close()


def _socket(endpoint: str) -> Literal["ok", "missing", "forbidden", "remote"]:
    if not endpoint.startswith("unix://"):
        return "remote"
    path = Path(endpoint.removeprefix("unix://"))
    try:
        if not path.exists():
            return "missing"
    except PermissionError:
        return "forbidden"
    return "ok" if os.access(path, os.R_OK | os.W_OK) else "forbidden"


def _folder(directory: Path) -> judged.Folder:
    nearest = next(path for path in (directory, *directory.parents) if _there(path))
    try:
        files = [f for f in directory.glob(f"{FILE}*") if f.stat().st_mode & 0o077] if nearest == directory else []
    except OSError:
        files = []
    room = os.statvfs(nearest)
    return judged.Folder(
        path=str(directory),
        exists=nearest == directory,
        writable=nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK),
        open_files=tuple(sorted(file.name for file in files)),
        free=room.f_bavail * room.f_frsize,
        inodes=room.f_favail if room.f_files else 1,  # some file systems count none
    )


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _holder(engine: EngineInfo | None) -> Holder | StateError | None:
    try:
        return holder(key(engine)) if engine else None
    except StateError as error:
        return error


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
