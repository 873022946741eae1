"""`lb`: parse, call, print, exit. The only room that wires the others together.

`main` is the console script. Whatever goes wrong ends in one line on stderr and an exit code of
`reconciler.errors`; `--debug` shows the traceback as well.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from typing import cast

import click

from .. import __version__
from ..errors import EXIT_INTERRUPTED, EXIT_USAGE, LbError
from .terminal import say

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


# Each command, and the file that it is in.
COMMANDS = {
    "init": "init",
    "validate": "manifests",
    "schema": "manifests",
    "plan": "applying",
    "apply": "applying",
    "down": "applying",
    "restart": "again",
    "retry": "again",
    "daemon": "running",
    "get": "looking",
    "logs": "looking",
    "serve": "serving",
    "status": "status",
    "describe": "describe",
    "activity": "activity",
    "history": "history",
    "why": "why",
    "rollback": "rollback",
    "undelete": "rollback",
    "volume": "volume",
    "state": "state",
    "doctor": "doctor",
    "completion": "completion",
}


class _OnDemand(click.Group):
    """Loads a command's file when that command is asked for: a start does not pay for all the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        file = importlib.import_module(f".{COMMANDS[cmd_name]}", __package__)
        return cast(click.Command, getattr(file, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"There is no command {args[0]}" + (f"; did you mean {near[0]}?" if near else "."))
        return super().resolve_command(ctx, args)


@click.group(
    cls=_OnDemand,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="GitOps for Docker hosts: manifests of namespaces and services, applied to a Docker Engine." + EXAMPLES,
)
@click.version_option(__version__, prog_name="lb")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def lb(debug: bool) -> None:
    """`--debug` is read by `main`."""


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        result = lb.main(arguments, prog_name="lb", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "lb"
        say(f"{' '.join(error.format_message().split())} (see `{where} --help`)")
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
