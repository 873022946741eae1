"""Which objects are for this host: `meta.hosts`, and a namespace's for its services. Pure.

What is for other hosts only is not said here, its problems included. Nothing is concluded from a name that nobody
lists: neither this host's, nor one in `meta.hosts`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from .variables import Complaint, uses_variables

if TYPE_CHECKING:
    from . import Statement

EVERY = ("*",)  # of an object whose `meta.hosts` can't be understood: nobody may take it for moved away
Hosts = Mapping[str, Mapping[str, str]]  # what lb.yaml lists → variables of each


def variables(listed: Hosts, host: str) -> Mapping[str, str]:
    """Those of this host. Raises SourceError where lb.yaml lists hosts and this is none of them."""
    if not listed:
        return {}
    if not host:
        raise SourceError(
            "lb.yaml lists hosts, and which of them this is isn't known; nothing is changed",
            hint=f"pass --host NAME, or set LB_HOST; there are {', '.join(sorted(listed))}",
        )
    if host not in listed:
        near = difflib.get_close_matches(host, listed, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(listed))}; add it, or correct it"
        raise SourceError(f"lb.yaml lists no host {host}; nothing is changed", hint=hint)
    return listed[host]


def read(value: Any) -> tuple[str, ...] | None:
    """What a document's `meta.hosts` says; None where it says nothing that can be understood."""
    meta = value.get("meta") if isinstance(value, dict) else None
    given = meta.get("hosts") if isinstance(meta, dict) else None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        return None
    return tuple(given)


def unknown(names: Sequence[str], written: Any, listed: Hosts) -> list[Complaint]:
    """Names and patterns that no host of lb.yaml has. Where it lists none, that is said of the source as a whole."""
    found: list[Complaint] = []
    for i, name in enumerate(names if listed else ()):
        if any(fnmatchcase(host, name) for host in listed):
            continue
        shown = written["meta"]["hosts"][i]
        near = [] if uses_variables(shown) else difflib.get_close_matches(name, listed, n=1, cutoff=0.6)
        there = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(listed))}"
        found.append((("meta", "hosts", i), f"lb.yaml lists no host {shown}; {there}"))
    return found


class Here:
    """What is said for one host, of all that a source says: `said in here`."""

    def __init__(self, statements: Iterable[Statement], host: str, listed: Hosts) -> None:
        """Raises SourceError where something is for certain hosts only, and this is none that lb.yaml lists."""
        variables(listed, host)
        self._host = host
        self._spaces: dict[str, list[tuple[str, ...] | None]] = {}
        for statement in statements:
            if statement.hosts and not listed:
                raise SourceError(
                    f"{statement.named_at}: meta.hosts is used, and lb.yaml lists no hosts; nothing is changed",
                    hint="list all of them there, like hosts: {nas1: {}, nas2: {}}",
                )
            if statement.ref and not statement.ref.name:
                self._spaces.setdefault(statement.ref.namespace, []).append(statement.hosts)

    def __contains__(self, statement: Statement) -> bool:
        hosts = [statement.hosts]
        if statement.hosts is None and statement.ref and statement.ref.name:
            hosts = self._spaces.get(statement.ref.namespace, hosts)
        return any(names is None or any(fnmatchcase(self._host, name) for name in names) for names in hosts)
