"""What a document says as its author wrote it, in the form in which a revision keeps it. Pure.

Variables stay unresolved, and numbers keep their words where text is wanted: `1.10` is no `1.1` in an env. A field that
nothing follows is like no field, but over a template, where it takes the template's value away.
"""

from __future__ import annotations

import json
from typing import Any

from .. import schema
from ..model import Problem, Revision
from .reading import Document, Path, read

# Maps whose keys are the author's.
NAMES = {"env", "labels", "depends_on", "volumes", "driver_opts", "sysctls", "ulimits", "extra_hosts", "options"}
_TEXTS = {"env", "labels", "sysctls"}  # those of the spec whose values are text


def documents(file: str, content: bytes) -> tuple[list[Any], list[Problem]]:
    """The value of each document that says anything; the spec of one with a template as it is authored."""
    found, problems = read(file, content)
    return [authored(document) if templated(document.value) else written(document) for document in found], problems


def again(revision: Revision) -> bytes:
    """The manifest of a service as a revision of it was written; what its template said is in there already."""
    ref, spec = revision.ref, {key: value for key, value in revision.written.items() if key != "template"}
    meta = {"name": ref.name, "namespace": ref.namespace}
    return json.dumps({"apiVersion": "lb/v1", "kind": "Service", "meta": meta, "spec": spec}).encode()


def templated(value: Any) -> bool:
    spec = value.get("spec") if isinstance(value, dict) else None
    return isinstance(spec, dict) and spec.get("template") is not None


def written(document: Document) -> Any:
    return _with_texts(set_only(document.value), document)


def authored(document: Document) -> Any:
    """Its spec with all that stands there."""
    return _with_texts({**set_only(document.value), "spec": _copy(document.value["spec"])}, document)


def is_text(path: Path) -> bool:
    match path:
        case ("spec", "logging", "options", str()) | ("spec", "volumes", str(), "driver_opts", str()):
            return True
        case ("spec", field, str()):
            return field in _TEXTS
    return False


def unset(key: str, value: Any, names: bool) -> bool:
    """A field that nothing follows, of a map whose keys are not the author's (`names`): `env:` alone is like no env."""
    return value is None and not names and key in schema.fields("manifest")


def set_only(value: Any, names: bool = False) -> Any:
    if isinstance(value, list):
        return [set_only(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: set_only(item, key in NAMES) for key, item in value.items() if not unset(key, item, names)}


def _with_texts(value: Any, document: Document) -> Any:
    for path, text in document.texts.items():
        if is_text(path):
            inside = value
            for step in path[:-1]:
                inside = inside[step]
            inside[path[-1]] = text
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
