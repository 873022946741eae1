"""Where the `docker` client would look for an engine: DOCKER_HOST, else the current context. Asks no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docker.context import ContextAPI
from docker.utils import kwargs_from_env

DEFAULT = "unix:///var/run/docker.sock"


def settings() -> dict[str, Any]:
    """For the SDK's client."""
    found = dict(kwargs_from_env())
    if "base_url" not in found:
        context = ContextAPI.get_current_context()
        if context and context.Host:
            found["base_url"] = context.Host
    return found


def endpoint() -> str:
    """The address. A socket is named by the file that it is, whatever links lead there, because the lock of an engine
    is named by it."""
    address = settings().get("base_url") or DEFAULT
    scheme, _, path = address.rpartition("://")
    return f"unix://{Path(path).resolve()}" if scheme in ("unix", "http+unix") else address
