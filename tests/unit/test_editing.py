"""A document gets another value: the lines that differ change, and nothing else."""

from __future__ import annotations

import difflib
import json
import textwrap
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.manifests.editing import Unable, appended, edited
from reconciler.manifests.reading import read
from reconciler.manifests.written import documents

FILE = """\
# what keeps sessions
apiVersion: lb/v1
kind: Service
meta: { name: cache,   namespace: shop }   # in shop
spec:
    image:   "redis:7.0"     # pinned
    # how much it gets
    memory: 64
    env:
        LOG: info   # not debug
        VERSION: 1.10
    volumes:
    - data:/data
    # settings
    - ./x.conf:/etc/x.conf:ro
    command: [redis-server, --save, ""]
    healthcheck:
        test: >
            redis-cli
            ping
        interval: 1s

# the next one
---
apiVersion: lb/v1
kind: Namespace
meta: {name: shop}
"""
SPEC: dict[str, Any] = {
    "image": "redis:7.0",
    "memory": 64,
    "env": {"LOG": "info", "VERSION": "1.10"},
    "volumes": ["data:/data", "./x.conf:/etc/x.conf:ro"],
    "command": ["redis-server", "--save", ""],
    "healthcheck": {"test": "redis-cli ping\n", "interval": "1s"},
}


def document(spec: Any) -> dict[str, Any]:
    return {"apiVersion": "lb/v1", "kind": "Service", "meta": {"name": "cache", "namespace": "shop"}, "spec": spec}


def values(text: str) -> list[Any]:
    found, problems = documents("x.yaml", text.encode())
    assert not problems
    return found


def changes(text: str, spec: Any, index: int = 0) -> str:
    """The lines that went and came; the result must say what was asked for, and nothing else may have changed."""
    after = edited(text, index, document(spec))
    expected = values(text)
    expected[index] = document(spec)
    assert values(after) == expected
    lines = difflib.unified_diff(text.splitlines(), after.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if line[:3] not in ("---", "+++") and line[:2] != "@@")


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in SPEC.items() if key not in keys}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (SPEC, ""),
    "a value, its quotes and comment stay": (
        {**SPEC, "image": "redis:6.2"},
        """
        -    image:   "redis:7.0"     # pinned
        +    image:   "redis:6.2"     # pinned
        """,
    ),
    "a nested value": (
        {**SPEC, "env": {"LOG": "debug", "VERSION": "1.10"}},
        """
        -        LOG: info   # not debug
        +        LOG: debug   # not debug
        """,
    ),
    "a field goes, comments stay": (without("memory"), "-    memory: 64"),
    "a map goes": (
        without("env"),
        """
        -    env:
        -        LOG: info   # not debug
        -        VERSION: 1.10
        """,
    ),
    "the last field goes": (
        without("healthcheck"),
        """
        -    healthcheck:
        -        test: >
        -            redis-cli
        -            ping
        -        interval: 1s
        """,
    ),
    "fields come where they were": (
        {"image": "redis:7.0", "replicas": 2, "cpus": 0.5, **SPEC, "ports": ["8080:80"]},
        """
        +    replicas: 2
        +    cpus: 0.5
        +    ports:
        +    - 8080:80
        """,
    ),
    "items come and go": (
        {**SPEC, "volumes": ["./x.conf:/etc/x.conf:ro", {"type": "tmpfs", "target": "/t"}, "c:/c"]},
        """
        -    - data:/data
        +    - type: tmpfs
        +      target: /t
        +    - c:/c
        """,
    ),
    "an item changes": (
        {**SPEC, "volumes": ["data:/data2", "./x.conf:/etc/x.conf:ro"]},
        """
        -    - data:/data
        +    - data:/data2
        """,
    ),
    "what stands on one line stays on one": (
        {**SPEC, "command": ["redis-server", "--port", "1", "yes"]},
        """
        -    command: [redis-server, --save, ""]
        +    command: [redis-server, --port, '1', 'yes']
        """,
    ),
    "a map becomes a list": (
        {**SPEC, "env": ["LOG=info"]},
        """
        -        LOG: info   # not debug
        -        VERSION: 1.10
        +    - LOG=info
        """,
    ),
    "text becomes a list": (
        {**SPEC, "healthcheck": {"test": ["CMD", "true"], "interval": "1s"}},
        """
        -        test: >
        -            redis-cli
        -            ping
        +        test:
        +        - CMD
        +        - 'true'
        """,
    ),
    "a list becomes text": (
        {**SPEC, "volumes": "none", "command": "redis-server"},
        """
        -    volumes:
        -    - data:/data
        -    # settings
        -    - ./x.conf:/etc/x.conf:ro
        -    command: [redis-server, --save, ""]
        +    volumes: none
        +    command: redis-server
        """,
    ),
    "text of several lines": (
        {**SPEC, "command": "set -e\nexec redis\n"},
        """
        -    command: [redis-server, --save, ""]
        +    command: |
        +      set -e
        +      exec redis
        """,
    ),
    "nothing is left of a list": (
        {**SPEC, "volumes": []},
        """
        -    volumes:
        -    - data:/data
        -    # settings
        -    - ./x.conf:/etc/x.conf:ro
        +    volumes: []
        """,
    ),
}


@pytest.mark.parametrize(("spec", "expected"), CASES.values(), ids=CASES.keys())
def test_only_what_differs_is_another(spec: dict[str, Any], expected: str) -> None:
    assert changes(FILE, spec) == textwrap.dedent(expected).strip()


@pytest.mark.parametrize("spec", [spec for spec, _ in CASES.values()])
def test_windows_line_breaks_stay(spec: dict[str, Any]) -> None:
    after = edited(FILE.replace("\n", "\r\n"), 0, document(spec))
    assert after.count("\n") == after.count("\r\n")
    assert after.replace("\r\n", "\n") == edited(FILE, 0, document(spec))


