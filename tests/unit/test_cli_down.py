"""`lb down`: all of a source, or nothing of it."""

from __future__ import annotations

import pytest

from tests.support.desk import Desk


@pytest.mark.parametrize("output", ["text", "json"])
def test_where_one_is_protected_nothing_is_removed(desk: Desk, output: str) -> None:
    desk.namespace()
    desk.service("db", meta={"protect": True})
    desk.service("web")
    desk.apply()
    before = desk.memory.raw()
    desk.memory.calls.clear()
    said = desk.lb("down", "--yes", "-o", output, code=77)
    assert "demo/db is protected (meta.protect), so nothing of the source is taken down" in said.err
    assert "first apply it with protect: false" in said.err
    assert desk.memory.calls == [] and desk.memory.raw() == before
    desk.service("db")
    desk.apply()
    desk.lb("down", "--yes")
    assert desk.memory.raw() == {}


def test_a_protected_namespace_keeps_all_too(desk: Desk) -> None:
    desk.namespace(protect=True)
    desk.service("web")
    desk.apply()
    before = desk.memory.raw()
    assert "demo is protected" in desk.lb("down", "--yes", code=77).err and desk.memory.raw() == before
