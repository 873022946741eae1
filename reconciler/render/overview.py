"""One screen on how things stand: the engine, the state, who changes it, and what is not in order. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import status
from ..errors import LbError
from ..lock import Holder
from ..model import EngineInfo, Observed, Recorded, Ref
from ..remote import Record
from .describe import fields
from .tables import columns, counted

IN_ORDER = ("started", "stopped")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Source:
    namespaces: int = 0
    services: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    """`trouble` is why the engine could not be looked at, "" when it was; then every service is "unknown".

    `services` holds the state word and the line of why of each.
    """

    directory: str
    engine: EngineInfo | None = None
    trouble: str = ""
    holder: Holder | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    namespaces: int = 0
    services: Mapping[Ref, tuple[str, str]] = field(default_factory=dict)
    remotes: Sequence[Record] = ()  # of sources that are fetched

    @property
    def words(self) -> Mapping[str, int]:
        return Counter(word for word, _ in self.services.values())

    @property
    def troubled(self) -> list[tuple[Ref, str, str]]:
        found = ((ref, word, why) for ref, (word, why) in self.services.items())
        return [(ref, word, why) for ref, word, why in found if word not in (*IN_ORDER, UNKNOWN)]


def make(
    recorded: Recorded, look: Observed | LbError, directory: str, holder: Holder | None, remotes: Sequence[Record] = ()
) -> Overview:
    services = dict.fromkeys(recorded.services, (UNKNOWN, ""))
    if isinstance(look, Observed):
        services = {ref: (state.word, state.why) for ref, state in status.each(recorded, look).items()}
    spaces = Counter(namespace.source for namespace in recorded.namespaces.values())
    owned = Counter(service.source for service in recorded.services.values())
    return Overview(
        directory,
        look.engine if isinstance(look, Observed) else None,
        "" if isinstance(look, Observed) else look.message,
        holder,
        {name: Source(spaces[name], owned[name]) for name in sorted(spaces.keys() | owned.keys())},
        len(recorded.namespaces),
        services,
        tuple(remotes),
    )


def overview_text(found: Overview) -> str:
    words = ", ".join(f"{count} {word}" for word, count in sorted(found.words.items()))
    total = len(found.services)
    sources = ", ".join(
        f"{name} ({counted(s.namespaces, 'namespace')}, {counted(s.services, 'service')})"
        for name, s in found.sources.items()
    )
    head = fields([
        ("Engine", _engine(found.engine) or found.trouble),
        ("State", found.directory),
        ("Lock", _holder(found.holder)),
        ("Sources", sources or "none applied yet"),
        *((("Fetched", "; ".join(map(_remote, found.remotes))),) if found.remotes else ()),
        ("Namespaces", str(found.namespaces)),
        ("Services", f"{total} ({words})" if words else "0"),
    ])  # fmt: skip
    if found.troubled:
        rows = [[str(ref), word, why] for ref, word, why in found.troubled]
        return head + "\n\n" + columns([["NOT IN ORDER", "STATE", "WHY"], *rows])
    return head + ("\n\nall services are in order" if total and found.engine else "")


def overview_json(found: Overview) -> dict[str, Any]:
    engine, holder = found.engine, found.holder
    return {
        "engine": {
            "answers": engine is not None,
            "endpoint": engine.endpoint if engine else "",
            "version": engine.version if engine else "",
            "api_version": engine.api_version if engine else "",
            "error": found.trouble,
        },
        "state": found.directory,
        "lock": {"pid": holder.pid, "command": holder.command, "since": holder.since} if holder else None,
        "sources": [
            {"name": name, "namespaces": s.namespaces, "services": s.services} for name, s in found.sources.items()
        ],
        "remotes": [asdict(record) for record in found.remotes],
        "namespaces": found.namespaces,
        "services": {"total": len(found.services), **dict(sorted(found.words.items()))},
        "not_in_order": [
            {"namespace": ref.namespace, "service": ref.name, "state": word, "status": why}
            for ref, word, why in found.troubled
        ],
    }  # fmt: skip


def _remote(record: Record) -> str:
    return str(record) + (f": {record.trouble}" if record.trouble else "")


def transitions(before: Overview, after: Overview) -> list[str]:
    """What became of what, a line each."""
    found: list[str] = []
    if before.trouble != after.trouble:
        found.append(f"engine: {after.trouble}" if after.trouble else "engine answers")
    if before.holder != after.holder:
        found.append(f"lock {_holder(after.holder)}")
    known = {record.name: record for record in before.remotes}
    for record in after.remotes:
        old = known.get(record.name)
        if old is None or (old.commit, old.trouble) != (record.commit, record.trouble):
            found.append(_remote(record))
    for ref in sorted(before.services.keys() | after.services.keys()):
        was, new = before.services.get(ref), after.services.get(ref)
        if was != new and UNKNOWN not in ((was or new or ("",))[0], (new or was or ("",))[0]):
            word = _word(new) if _word(was) == _word(new) else f"{_word(was)} → {_word(new)}"
            found.append(f"{ref} {word}" + (f": {new[1]}" if new and new[1] else ""))
    return found


def _word(found: tuple[str, str] | None) -> str:
    return found[0] if found else "not there"


def _engine(engine: EngineInfo | None) -> str:
    return f"{engine.version} (API {engine.api_version}) at {engine.endpoint}" if engine else ""


def _holder(holder: Holder | None) -> str:
    return f"held by pid {holder.pid} (`{holder.command}`) since {holder.since[:19]}Z" if holder else "free"
