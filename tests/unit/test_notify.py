"""Commands that are told: what they are told, and what does not hold anybody up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from reconciler import notify
from reconciler.host.settings import Hook
from reconciler.notify import Event, EventKind, Notifier


def event(kind: EventKind, what: str = "shop/web") -> Event:
    return Event("2026-01-02T03:04:05Z", kind, what, "replace failed: “no”", "/srv/shop", "nas1")


def writes(file: Path) -> tuple[str, ...]:
    """A command that keeps what it is told."""
    return ("sh", "-c", f"cat >>'{file}'")


def test_each_command_is_told_what_it_asked_for_in_order(tmp_path: Path) -> None:
    hooks = [Hook(writes(tmp_path / "all")), Hook(writes(tmp_path / "bad"), ("failed",))]
    said: list[str] = []
    notifier = Notifier(lambda: hooks, said.append)
    kinds: tuple[EventKind, ...] = ("failed", "drift", "recovered")
    for kind in kinds:
        notifier.tell(event(kind))
    notifier.close()
    told = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [each["event"] for each in told] == ["failed", "drift", "recovered"] and said == []
    assert told[0] == {
        "time": "2026-01-02T03:04:05Z", "event": "failed", "object": "shop/web", "message": "replace failed: “no”",
        "source": "/srv/shop", "host": "nas1",
    }  # fmt: skip
    assert [json.loads(line)["event"] for line in (tmp_path / "bad").read_text().splitlines()] == ["failed"]


def test_what_does_not_work_is_said_and_the_next_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "PATIENCE", 0.2)
    hooks = [
        Hook((str(tmp_path / "nope"),)),
        Hook(("sh", "-c", "echo one >&2; echo two >&2; exit 3")),
        Hook((sys.executable, "-c", "import time; time.sleep(60)")),
        Hook(writes(tmp_path / "told")),
    ]
    said: list[str] = []
    notifier = Notifier(lambda: hooks, said.append)
    notifier.tell(event("failed"))
    notifier.close()
    assert said == [
        f"{tmp_path}/nope can't be run: No such file or directory",
        "sh ended with exit 3: two",
        f"{sys.executable} was ended: it took more than 0.2 s",
    ]
    assert (tmp_path / "told").exists()


def test_too_many_are_dropped_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "WAITING", 2)
    monkeypatch.setattr(notify, "LEAVING", 0.1)
    go = tmp_path / "go"
    hooks = [Hook(("sh", "-c", f"until [ -e '{go}' ]; do sleep 0.05; done"))]
    said: list[str] = []
    notifier = Notifier(lambda: hooks, said.append)
    for n in range(10):
        notifier.tell(event("failed", f"shop/{n}"))
    assert 7 <= len(said) <= 8 and "one about shop/9 is dropped" in said[-1]
    go.touch()
    notifier.close()


def test_nobody_is_told_where_nobody_asked() -> None:
    notifier = Notifier(lambda: [Hook(("false",), ("drift",))], lambda line: pytest.fail(line))
    notifier.tell(event("failed"))
    notifier.close()
