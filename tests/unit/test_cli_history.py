"""`lb activity` and `lb history`: what happened to an object, and what its revisions changed."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from reconciler.cli import lb
from reconciler.render.history import changes
from tests.support.build import make_revision, make_service
from tests.support.desk import Desk


@pytest.fixture
def lived(desk: Desk) -> Desk:
    """Two services, one changed twice."""
    desk.namespace(description="ours")
    desk.service("redis", env={"A": "1"})
    desk.service("web")
    desk.apply()
    desk.service("redis", meta={"labels": {"tier": "cache"}}, env={"A": "2"})
    desk.apply()
    desk.service("redis", image="app:2", env={"A": "2"})
    desk.apply()
    return desk


# --- activity


def test_the_table_ends_with_the_newest_and_json_begins_with_it(lived: Desk) -> None:
    lines = lived.lb("activity").out.splitlines()
    assert lines[0].split() == ["AGE", "TYPE", "REASON", "COUNT", "OBJECT", "MESSAGE"]
    assert lines[1].split()[1:] == ["normal", "create", "1", "demo", "new", "namespace"]
    assert lines[-1].split()[1:5] == ["normal", "replace", "1", "demo/redis"] and "image app:1 → app:2" in lines[-1]
    entries = lived.lb("activity", "-o", "json").json
    assert [e["reason"] for e in entries] == ["replace", "replace", "create", "create", "create"]
    assert list(entries[0]) == [
        "id", "created", "namespace", "service", "type", "reason", "message", "revision", "commit", "count",
    ]  # fmt: skip
    assert (entries[0]["namespace"], entries[0]["service"], entries[0]["count"]) == ("demo", "redis", 1)


@pytest.mark.parametrize("arguments", [["demo/web"], ["web", "-n", "demo"], ["demo/web", "-n", "demo"]])
def test_activity_of_one_service(lived: Desk, arguments: list[str]) -> None:
    found = lived.lb("activity", "-o", "json", *arguments).json
    assert [(e["service"], e["reason"]) for e in found] == [("web", "create")]


def test_activity_of_a_namespace_holds_that_of_its_services(lived: Desk) -> None:
    assert {e["service"] for e in lived.lb("activity", "demo", "-o", "json").json} == {"", "redis", "web"}
    assert lived.lb("activity", "-n", "demo").out == lived.lb("activity", "demo").out


def test_a_limit_keeps_the_newest(lived: Desk) -> None:
    assert [e["reason"] for e in lived.lb("activity", "--limit", "2", "-o", "json").json] == ["replace", "replace"]
    assert len(lived.lb("activity", "--limit", "1").out.splitlines()) == 2


def test_what_is_not_there_has_no_activity(lived: Desk) -> None:
    assert "NAMESPACE_NOT_FOUND" in lived.lb("activity", "none", code=1).err
    assert "SERVICE_NOT_FOUND" in lived.lb("activity", "demo/none", code=1).err
    assert "lb activity --help" in lived.lb("activity", "--limit", "0", code=64).err


def test_nothing_happened_yet(desk: Desk) -> None:
    assert desk.lb("activity", "-o", "json").json == []
    assert len(desk.lb("activity").out.splitlines()) == 1
    assert not desk.state.exists()


def test_a_removal_is_an_entry_too_and_outlives_the_object(lived: Desk) -> None:
    lived.lb("down", "--yes")
    (newest, *_) = lived.lb("activity", "demo/redis", "-o", "json").json
    assert (newest["reason"], newest["type"]) == ("remove", "normal")
    assert newest["message"] == "no longer in the source (was in demo.redis.yaml)"
    assert lived.lb("activity", "demo", "--limit", "1", "-o", "json").json[0]["service"] == ""


def test_a_failed_removal_is_a_warning_and_repeats_are_counted(lived: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lived.remove("demo.web.yaml")
    monkeypatch.setattr(lived.memory, "stop", lambda container, grace: None)  # so that its removal is refused
    for _ in range(3):
        lived.apply(code=1)
    newest = lived.lb("activity", "demo/web", "-o", "json").json[0]
    assert (newest["reason"], newest["type"], newest["count"]) == ("remove-failed", "warning", 3)
    assert " 3 " in lived.lb("activity", "demo/web").out.splitlines()[-1]


# --- history


def test_revisions_with_what_they_changed(lived: Desk) -> None:
    head, *rows = (line.split(maxsplit=4) for line in lived.lb("history", "demo/redis").out.splitlines())
    assert head == ["REVISION", "STATUS", "AGE", "IMAGE", "CHANGE"]
    assert [[row[0], row[1], row[3], row[4]] for row in rows] == [
        ["0", "superseded", "app:1", "new service"],
        ["1", "superseded", "app:1", 'env.A 1 → 2, meta.labels {"tier": "cache"}'],
        ["2", "current", "app:2", 'image app:1 → app:2, meta.labels {"tier": "cache"} → unset'],
    ]


def test_history_as_json(lived: Desk) -> None:
    first, second, third = lived.lb("history", "redis", "-n", "demo", "-o", "json").json
    assert [r["revision"] for r in (first, second, third)] == [0, 1, 2]
    assert (first["parent"], second["parent"], third["parent"]) == ("", first["id"], second["id"])
    assert third["changes"][0] == {"field": "image", "old": "app:1", "new": "app:2"}
    assert third["spec"]["image"] == "app:2" and third["spec"]["env"] == {"A": "2"}
    assert lived.lb("history", "demo/redis", "--revision", "1", "-o", "json").json == second


def test_a_revision_is_printed_as_it_was_written_and_can_be_applied(lived: Desk) -> None:
    text = lived.lb("history", "demo/redis", "--revision", "1", "-o", "yaml").out
    assert "A: '2'" in text and "tier: cache" in text and "image: app:1" in text
    (lived.folder / "demo.redis.yaml").write_text(text)
    assert "image app:2 → app:1" in lived.lb("plan").out
    lived.apply()
    assert lived.lb("history", "demo/redis", "--revision", "3", "-o", "json").json["changes"][0]["field"] == "image"
    assert lived.lb("history", "demo/redis", "-o", "yaml").out.count("--- # revision ") == 4


def test_a_failed_revision_says_why(lived: Desk) -> None:
    lived.service("web", command=["exit", "3"], restart="no")
    lived.apply(code=1)
    last = lived.lb("history", "demo/web").out.splitlines()[-1]
    assert last.split()[:2] == ["1", "failed"] and "(failed: " in last and "exit 3" in last
    found = lived.lb("history", "demo/web", "-o", "json").json
    assert [r["status"] for r in found] == ["current", "failed"] and "exit 3" in found[1]["cause"]


def test_no_such_revision(lived: Desk) -> None:
    assert "demo/web has no revision 7" in lived.lb("history", "demo/web", "--revision", "7", code=1).err
    assert "SERVICE_NOT_FOUND" in lived.lb("history", "demo/none", code=1).err
    assert "NAMESPACE/SERVICE" in lived.lb("history", "web", code=64).err


def test_what_is_not_written_is_named_as_what_it_is() -> None:
    web = make_service()
    first = make_revision(web, 0)
    assert str(changes(make_revision(web, 1, parent="r0"), first)[0]) == "the value of a variable"
    moved = make_revision(web, 1, parent="r0", image_id="sha256:new")
    assert str(changes(moved, first)[0]) == "image digest of docker.io/library/nginx:1 is sha256:new"


def test_history_never_shows_what_a_variable_holds(desk: Desk) -> None:
    desk.namespace()
    desk.service("redis", env={"A": "${SECRET}"})
    desk.apply("--set", "SECRET=hunter2")
    desk.apply("--set", "SECRET=hunter3")
    shown = [desk.lb(*words, "demo/redis", "-o", form).out
             for words, form in ((["history"], "table"), (["history"], "json"), (["history"], "yaml"),
                                 (["activity"], "table"), (["activity"], "json"))]  # fmt: skip
    assert not [text for text in shown if "hunter" in text]
    assert "the value of a variable" in shown[0] and "${SECRET}" in shown[2]


# --- without an engine, and completion


def test_no_engine_is_asked(lived: Desk) -> None:
    lived.memory.gone = True
    lived.lb("activity")
    lived.lb("history", "demo/web")
    lived.lb("get", "services", code=69)


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["get", "services"], "", ["demo/redis", "demo/web"]),
        (["get", "service", "-n", "demo"], "w", ["web"]),
        (["get", "namespaces"], "", ["demo"]),
        (["get", "ns", "-n"], "de", ["demo"]),
        (["logs"], "demo/", ["demo/redis", "demo/web"]),
        (["logs", "-n", "demo"], "", ["redis", "web"]),
        (["activity"], "", ["demo", "demo/redis", "demo/web"]),
        (["history"], "demo/r", ["demo/redis"]),
        (["history"], "x", []),
    ],
)
def test_names_are_completed_from_the_state(lived: Desk, words: list[str], incomplete: str, found: list[str]) -> None:
    lived.memory.gone = True
    completed = ShellComplete(lb, {}, "lb", "_LB_COMPLETE").get_completions(words, incomplete)
    assert [item.value for item in completed] == found


def test_a_completion_without_a_readable_state_is_silent(lived: Desk) -> None:
    lived.state.joinpath("state.db").write_text("no database, though long enough to be taken for one" * 40)
    assert ShellComplete(lb, {}, "lb", "_LB_COMPLETE").get_completions(["history"], "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_shell(desk: Desk, shell: str) -> None:
    assert f"_LB_COMPLETE={shell}_complete" in desk.lb("completion", shell).out
    assert "not one of" in desk.lb("completion", "tcsh", code=64).err
