"""Progress tells what is waited for, and not what is so already."""

from __future__ import annotations

from tests.support.desk import Desk

HEALTHY = {"db": {"condition": "healthy"}}


def test_what_is_ready_at_once_was_not_waited_for(desk: Desk) -> None:
    desk.namespace()
    desk.service("db", healthcheck={"test": ["CMD", "true"]})
    assert "waiting" not in desk.apply().err
    desk.service("web", depends_on=HEALTHY)
    said = desk.apply().err
    assert "demo/web creating: replica 1" in said and "waiting" not in said


def test_what_takes_its_time_is_told_once(desk: Desk) -> None:
    desk.namespace()
    desk.service("db", update={"min_ready": "300ms"})
    desk.service("web", depends_on=HEALTHY)
    said = desk.apply().err
    assert said.count("demo/db waiting for health: replica 1") == 1
    assert said.count("demo/web waiting for demo/db: healthy") == 1
