"""`lb validate` and `lb schema`: no engine, no state."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from .. import findings, render
from .. import schema as schemas
from .. import source as sources
from ..errors import worst
from ..model import Desired, Problem
from ..reconcile import problem_codes
from ..render.tables import counted
from .options import Asked, debug_option, output_option, source_options
from .terminal import echo_json, say


@click.command(
    epilog="\b\nExamples:\n  lb validate examples/quickstart\n  lb validate --all-hosts\n  lb validate -o sarif"
)
@source_options
@output_option("text", "json", "github", "sarif")
@click.option("--all-hosts", is_flag=True, help="Check what the source says to each of its hosts.")
@debug_option
def validate(asked: Asked, output: str, all_hosts: bool) -> int:
    """Check the manifests; needs no engine."""
    hosts = sources.hosts(asked.path) if all_hosts else ()
    here = asked.outside.host
    views = [asked.view(host) for host in hosts if host != here]  # what they allow is known there
    if not hosts or here in hosts:
        views.append(asked.read(with_secrets=False))
    problems = _together(views)
    if output == "json":
        echo_json({"problems": [render.problem_json(p) for p in problems]})
    elif output == "github":
        for line in findings.github(problems, _folder(views[0])):
            click.echo(line)
    elif output == "sarif":
        echo_json(findings.sarif(problems, _folder(views[0])))
    else:
        _text(views, problems)
    return worst(problem_codes(problems))


def _together(views: Sequence[Desired]) -> list[Problem]:
    """Each problem once; with the hosts that have it, where not all do."""
    seen: dict[Problem, list[str]] = {}
    for view in views:
        for problem in dict.fromkeys(view.problems):  # one value can have the same problem twice
            seen.setdefault(problem, []).append(view.host)
    found = [
        problem if len(hosts) == len(views) else replace(problem, message=f"{problem.message} (on {', '.join(hosts)})")
        for problem, hosts in seen.items()
    ]
    return sorted(found, key=lambda problem: problem.place)


def _text(views: Sequence[Desired], problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(str(problem))
    count = len({ref for view in views for ref in (*view.namespaces, *view.services)})
    hosts = [view.host for view in views if view.host]
    verb = "is" if count == 1 else "are"
    valid = f"{counted(count, 'object')} {verb} valid" + (f" (on {', '.join(hosts)})" if hosts else "")
    if problems:
        say(f"{counted(len(problems), 'problem')}; {valid}")
    else:
        click.echo(valid)


def _folder(view: Desired) -> str:
    """The source as it is called from the root of the repository: GitHub says which that is, else we stand there."""
    root = Path(view.root)
    for top in (os.environ.get("GITHUB_WORKSPACE", ""), str(Path.cwd())):
        if top and root.is_relative_to(Path(top).resolve()):
            found = root.relative_to(Path(top).resolve()).as_posix()
            return "" if found == "." else found
    return view.root


@click.command(epilog="\b\nExamples:\n  lb schema\n  lb schema plan")
@click.argument("name", default="manifest")
def schema(name: str) -> None:
    """Print a JSON Schema.

    Of a manifest, a source (lb.yaml), a host (host.yaml) or a plan.
    """
    click.echo(json.dumps(schemas.load(name), indent=2, ensure_ascii=False))
