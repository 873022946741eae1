"""What `lb` says to a command line that is not quite right, and how it counts."""

from __future__ import annotations

import pytest

from reconciler.cli import COMMANDS
from tests.support.desk import Desk


@pytest.mark.parametrize("arguments", [[], ["volume"], ["state"]])
def test_without_a_command_there_is_the_help_and_nothing_else(desk: Desk, arguments: list[str]) -> None:
    said = desk.lb(*arguments, code=64)
    usage = " ".join(["Usage: lb", *arguments])
    assert said.err.startswith(f"{usage} [OPTIONS] COMMAND") and "(see `" not in said.err and not said.out


@pytest.mark.parametrize("arguments", [["-h"], ["volume", "-h"], ["volume", "rm", "-h"], ["apply", "-h"]])
def test_h_is_help(desk: Desk, arguments: list[str]) -> None:
    assert desk.lb(*arguments).out.startswith("Usage: lb")


def test_the_list_of_commands_cuts_no_sentence_off(desk: Desk) -> None:
    listed = desk.lb("--help").out.partition("Commands:\n")[2].splitlines()
    assert len(listed) == len(COMMANDS) and all(line.endswith(".") and "..." not in line for line in listed)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["aply"], "There is no command aply; did you mean apply? (see `lb --help`)"),
        (["xyzzy"], "There is no command xyzzy. (see `lb --help`)"),
        (["get", "-n", "a"], "Missing argument 'namespaces|services'. Choose from: namespace, namespaces, ns, "
                             "service, services, svc (see `lb get --help`)"),
        (["logs", "demo/web", "-n", "other"],
         "demo/web is not in the namespace other, which -n names: leave out one of them"),
        (["logs", "demo/web", "--since", "noon"],
         "--since must be a time like 2026-01-02T03:04:05Z, seconds since 1970, or an age like 10m"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(desk: Desk, arguments: list[str], line: str) -> None:
    assert desk.lb(*arguments, code=64).err == f"lb: {line}\n"


def test_one_is_not_many(desk: Desk) -> None:
    desk.namespace()
    assert desk.lb("validate").out == "1 object is valid\n"
    desk.service("web", imag="app:1")
    assert desk.lb("validate", code=65).err == "lb: 1 problem; 1 object is valid\n"
    desk.service("web")
    assert desk.lb("validate").out == "2 objects are valid\n"


def test_a_variable_that_nothing_uses_is_told(desk: Desk) -> None:
    """Mistyped, it leaves the one that is meant at its default."""
    desk.namespace()
    desk.service("web", image="app:${TAG:-1}")
    assert desk.lb("validate", "--set", "TAG=2").err == ""
    assert desk.lb("validate", "--set", "TAGS=2").err == "lb: --set TAGS: no manifest uses ${TAGS}; did you mean TAG?\n"
    assert desk.lb("validate", "--set", "X=2").err == "lb: --set X: no manifest uses ${X}\n"
    assert desk.lb("plan", "--set", "TAGS=2", "-o", "json").json["actions"]  # beside it, not in it
    (desk.folder / "bad.yaml").write_text("a: [\n")
    assert "--set" not in desk.lb("validate", "--set", "X=2", code=65).err, "it may be used where nothing can be read"


def test_drift_is_shown_alike_wherever_one_looks(desk: Desk) -> None:
    """Also where all replicas are ready."""
    desk.namespace()
    desk.service("web", memory=64)
    desk.apply()
    (live,) = desk.memory.containers()
    desk.memory.update(live.id, {"Memory": 100 * 1024 * 1024})
    why = "replica 1 memory was changed to 100 MiB"
    assert f"warning  1/1    app:1  0           {why}\n" in desk.lb("get", "services").out
    assert f"demo/web      warning  {why}\n" in desk.lb("status").out
    assert why in desk.lb("describe", "demo/web").out and why in desk.lb("describe", "namespace", "demo").out


def test_a_file_that_can_not_be_read_asks_for_no_confirmation(desk: Desk) -> None:
    desk.namespace()
    for name in ("a", "b"):
        desk.service(name)
    desk.apply()
    for name in ("a", "b"):
        (desk.folder / f"demo.{name}.yaml").write_text("apiVersion: [")
    said = desk.lb("plan", code=65)
    assert "not found in demo.a.yaml, which has a problem" in said.out and "--confirm-deletes" not in said.out
    assert "! removals wait until every manifest can be read: demo/a, demo/b\n" in said.out


def test_what_a_guard_holds_back_is_not_called_no_changes(desk: Desk) -> None:
    desk.namespace()
    for name in ("a", "b"):
        desk.service(name)
    desk.apply()
    for name in ("a", "b"):
        desk.remove(f"demo.{name}.yaml")
    assert desk.apply(code=77).out.endswith("2 to remove\nnothing was done\n")
    assert len(desk.memory.containers()) == 2


def test_without_a_terminal_it_says_what_it_would_have_asked(desk: Desk) -> None:
    desk.namespace()
    desk.apply()
    desk.lb("state", "backup", "state.db")
    said = desk.lb("state", "restore", "state.db", code=64)
    assert "there is no terminal to ask 'Replace the state in " in said.err and "add --yes" in said.err
