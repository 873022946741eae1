"""`lb init`: a first source in a folder. Overwrites nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from .. import schema, starter
from ..errors import StateError, UsageError
from ..source import SETTINGS
from .options import debug_option, say


@click.command(epilog="\b\nExamples:\n  lb init shop\n  lb init infra --name shop")
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--name", help="The source's name; the folder's when left out.")
@debug_option
def init(folder: Path, name: str | None) -> None:
    """Write a first source: lb.yaml, a namespace, a service, and settings for the editor."""
    top = folder.absolute()
    name = name or starter.name_of(top.resolve().name)
    if starter.name_of(name) != name:
        raise UsageError(f"--name {name}: write small letters, digits and dashes, like {starter.name_of(name)}")
    files = starter.files(name, {key: schema.load(key) for key in ("manifest", "source")})
    _refuse(top, files)
    habits = {file: text for file, text in starter.habits().items() if not (top / file).exists()}
    _write(top, files | habits)
    for file in sorted(files | habits):
        click.echo(f"+ {folder / file}")
    for file in starter.habits().keys() - habits:
        say(f"{folder / file} is there already and stays as it is")
    click.echo(f"next: lb plan {folder}, then lb apply {folder}")


def _refuse(top: Path, files: Mapping[str, str]) -> None:
    there = [file for file in sorted(files) if (top / file).exists()]
    if there:
        raise UsageError(f"{top / there[0]} is there already; nothing is written", hint="choose another folder")
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
