"""`lb init`: a first source in a folder, and a first host.yaml where one is asked for. Overwrites nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from .. import schema, starter
from ..errors import RefusedError, StateError, UsageError
from ..source import SETTINGS
from .options import debug_option
from .terminal import say


@click.command(
    epilog="\b\nExamples:\n  lb init shop\n  lb init infra --name shop\n  lb init shop --host-config host.yaml"
)
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--name", help="The source's name; the folder's when left out.")
@click.option("--host-config", "host", metavar="FILE", type=click.Path(path_type=Path),
              help="Write a host.yaml, with comments, to this file too.")  # fmt: skip
@click.option(
    "--profile", type=click.Choice(starter.PROFILES), help="What that host.yaml allows: nothing, or paths below /srv."
)
@debug_option
def init(folder: Path, name: str | None, host: Path | None, profile: str | None) -> None:
    """Write a first source.

    That is lb.yaml, a namespace, a service, and settings for the editor."""
    top = folder.absolute()
    if profile and host is None:
        raise UsageError("--profile is of a host.yaml", hint="add --host-config FILE, which says where it is written")
    name = name or starter.name_of(top.resolve().name)
    if starter.name_of(name) != name:
        raise UsageError(f"--name {name}: write small letters, digits and dashes, like {starter.name_of(name)}")
    files = starter.files(name, {key: schema.load(key) for key in ("manifest", "source")})
    _refuse(top, files, host)
    habits = {file: text for file, text in starter.habits().items() if not (top / file).exists()}
    _write(top, files | habits)
    for file in sorted(files | habits):
        click.echo(f"+ {folder / file}")
    if host:
        _write(host.absolute().parent, {host.name: starter.host_yaml(profile or "default")})
        click.echo(f"+ {host}")
    for file in starter.habits().keys() - habits:
        say(f"{folder / file} is there already and stays as it is")
    there = shlex.quote(str(folder))
    click.echo(f"next: lb plan {there}, then lb apply {there}")


def _refuse(top: Path, files: Mapping[str, str], host: Path | None) -> None:
    wanted = [top / file for file in sorted(files)] + ([host] if host else [])
    there = [file for file in wanted if file.exists()]
    if there:
        raise RefusedError(f"{there[0]} is there already; nothing is written", hint="choose another folder")
    if host and host.absolute().resolve().is_relative_to(top.resolve()):
        raise UsageError(f"{host} would lie in the source; nothing is written", hint="choose a file outside of it")
    around = next((parent for parent in top.resolve().parents if (parent / SETTINGS).is_file()), None)
    if around:
        message = f"{top} lies in the source {around}, which would read these files too; nothing is written"
        raise UsageError(message, hint="choose a folder outside of it")


def _write(top: Path, files: Mapping[str, str]) -> None:
    try:
        for file, text in files.items():
            (top / file).parent.mkdir(parents=True, exist_ok=True)
            with (top / file).open("x", encoding="utf-8") as handle:
                handle.write(text)
    except OSError as error:
        raise StateError(f"{error.filename or top} can't be written: {error.strerror}") from error
