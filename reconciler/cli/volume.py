"""`lb volume`: the volumes, which outlive their services, and the one way to remove them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .. import marker, volumes
from ..clock import now
from ..errors import EngineError, worst
from ..render import volumes as shown
from ..render.tables import columns
from . import doors, names
from .applying import remote_option, yes_option
from .names import namespace_option
from .options import debug_option, output_option, state_dir, state_option
from .terminal import confirm, echo_json, say


@click.group()
def volume() -> None:
    """List the volumes, or remove those that you name."""


@volume.command(epilog="\b\nExamples:\n  lb volume ls\n  lb volume ls -n demo -o json")
@namespace_option
@state_option
@output_option("table", "json")
@debug_option
def ls(namespace: str | None, state: str | None, output: str) -> None:
    """List the volumes that lb made.

    With the containers that mount them. Those of removed services and namespaces too; and those without a name, which
    the engine makes for each container whose image has a volume that the manifest does not name.
    """
    with doors.reading(state_dir(state)) as (store, runtime):
        live = {volume.name for volume in runtime.observe().volumes}
        mounted = runtime.mounted()
        recorded = store.recorded()
        found: list[volumes.Ours] = [recorded.volumes[name] for name in sorted(recorded.volumes)]
        unnamed = [volume for volume in recorded.unnamed.values() if volume.name in live]
        unnamed.sort(key=lambda volume: (volume.ref, volume.target, volume.created))
        found += unnamed
        rows = [shown.Held(known, mounted.get(known.name, ()), known.name in live) for known in found]
        rows = [row for row in rows if namespace in (None, row.namespace)]
    if output == "json":
        echo_json([shown.volume_json(row) for row in rows])
    else:
        click.echo(columns(shown.volumes_table(rows, now())))


@volume.command(epilog="\b\nExamples:\n  lb volume rm lb.old.data --yes\n  lb volume rm old/data old/cache --yes")
@click.argument("given", metavar="VOLUME...", nargs=-1, required=True, shell_complete=names.volumes)
@state_option
@yes_option
@remote_option
@debug_option
def rm(given: Sequence[str], state: str | None, yes: bool, remote_engine: bool) -> int:
    """Remove volumes with their data, for good.

    A volume is named as in `lb volume ls`, or as NAMESPACE/VOLUME. Refused are volumes that any container mounts, and
    those that lb did not make. Nothing is removed unless all of them may be.
    """
    wanted = [volumes.engine_name(name) for name in given]
    codes: list[int] = []
    with doors.changing(state_dir(state), adopt=False, remote=remote_engine) as (store, runtime, lock):
        found = volumes.check(wanted, store.recorded(), runtime)
        if not yes:
            confirm(f"Remove {', '.join(v.name for v in found)} with all data?")
            found = volumes.check(wanted, store.recorded(), runtime)  # again: the answer may have taken a while
        for each in found:
            try:
                volumes.remove(each, store, runtime, lock.check)
                click.echo(f"removed {each.name}")
            except EngineError as error:
                say(f"{each.name} stays: {error.message}")
                codes.append(error.exit_code)
        marker.release(runtime, store)
    return worst(codes)
