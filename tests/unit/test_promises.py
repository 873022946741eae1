"""docs/promises.md names tests that are there, some for each promise."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
PROMISES = 15


def promises() -> dict[int, str]:
    """By number, what stands below its heading."""
    parts = re.split(r"^## (\d+)\. .*$", PAGE, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def named(text: str) -> list[tuple[str, str]]:
    """(file, test); of every item the first word in code is a file, the others are its tests."""
    found = []
    for item in re.findall(r"^- (.*(?:\n  .*)*)", text, flags=re.MULTILINE):
        file, *tests = re.findall(r"`([^`]+)`", item)
        assert tests, f"{item} names no test"
        found += [(file, test) for test in tests]
    return found


@cache
def declared(file: str) -> frozenset[str]:
    """The functions of a module of tests."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_promise_is_there_once() -> None:
    assert list(promises()) == list(range(1, PROMISES + 1))


@pytest.mark.parametrize("number", range(1, PROMISES + 1))
def test_a_promise_has_tests_and_they_are_there(number: int) -> None:
    found = named(promises()[number])
    assert found and len(set(found)) == len(found)
    for file, test in found:
        assert re.fullmatch(r"tests/[\w/]+\.py", file) and test.startswith("test_")
        assert test in declared(file), f"promise {number}: {file} has no {test}"
