"""`lb restart` and `lb retry`: one service made anew though its manifest says nothing new.

What is asked for is written into the state first and stands until it is through, so a kill half-way loses nothing:
the next apply, or the daemon, carries on. Then it is an apply of that service alone; beside a daemon, the daemon's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from .. import handover, reconcile, render
from .. import plan as plans
from ..apply import Tools
from ..clock import now
from ..errors import EXIT_FAILED, EXIT_OK, LbError, RefusedError, worst
from ..model import Desired, Plan, Recorded, RecordedService, Ref
from ..runtime import Runtime
from ..store import Store
from . import doors, names
from .applying import BESIDE_A_DAEMON, carry_out, remote_option, timeout_option
from .names import namespace_option, require
from .options import (
    Asked,
    Outside,
    debug_option,
    located,
    output_option,
    outside_options,
    service_ref,
    state_dir,
    state_option,
)
from .progress import progress
from .terminal import echo_json, say


@dataclass(frozen=True, slots=True)
class Order:
    """`write` records what is asked for; `granted` is what is recorded of the service then. `refusal` says why that
    makes no sense, "" when it does: of what is recorded, and of the revision that is held ("" when none is)."""

    write: Callable[[Store, Ref], None]
    granted: Callable[[RecordedService], RecordedService]
    refusal: Callable[[RecordedService, str], str]


@dataclass(frozen=True)
class Call:
    """The command line."""

    ref: Ref
    asked: Asked
    state: Path
    output: str
    timeout: float | None
    remote: bool

    @functools.cached_property
    def desired(self) -> Desired:
        return self.asked.read()

    @property
    def only(self) -> Desired:
        return replace(self.desired, selected=frozenset({self.ref}))


def service_options(command: Callable[..., int]) -> Callable[..., int]:
    """The command is given them as a `Call`, and its own options besides."""

    @outside_options
    @functools.wraps(command)
    def called(
        service: str, namespace: str | None, source: str, outside: Outside, state: str | None, output: str,
        timeout: float | None, remote_engine: bool, **own: Any,
    ) -> int:  # fmt: skip
        ref = service_ref(service, namespace)
        asked = Asked(located(source, state), (), None, outside)
        return command(Call(ref, asked, state_dir(state), output, timeout, remote_engine), **own)

    options: Sequence[Callable[[Any], Any]] = (
        click.argument("service", metavar="NAMESPACE/SERVICE", shell_complete=names.services),
        namespace_option,
        click.option("--source", default=".", type=click.Path(), metavar="PATH",
                     help="The source that the service is of; the current folder by default."),
        state_option,
        output_option("text", "json"),
        timeout_option,
        remote_option,
        debug_option,
    )  # fmt: skip
    decorated: Callable[..., int] = called
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@click.command(
    epilog="\b\nExamples:\n  lb restart demo/redis\n  lb restart web -n demo\n"
    "  lb restart demo/redis --source examples/quickstart\n  lb restart demo/redis --cancel"
)
@click.option("--cancel", is_flag=True, help="Call off a restart that failed or was cut off.")
@service_options
def restart(call: Call, cancel: bool) -> int:
    """Replace all replicas of a service.

    They are replaced though the manifest did not change, and as by any change: in the order of its `update`, each
    through the health gate, and taken back when one fails. They keep the image that runs, unless pull_policy is
    always. What was cut off is carried on by the next apply or the daemon, until it is called off.
    """
    if cancel:
        return _call_off(call)

    def refusal(known: RecordedService, held: str) -> str:
        if held:
            return f"{held}: mend the cause, then `lb retry {known.ref}`"
        return "" if known.current else f"{known.ref} has not run yet: there is nothing to restart; use `lb apply`"

    return _carry_out(
        call, Order(Store.order_restart, lambda known: replace(known, restart=now(), pending=None), refusal)
    )


@click.command(
    epilog="\b\nExamples:\n  lb retry demo/redis\n  lb retry web -n demo\n"
    "  lb retry demo/web --source examples/quickstart"
)
@service_options
def retry(call: Call) -> int:
    """Try a revision again that failed and is held.

    For a cause outside of the manifest that is mended now: a service that it needs, data, a disk that was full. A
    change of the manifest is tried without this.
    """

    def refusal(known: RecordedService, held: str) -> str:
        if held:
            return ""
        hint = "its manifest has changed since it failed, so `lb apply` tries it" if known.failed else "nothing failed"
        return f"{known.ref} is not held: {hint}"

    return _carry_out(call, Order(Store.order_retry, _again, refusal))


def _call_off(call: Call) -> int:
    """Asks no engine; what a failed try left over is removed as any leftover is."""
    with doors.remembered(call.state) as store:
        require(store.recorded(), *call.ref)
    with closing(Store.open(call.state)) as store:
        if not store.call_off_restart(call.ref):
            raise LbError(f"{call.ref} is not to be restarted: there is nothing to call off")
    say(f"the restart of {call.ref} is called off; the next apply removes what it left over")
    return EXIT_OK


def _again(known: RecordedService) -> RecordedService:
    """As `Store.order_retry` leaves it."""
    failed, current = known.failed, known.current
    restarts = failed and current and failed.base == failed.id and failed.fingerprint == current.fingerprint
    return replace(known, failed=None, restart=now() if restarts else known.restart)


def _carry_out(call: Call, order: Order) -> int:
    patience = 0.0
    if handover.listens(call.state):
        try:
            return _hand_over(call, order)
        except handover.AnotherSource as error:
            say(f"{error.message}; waiting until nothing of it is under way")
            patience = call.timeout or BESIDE_A_DAEMON
    with (
        doors.changing(call.state, adopt=False, remote=call.remote, patience=patience) as (store, runtime, lock),
        doors.stopping(call.timeout) as cancel,
        progress(call.output == "text") as reporter,
    ):
        if unasked := reconcile.refresh(call.only, runtime, reporter.report, cancel):
            for text in unasked:
                say(text)
            return EXIT_FAILED  # what runs is as good as any that could be made now
        _allow(call, order, store, runtime)
        order.write(store, call.ref)
        tools = Tools(runtime, store, lock.check, reporter.report, cancel)
        return carry_out(call.only, plans.Answers(), tools, call.output, reporter)


def _hand_over(call: Call, order: Order) -> int:
    """Lets the daemon do it. Raises handover.AnotherSource when that is none of its business."""
    request = handover.Request(call.desired.source, call.desired.root, handover.meaning(call.desired))
    with progress(call.output == "text") as reporter:
        handover.check(call.state, request)
        with doors.reading(call.state) as (store, runtime):
            _allow(call, order, store, runtime)
        with closing(Store.open(call.state)) as store:
            order.write(store, call.ref)
        reply = handover.offer(call.state, request, reporter.report)
        with doors.remembered(call.state) as store:
            known = store.recorded().services.get(call.ref)
    mine = [o for o in reply.value["outcomes"] if o["object"] == str(call.ref)]
    if call.output == "json":
        echo_json(reply.value)
    else:
        for line in reply.held_back:
            say(line)
        click.echo(reply.text if mine else "the daemon has taken it on already; see `lb activity`")
    undone = known is not None and (known.restart or known.failed)
    failed = any(o["result"] != "done" for o in mine)  # what else the daemon holds back is not what was asked for
    return worst([reply.code if failed else EXIT_OK, EXIT_FAILED if undone else EXIT_OK])


def _allow(call: Call, order: Order, store: Store, runtime: Runtime) -> None:
    """Shows what will be done. Raises LbError where it can't be, before anything is written."""
    ref, sight = call.ref, reconcile.look(store, runtime)
    require(sight.recorded, *ref)
    known = sight.recorded.services[ref]
    if known.source != call.desired.source:
        raise RefusedError(
            f"{ref} is not of the source {call.desired.source}: it belongs to {known.source} ({known.place.file})",
            hint="name its folder with --source PATH",
        )
    held = plans.make(call.only, sight.recorded, sight.observed)
    refusal = order.refusal(known, _held(held, ref))
    if refusal:
        raise LbError(refusal)
    wanted = _with(sight.recorded, order.granted(known))
    decided = reconcile.in_force(call.only, wanted, plans.make(call.only, wanted, sight.observed))
    _check(call, decided)
    if call.output == "text":
        click.echo(render.plan_text(replace(decided, problems=(), guards=())))


def _check(call: Call, decided: Plan) -> None:
    """Raises RefusedError where the plan does not let the service be made anew."""
    ref = call.ref
    if any(action.ref == ref for action in plans.allowed(decided).actions):
        return
    problems = [p for p in decided.problems if p.ref == ref] or [p for p in decided.problems if p.ref is None]
    guards = [guard.message for guard in decided.guards if {ref, Ref(ref.namespace)}.intersection(guard.refs)]
    why = [*map(str, problems), *guards, "the source does not say any more what it is"][0]
    error = RefusedError(f"{ref} can't be made anew: {why}", hint="nothing is changed; `lb plan` says more")
    if problems:
        error.exit_code = worst(reconcile.problem_codes(problems))
    raise error


def _held(decided: Plan, ref: Ref) -> str:
    """Why the service is held, "" when it is not."""
    return next(("; ".join(map(str, a.causes)) for a in decided.actions if a.ref == ref and a.verb == "held"), "")


def _with(recorded: Recorded, service: RecordedService) -> Recorded:
    return replace(recorded, services={**recorded.services, service.ref: service})
