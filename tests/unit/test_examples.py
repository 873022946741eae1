"""The examples that `--help` shows are run, each on a desk of its own where two services of namespace demo run."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Iterator
from typing import Any

import click
import pytest

from reconciler.cli import lb, status
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


def commands(command: click.Command, name: str = "lb") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, inside groups too."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, inner in command.commands.items():
        yield from commands(inner, f"{name} {word}")


def examples(command: click.Command) -> list[str]:
    _, _, shown = (command.epilog or "").partition("Examples:\n")
    return [line.strip() for line in shown.split("\n\n")[0].splitlines() if line.strip().startswith("lb ")]


@pytest.mark.parametrize(("name", "command"), list(commands(lb)))
def test_every_command_has_an_example(name: str, command: click.Command) -> None:
    assert [line for line in examples(command) if line.startswith(name)]


@pytest.mark.parametrize("line", [line for _, command in commands(lb) for line in examples(command)])
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
