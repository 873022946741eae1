"""What is said to the person at the terminal, and asked of them."""

from __future__ import annotations

import json
import sys
from typing import Any

import click


def say(text: str) -> None:
    """One line for people, on stderr."""
    click.echo(f"lb: {text}", err=True)


def confirm(question: str) -> None:
    """Without a terminal there is nobody to ask: a command in a script needs --yes."""
    if not interactive():
        raise click.UsageError(f"there is no terminal to ask {question!r}: add --yes")
    click.confirm(question, abort=True, err=True)


def interactive() -> bool:
    return sys.stdin.isatty()


def echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
