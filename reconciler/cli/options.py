"""Options and helpers that several commands share."""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from .. import host as hosts
from .. import remote
from .. import source as sources
from ..errors import LockedError, SourceError, UsageError
from ..host import Host
from ..host.settings import Followed
from ..manifests import envfile
from ..model import Desired, Ref
from ..remote import RemoteError
from . import fetching
from .terminal import say

Command = Callable[..., Any]
_HOST = "lb.host"  # in the context: the file that was named, then what it says
_STATE = "lb.state"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def state_dir(given: str | None) -> Path:
    """--state, else LB_STATE, else what host.yaml says, else the usual one."""
    if given:
        return Path(given).absolute()
    if said := _said_state():
        return said
    if os.geteuid() == 0:
        return Path("/var/lib/lb")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "lb"


def _said_state() -> Path | None:
    """Looked up once a command. Raises HostError."""
    context = click.get_current_context(silent=True)
    meta = context.meta if context else {}
    named = meta.get(_HOST)
    if isinstance(named, Host):
        return named.settings.state
    if _STATE not in meta:
        meta[_STATE] = hosts.state(named or _config())
    found: Path | None = meta[_STATE]
    return found


def _config() -> Path | None:
    """For a command without the option."""
    named = os.environ.get("LB_HOST_CONFIG")
    return Path(named) if named else None


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
        meta[_HOST] = hosts.read(meta.get(_HOST) or _config())
    found: Host = meta[_HOST]
    return found


name_option = click.option("--host", envvar="LB_HOST", metavar="NAME", help="This host's name (also LB_HOST).")


def host_name(given: str | None) -> str:
    """--host, else LB_HOST, else what host.yaml says; "" where this host has no name. Never the one that its operating
    system has."""
    return given or this_host().name


@dataclass(frozen=True, slots=True)
class Outside:
    """What is said outside of a source: variables, which go before those of lb.yaml, and this host's name."""

    settings: Sequence[str]
    env_files: Sequence[str]
    allowed: Sequence[str]
    host: str

    def variables(self, path: Path, host: Host) -> dict[str, str]:
        """Of the source at `path`, as the files and the environment say it now. What the host's settings say of it is
        what everything else goes before. Raises SourceError, UsageError."""
        found = _of_host(path, host)
        found |= {name: os.environ[name] for name in self.allowed if name in os.environ}
        for name in self.allowed:
            if not _NAME.fullmatch(name):
                raise UsageError(f"--allow-env {name}: write --allow-env NAME")
        given = variables(self.settings)
        for file in self.env_files:
            found |= _of_file(f"--env-file {file}", Path(file), given, found)
        return found | given


def outside_options(command: Command) -> Command:
    """The command is given them as `outside`."""

    @host_option
    @functools.wraps(command)
    def called(
        settings: Sequence[str], env_files: Sequence[str], allowed: Sequence[str], host: str | None, **rest: Any
    ) -> Any:
        return command(outside=Outside(settings, env_files, allowed, host_name(host)), **rest)

    for option in reversed([
        click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a variable."),
        click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Set those of a .env file."),
        click.option("--allow-env", "allowed", multiple=True, metavar="NAME",
                     help="Take this variable from the environment."),
        name_option,
    ]):  # fmt: skip
        called = option(called)
    return called


@dataclass(frozen=True, slots=True)
class Asked:
    """The source that a command is about: where it is, the files that join it (-f), and what is said outside of it."""

    path: Path
    files: Sequence[Path]
    stdin: bytes | None
    outside: Outside

    def read(self, *, with_secrets: bool = True) -> Desired:
        """What it says to this host, as far as this host lets it be. `with_secrets` False does not look for the host's
        secrets: a check may run where they are not."""
        desired = self.view(self.outside.host)
        for line in _unused(self.outside.settings, desired):
            say(line)
        return hosts.judge(desired, this_host(), with_secrets=with_secrets)

    def view(self, host: str) -> Desired:
        """What it says to any host, whatever that host allows."""
        values = self.outside.variables(self.path, this_host())
        return sources.read(self.path, variables=values, files=self.files, stdin=self.stdin, host=host)


