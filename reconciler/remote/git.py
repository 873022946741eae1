"""One call of git, for what is fetched. Never asks anybody, runs no hook, and ends when its time is up.

What goes over the network knows what the user and the host have configured, because credentials, proxies and
certificates stand there. All else knows none of it: no filter (LFS), no conversion of line ends, no key ring.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

LOCAL, NETWORK = 120.0, 900.0  # seconds of one call; a line that has gone quiet is noticed sooner
PROTOCOLS = ("https", "ssh", "git", "file")
_SSH = "-o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ControlMaster=no -o ControlPath=none"
_TICK = 0.2  # seconds within which an end that was asked for is noticed
_ALWAYS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "30",
}
_ALONE = {"core.attributesFile": os.devnull, "core.excludesFile": os.devnull, "advice.detachedHead": "false"}


@dataclass(frozen=True, slots=True)
class Done:
    """`code` is git's exit code; -1 where it could not be run or was ended."""

    code: int
    out: str
    err: str

    def __bool__(self) -> bool:
        return self.code == 0


def local(folder: Path, *arguments: str, config: Mapping[str, str] | None = None) -> Done:
    """In a repository or a checkout of ours."""
    env = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
    return _call(folder, arguments, env | _configured({**_ALWAYS, **_ALONE, **(config or {})}), LOCAL, Event())


def network(folder: Path, *arguments: str, config: Mapping[str, str], cancel: Event) -> Done:
    """`config` may hold an address with credentials: it is handed over in the environment, which others can't read."""
    own = os.environ.get("GIT_SSH_COMMAND") or _of_config(folder) or "ssh"
    env = {"GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS), "GIT_SSH_COMMAND": f"{own} {_SSH}"}
    return _call(folder, arguments, env | _configured({**_ALWAYS, **config}), NETWORK, cancel)


def _of_config(folder: Path) -> str:
    """How the user's own git calls ssh, which may name a key."""
    return _call(folder, ("config", "--get", "core.sshCommand"), {}, LOCAL, Event()).out.strip()


def _configured(values: Mapping[str, str]) -> dict[str, str]:
    """Settings that go before those of every file (git 2.31)."""
    found = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (name, value) in enumerate(values.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _environment() -> dict[str, str]:
    # A hook, in which lb may run, has another repository's settings in its environment.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_ASKPASS"))}
    asks = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GCM_INTERACTIVE": "never"}
    return env | asks | {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}


def _call(folder: Path, arguments: tuple[str, ...], env: Mapping[str, str], seconds: float, cancel: Event) -> Done:
    try:
        process = subprocess.Popen(
            ["git", *arguments], cwd=folder, env={**_environment(), **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return Done(-1, "", f"git can't be run: {error.strerror}")
    end = time.monotonic() + seconds
    while True:
        try:
            out, err = process.communicate(timeout=_TICK)
        except subprocess.TimeoutExpired:
            if not cancel.is_set() and time.monotonic() < end:
                continue
            _end(process)
            why = "it was ended" if cancel.is_set() else f"it took more than {seconds:g} s"
            return Done(-1, "", why)
        return Done(process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    """With all that it has started. At SIGTERM git takes its own lock files away."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=2)
            return
