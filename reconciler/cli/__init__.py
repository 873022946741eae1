"""`lb`: parse, call, print, exit. The only room that wires the others together.

`main` is the console script. Whatever goes wrong ends in one line on stderr and an exit code of
`reconciler.errors`; `--debug` shows the traceback as well.
"""

from __future__ import annotations

import sys
import traceback

import click

from .. import __version__
from ..errors import EXIT_INTERRUPTED, EXIT_USAGE, LbError
from . import (
    activity,
    again,
    applying,
    completion,
    describe,
    doctor,
    history,
    init,
    looking,
    manifests,
    rollback,
    running,
    serving,
    state,
    status,
    volume,
    why,
)
from .options import say

EXAMPLES = """

\b
Examples:
  lb init shop                   write a first source
  lb validate                    check the manifests of this folder
  lb plan                        show what would be done, and why
  lb apply                       do it
  lb get services -n demo        what runs
  lb logs demo/redis -f          follow the logs of all replicas
"""


@click.group(
    help="GitOps for Docker hosts: manifests of namespaces and services, applied to a Docker Engine." + EXAMPLES
)
@click.version_option(__version__, prog_name="lb")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def lb(debug: bool) -> None:
    """`--debug` is read by `main`."""


lb.add_command(init.init)
lb.add_command(manifests.validate)
lb.add_command(manifests.schema)
lb.add_command(applying.plan)
lb.add_command(applying.apply)
lb.add_command(applying.down)
lb.add_command(again.restart)
lb.add_command(again.retry)
lb.add_command(running.daemon)
lb.add_command(looking.get)
lb.add_command(looking.logs)
lb.add_command(serving.serve)
lb.add_command(status.status)
lb.add_command(describe.describe)
lb.add_command(activity.activity)
lb.add_command(history.history)
lb.add_command(why.why)
lb.add_command(rollback.rollback)
lb.add_command(rollback.undelete)
lb.add_command(volume.volume)
lb.add_command(state.state)
lb.add_command(doctor.doctor)
lb.add_command(completion.completion)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        result = lb.main(arguments, prog_name="lb", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "lb"
        say(f"{error.format_message()} (see `{where} --help`)")
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return EXIT_INTERRUPTED
    except LbError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        say(error.line)
        return error.exit_code
    return result if isinstance(result, int) else 0