def source_options(command: Command) -> Command:
    """The command is given them as `asked`."""

    @outside_options
    @functools.wraps(command)
    def called(path: str, files: Sequence[str], outside: Outside, **rest: Any) -> Any:
        stdin = sys.stdin.buffer.read() if "-" in files else None
        there = located(path, rest.get("state"))
        return command(asked=Asked(there, [Path(f) for f in files if f != "-"], stdin, outside), **rest)

    for option in reversed([
        click.argument("path", default=".", type=click.Path()),
        click.option("-f", "--file", "files", multiple=True, metavar="FILE|-",
                     help="Join this manifest to the source; deletes nothing. - reads standard input."),
    ]):  # fmt: skip
        called = option(called)
    return called


def located(path: str, state: str | None) -> Path:
    """The folder of the source that a command line names: the name of one that host.yaml says is fetched goes before a
    folder, which may be written ./NAME. It is fetched first; where that fails, what was fetched last is used, and that
    is said. Raises RemoteError where there is nothing."""
    if this_host().settings.remote(path) is None:
        return Path(path)
    directory = state_dir(state)
    there = remote.current(directory, path)
    try:
        fetching.fetched(directory, path, this_host)
    except (RemoteError, LockedError) as error:
        if not there.exists():
            raise
        known = remote.record(remote.folder(directory, path))
        say(f"{error.line}; this is {known.commit[:12]}, fetched at {known.fetched[:19]}Z")
    return there


def output_option(*formats: str) -> Callable[[Command], Command]:
    return click.option("-o", "--output", type=click.Choice(formats), default=formats[0], show_default=True)


def variables(settings: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting}: write --set NAME=VALUE")
        found[name] = value
    return found


def _unused(settings: Sequence[str], desired: Desired) -> Iterator[str]:
    """A line for each `--set` that changes nothing: mistyped, it leaves the variable that is meant at its default."""
    given = variables(settings)
    for name in given if desired.complete else ():
        if name not in desired.variables:
            near = difflib.get_close_matches(name, desired.variables - given.keys(), 1)
            yield f"--set {name}: no manifest uses ${{{name}}}" + (f"; did you mean {near[0]}?" if near else "")


def _of_host(path: Path, host: Host) -> dict[str, str]:
    """What host.yaml says of the variables of the source at `path`."""
    found: dict[str, str] = {}
    for listed in host.settings.sources:
        if listed.env_files and _is(listed, path):
            for file in listed.env_files:
                found |= _of_file(f"{file}, an env file of {host.file},", Path(file), {}, found)
    return found


def _is(listed: Followed, path: Path) -> bool:
    return sources.same(listed.path, path) if listed.path else remote.around(path) == listed.name


def _of_file(what: str, file: Path, first: dict[str, str], last: dict[str, str]) -> dict[str, str]:
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or "it is no UTF-8 text"
        raise SourceError(f"{what} can't be read: {why}; nothing is changed") from error
    try:
        return envfile.parse(text, first, last)
    except ValueError as error:
        raise SourceError(f"{what}: {error}; nothing is changed") from error


def service_ref(name: str, namespace: str | None) -> Ref:
    """`NS/SVC`, or `SVC` with `-n NS`."""
    first, slash, second = name.partition("/")
    if slash and first and second and namespace in (None, first):
        return Ref(first, second)
    if slash and first and second:
        raise UsageError(f"{name} is not in the namespace {namespace}, which -n names: leave out one of them")
    if slash or not namespace:
        raise UsageError(f"{name}: name a service as NAMESPACE/SERVICE, or as SERVICE with -n NAMESPACE")
    return Ref(namespace, name)


def scope(target: str | None, namespace: str | None) -> tuple[str | None, str | None]:
    """What `[NAMESPACE[/SERVICE]]` and `-n NAMESPACE` name: a namespace and a service, None for any."""
    if target is None or (namespace is None and "/" not in target):
        return (namespace if target is None else target), None
    return service_ref(target, namespace)
