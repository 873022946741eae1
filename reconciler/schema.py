"""JSON Schema: found once, compiled once, and its complaints in words. The only door to `jsonschema`."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from .errors import UsageError

_UNITS = "(us|ms|s|m|h)"  # in the pattern of durations
Steps = tuple[str | int, ...]
_ARTICLE = {"object": "a map", "array": "a list", "integer": "a whole number", "string": "text",
            "boolean": "true or false", "number": "a number"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Complaint:
    """`unknown` is the key that may not stand at `path`, with the keys that may, or with what to write in `message`;
    else `message` says what to write."""

    path: Steps
    message: str
    unknown: str = ""
    known: tuple[str, ...] = ()


@functools.cache
def load(name: str) -> dict[str, Any]:
    """A schema by name. In a checkout the schemas lie beside the package, in a wheel inside it."""
    beside = Path(__file__).parent.parent / "schemas"
    folder = beside if (beside / "manifest.json").exists() else resources.files("reconciler.schemas")
    file = folder / f"{name}.json"
    if not name.isidentifier() or not file.is_file():
        raise UsageError(f"there is no schema {name}; there are manifest, source, host and plan")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def validate(name: str, value: Any) -> list[Complaint]:
    """What is wrong with the value, in the order of the document; empty when nothing is."""
    found = [c for error in _validator(name).iter_errors(value) for c in _complaints(error)]
    return list(dict.fromkeys(found))


@functools.cache
def fields(name: str) -> frozenset[str]:
    """Every key that the schema gives a meaning to, wherever it may stand."""

    def within(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from part.get("properties", ())
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from within(inner)

    return frozenset(within(load(name)))


def takes(name: str, kind: str, path: Steps) -> frozenset[str]:
    """The JSON types that a value may have at this path of a document of that kind; none where nothing may stand."""
    defs = load(name)["$defs"]
    parts = list(_alternatives(defs.get(kind, {}), defs))
    for step in path:
        inner = [found for part in parts for found in _inside(part, step)]
        parts = [part for found in inner for part in _alternatives(found, defs)]
    return frozenset(word for part in parts for word in _types(part))


def _alternatives(part: dict[str, Any], defs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The part itself, and all that it refers to."""
    yield part
    also = [defs[part["$ref"].rpartition("/")[2]]] if "$ref" in part else []
    also += [part[key] for key in ("then", "else") if key in part]
    for other in (*also, *part.get("oneOf", ()), *part.get("anyOf", ()), *part.get("allOf", ())):
        yield from _alternatives(other, defs)


def _inside(part: dict[str, Any], step: str | int) -> list[dict[str, Any]]:
    if isinstance(step, int):
        return [part["items"]] if "items" in part else []
    if step in part.get("properties", ()):
        return [part["properties"][step]]
    rest = part.get("additionalProperties")
    return [rest] if isinstance(rest, dict) else []


def _types(part: dict[str, Any]) -> list[str]:
    values = [*part.get("enum", ()), *([part["const"]] if "const" in part else [])]
    found = [{str: "string", bool: "boolean", int: "integer", float: "number"}[type(value)] for value in values]
    given = part.get("type", [])
    return [*found, *([given] if isinstance(given, str) else given)]


@functools.cache
def _validator(name: str) -> Any:
    """JSON Schema takes 2.0 for an integer, and Python's `$` overlooks a newline at the end; neither is meant here."""
    import jsonschema

    def integer(_: Any, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and (value.endswith("\n") or not re.search(wanted, value)):
            yield jsonschema.ValidationError(f"{value!r} does not match {wanted}")

    base = jsonschema.Draft202012Validator
    checker = base.TYPE_CHECKER.redefine("integer", integer)
    extend: Any = jsonschema.validators.extend
    return extend(base, {"pattern": pattern}, type_checker=checker)(load(name))


def _complaints(error: Any) -> Iterator[Complaint]:
    path = tuple(error.absolute_path)
    if error.validator == "if" and error.context:
        for inner in error.context:
            yield from _complaints(inner)
    elif "propertyNames" in error.absolute_schema_path:
        yield Complaint(path, _words(error), str(error.instance))
    elif error.validator == "additionalProperties":
        known = tuple(error.schema.get("properties", ()))
        for key in error.instance:
            if key not in known:
                yield Complaint(path, "", key, known)
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance and f"'{key}'" in error.message:
                example = _example(error.schema.get("properties", {}).get(key, {}))
                yield Complaint((*path, key), f"is missing; write {key}: {example}")
    elif error.validator == "oneOf":
        yield from _best(error, path)
    else:
        yield Complaint(path, _words(error))


def _best(error: Any, path: Steps) -> Iterator[Complaint]:
    """Of the alternatives the one whose type fits; when none does, what all of them are."""
    by_branch: dict[int, list[Any]] = {}
    for inner in error.context:
        by_branch.setdefault(inner.schema_path[0], []).append(inner)
    fitting = [found for found in by_branch.values()
               if not any(i.validator == "type" and len(i.absolute_path) == len(path) for i in found)]  # fmt: skip
    if len(fitting) == 1:
        for inner in fitting[0]:
            yield from _complaints(inner)
    else:
        yield Complaint(path, f"must look like {_example(error.schema)}")


def _words(error: Any) -> str:
    wanted, example = error.validator_value, _example(error.schema)
    match error.validator:
        case "type":
            return _wrong_type([wanted] if isinstance(wanted, str) else wanted, error)
        case "enum":
            return f"must be one of {', '.join(map(str, wanted))}"
        case "const":
            return f"must be {wanted}"
        case "minimum":
            return f"must be at least {wanted}"
        case "maximum":
            return f"must be at most {wanted}"
        case "exclusiveMinimum":
            return f"must be more than {wanted}"
        case "minLength":
            return f"must not be empty; write something like {example}"
        case "maxLength":
            return f"must have at most {wanted} characters"
        case "minItems":
            return f"must name at least one, like {example}, or be left out"
        case "uniqueItems":
            return "must not name anything twice"
        case "pattern" if _UNITS in wanted:
            return "must be a duration like 500ms, 10s or 1m30s"
        case "pattern":
            return f"must look like {example} ({error.schema['description'].rstrip('.')})"
    return str(error.message)


def _wrong_type(names: list[str], error: Any) -> str:
    names = [name for name in names if name != "null"]
    example = _example(error.schema)
    like = f", like {example}" if example else ""
    if error.instance is None:
        return f"has no value; write one{like}, or remove the key"
    number = isinstance(error.instance, (int, float)) and not isinstance(error.instance, bool)
    if names == ["string"] and number and _UNITS in error.schema.get("pattern", ""):
        return f"needs a unit; write {error.instance}s"
    hint = ""
    if names == ["string"] and isinstance(error.instance, (int, float)):
        return f"must be text; write {json.dumps(str(error.instance).lower())}"
    elif isinstance(error.instance, str) and names[0] in ("integer", "number", "boolean"):
        hint = " without quotes"
    return f"must be {' or '.join(_ARTICLE[name] for name in names)}{hint}{like}"


def _example(schema: Any) -> str:
    """What could stand there, "" when the schema shows nothing."""
    if "$ref" in schema and "examples" not in schema:
        schema = load("manifest")["$defs"].get(schema["$ref"].rpartition("/")[2], {})
    examples = schema.get("examples", ())
    return " or ".join(e if isinstance(e, str) else json.dumps(e) for e in examples[:3])
