"""One state folder an engine: a marker object in the engine says which, and a second one is refused.

The marker is an empty volume with labels, because a volume costs nothing and every engine keeps it. Two state
folders for one engine would each take the other's containers for foreign ones and build everything twice.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from .errors import RefusedError
from .runtime import LABEL_STATE, Runtime
from .store import Store

LABEL_PATH = "lb.state.path"
LABEL_HOST = "lb.state.host"


def check(runtime: Runtime, store: Store, *, adopt: bool) -> None:
    """Raises RefusedError when another state manages this engine, or this one another engine. Changes nothing."""
    bound, info = store.engine(), runtime.info()
    if bound and (bound["id"], bound["root"]) != (info.id, info.root) and not adopt:
        raise RefusedError(
            f"the state in {store.directory} is of another engine ({bound['root']}, was at {bound['endpoint']}), "
            f"not of the one at {info.endpoint}",
            hint="use another --state for this one; if that engine is gone for good, go on with --adopt",
        )
    found = runtime.marker()
    if not found or found.get(LABEL_STATE) == store.state_id:
        return
    if _path_of(found) == (str(store.directory), socket.gethostname()):
        if adopt or not _anything(runtime):
            return
        raise RefusedError(
            f"the state in {store.directory} is new, but this engine is managed by an older one that stood there",
            hint="restore the state, or take over what matches the manifests with --adopt",
        )
    path, host = _path_of(found)
    raise RefusedError(
        f"this engine is managed by another state: {path} on {host}",
        hint=f"use --state {path}; if that state is gone for good, `docker volume rm lb.state` and apply --adopt",
    )


def claim(runtime: Runtime, store: Store) -> None:
    """Puts our marker there, unless it is there already."""
    found = runtime.marker()
    if not found or found.get(LABEL_STATE) != store.state_id:
        runtime.mark({
            LABEL_STATE: store.state_id, LABEL_PATH: str(store.directory), LABEL_HOST: socket.gethostname(),
        })  # fmt: skip


def release(runtime: Runtime, store: Store) -> None:
    """Takes our marker away once the state remembers nothing of this engine."""
    recorded = store.recorded()
    found = runtime.marker()
    empty = not (recorded.services or recorded.namespaces or recorded.volumes)
    if empty and found and found.get(LABEL_STATE) == store.state_id:
        runtime.mark(None)


def _path_of(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get(LABEL_PATH, "?"), labels.get(LABEL_HOST, "?")


def _anything(runtime: Runtime) -> bool:
    observed = runtime.observe()
    return bool(observed.containers)
