"""`spec.template: NAME`: what a template of lb.yaml says goes under what the manifest says. Pure.

Maps merge, lists and single values replace, null takes away. Each value keeps the place where it is written, so what is
wrong with one of a template's is reported there. A template can't build on another; YAML's own `<<: *NAME` does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..model import Problem
from .reading import Document, Path
from .variables import Complaint, resolve, uses_variables

LARGEST = 5_000  # values in one template: it is spread over every service that names it
UNKNOWN = "there is no template"
_IN: Path = ("templates",)
_AT: Path = ("spec", "template")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def of(settings: Document) -> dict[str, Document]:
    """The templates of lb.yaml by name, each with paths that begin at the template."""
    values = settings.value.get("templates")
    found = {name: Document(settings.file, value) for name, value in (values or {}).items()}
    for path, place in settings.places.items():
        if path[:1] == _IN and len(path) > 1:
            found[str(path[1])].places[path[2:]] = place
    for path, place in settings.keys.items():
        if path[:1] == _IN and len(path) > 2:
            found[str(path[1])].keys[path[2:]] = place
    for path, text in settings.texts.items():
        if path[:1] == _IN and len(path) > 2:
            found[str(path[1])].texts[path[2:]] = text
    return found


def merged(
    document: Document, templates: Mapping[str, Document], values: Mapping[str, str]
) -> tuple[Document, list[Complaint]]:
    """The document with its template under its spec, and without the field `template`; as it is, where it names none
    or names it wrongly."""
    value = document.value
    spec = value.get("spec") if isinstance(value, dict) and value.get("kind") != "Namespace" else None
    if not isinstance(spec, dict) or spec.get("template") is None:
        return document, []
    written = spec["template"]
    name, unresolved = resolve(Document(document.file, written), values)
    if unresolved:
        return document, []  # complained of where all variables are resolved
    if not (isinstance(name, str) and len(name) < 64 and _NAME.fullmatch(name)):
        return document, [(_AT, "must be a template's name: small letters, digits and dashes, at most 63, like web")]
    if name not in templates:
        return document, [(_AT, _unknown(written, name, templates))]
    template = templates[name]
    under = template.value or {}
    if not isinstance(under, dict) or len(template.places) > LARGEST:
        return document, [(_AT, f"template {written} is no map, or has more than {LARGEST} values; correct it")]
    if under.get("template") is not None:
        there = replace(document, places={**document.places, _AT: template.at(("template",))})
        return there, [(_AT, "a template can't build on another; write its fields here, or <<: *NAME of an anchor")]
    taken: list[Path] = []
    own = {key: value for key, value in spec.items() if key != "template"}
    value = {**document.value, "spec": _over(own, under, (), taken)}
    return _with_places(document, value, template, frozenset(taken)), []


def told(problem: Problem, written: Mapping[str, Any]) -> Problem:
    """The problem, with the service that it is of where it stands in a template: many may use it."""
    at_home = "template" not in written or problem.place.file != "lb.yaml" or not problem.ref
    return problem if at_home else replace(problem, message=f"{problem.message} (used by {problem.ref})")


def _unknown(written: str, name: str, templates: Mapping[str, Document]) -> str:
    """The name is not told where a variable gives it."""
    if not templates:
        return f"{UNKNOWN} {written} in lb.yaml; write it under templates:"
    near = difflib.get_close_matches(name, templates, n=1, cutoff=0.6)
    if near and not uses_variables(written):
        return f"{UNKNOWN} {written} in lb.yaml; did you mean {near[0]}?"
    return f"{UNKNOWN} {written} in lb.yaml; there are {', '.join(sorted(templates))}"


def _over(own: Mapping[str, Any], under: Mapping[str, Any], path: Path, taken: list[Path]) -> dict[str, Any]:
    """`taken` gets the path of everything that came from below."""
    found: dict[str, Any] = {}
    for key, value in under.items():
        if key not in own:
            found[key] = value
            taken.append((*path, key))
        elif isinstance(own[key], dict) and isinstance(value, dict):
            found[key] = _over(own[key], value, (*path, key), taken)
        elif own[key] is not None:
            found[key] = own[key]
    return found | {key: value for key, value in own.items() if key not in under}


def _with_places(document: Document, value: Any, template: Document, taken: frozenset[Path]) -> Document:
    def came(path: Path) -> bool:
        return any(path[:n] in taken for n in range(1, len(path) + 1))

    found = Document(document.file, value, dict(document.places), dict(document.keys), dict(document.texts))
    found.places |= {("spec", *path): place for path, place in template.places.items() if came(path)}
    found.keys |= {("spec", *path): place for path, place in template.keys.items() if came(path)}
    found.texts |= {("spec", *path): text for path, text in template.texts.items() if came(path)}
    return found
