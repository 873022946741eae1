"""`spec[].ports` of the API reference: whole numbers, from ports as they were written. Pure.

Goes in: the manifest's `ports` (numbers, Compose's short strings, the long form; variables unresolved) and the ports
that the replicas of that revision publish now. Comes out: one entry a written port, in the written order.

What the manifest does not say as a number is taken from what is published, where that leaves one answer only.
Else it is 0: for `external` that is any free port of the host (each pod shows its own), or, as for `internal`, a
number that is not known because a variable stands there and nothing runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model import Port

ANY = 0
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class _Written:
    """None is what a variable hides."""

    internal: int | None
    external: int | None
    protocol: str | None

    def fits(self, port: Port) -> bool:
        return (
            self.internal in (None, port.internal)
            and self.external in (None, ANY, port.external)
            and self.protocol in (None, port.protocol)
        )


def spec_ports(written: Sequence[Any], live: Iterable[Port]) -> list[dict[str, Any]]:
    entries = [_long(item) if isinstance(item, Mapping) else _short(str(item)) for item in written]
    # An address a row: one port that is published on several addresses is one port here.
    free = {Port(p.internal, p.protocol, p.external) for p in live if p.external}
    for entry in entries:
        if None not in (entry.internal, entry.external, entry.protocol):
            free = {port for port in free if not entry.fits(port)}
    return [_entry(entry, [port for port in free if entry.fits(port)]) for entry in entries]


def _entry(written: _Written, candidates: Sequence[Port]) -> dict[str, Any]:
    internal, external, protocol = written.internal, written.external, written.protocol
    if None in (internal, external, protocol) and len(candidates) == 1:
        (port,) = candidates
        internal, protocol = port.internal, port.protocol
        external = port.external if external is None else external
    return {"protocol": protocol or "tcp", "external": external or ANY, "internal": internal or 0, "published": True}


def _long(item: Mapping[str, Any]) -> _Written:
    protocol = str(item.get("protocol", "tcp"))
    external = _number(item["external"]) if item.get("external") is not None else ANY
    return _Written(_number(item.get("internal")), external, None if _VARIABLE.search(protocol) else protocol)


def _short(text: str) -> _Written:
    """`[ADDRESS:][EXTERNAL:]INTERNAL[/PROTOCOL]`; an address may be an IPv6 one in brackets."""
    text = _VARIABLE.sub(_UNKNOWN, text).rpartition("]:")[2]
    ports, _, protocol = text.partition("/")
    *before, internal = ports.split(":")
    outer = before[-1] if before else internal if _UNKNOWN in internal else ""  # "${PUBLISH}" may be all of it
    external = _number(outer) if outer else ANY
    hidden = _UNKNOWN in (protocol or internal)
    return _Written(_number(internal), external, None if hidden else protocol or "tcp")


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() else None
