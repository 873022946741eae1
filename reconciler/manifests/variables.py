"""`${NAME}`, `${NAME:-default}` and `$${`: written values become resolved ones. Pure.

A scalar that is nothing but one `${…}` takes the type that its field asks for; any other stays a string. Values come
from lb.yaml and the command line, never from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .reading import Document, Path, scalar

_PATTERN = re.compile(r"\$(?:(?P<literal>\$)(?=\{)|\{(?P<inside>[^}]*)\}|(?P<open>\{))")
_NAME = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?$", re.DOTALL)
# Fields whose schema asks for a number or a truth value.
_TYPED = {
    "replicas", "memory", "cpus", "retries", "parallelism", "internal", "external", "read_only", "disable",
    "pids_limit", "init", "tty", "stdin_open", "privileged", "soft", "hard", "nocopy", "required",
}  # fmt: skip
_TEXTS = {"env", "labels", "sysctls", "logging", "extra_hosts"}  # whose keys are the author's and may be any of them

Complaint = tuple[Path, str]


def resolve(document: Document, values: Mapping[str, str]) -> tuple[Any, list[Complaint]]:
    """The document's value with every variable replaced, and what could not be, by path."""
    complaints: list[Complaint] = []
    return _walk(document.value, (), values, complaints), complaints


def uses_variables(written: Any) -> bool:
    """Whether a variable stands anywhere in it."""
    if isinstance(written, dict):
        return any(uses_variables(item) for item in written.values())
    if isinstance(written, list):
        return any(uses_variables(item) for item in written)
    return isinstance(written, str) and any(match["inside"] for match in _PATTERN.finditer(written))


def _walk(value: Any, path: Path, values: Mapping[str, str], complaints: list[Complaint]) -> Any:
    if isinstance(value, dict):
        return {key: _walk(item, (*path, key), values, complaints) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, (*path, i), values, complaints) for i, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        if match["literal"]:
            return "$"
        if match["open"]:
            complaints.append((path, "${ without its }; write ${NAME}, or $${ for a literal ${"))
            return ""
        name = _NAME.match(match["inside"])
        if not name:
            text = match["inside"]
            complaints.append((path, f"${{{text}}} is not a variable; write ${{NAME}} or ${{NAME:-default}}"))
            return ""
        if name["name"] in values and (values[name["name"]] != "" or name["default"] is None):
            return values[name["name"]]
        if name["default"] is not None:
            return name["default"][2:]
        complaints.append(
            (
                path,
                f"${{{name['name']}}} is not defined; add it to lb.yaml: variables, or pass --set {name['name']}=...",
            )
        )
        return ""

    resolved = _PATTERN.sub(replace, value)
    whole = _PATTERN.fullmatch(value)
    return scalar(resolved) if whole and not whole["literal"] and _typed(path) else resolved


def _typed(path: Path) -> bool:
    if path[:1] == ("spec",):
        return path[1] not in _TEXTS and (path[-1] in _TYPED or path[1] == "ulimits")
    return path == ("meta", "protect")