@pytest.mark.parametrize("spec", [spec for spec, _ in CASES.values()])
def test_json_stays_json(spec: dict[str, Any]) -> None:
    text = json.dumps(document(SPEC), indent=4)
    changes(text, spec)
    assert json.loads(edited(text, 0, document(spec))) == document(spec)


def test_json_changes_where_it_differs() -> None:
    text = json.dumps(document(SPEC), indent=2)
    assert changes(text, {**SPEC, "image": "redis:6.2"}) == (
        '-    "image": "redis:7.0",\n+    "image": "redis:6.2",'
    )  # fmt: skip
    assert changes(text, {**SPEC, "env": {**SPEC["env"], "A": "1"}}) == (
        '-      "VERSION": "1.10"\n+      "VERSION": "1.10",\n+      "A": "1"'
    )  # fmt: skip


def test_the_second_document_of_a_file() -> None:
    text = "---\n# nothing here\n---\nkind: Namespace\n---\n" + FILE
    changes(text, without("memory"), index=1)


def test_a_file_without_a_last_line_break() -> None:
    text = "kind: Service\nspec:\n  image: a"
    assert edited(text, 0, {"kind": "Service", "spec": {"image": "a", "env": {"A": "1"}}}) == (
        "kind: Service\nspec:\n  image: a\n  env:\n    A: '1'"
    )


def test_a_field_that_nothing_follows_is_no_field() -> None:
    text = "kind: Service\nspec:\n  image: a\n  env:\n  memory:   # none\n"
    assert edited(text, 0, {"kind": "Service", "spec": {"image": "b"}}) == text.replace("image: a", "image: b")
    assert edited(text, 0, {"kind": "Service", "spec": {"image": "a", "memory": 64, "env": {"A": "1"}}}) == (
        "kind: Service\nspec:\n  image: a\n  env:\n    A: '1'\n  memory: 64   # none\n"
    )


def test_over_a_template_it_takes_away() -> None:
    text = "kind: Service\nspec:\n  template: web\n  env:\n    A: null\n  memory:\n"
    spec = {"template": "web", "env": {"A": None}}
    after = edited(text, 0, {"kind": "Service", "spec": spec})
    assert after == "kind: Service\nspec:\n  template: web\n  env:\n    A: null\n"
    assert edited(after, 0, {"kind": "Service", "spec": {**spec, "memory": None}}).endswith("  memory: null\n")


@pytest.mark.parametrize("text", ["spec: &a\n  image: x\n", "spec:\n  image: x\n  env: {A: &v 1, B: *v}\n"])
def test_anchors_can_not_be_followed(text: str) -> None:
    with pytest.raises(Unable, match="anchors") as raised:
        edited("# first\n" + text, 0, {"spec": {"image": "y"}})
    assert raised.value.line == (2 if "&a" in text else 4)


def test_anchors_of_another_document_do_not_matter() -> None:
    text = "spec:\n  image: x\n---\na: &a 1\nb: *a\n"
    assert edited(text, 0, {"spec": {"image": "y"}}) == text.replace("image: x", "image: y")


def test_a_document_is_appended() -> None:
    assert appended("", {"a": "1e3"}) == "a: '1e3'\n"
    assert appended("# c\nb: 1", {"a": 1}) == "# c\nb: 1\n---\na: 1\n"
    assert appended("b: 1\r\n", {"a": [1]}) == "b: 1\r\n---\r\na:\r\n  - 1\r\n"
    assert values(appended(FILE, document(SPEC)))[-1] == document(SPEC)


# --- any value, however it is written

TEXTS = st.sampled_from(
    ["", "a", "yes", "1.10", "0o17", "1e3", "~", "a: b", "a #b", "- x", "l1\nl2", "${A}", "'q'", '"', "ü"]
)
SCALARS = st.one_of(TEXTS, st.integers(-9, 9), st.booleans(), st.sampled_from([0.5, 1.5]))
NAMES = st.sampled_from(["image", "memory", "command", "volumes", "test", "interval", "driver", "order"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
SPECS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


def as_block(value: Any, indent: int) -> str:
    return str(yaml.safe_dump(value, indent=indent, sort_keys=False, default_flow_style=False, allow_unicode=True))


def as_flow(value: Any, indent: int) -> str:
    return str(yaml.safe_dump(value, indent=indent, sort_keys=False, default_flow_style=None, allow_unicode=True))


def as_json(value: Any, indent: int) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False)


@settings(max_examples=300, deadline=None)
@given(SPECS, SPECS, st.sampled_from([as_block, as_flow, as_json]), st.integers(2, 4), st.data())
def test_the_result_says_what_was_asked_for(old: Any, new: Any, style: Any, indent: int, data: Any) -> None:
    text = style(document(old), indent)
    found, problems = read("x", text.encode())
    assume(not problems and found[0].value == document(old))  # PyYAML writes some text as YAML 1.2 writes numbers
    lines = text.split("\n")
    if style is as_block and not any("\n" in str(value) for value in json.loads(json.dumps([old]))):
        at = data.draw(st.integers(0, len(lines) - 1))
        if not any(line.rstrip().endswith(("|", "|-", ">", ">-")) or "'" in line or '"' in line for line in lines):
            lines.insert(at, "# a comment")
    text = "# before\nkind: Namespace\n---\n" + "\n".join(lines) + "\n---\n# after\nkind: Namespace\n"
    after = edited(text, 1, document(new))
    assert values(after) == [{"kind": "Namespace"}, document(new), {"kind": "Namespace"}]
    assert after.startswith("# before\nkind: Namespace\n---\n")
    assert after.endswith("---\n# after\nkind: Namespace\n")
    if old == new:
        assert after == text
