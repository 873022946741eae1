"""`${NAME}`, `${NAME:-default}` and `$${`: written values become resolved ones. Pure.

A scalar that is nothing but one `${…}` takes the type that its field's schema asks for, unless text may stand there
too; any other stays text. Values come from lb.yaml and the command line, never from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .. import schema
from .reading import Document, Path, scalar

# `$$NAME`, `$$(…)` and `$$2y$$10` are how Compose has a dollar written. Taken as they stand, they would be wrong and
# nobody would see it.
_PATTERN = re.compile(r"\$(?:(?P<literal>\$)(?=\{)|(?P<doubled>\$)(?=[A-Za-z0-9(])|\{(?P<inside>[^}]*)\}|(?P<open>\{))")
_NAME = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?$", re.DOTALL)
_TYPED = {"integer", "number", "boolean"}

Complaint = tuple[Path, str]


def resolve(document: Document, values: Mapping[str, str]) -> tuple[Any, list[Complaint]]:
    """The document's value with every variable replaced, and what could not be, by path."""
    walk = _Walk(document.value, values)
    return walk.value(document.value, ()), walk.complaints


def uses_variables(written: Any) -> bool:
    """Whether a variable stands anywhere in it."""
    return any(_insides(written))


def used(written: Any, values: Mapping[str, str]) -> frozenset[str]:
    """The values of the variables that stand in it; what a default says is written, and so not among them."""
    return frozenset(values[name] for name in names(written) if name in values)


def names(written: Any) -> frozenset[str]:
    """Of the variables that stand in it."""
    return frozenset(found["name"] for found in map(_NAME.match, _insides(written)) if found)


def _insides(written: Any) -> Iterator[str]:
    """What stands between the braces of each `${…}` in it."""
    if isinstance(written, dict | list):
        for item in written.values() if isinstance(written, dict) else written:
            yield from _insides(item)
    elif isinstance(written, str):
        yield from (match["inside"] for match in _PATTERN.finditer(written) if match["inside"])


class _Walk:
    def __init__(self, root: Any, values: Mapping[str, str]) -> None:
        self.kind = root.get("kind") if isinstance(root, dict) else None
        self.values = values
        self.complaints: list[Complaint] = []

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        if not isinstance(value, str) or "$" not in value:
            return value
        resolved = _PATTERN.sub(lambda match: self.replace(match, path), value)
        whole = _PATTERN.fullmatch(value)
        return scalar(resolved) if whole and not whole["literal"] and self.typed(path) else resolved

    def typed(self, path: Path) -> bool:
        types = schema.takes("manifest", self.kind, path) if isinstance(self.kind, str) else frozenset()
        return not types.isdisjoint(_TYPED) and "string" not in types

    def replace(self, match: re.Match[str], path: Path) -> str:
        if match["literal"]:
            return "$"
        if match["doubled"]:
            self.complaints.append((path, "write $ instead of $$: only ${ is written with two, as $${"))
            return "$"
        if match["open"]:
            self.complaints.append((path, "${ without its }; write ${NAME}, or $${ for a literal ${"))
            return ""
        found = _NAME.match(match["inside"])
        if not found:
            text = match["inside"]
            self.complaints.append((path, f"${{{text}}} is not a variable; write ${{NAME}} or ${{NAME:-default}}"))
            return ""
        name, default = found["name"], found["default"]
        if name in self.values and (self.values[name] != "" or default is None):
            return self.values[name]
        if default is not None:
            return default[2:]
        advice = f"add it to lb.yaml: variables, or pass --set {name}=..."
        self.complaints.append((path, f"${{{name}}} is not defined; {advice}"))
        return ""
