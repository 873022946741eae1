"""`lb plan`, `lb apply` and `lb down`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from .. import handover, marker, reconcile, render
from .. import plan as plans
from .. import source as sources
from ..apply import Tools
from ..errors import EXIT_CHANGES, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, InterruptedByUser, RefusedError, worst
from ..model import Desired, Plan
from . import doors
from .options import Asked, debug_option, located, output_option, source_options, state_dir, state_option
from .progress import Progress, progress
from .terminal import confirm, echo_json, interactive, say

BESIDE_A_DAEMON = 60.0  # seconds that an apply of another source waits for a daemon's actions to end

yes_option = click.option("--yes", is_flag=True, help="Answer the ordinary questions with yes.")
timeout_option = click.option("--timeout", type=float, metavar="SECONDS", help="Stop after this time.")
take_over_option = click.option(
    "--take-over", is_flag=True, help="Though another checkout of this source, or a newer commit, was applied last."
)
remote_option = click.option("--remote-engine", is_flag=True, help="Change an engine that is not on this host.")


@click.command(epilog="\b\nExamples:\n  lb plan\n  lb plan -o json examples/quickstart\n  lb plan --detailed-exitcode")
@source_options
@state_option
@output_option("text", "json")
@click.option("--adopt", is_flag=True, help="Plan the adoption of what a lost state had made.")
@take_over_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes.")
@debug_option
def plan(
    asked: Asked, state: str | None, output: str, adopt: bool, take_over: bool, detailed_exitcode: bool
) -> int:  # fmt: skip
    """Show what an apply would do, and why. Changes nothing."""
    desired = asked.read()
    code, decided = _preview(desired, plans.Answers(adopt=adopt, take_over=take_over), state_dir(state), output)
    changes = [EXIT_CHANGES] if detailed_exitcode and decided.changes else []
    return worst([code, *changes])


@click.command(
    epilog="\b\nExamples:\n  lb apply\n  lb apply --yes examples/quickstart\n  lb apply -f new.yaml --dry-run"
)
@source_options
@state_option
@output_option("text", "json")
@click.option("--adopt", is_flag=True, help="Take over what a lost state had made and the manifests describe.")
@click.option("--confirm-deletes", metavar="HASH", default="", help="Confirm exactly the list of removals of a plan.")
@take_over_option
@click.option("--dry-run", is_flag=True, help="Plan only.")
@click.option("--no-wait", is_flag=True, help="Do not wait for new replicas to be ready.")
@yes_option
@timeout_option
@remote_option
@debug_option
def apply(
    asked: Asked, state: str | None, output: str, adopt: bool, confirm_deletes: str, take_over: bool, dry_run: bool,
    no_wait: bool, yes: bool, timeout: float | None, remote_engine: bool,
) -> int:  # fmt: skip
    """Make the engine match the manifests."""
    desired = asked.read()
    answers = plans.Answers(adopt, confirm_deletes, no_wait, take_over)
    if dry_run:
        return _preview(desired, answers, state_dir(state), output)[0]
    patience = 0.0
    if handover.listens(state_dir(state)):
        try:
            return _hand_over(desired, answers, state_dir(state), output, yes=yes)
        except handover.AnotherSource as error:
            say(f"{error.message}; waiting until nothing of it is under way")
            patience = timeout or BESIDE_A_DAEMON
    with (
        doors.changing(state_dir(state), adopt=adopt, remote=remote_engine, patience=patience) as (
            store,
            runtime,
            lock,
        ),
        doors.stopping(timeout) as cancel,
        progress(output == "text") as reporter,
    ):
        try:
            unasked = reconcile.refresh(desired, runtime, reporter.report, cancel)
        except InterruptedByUser:
            if not cancel.timed_out:
                raise
            return _say_timed_out(cancel)
        decided = reconcile.preview(desired, store, runtime, answers)
        answers = _ask(decided, answers, output, yes=yes)
        code = carry_out(desired, answers, Tools(runtime, store, lock.check, reporter.report, cancel), output, reporter)
    return worst([code, _say_unasked(unasked)])


@click.command(epilog="\b\nExamples:\n  lb down\n  lb down --yes examples/quickstart")
@click.argument("path", default=".", type=click.Path())
@state_option
@output_option("text", "json")
@yes_option
@timeout_option
@remote_option
@debug_option
def down(path: str, state: str | None, output: str, yes: bool, timeout: float | None, remote_engine: bool) -> int:
    """Remove every service and namespace of a source. Volumes stay.

    Where one of them is protected (meta.protect), nothing is removed.
    """
    there = located(path, state)
    desired = Desired(sources.name(there), str(there), down=True)
    if handover.listens(state_dir(state)):
        raise RefusedError(
            "a daemon keeps this state's source running and would bring all of it back",
            hint="stop `lb daemon` first, or remove the manifests and let it remove what they declared",
        )
    with (
        doors.changing(state_dir(state), adopt=False, remote=remote_engine) as (store, runtime, lock),
        doors.stopping(timeout) as cancel,
        progress(output == "text") as reporter,
    ):
        decided = reconcile.preview(desired, store, runtime)
        if output == "text":
            click.echo(render.plan_text(replace(decided, guards=())))
        if kept := next((guard.message for guard in decided.guards if guard.kind == "protected"), ""):
            raise RefusedError(kept)
        if decided.actions and not yes:
            confirm("Remove all of this?")
        answers = plans.Answers(confirm=next((g.confirm for g in decided.guards if g.confirm), ""))
        return carry_out(desired, answers, Tools(runtime, store, lock.check, reporter.report, cancel), output, reporter)


def _preview(desired: Desired, answers: plans.Answers, state: Path, output: str) -> tuple[int, Plan]:
    """Shows what an apply would do, and says which exit code that stands for."""
    with (
        doors.reading(state) as (store, runtime),
        doors.stopping(None) as cancel,
        progress(output == "text") as reporter,
    ):
        unasked = reconcile.refresh(desired, runtime, reporter.report, cancel)
        decided = reconcile.preview(desired, store, runtime, answers)
    _show(decided, output)
    return worst([*reconcile.codes(decided), _say_unasked(unasked)]), decided


def _say_timed_out(stop: doors.Stop) -> int:
    say(f"the time limit of {stop.limit:g} s is up; the next apply carries on")
    return EXIT_FAILED


def _say_unasked(unasked: Sequence[str]) -> int:
    for text in unasked:
        say(text)
    return EXIT_FAILED if unasked else EXIT_OK


def carry_out(desired: Desired, answers: plans.Answers, tools: Tools, output: str, reporter: Progress) -> int:
    """One cycle, and what came of it, shown."""
    cycle = reconcile.carry_out(desired, answers, tools)
    marker.release(tools.runtime, tools.store)
    reporter.close()
    if output == "json":
        echo_json(render.cycle_json(cycle))
    else:
        _print(render.cycle_text(cycle), render.held_back(cycle.plan))
    codes = [outcome.code for outcome in cycle.outcomes]
    if isinstance(tools.cancel, doors.Stop) and tools.cancel.timed_out:
        failed = _say_timed_out(tools.cancel)
        codes = [failed if code == EXIT_INTERRUPTED else code for code in codes] + [failed]
    elif tools.cancel.is_set():
        codes.append(EXIT_INTERRUPTED)
    return worst([*reconcile.codes(cycle.plan), *codes])


def _hand_over(desired: Desired, answers: plans.Answers, state: Path, output: str, *, yes: bool) -> int:
    """Lets the daemon do it. Raises handover.AnotherSource when that is none of its business."""
    if desired.additive:
        raise RefusedError(
            "a daemon keeps the source as its files say and would take this back",
            hint="put the manifest into the source, or stop `lb daemon`",
        )
    request = handover.Request(desired.source, desired.root, handover.meaning(desired))
    with progress(output == "text") as reporter:
        handover.check(state, request)
        with doors.reading(state) as (store, runtime):
            decided = reconcile.preview(desired, store, runtime, answers)
        answers = _ask(decided, answers, output, yes=yes)
        request = replace(
            request, adopt=answers.adopt, confirm=answers.confirm, no_wait=answers.no_wait, take_over=answers.take_over
        )
        reply = handover.offer(state, request, reporter.report)
    if output == "json":
        echo_json(reply.value)
    else:
        already = bool(plans.allowed(decided).actions) and not reply.value["outcomes"]
        _print("the daemon has done it already" if already else reply.text, reply.held_back)
    return reply.code


def _print(text: str, held_back: Sequence[str]) -> None:
    for line in held_back:
        say(line)
    click.echo(text)


def _show(decided: Plan, output: str) -> None:
    if output == "json":
        echo_json(render.plan_json(decided))
        return
    for problem in decided.problems:
        say(str(problem))
    click.echo(render.plan_text(decided))


def _ask(decided: Plan, answers: plans.Answers, output: str, *, yes: bool) -> plans.Answers:
    """The ordinary questions, on a terminal: removals and adoption. Mass deletes need their hash instead."""
    if output == "text" and decided.actions:
        click.echo(render.plan_text(decided))
    held = {ref for guard in decided.guards for ref in guard.refs}
    if not yes and any(a.verb == "remove" and a.ref not in held for a in decided.actions):
        confirm("Remove these?")
    if not answers.adopt and any(guard.kind == "adoption" for guard in decided.guards) and interactive():
        answers = replace(answers, adopt=click.confirm("Adopt what was made under the lost state?", err=True))
    return answers
