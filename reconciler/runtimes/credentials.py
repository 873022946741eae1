"""The credentials for a registry: what `docker login` left in the docker client's configuration.

`DOCKER_CONFIG` or ~/.docker names the folder; `credHelpers`, `credsStore` and `auths` of its config.json are asked in
that order, as the docker client does. For a registry of which the host's settings name another folder, that one counts
instead, alone. Read anew each time, so that a new password counts at the next pull. A helper
that fails stops nothing: public images need no credentials. No credential is ever part of a message.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from docker import auth
from docker.errors import DockerException

from ..errors import LbError

HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"  # what `docker login` has always called it
_HELPER_SECONDS = 30  # a helper may be waiting for somebody to unlock a key chain
_TOKEN = "<token>"  # as a helper's user name: the secret is an identity token


@dataclass(frozen=True, slots=True)
class Credentials:
    """`header` is the value of X-Registry-Auth, "" when there are none. `origin` says where they come from, as "FILE";
    or why there are none, as "FILE has none for it"; `login` is the command that would write them."""

    header: str = field(repr=False)
    origin: str
    login: str = ""


def registry_of(image: str) -> str:
    """Of a full reference: `127.0.0.1:5000/app:1` → `127.0.0.1:5000`."""
    return image.partition("/")[0]


def find(registry: str, folders: Mapping[str, Path] | None = None) -> Credentials:
    """`folders` are by registry, as host.yaml names them. Raises nothing: what can't be had is said by `origin`."""
    own = (folders or {}).get(registry)
    found = _found(registry, own / "config.json" if own else _file())
    option = f"--config {own} " if own else ""
    return replace(found, login=f"docker {option}login {registry}")


def _found(registry: str, file: Path) -> Credentials:
    try:
        config = json.loads(file.read_text())
    except FileNotFoundError:
        return Credentials("", f"there is no {file}")
    except (OSError, ValueError) as error:
        return Credentials("", f"{file} can't be read: {error}")
    key = _HUB_KEY if registry == HUB else registry
    helper = _map(config, "credHelpers").get(key) or (config.get("credsStore") if isinstance(config, dict) else None)
    why = f"{file} has none for it"
    if helper:
        program = f"docker-credential-{helper}"
        found, why = _asked(program, key)
        if found:
            return Credentials(_header(found, key), f"{program}, which {file} names")
        why = f"{program}, which {file} names, {why}"
    entry = _entry(_map(config, "auths"), registry, key)
    if entry:
        try:
            if found := _decoded(entry):
                return Credentials(_header(found, key), str(file))
        except ValueError:
            why = f"what {file} has for it can't be read"
    return Credentials("", why)


def check() -> None:
    """Raises LbError where the SDK, which reads the configuration while a client is made, would trip over it."""
    try:
        auth.load_config()
    except (DockerException, ValueError, TypeError, AttributeError) as error:
        raise LbError(
            f"the docker client's configuration {_file()} can't be read", hint="mend it, or `docker login` again"
        ) from error


def _file() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path("~/.docker").expanduser()) / "config.json"


def _map(config: Any, name: str) -> Mapping[str, Any]:
    found = config.get(name) if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


def _entry(auths: Mapping[str, Any], registry: str, key: str) -> Mapping[str, Any]:
    """The registry's own, else one that was written as an address (`https://registry/v1/`)."""
    found = auths.get(key) or next((auths[name] for name in auths if _host(name) == registry), None)
    return found if isinstance(found, dict) else {}


def _host(name: str) -> str:
    host = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return HUB if host == f"index.{HUB}" else host


def _decoded(entry: Mapping[str, Any]) -> dict[str, str]:
    """Raises ValueError."""
    if token := entry.get("identitytoken"):
        return {"identitytoken": str(token)}
    if token := entry.get("registrytoken"):
        return {"registrytoken": str(token)}
    if not entry.get("auth"):
        user, password = entry.get("username"), entry.get("password")
        return {"username": str(user), "password": str(password)} if user and password else {}
    user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    if not colon:
        raise ValueError("no colon")
    return {"username": user, "password": password.strip("\0")}


def _asked(program: str, key: str) -> tuple[dict[str, str], str]:
    """What the helper has; else nothing, and why. What it writes to stderr goes nowhere."""
    path = shutil.which(program)
    if path is None:
        return {}, "is not in PATH"
    try:
        done = subprocess.run(
            [path, "get"], input=key.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {}, f"did not answer within {_HELPER_SECONDS} s"
    except OSError as error:
        return {}, f"can't be run: {error.strerror}"
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        # By the protocol it says why on stdout; what looks like an answer is not repeated.
        known = "credentials not found" in said
        return {}, "has none for it" if known else f"failed (exit {done.returncode}{_first_line(said)})"
    try:
        answer = json.loads(said)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        return {}, "gave an answer that can't be read"
    if not secret:
        return {}, "has none for it"
    return ({"identitytoken": secret} if user == _TOKEN else {"username": user, "password": secret}), ""


def _first_line(said: str) -> str:
    return f": {said.splitlines()[0][:200]}" if said and "{" not in said else ""


def _header(found: Mapping[str, str], key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({**found, "serveraddress": key}).encode()).decode()
