"""One object as JSON-able values: what is recorded of it, and what the engine showed. Pure.

In a service, `spec` is the last good revision as it was written; `state` and `pods` are what was observed. Values
of variables are not shown: an image is the written one, `env` keeps its `${NAME}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..model import Activity, Container, RecordedNamespace, RecordedService, Revision
from ..runtime import LABEL_NAMESPACE, LABEL_REPLICA, LABEL_REVISION, LABEL_SERVICE, LABEL_SOURCE
from ..status import Pod, Status
from .ports import spec_ports

COUNTERS = ("total", "provision", "ready", "running", "created", "stopped", "errored")
MIB = 1048576
# Not shown: the labels of the image, the mark of the step that made the container (it proves that it is ours), and
# the fingerprint (it is made of resolved values, without a salt).
_LABELS = (LABEL_NAMESPACE, LABEL_SERVICE, LABEL_REPLICA, LABEL_REVISION, LABEL_SOURCE)


def namespace_json(namespace: RecordedNamespace) -> dict[str, Any]:
    return {
        "meta": {
            "name": namespace.ref.namespace,
            "description": namespace.description,
            "created": namespace.created,
            "updated": namespace.updated,
            "labels": dict(namespace.labels),
        }
    }


def service_json(service: RecordedService, status: Status, observed: str) -> dict[str, Any]:
    """`observed` is when the engine was looked at, "" when it never was."""
    revision = service.shown
    memory = (revision.memory or 0) // MIB if revision else 0
    found = {
        "meta": {
            "name": service.ref.name,
            "description": service.description,
            "replicas": status.wanted,
            "namespace": service.ref.namespace,
            "created": service.created,
            "updated": service.updated,
            "labels": dict(service.labels),
        },
        "state": {
            "state": status.word,
            "status": status.why,
            "resources": {"memory": memory * status.wanted},
            "replicas": {name: getattr(status.counters, name) for name in COUNTERS},
            "observed": observed,
        },
        "spec": [_spec(revision, memory, status)] if revision else [],
    }
    return {**found, "pods": [_pod(service, pod) for pod in status.pods]} if status.pods else found


def activity_json(entry: Activity) -> dict[str, Any]:
    return {
        "id": entry.id,
        "created": entry.created,
        "namespace": entry.namespace,
        "service": entry.service,
        "type": entry.type,
        "reason": entry.reason,
        "message": entry.message,
        "revision": entry.revision,
        "commit": entry.commit,
        "count": entry.count,
    }


def _spec(revision: Revision, memory: int, status: Status) -> dict[str, Any]:
    written = revision.written
    live = [
        port for pod in status.pods if pod.replica.recorded.base == revision.base for port in pod.replica.seen.ports
    ]
    return {
        "meta": {
            "id": revision.id,
            "parent": revision.parent,
            "revision": revision.number,
            "labels": {},
            "created": revision.created,
            "updated": revision.updated,
        },
        "memory": memory,
        "command": _words(written.get("command")),
        "image": revision.image,
        "env": _env(written.get("env")),
        "ports": spec_ports(written.get("ports") or (), live),
    }


def _words(command: Any) -> str:
    if command is None:
        return ""
    return command if isinstance(command, str) else " ".join(_text(word) for word in command)


def _env(env: Any) -> list[str] | None:
    if env is None:
        return None
    if isinstance(env, Mapping):
        return [f"{name}={_text(value)}" for name, value in env.items()]
    return [_text(item) for item in env]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pod(service: RecordedService, pod: Pod) -> dict[str, Any]:
    seen = pod.replica.seen
    return {
        "meta": {
            "name": pod.replica.recorded.name,
            "labels": {name: seen.labels[name] for name in _LABELS if name in seen.labels},
            "created": seen.created,
            "updated": max(seen.created, seen.started, seen.finished),
        },
        "state": {"state": pod.word, "status": pod.why, "provision": pod.provision, "ready": pod.ready},
        "containers": [_container(service, pod)],
    }


def _container(service: RecordedService, pod: Pod) -> dict[str, Any]:
    seen, row = pod.replica.seen, pod.replica.recorded
    return {
        "id": seen.id,
        "spec": row.revision,
        "image": _image(row.revision, (service.current, service.pending, service.failed)) or seen.image_id,
        "state": pod.word,
        "status": _engine_words(seen),
        "ports": _published(seen),
        "created": seen.created,
        "started": seen.started,
    }


def _image(revision: str, known: Sequence[Revision | None]) -> str:
    """As written in the revision that it runs; what the engine shows may be the value of a variable."""
    return next((found.image for found in known if found and found.id == revision), "")


def _engine_words(seen: Container) -> str:
    """As `docker ps` says it: running (healthy), exited (3)."""
    if seen.state in ("exited", "restarting", "dead"):
        return f"{seen.state} ({seen.exit_code})"
    return f"{seen.state} ({seen.health})" if seen.health != "none" else seen.state


def _published(seen: Container) -> dict[str, int]:
    """The lowest port of the host, where one port is published twice."""
    found: dict[str, int] = {}
    for port in seen.ports:
        name = f"{port.internal}/{port.protocol}"
        if port.external and port.external <= found.get(name, port.external):
            found[name] = port.external
    return found
