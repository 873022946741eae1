"""`lb history`: the revisions of a service. Asks no engine."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..clock import now
from ..errors import LbError
from ..model import Revision
from ..render import history as shown
from ..render.tables import columns
from . import doors, names
from .names import namespace_option, require
from .options import debug_option, output_option, service_ref, state_dir, state_option
from .terminal import echo_json


@click.command(
    epilog="\b\nExamples:\n  lb history demo/redis\n  lb history demo/redis --revision 0 -o yaml\n"
    "  lb history redis -n demo -o json"
)
@click.argument("service", metavar="NAMESPACE/SERVICE", shell_complete=names.services)
@namespace_option
@click.option("--revision", type=click.IntRange(min=0), metavar="N", help="Only this revision.")
@state_option
@output_option("table", "json", "yaml")
@debug_option
def history(service: str, namespace: str | None, revision: int | None, state: str | None, output: str) -> None:
    """Show all revisions of a service and what each one changed.

    With -o yaml it prints their manifests as they were written; apply one to go back to it.
    """
    ref = service_ref(service, namespace)
    with doors.remembered(state_dir(state)) as store:
        require(store.recorded(), *ref)
        found = shown.with_changes(store.revisions(ref))
    if revision is not None:
        found = [entry for entry in found if entry.revision.number == revision]
        if not found:
            raise LbError(f"{ref} has no revision {revision}", hint=f"`lb history {ref}` lists them")
    if output == "json":
        values = [shown.history_json(entry) for entry in found]
        echo_json(values if revision is None else values[0])
    elif output == "yaml":
        click.echo(_yaml([entry.revision for entry in found]), nl=False)
    else:
        click.echo(columns(shown.history_table(found, now())))


def _yaml(revisions: Sequence[Revision]) -> str:
    from ..manifests import write

    if len(revisions) == 1:
        return write([shown.revision_manifest(revisions[0])])
    return "".join(
        f"--- # revision {r.number}, {r.status}, {r.created}\n" + write([shown.revision_manifest(r)]) for r in revisions
    )
