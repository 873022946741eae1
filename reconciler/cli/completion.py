"""`lb completion`: the script that makes a shell complete `lb`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ..errors import LbError
from .options import debug_option

_HOW = {
    "bash": "lb completion bash > /etc/bash_completion.d/lb",
    "zsh": "lb completion zsh > ~/.zfunc/_lb   (with ~/.zfunc in fpath, before compinit)",
    "fish": "lb completion fish > ~/.config/fish/completions/lb.fish",
}


@click.command(
    epilog="\b\nExamples:\n  lb completion bash\n\n\b\nTo keep it:\n" + "\n".join(f"  {line}" for line in _HOW.values())
)
@click.argument("shell", type=click.Choice(list(_HOW)))
@debug_option
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Names of namespaces, services and volumes are completed from the state; no engine is asked.
    """
    script = get_completion_class(shell)
    if script is None:
        raise LbError(f"click knows no completion for {shell}")
    click.echo(script(ctx.find_root().command, {}, "lb", "_LB_COMPLETE").source())
