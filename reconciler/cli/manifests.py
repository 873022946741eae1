"""`lb validate` and `lb schema`: no engine, no state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from .. import render
from .. import schema as schemas
from ..errors import worst
from ..reconcile import problem_codes
from .options import debug_option, echo_json, output_option, read_source, say, source_options


@click.command(epilog="\b\nExamples:\n  lb validate examples/quickstart\n  lb validate -o json .")
@source_options
@output_option("text", "json")
@debug_option
def validate(path: Path, files: Sequence[str], settings: Sequence[str], output: str) -> int:
    """Check the manifests; needs no engine."""
    desired = read_source(path, files, settings, with_secrets=False)
    if output == "json":
        echo_json({"problems": [render.problem_json(p) for p in desired.problems]})
    else:
        for problem in desired.problems:
            click.echo(str(problem))
        count = len(desired.namespaces) + len(desired.services)
        if not desired.problems:
            click.echo(f"{count} objects are valid")
        else:
            say(f"{len(desired.problems)} problems; {count} objects are valid")
    return worst(problem_codes(desired.problems))


@click.command(epilog="\b\nExamples:\n  lb schema\n  lb schema plan")
@click.argument("name", default="manifest")
def schema(name: str) -> None:
    """Print a JSON Schema: manifest, source (lb.yaml), host (host.yaml) or plan."""
    click.echo(json.dumps(schemas.load(name), indent=2, ensure_ascii=False))
