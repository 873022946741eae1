"""What README.md says of fields, commands and exit codes is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from reconciler import errors, fingerprint, schema
from reconciler.cli import lb

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def classes() -> dict[str, str]:
    """Field of spec → class, from the table of fields."""
    rows = re.findall(r"^\| `spec\.([\w.]+)` \|.*\| ([\w ]+) \|$", section("Fields"), re.MULTILINE)
    return dict(rows)


def test_every_field_is_in_the_table() -> None:
    known = schema.load("manifest")["$defs"]
    fields = set(known["spec"]["properties"]) - {"update"} | {f"update.{key}" for key in known["update"]["properties"]}
    assert set(classes()) == fields


@pytest.mark.parametrize(("field", "said"), classes().items())
def test_the_class_of_a_field(field: str, said: str) -> None:
    assert fingerprint.field_class(field) == said.replace(" ", "-")


def commands(group: click.Group, before: str = "") -> list[tuple[str, click.Command]]:
    """Those inside of groups with the group's name before theirs."""
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        inner = isinstance(command, click.Group)
        found += commands(command, f"{before}{name} ") if inner else [(f"{before}{name}", command)]
    return found


@pytest.mark.parametrize(("name", "command"), commands(lb))
def test_every_command_and_option_is_named(name: str, command: click.Command) -> None:
    text = section("Commands")
    assert f"| `lb {name}" in text
    for option in (p for p in command.params if isinstance(p, click.Option)):
        assert any(re.search(rf"{re.escape(form)}\b", text) for form in option.opts), option.opts


def test_every_exit_code_is_explained() -> None:
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Commands"), re.MULTILINE)}
    assert said == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
