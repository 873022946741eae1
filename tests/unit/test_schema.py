"""The schemas themselves, and their complaints in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from reconciler import schema
from reconciler.errors import UsageError

NAMES = ["manifest", "source", "host", "plan"]
SERVICE = {"apiVersion": "lb/v1", "kind": "Service", "meta": {"name": "a", "namespace": "b"}, "spec": {"image": "c"}}


def properties(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every property that people write, with its schema; conditions of if/then are none."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "properties" and isinstance(inner, dict):
                yield from ((f"{path}.{name}", found) for name, found in inner.items())
            if key not in ("if", "examples"):
                yield from properties(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from properties(inner, f"{path}[{i}]")


def maps(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if value.get("type") == "object" and "properties" in value:
            yield value
        for key, inner in value.items():
            if key not in ("if", "examples"):
                yield from maps(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from maps(inner)


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema.load(name))


@pytest.mark.parametrize("name", ["manifest", "source", "host"])
def test_every_property_is_described_and_shown(name: str) -> None:
    found = dict(properties(schema.load(name)))
    assert found
    bare = [path for path, inner in found.items() if not (inner.get("description") and inner.get("examples"))]
    assert bare == []


def test_examples_of_properties_are_valid() -> None:
    root = schema.load("manifest")
    for path, inner in properties(root):
        whole = {**inner, "$defs": root["$defs"]}
        for example in inner["examples"]:
            errors = list(jsonschema.Draft202012Validator(whole).iter_errors(example))
            assert errors == [], f"{path}: {example}"


def test_nothing_unknown_is_let_through() -> None:
    root = schema.load("manifest")
    closed = [*maps(root["$defs"]), root["$defs"]["Namespace"], root["$defs"]["Service"], *maps(schema.load("source"))]
    closed += list(maps(schema.load("host")))
    assert closed
    assert all(found["additionalProperties"] is False for found in closed)


def test_a_valid_document_has_no_complaints() -> None:
    assert schema.validate("manifest", SERVICE) == []
    assert schema.validate("source", {"name": "shop", "delete_budget": {"count": 1}}) == []


def test_an_unknown_key_is_told_with_those_that_may_stand_there() -> None:
    (found,) = schema.validate("manifest", {**SERVICE, "meta": {"name": "a", "id": 1}})
    assert (found.path, found.unknown) == (("meta",), "id")
    assert found.known == ("name", "namespace", "description", "labels", "protect", "hosts")


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ({"image": 7}, ("spec", "image"), 'must be text; write "7"'),
        ({"image": "a", "replicas": True}, ("spec", "replicas"), "must be a whole number, like 2"),
        ({"image": "a", "replicas": 2.0}, ("spec", "replicas"), "must be a whole number, like 2"),
        ({"image": "a", "update": {"min_ready": 5}}, ("spec", "update", "min_ready"), "needs a unit; write 5s"),
        (
            {"image": "a", "ports": [{"internal": "80"}]},
            ("spec", "ports", 0, "internal"),
            "must be a whole number without quotes, like 80",
        ),
        ({"image": "a", "command": [1]}, ("spec", "command", 0), 'must be text; write "1"'),
        ({"image": "a", "depends_on": ["x", "x"]}, ("spec", "depends_on"), "must not name anything twice"),
        ({"image": ""}, ("spec", "image"), "must not be empty; write something like redis:7.0"),
        ({}, ("spec", "image"), "is missing; write image: redis:7.0"),
    ],
)
def test_complaints_say_what_to_write(spec: dict[str, Any], path: schema.Steps, message: str) -> None:
    assert schema.validate("manifest", {**SERVICE, "spec": spec}) == [schema.Complaint(path, message)]


def test_a_newline_at_the_end_is_part_of_a_name() -> None:
    (found,) = schema.validate("manifest", {**SERVICE, "meta": {"name": "a\n"}})
    assert found.path == ("meta", "name")


@pytest.mark.parametrize("name", ["nothing", "../manifest", ""])
def test_a_schema_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError, match="there are manifest, source, host and plan"):
        schema.load(name)
