"""Names of objects on the command line, and their completion by the shell.

A completion reads the state, asks no engine, and says nothing when it can't.
"""

from __future__ import annotations

import click

from ..errors import LbError
from ..model import Recorded, Ref
from .options import state_dir

KINDS = {"namespace": "namespace", "namespaces": "namespace", "ns": "namespace",
         "service": "service", "services": "service", "svc": "service"}  # fmt: skip


def require(recorded: Recorded, namespace: str, service: str | None = None, hint: str = "") -> None:
    """Raises LbError, with the name that the API gives it, where there is no such object."""
    if service is None and namespace not in recorded.namespaces:
        raise LbError(f"NAMESPACE_NOT_FOUND: there is no namespace {namespace}")
    if service is not None and Ref(namespace, service) not in recorded.services:
        raise LbError(f"SERVICE_NOT_FOUND: there is no service {namespace}/{service}", hint=hint)


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _recorded(ctx).namespaces if name.startswith(incomplete)]


def services(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """NAMESPACE/SERVICE; the bare name behind `-n NAMESPACE`."""
    inside = ctx.params.get("namespace")
    found = [ref.name if inside else str(ref) for ref in _recorded(ctx).services if inside in (None, ref.namespace)]
    return [name for name in found if name.startswith(incomplete)]


def objects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Namespaces and services; where a kind was named before (`get service`), only those."""
    kind = KINDS.get(str(ctx.params.get("kind")))
    spaces = [] if kind == "service" or ctx.params.get("namespace") else namespaces(ctx, param, incomplete)
    return spaces if kind == "namespace" else [*spaces, *services(ctx, param, incomplete)]


def kinds_or_services(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    words = [word for word in ("namespace", "service") if word.startswith(incomplete)]
    return [*words, *services(ctx, param, incomplete)]


def volumes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    recorded = _recorded(ctx)
    return [name for name in [*sorted(recorded.volumes), *sorted(recorded.unnamed)] if name.startswith(incomplete)]


namespace_option = click.option(
    "-n", "--namespace", metavar="NAMESPACE", shell_complete=namespaces, help="The namespace."
)


def _recorded(ctx: click.Context) -> Recorded:
    from ..store import Store

    try:
        store = Store.open(state_dir(ctx.params.get("state")), create=False)
    except LbError:
        return Recorded()
    try:
        return store.recorded()
    except LbError:
        return Recorded()
    finally:
        store.close()
