"""All that the API answers from, made at once and never changed: a reader sees one cycle, whole. Pure.

Bodies are bytes, made anew only when what they are made of changed; else the previous picture's object is kept. The
time of the look stands in every service (`state.observed`), so a body is kept in parts around it: an ETag holds for
everything but that time, is weak therefore, and stays the same from look to look while nothing changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import status
from ..model import Container, Observed, Recorded, RecordedNamespace, RecordedService, Ref
from ..status import Status
from .objects import namespace_json, service_json

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Body:
    """JSON as bytes. Between two parts stands the time of the look; most bodies have one or two parts."""

    parts: tuple[bytes, ...]
    etag: str

    def at(self, observed: str) -> bytes:
        return json.dumps(observed).encode().join(self.parts)


@dataclass(frozen=True, slots=True)
class LogSource:
    """A container whose logs can be read. `pod` is its name; `started` and `finished` are its last run's times."""

    container: str
    pod: str
    started: str
    finished: str
    running: bool


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`file` is where the service is written, relative to its source. `made_of` is what the body was made of."""

    body: Body
    file: str
    logs: tuple[LogSource, ...]
    made_of: tuple[RecordedService, Status]


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """`services` is the body of the list of its services, `members` what that was made of, by name."""

    body: Body
    file: str
    services: Body
    members: tuple[ServiceView, ...]
    made_of: RecordedNamespace


@dataclass(frozen=True, slots=True)
class Picture:
    """`observed` is when the engine was looked at last, "" when it never was: old when the engine is dead."""

    observed: str
    all_namespaces: Body
    namespaces: Mapping[str, NamespaceView]
    services: Mapping[Ref, ServiceView]


def picture(recorded: Recorded, observed: Observed | None, previous: Picture | None = None) -> Picture:
    """`observed` is the last successful look, None before there was one."""
    found = status.each(recorded, observed)
    known = previous.services if previous else {}
    services = {
        ref: _service(service, found[ref], known.get(ref)) for ref, service in sorted(recorded.services.items())
    }
    members: dict[str, list[ServiceView]] = {}
    for ref, view in services.items():
        members.setdefault(ref.namespace, []).append(view)
    spaces = previous.namespaces if previous else {}
    namespaces = {
        name: _namespace(namespace, tuple(members.get(name, ())), spaces.get(name))
        for name, namespace in sorted(recorded.namespaces.items())
    }
    same = previous is not None and _identical(spaces.values(), namespaces.values())
    listed = previous.all_namespaces if previous and same else _list(view.body for view in namespaces.values())
    return Picture(observed.at if observed else "", listed, namespaces, services)


def _service(service: RecordedService, state: Status, previous: ServiceView | None) -> ServiceView:
    if previous and previous.made_of == (service, state):
        return previous
    found = service_json(service, state, "")
    before = {"meta": found.pop("meta"), "state": found.pop("state")}
    del before["state"]["observed"]  # its last key: it is put in when an answer is given
    head = _dump(before)[:-2] + b',"observed":'
    tail = b"}," + _dump(found)[1:]
    logs = tuple(_log_source(container) for container in state.containers)
    return ServiceView(_body((head, tail)), service.place.file, logs, (service, state))


def _log_source(seen: Container) -> LogSource:
    return LogSource(seen.id, seen.name, seen.started, seen.finished, seen.state in ("running", "paused"))


def _namespace(
    namespace: RecordedNamespace, members: tuple[ServiceView, ...], previous: NamespaceView | None
) -> NamespaceView:
    same = previous is not None and previous.made_of == namespace
    unmoved = previous is not None and _identical(previous.members, members)
    if previous and same and unmoved:
        return previous
    body = previous.body if previous and same else _body((_dump(namespace_json(namespace)),))
    services = previous.services if previous and unmoved else _list(view.body for view in members)
    return NamespaceView(body, namespace.place.file, services, members, namespace)


def _identical(old: Iterable[V], new: Iterable[V]) -> bool:
    """The very same objects, in order: they are kept where nothing changed."""
    return [id(item) for item in old] == [id(item) for item in new]


def _list(bodies: Iterable[Body]) -> Body:
    """A JSON array of them; the parts of neighbours are joined, so that each time stays between two."""
    parts: list[bytes] = [b"["]
    for number, body in enumerate(bodies):
        first, *rest = body.parts
        parts[-1] += (b"," if number else b"") + first
        parts += rest
    parts[-1] += b"]"
    return _body(tuple(parts))


def _body(parts: Sequence[bytes]) -> Body:
    digest = hashlib.blake2b(b"\0".join(parts), digest_size=12).hexdigest()
    return Body(tuple(parts), f'W/"{digest}"')


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
