"""Everything about one object, for people. Values as they were written, never what a variable holds. Pure.

Without a look at the engine (`observed` None) it says what is recorded, and that the rest is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import status
from ..model import (
    Activity,
    Container,
    Observed,
    Recorded,
    RecordedNamespace,
    RecordedService,
    Revision,
)
from ..runtime import network_name
from . import Table, shown_revision
from .activity import activity_table
from .tables import age, columns, plain

UNKNOWN = "unknown: no engine answers"
_Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sight:
    """What was found out, and when. Activity is newest first."""

    recorded: Recorded
    observed: Observed | None
    activity: Sequence[Activity]
    now: str


def service_text(service: RecordedService, revisions: Sequence[Revision], sight: Sight) -> str:
    state = status.of(service, sight.observed, sight.recorded) if sight.observed else None
    numbers = {revision.id: revision.number for revision in revisions}
    head = [
        ("Name", service.ref.name),
        ("Namespace", service.ref.namespace),
        *_meta(service, sight.now),
        ("Depends on", ", ".join(f"{d.ref} ({d.condition})" for d in service.depends_on)),
        ("State", state.word if state else UNKNOWN),
        ("Why", state.why if state else ""),
        ("Ready", f"{state.counters.ready} of {state.wanted}" if state else ""),
    ]
    parts = [fields(head)]
    known = (("Current", service.current), ("Pending", service.pending), ("Failed", service.failed))
    parts += [_revision(word, revision, numbers, sight.now) for word, revision in known if revision]
    parts.append(_section("Replicas", _replicas(service, numbers, sight)))
    parts.append(_section("Activity", activity_table(sight.activity, sight.now)))
    return "\n\n".join(parts)


def namespace_text(namespace: RecordedNamespace, sight: Sight) -> str:
    name, now = namespace.ref.namespace, sight.now
    head = [("Name", name), *_meta(namespace, now), ("Network", _network(namespace, sight.observed))]
    services: Table = [["SERVICE", "STATE", "READY", "IMAGE", "WHY"]]
    for ref, service in sight.recorded.services.items():
        if ref.namespace == name:
            services.append(_summary(service, sight))
    volumes = [["VOLUME", "AGE"]]
    volumes += [[v.name, age(v.created, now)] for v in sight.recorded.volumes.values() if v.namespace == name]
    return "\n\n".join([
        fields(head), _section("Services", services), _section("Volumes", volumes),
        _section("Activity", activity_table(sight.activity, now)),
    ])  # fmt: skip


def _meta(found: RecordedService | RecordedNamespace, now: str) -> _Rows:
    return [
        ("Description", found.description),
        ("Labels", ", ".join(f"{key}={value}" for key, value in sorted(found.labels.items()))),
        ("Source", f"{found.source}, {found.place.file}:{found.place.line}"),
        ("Created", _time(found.created, now)),
        ("Updated", _time(found.updated, now)),
    ]


def _revision(word: str, revision: Revision, numbers: Mapping[str, int], now: str) -> str:
    parent = f"{revision.parent} (revision {numbers[revision.parent]})" if revision.parent in numbers else ""
    memory = f"{revision.memory // 1048576} MiB" if revision.memory else ""
    rows = [
        ("Id", revision.id),
        ("Parent", parent or revision.parent),
        ("Created", _time(revision.created, now)),
        ("Image", revision.image),
        ("Image id", revision.image_id),
        ("Replicas", str(revision.replicas)),
        ("Memory", memory),
        ("Failed", revision.cause),
    ]
    lines = [f"{word} revision: {revision.number}", fields(rows, "  ")]
    if revision.logs:
        lines += ["  Last lines:", *(f"    | {plain(line)}" for line in revision.logs)]
    written = sorted((path, value) for path, value in revision.shown.items() if not path.startswith("meta."))
    if written:
        lines += ["  As written:", fields(written, "    ")]
    return "\n".join(lines)


def _replicas(service: RecordedService, numbers: Mapping[str, int], sight: Sight) -> Table:
    seen = {c.id: c for c in sight.observed.containers} if sight.observed else {}
    table = [["NAME", "ID", "STATE", "HEALTH", "REVISION", "STARTED", "RESTARTS", "PORTS"]]
    for row in service.containers:
        found, number = seen.get(row.id), str(numbers.get(row.revision, "?"))
        if found is None:
            word = "gone" if sight.observed else "unknown"
            table.append([row.name, row.id[:12], word, "-", number, "-", "-", ""])
            continue
        error = status.engine_error(service, row, found) if found.error else ""  # as far as it may be shown
        table.append([
            found.name, row.id[:12], _state(found, error), found.health.replace("none", "-"), number,
            age(found.started, sight.now), str(found.restarts), _published(found),
        ])  # fmt: skip
    return table


def _state(seen: Container, error: str) -> str:
    state = f"{seen.state} ({seen.exit_code})" if seen.state in ("exited", "restarting", "dead") else seen.state
    return f"{state}: {error}" if error else state


def _published(seen: Container) -> str:
    return ",".join(
        f"{p.host_ip or '0.0.0.0'}:{p.external}->{p.internal}/{p.protocol}" for p in seen.ports if p.external
    )


def _summary(service: RecordedService, sight: Sight) -> list[str]:
    revision = shown_revision(service)
    image = revision.image if revision else ""
    if sight.observed is None:
        return [service.ref.name, "unknown", "-", image, ""]
    state = status.of(service, sight.observed, sight.recorded)
    return [service.ref.name, state.word, f"{state.counters.ready}/{state.wanted}", image, state.why]


def _network(namespace: RecordedNamespace, observed: Observed | None) -> str:
    name = network_name(namespace.ref.namespace)
    if observed is None:
        return f"{name} ({UNKNOWN})"
    live = next((n for n in observed.networks if n.id == namespace.network), None)
    return f"{live.name} {live.id[:12]} {' '.join(live.subnets)}" if live else f"{name} (not there)"


def fields(rows: Sequence[tuple[str, str]], indent: str = "") -> str:
    """Aligned `Name:  value` lines; what is empty is left out."""
    given = [(f"{name}:", value) for name, value in rows if value]
    width = max((len(name) for name, _ in given), default=0)
    return "\n".join(f"{indent}{name.ljust(width)}  {plain(value)}" for name, value in given)


def _section(title: str, table: Table) -> str:
    return f"{title}:\n" + (columns(table, "  ") if len(table) > 1 else "  none")


def _time(at: str, now: str) -> str:
    return f"{at[:19]}Z ({age(at, now)})" if at else ""
