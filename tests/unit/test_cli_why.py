"""`lb why`: which field, from what to what, where it stands, by which rule, in which commit."""

from __future__ import annotations

import pytest

from reconciler import checkout, reconcile
from reconciler.model import Desired
from tests.support.desk import Desk
from tests.support.git import git


@pytest.fixture
def tracked(desk: Desk) -> Desk:
    """A source under git, with two services of which one was replaced."""
    git(desk.folder, "init", "-q")
    desk.namespace()
    desk.service("redis", env={"A": "1"}, memory=32)
    desk.service("web")
    commit(desk, "first")
    desk.apply()
    desk.service("redis", env={"A": "${SECRET}"}, image="app:2", replicas=2, meta={"labels": {"a": "b"}})
    commit(desk, "redis 2")
    desk.apply("--set", "SECRET=hunter2")
    return desk


def commit(desk: Desk, subject: str) -> str:
    git(desk.folder, "add", "-A")
    git(desk.folder, "commit", "-qm", subject)
    return git(desk.folder, "rev-parse", "HEAD")


def test_a_replacement_field_by_field(tracked: Desk) -> None:
    head = git(tracked.folder, "rev-parse", "HEAD")
    text = tracked.lb("why", "demo/redis").out
    first, rest = text.split("\n", 1)
    assert first.startswith("demo/redis was replaced ") and first.endswith(f" ago (revision 1, commit {head})")
    told, table = rest.split("\n\n")
    assert told.splitlines()[:-1] == [
        "  env.A 1 → ${SECRET}  [demo.redis.yaml:1]",
        "      replace: env.A can't be changed on a live container: new ones take over",
        "  image app:1 → app:2  [demo.redis.yaml:1]",
        "      replace: image can't be changed on a live container: new ones take over",
        "  memory (can't be unset on a live container) 32 → unset  [demo.redis.yaml:1]",
        "      replace: memory can't be changed on a live container: new ones take over",
        "  replicas 2  [demo.redis.yaml:1]",
        "      scale: replicas adds or removes some; the others stay",
        '  meta.labels {"a": "b"}  [demo.redis.yaml:1]',
        "      record: meta.labels is written down; the engine is not called",
    ]
    assert told.splitlines()[-1].startswith(f"  demo.redis.yaml was changed last by {head[:12]} ")
    assert told.endswith(" Ann: redis 2")
    assert table.splitlines()[0].split() == ["AGE", "ACTION", "REVISION", "COMMIT", "WHY"]
    assert [line.split()[1:4] for line in table.splitlines()[1:]] == [
        ["replace", "1", head[:12]],
        ["create", "0", git(tracked.folder, "rev-parse", "HEAD~1")[:12]],
    ]
    assert "hunter2" not in text


def test_as_json(tracked: Desk) -> None:
    found = tracked.lb("why", "redis", "-n", "demo", "-o", "json").json
    last = found["last"]
    assert (last["reason"], last["revision"], len(last["commit"])) == ("replace", 1, 40)
    assert last["causes"][1] == {
        "field": "image", "old": "app:1", "new": "app:2", "at": "demo.redis.yaml:1", "rule": "replace",
        "why": "image can't be changed on a live container: new ones take over",
    }  # fmt: skip
    assert last["files"][0]["subject"] == "redis 2"
    assert [action["reason"] for action in found["actions"]] == ["replace", "create"]


def test_what_was_never_replaced_was_made(tracked: Desk) -> None:
    text = tracked.lb("why", "demo/web").out
    assert text.startswith("demo/web was made ") and "create: what is new is made" in text


def test_drift_and_changes_in_place_are_told_below(tracked: Desk) -> None:
    tracked.service("web", memory=64)
    tracked.apply("--set", "SECRET=hunter2")
    (name,) = [c.name for c in tracked.memory.containers() if ".web." in c.name]
    tracked.memory.pause(name)
    tracked.apply("--set", "SECRET=hunter2")
    text = tracked.lb("why", "demo/web").out
    assert [line.split()[1] for line in text.split("\n\n")[1].splitlines()[1:]] == ["heal", "update", "create"]
    assert "replica 1 was paused" in text


def test_uncommitted_changes_are_dirty(tracked: Desk) -> None:
    head = git(tracked.folder, "rev-parse", "HEAD")
    tracked.service("web", env={"A": "2"})
    tracked.apply("--set", "SECRET=hunter2")
    assert f"commit {head}-dirty)" in tracked.lb("why", "demo/web").out
    assert f"{head[:12]}-dirty" in tracked.lb("why", "demo/web").out.split("\n\n")[1]
    entries = tracked.lb("activity", "demo/web", "-o", "json").json
    assert entries[0]["commit"] == f"{head}-dirty"


def test_where_there_is_no_git_there_is_no_commit(desk: Desk) -> None:
    desk.namespace()
    desk.service("web")
    desk.apply()
    assert desk.lb("why", "demo/web", "-o", "json").json["last"]["commit"] == ""
    assert desk.lb("activity", "demo/web", "-o", "json").json[0]["commit"] == ""


def test_what_was_removed_still_has_its_story(tracked: Desk) -> None:
    tracked.remove("demo.redis.yaml")
    tracked.apply()
    text = tracked.lb("why", "demo/redis").out
    assert "(revision 1, commit " in text and "remove" in text.split("\n\n")[1]
    assert "SERVICE_NOT_FOUND" in tracked.lb("why", "demo/none", code=1).err


def test_git_is_asked_only_where_something_is_to_be_done(tracked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(checkout, "look", lambda root: asked.append(root) or checkout.Checkout())
    assert tracked.apply("--set", "SECRET=hunter2").out == "no changes\n"
    assert reconcile.stamped(Desired("x"), reconcile.Plan("x")).commit == "" and not asked
    tracked.service("web", env={"A": "2"})
    tracked.apply("--set", "SECRET=hunter2")
    assert asked == [str(tracked.folder)]
