"""`lb status`: one screen, and what changes on it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from reconciler.cli import status as command
from reconciler.lock import Lock, key
from tests.support.desk import Desk


@pytest.fixture
def lived(desk: Desk) -> Desk:
    desk.namespace()
    desk.service("db")
    desk.service("redis", replicas=2)
    desk.apply()
    return desk


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens between the looks of --watch, one after the other; then Ctrl-C."""

    def set_up(*steps: Callable[[], object]) -> None:
        left = list(steps)

        def pause(seconds: float) -> None:
            if not left:
                raise KeyboardInterrupt
            left.pop(0)()

        monkeypatch.setattr(command, "pause", pause)

    return set_up


def stop(desk: Desk, name: str) -> None:
    desk.memory.stop(next(c.id for c in desk.memory.containers() if c.name.startswith(f"{name}-")), 0)


def test_all_in_order(lived: Desk) -> None:
    lines = dict(line.split(maxsplit=1) for line in lived.lb("status").out.splitlines()[:6])
    assert lines == {
        "Engine:": "memory (API 1.41) at memory://",
        "State:": str(lived.state),
        "Lock:": "free",
        "Sources:": "quickstart (1 namespace, 2 services)",
        "Namespaces:": "1",
        "Services:": "2 (2 started)",
    }
    assert lived.lb("status").out.endswith("\n\nall services are in order\n")


def test_what_is_not_in_order_says_why(lived: Desk) -> None:
    stop(lived, "demo.redis.1")
    said = lived.lb("status").out
    assert "Services:    2 (1 started, 1 warning)" in said and "all services" not in said
    assert said.splitlines()[-1].split(maxsplit=2) == ["demo/redis", "warning", "1 of 2 replicas are ready"]


def test_status_as_json(lived: Desk) -> None:
    stop(lived, "demo.db.1")
    assert lived.lb("status", "-o", "json").json == {
        "engine": {"answers": True, "endpoint": "memory://", "version": "memory", "api_version": "1.41", "error": ""},
        "state": str(lived.state),
        "lock": None,
        "sources": [{"name": "quickstart", "namespaces": 1, "services": 2}],
        "remotes": [],
        "namespaces": 1,
        "services": {"total": 2, "error": 1, "started": 1},
        "not_in_order": [
            {"namespace": "demo", "service": "db", "state": "error", "status": "0 of 1 replicas are ready"}
        ],
    }


def test_who_holds_the_lock(lived: Desk) -> None:
    with Lock.acquire(key(lived.memory.info()), "lb apply"):
        assert "held by pid" in lived.lb("status").out and "`lb apply`" in lived.lb("status").out
        lived.memory.gone = True  # it is found by the engine that the state is of
        assert lived.lb("status", "-o", "json", code=69).json["lock"]["command"] == "lb apply"
    assert lived.lb("status", "-o", "json", code=69).json["lock"] is None


def test_an_engine_that_does_not_answer(lived: Desk) -> None:
    lived.memory.gone = True
    said = lived.lb("status", code=69)
    assert "Engine:      no Docker Engine answers" in said.out and "2 (2 unknown)" in said.out
    assert "all services are in order" not in said.out and "NOT IN ORDER" not in said.out


def test_before_the_first_apply(desk: Desk) -> None:
    said = desk.lb("status").out
    assert "none applied yet" in said and "Services:    0" in said and not desk.state.exists()


def test_watching_prints_a_line_a_change(lived: Desk, later: Callable[..., None]) -> None:
    later(
        lambda: None,
        lambda: stop(lived, "demo.redis.1"),
        lambda: setattr(lived.memory, "gone", True),
        lambda: None,
        lambda: setattr(lived.memory, "gone", False),
        lambda: stop(lived, "demo.redis.2"),
    )
    said = lived.lb("status", "--watch", code=130)
    head, _, changes = said.out.partition("all services are in order\n")
    assert "Services:    2 (2 started)" in head
    assert [line.split(maxsplit=1)[1] for line in changes.splitlines()] == [
        "demo/redis started → warning: 1 of 2 replicas are ready",
        "engine: no Docker Engine answers: gone",
        "engine answers",
        "demo/redis warning → error: 0 of 2 replicas are ready",
    ]
    assert said.err.strip() == "lb: interrupted"


def test_watching_sees_services_come_and_go(lived: Desk, later: Callable[..., None]) -> None:
    lived.service("new")
    later(lived.apply, lambda: lived.lb("down", "--yes"))
    changes = [line.split(maxsplit=1)[1] for line in lived.lb("status", "--watch", code=130).out.splitlines()[8:]]
    assert changes == [
        "demo/new not there → started",
        "demo/db started → not there",
        "demo/new started → not there",
        "demo/redis started → not there",
    ]


def test_watching_as_json_is_an_object_a_line(lived: Desk, later: Callable[..., None]) -> None:
    later(lambda: stop(lived, "demo.db.1"))
    lines = lived.lb("status", "--watch", "-o", "json", code=130).out.splitlines()
    assert [json.loads(line)["services"] for line in lines] == [
        {"total": 2, "started": 2},
        {"total": 2, "error": 1, "started": 1},
    ]
