"""Every command of `lb` that does something."""

from __future__ import annotations

from collections.abc import Iterator

import click


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Those inside of groups with the group's name before theirs: "state backup"."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command, name
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command
