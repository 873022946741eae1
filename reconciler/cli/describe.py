"""`lb describe`: everything about one object, for people."""

from __future__ import annotations

import click

from ..clock import now
from ..errors import EngineUnreachable, UsageError
from ..model import Ref
from ..render import describe as shown
from . import doors, names
from .names import KINDS, namespace_option, require
from .options import debug_option, service_ref, state_dir, state_option
from .terminal import say

ENTRIES = 10  # of its activity


@click.command(
    epilog="\b\nExamples:\n  lb describe demo/redis\n  lb describe redis -n demo\n  lb describe namespace demo"
)
@click.argument("kind", metavar="[service|namespace]", required=False, shell_complete=names.kinds_or_services)
@click.argument("name", metavar="NAME", required=False, shell_complete=names.objects)
@namespace_option
@state_option
@debug_option
def describe(kind: str | None, name: str | None, namespace: str | None, state: str | None) -> int:
    """Show everything about one service or namespace.

    Where it is written, its state and why, its revisions and replicas, the last failure with its log lines, recent
    activity.

    A service is NAMESPACE/SERVICE. Values are shown as they were written. When no engine answers it shows what is
    recorded, and exits 69.
    """
    ref = _ref(kind, name, namespace)
    look = doors.glance(state_dir(state))
    observed = None if isinstance(look, EngineUnreachable) else look
    with doors.remembered(state_dir(state)) as store:
        recorded = store.recorded()
        require(recorded, ref.namespace, ref.name or None)
        entries = store.activity(ref.namespace, ref.name or None, ENTRIES)
        revisions = store.revisions(ref)
    sight = shown.Sight(recorded, observed, entries, now())
    if ref.name:
        click.echo(shown.service_text(recorded.services[ref], revisions, sight))
    else:
        click.echo(shown.namespace_text(recorded.namespaces[ref.namespace], sight))
    if isinstance(look, EngineUnreachable):
        say(f"{look.message}: {look.hint}")
        return look.exit_code
    return 0


def _ref(kind: str | None, name: str | None, namespace: str | None) -> Ref:
    """`describe [service] NS/SVC`, `describe [service] SVC -n NS`, `describe namespace NS`."""
    if name is None and kind is not None and kind not in KINDS:
        kind, name = "service", kind
    if name is None or kind not in KINDS:
        raise UsageError("name what to describe: NAMESPACE/SERVICE, or namespace NAMESPACE")
    return Ref(name) if KINDS[kind] == "namespace" else service_ref(name, namespace)
