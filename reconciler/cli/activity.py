"""`lb activity`: what happened. Asks no engine."""

from __future__ import annotations

import click

from .. import views
from ..clock import now
from ..render import activity as shown
from ..render.tables import columns
from . import doors, names
from .names import namespace_option, require
from .options import debug_option, output_option, scope, state_dir, state_option
from .terminal import echo_json


@click.command(epilog="\b\nExamples:\n  lb activity\n  lb activity demo/redis --limit 5\n  lb activity -n demo -o json")
@click.argument("target", metavar="[NAMESPACE[/SERVICE]]", required=False, shell_complete=names.objects)
@namespace_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N entries.")
@state_option
@output_option("table", "json")
@debug_option
def activity(target: str | None, namespace: str | None, limit: int | None, state: str | None, output: str) -> None:
    """Show what was done, why, and what came of it.

    The table ends with the newest entry, JSON begins with it. What was removed keeps its activity.
    """
    space, service = scope(target, namespace)
    with doors.remembered(state_dir(state)) as store:
        entries = store.activity(space, service, limit)
        if not entries and space is not None:
            require(store.recorded(), space, service)
    if output == "json":
        echo_json([views.activity_json(entry) for entry in entries])
    else:
        click.echo(columns(shown.activity_table(entries, now())))
