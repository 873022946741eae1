"""The examples that `--help` shows are run, each on a desk of its own where two services of namespace demo run."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from typing import Any

import click
import pytest

from reconciler.cli import lb, status
from tests.support.commands import commands
from tests.support.desk import Desk
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group("the default port")

ENDLESS = {"daemon", "serve"}  # until they are told to end
CODES = {"lb down": 64, "lb status --watch": 130}  # no terminal to ask; ended with Ctrl-C
CODES["lb serve --listen 0.0.0.0:2967 --token-file /etc/lb/token"] = 64  # there is no such file here
CODES |= dict.fromkeys(
    ["lb retry demo/redis", "lb retry web -n demo", "lb retry demo/web --source examples/quickstart"], 1
)  # nothing is held
CODES["lb restart demo/redis --cancel"] = 1  # nor is a restart under way
# The desk is a source already.
CODES["lb init shop"] = CODES["lb init infra --name shop"] = 64
CODES["lb init shop --host-config host.yaml"] = 64


def examples(command: click.Command) -> list[str]:
    """Without what is said of them behind two blanks, and without where the shell writes what they print."""
    _, _, shown = f"{command.help or ''}\n{command.epilog or ''}".partition("Examples:\n")
    lines = [line.strip() for line in shown.splitlines()]
    return [line.partition("  ")[0].partition(" > ")[0] for line in lines if line.startswith("lb ")]


@pytest.mark.parametrize(("name", "command"), list(commands(lb)))
def test_every_command_has_an_example(name: str, command: click.Command) -> None:
    assert [line for line in examples(command) if line.startswith(f"lb {name}")]


def test_help_shows_a_line_an_example() -> None:
    """Each command's, and that of `lb` itself."""
    for command in (lb, *(found for _, found in commands(lb))):
        told = lb.context_settings  # a command keeps the help option that it was asked for first
        shown = command.get_help(click.Context(command, info_name="lb", terminal_width=200, **told))
        lines = [line.strip() for line in shown.splitlines()]
        assert [line.partition("  ")[0].partition(" > ")[0] for line in lines if line.startswith("lb ")] == examples(
            command
        )


LINES = [line for command in (lb, *(found for _, found in commands(lb))) for line in examples(command)]


@pytest.mark.parametrize("line", dict.fromkeys(LINES))
def test_an_example_runs(line: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "pause", interrupt)
    (desk.folder / "examples").mkdir()
    (desk.folder / "examples" / "quickstart").symlink_to(desk.folder)
    desk.namespace()
    desk.service("redis", volumes=["data:/data"], env={"A": "1"})
    desk.service("web")
    desk.apply()
    desk.service("redis", volumes=["data:/data"])
    desk.service("web", replicas=2)
    (desk.folder / "new.yaml").write_text((desk.folder / "demo.web.yaml").read_text().replace('"web"', '"new"'))
    desk.service("past", volumes=["data:/data", "cache:/cache"], namespace="old")
    desk.namespace("old")
    desk.apply()
    desk.remove("old.past.yaml")  # its volumes stay
    desk.apply()
    desk.lb("state", "backup", "backup.db")
    words = shlex.split(line)[1:]
    if words[0] in ENDLESS and line not in CODES:
        threading.Thread(target=terminate, args=(signal.getsignal(signal.SIGTERM),), daemon=True).start()
    desk.lb(*words, code=CODES.get(line, 0))


def terminate(before: Any) -> None:
    """Tells this process to end once the command listens for that."""
    eventually(lambda: signal.getsignal(signal.SIGTERM) != before)
    os.kill(os.getpid(), signal.SIGTERM)
