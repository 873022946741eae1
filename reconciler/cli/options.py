"""Options and helpers that several commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from .. import host as hosts
from .. import source as sources
from ..errors import UsageError
from ..host import Host
from ..model import Desired, Ref

Command = Callable[..., Any]
_HOST = "lb.host"  # in the context: the file that was named, then what it says


def say(text: str) -> None:
    """One line for people, on stderr."""
    click.echo(f"lb: {text}", err=True)


def state_dir(given: str | None) -> Path:
    if given:
        return Path(given).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/lb")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "lb"


state_option = click.option("--state", envvar="LB_STATE", metavar="DIR", help="The state folder (also LB_STATE).")
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")


def host_option(command: Command) -> Command:
    return click.option(
        "--host-config", envvar="LB_HOST_CONFIG", metavar="FILE", type=click.Path(path_type=Path), expose_value=False,
        callback=_remember, help="This host's settings and policy (also LB_HOST_CONFIG).",
    )(command)  # fmt: skip


def _remember(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    context.meta[_HOST] = value


def this_host() -> Host:
    """What host.yaml says; read once a command. Raises HostError."""
    meta = click.get_current_context().meta
    if not isinstance(meta.get(_HOST), Host):
        named = os.environ.get("LB_HOST_CONFIG")  # for a command without the option
        meta[_HOST] = hosts.read(meta.get(_HOST) or (Path(named) if named else None))
    found: Host = meta[_HOST]
    return found


def source_options(command: Command) -> Command:
    command = host_option(command)
    for option in reversed([
        click.argument("path", default=".", type=click.Path(path_type=Path)),
        click.option("-f", "--file", "files", multiple=True, metavar="FILE|-",
                     help="Join this manifest to the source; deletes nothing. - reads standard input."),
        click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a variable."),
    ]):  # fmt: skip
        command = option(command)
    return command


def output_option(*formats: str) -> Callable[[Command], Command]:
    return click.option("-o", "--output", type=click.Choice(formats), default=formats[0], show_default=True)


def read_source(path: Path, files: Sequence[str], settings: Sequence[str], *, with_secrets: bool = True) -> Desired:
    """What the source says, as far as this host lets it be. `with_secrets` False does not look for the host's secrets:
    a check may run where they are not."""
    stdin = sys.stdin.buffer.read() if "-" in files else None
    others = [Path(f) for f in files if f != "-"]
    desired = sources.read(path, variables=variables(settings), files=others, stdin=stdin)
    return hosts.judge(desired, this_host(), with_secrets=with_secrets)


def variables(settings: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting}: write --set NAME=VALUE")
        found[name] = value
    return found


def service_ref(name: str, namespace: str | None) -> Ref:
    """`NS/SVC`, or `SVC` with `-n NS`."""
    first, slash, second = name.partition("/")
    if slash and first and second and namespace in (None, first):
        return Ref(first, second)
    if slash or not namespace:
        raise UsageError(f"{name}: name a service as NAMESPACE/SERVICE, or as SERVICE with -n NAMESPACE")
    return Ref(namespace, name)


def scope(target: str | None, namespace: str | None) -> tuple[str | None, str | None]:
    """What `[NAMESPACE[/SERVICE]]` and `-n NAMESPACE` name: a namespace and a service, None for any."""
    if target is None or (namespace is None and "/" not in target):
        return (namespace if target is None else target), None
    return service_ref(target, namespace)


def confirm(question: str) -> None:
    """Without a terminal there is nobody to ask: a command in a script needs --yes to remove."""
    if not interactive():
        raise click.UsageError("this removes objects and there is no terminal to ask: add --yes")
    click.confirm(question, abort=True, err=True)


def interactive() -> bool:
    return sys.stdin.isatty()


def echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
