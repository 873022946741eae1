"""`lb get` and `lb logs`: what is recorded and what runs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from .. import render, status, views
from ..clock import now, seconds
from ..errors import EXIT_FAILED, NotFound, UsageError
from ..model import Container, Observed, Recorded, RecordedNamespace, RecordedService
from ..render.tables import columns
from ..runtime import LogStream
from ..status import Status
from ..streams import Merged, lines
from . import doors, names
from .names import KINDS, namespace_option, require
from .options import debug_option, host_name, name_option, output_option, service_ref, state_dir, state_option
from .terminal import say


@click.command(
    epilog="\b\nExamples:\n  lb get services\n  lb get service demo/redis -o yaml\n  lb get namespaces -o wide"
)
@click.argument("kind", type=click.Choice(list(KINDS)), metavar="namespaces|services")
@click.argument("name", required=False, shell_complete=names.objects)
@namespace_option
@state_option
@name_option
@output_option("table", "wide", "json", "yaml", "name")
@debug_option
def get(kind: str, name: str | None, namespace: str | None, state: str | None, host: str | None, output: str) -> None:
    """List namespaces or services, or show one."""
    if output in ("table", "wide") and host_name(host):
        say(f"host {host_name(host)}")
    with doors.reading(state_dir(state)) as (store, runtime):
        recorded, observed = store.recorded(), runtime.observe()
    if KINDS[kind] == "namespace":
        _namespaces(recorded, observed, name, output)
    else:
        _services(recorded, observed, name, namespace, output)


def _namespaces(recorded: Recorded, observed: Observed, name: str | None, output: str) -> None:
    if name is not None:
        require(recorded, name)
    found = [ns for ns in recorded.namespaces.values() if name in (None, ns.ref.namespace)]

    states = status.each(recorded, observed)

    def statuses(namespace: RecordedNamespace) -> list[Status]:
        return [state for ref, state in states.items() if ref.namespace == namespace.ref.namespace]

    _print(
        output,
        one=name is not None,
        table=lambda wide: render.namespaces_table([(ns, statuses(ns)) for ns in found], wide),
        values=[views.namespace_json(ns) for ns in found],
        written=[render.namespace_manifest(ns) for ns in found],
        names=[f"namespace/{ns.ref}" for ns in found],
    )


def _services(recorded: Recorded, observed: Observed, name: str | None, namespace: str | None, output: str) -> None:
    found: list[RecordedService] = list(recorded.services.values())
    if name is not None:
        ref = service_ref(name, namespace)
        require(recorded, *ref)
        found = [recorded.services[ref]]
    elif namespace is not None:
        require(recorded, namespace)
        found = [service for service in found if service.ref.namespace == namespace]
    states = status.each(recorded, observed)
    rows = [(service, states[service.ref]) for service in found]
    _print(
        output,
        one=name is not None,
        table=lambda wide: render.services_table(rows, wide),
        values=[views.service_json(service, state, observed.at) for service, state in rows],
        written=[render.manifest(service) for service in found],
        names=[f"service/{service.ref}" for service in found],
    )


def _print(output: str, *, one: bool, table: Any, values: list[Any], written: list[Any], names: list[str]) -> None:
    if output == "json":
        click.echo(json.dumps(values[0] if one else values, indent=2, ensure_ascii=False))
    elif output == "yaml":
        from ..manifests import write

        click.echo(write(written), nl=False)
    elif output == "name":
        click.echo("\n".join(names))
    else:
        click.echo(columns(table(output == "wide")))


@click.command(epilog="\b\nExamples:\n  lb logs demo/redis\n  lb logs web -n demo -f --tail 20")
@click.argument("service", shell_complete=names.services)
@namespace_option
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each replica.")
@click.option("--since", metavar="TIME", help="Only lines since a time (RFC 3339), or an age like 10m.")
@click.option("-t", "--timestamps", is_flag=True, help="The engine's time before each line.")
@state_option
@debug_option
def logs(
    service: str,
    namespace: str | None,
    follow: bool,
    tail: int | None,
    since: str | None,
    timestamps: bool,
    state: str | None,
) -> int:
    """Print the logs of all replicas of a service."""
    ref, begin = service_ref(service, namespace), _since(since) if since else None
    with doors.reading(state_dir(state)) as (store, runtime):
        recorded = store.recorded()
        require(recorded, *ref)
        containers = status.of(recorded.services[ref], runtime.observe()).containers
        wanted = partial(runtime.logs, follow=follow, tail=tail, since=begin, timestamps=timestamps)
        _print_logs(wanted, containers)
    return 0 if containers else EXIT_FAILED


def _since(text: str) -> float:
    """As the HTTP API reads it."""
    from ..api.answers import Refusal
    from ..api.queries import since

    try:
        return since(text, seconds(now()))
    except Refusal as refusal:
        raise UsageError(f"--{refusal.message}") from None


def _print_logs(wanted: Callable[[str], LogStream], containers: Sequence[Container]) -> None:
    """Lines of all replicas as they come, each behind its replica's name where there are several."""
    merged = Merged(lines)
    try:
        for container in containers:
            with contextlib.suppress(NotFound):  # removed since we looked
                merged.attach(container.name, wanted(container.id))
        while merged.wait():
            for name, source, data in merged.take():
                text = data.decode("utf-8", "replace").removesuffix("\n")
                click.echo(f"{name} | {text}" if len(containers) > 1 else text, err=source == "stderr")
    finally:
        merged.close()
    sys.stdout.flush()
