"""`lb volume`: what is listed, what may be removed, and that nothing else is."""

from __future__ import annotations

import shutil

import pytest

from reconciler import cli
from reconciler.errors import EngineError
from reconciler.model import NamedVolume, RecordedVolume, Ref, Volume
from reconciler.runtime import Effect
from tests.support.desk import IMAGE, Desk

DATA = "lb.demo.data"


@pytest.fixture
def lived(desk: Desk) -> Desk:
    """A service with two volumes, and two volumes whose service is gone."""
    desk.namespace()
    desk.service("redis", volumes=["data:/data", "logs:/logs"])
    desk.service("old", volumes=["past:/past", "gone:/gone"])
    desk.apply()
    desk.remove("demo.old.yaml")
    desk.apply()
    return desk


def held(desk: Desk) -> list[str]:
    return sorted(volume.name for volume in desk.memory.volumes())


def recorded(desk: Desk) -> list[str]:
    with desk.store() as store:
        return sorted(store.recorded().volumes)


# --- ls


def test_volumes_and_who_mounts_them(lived: Desk) -> None:
    del lived.memory._volumes["lb.demo.gone"]
    (head, *rows) = (line.split() for line in lived.lb("volume", "ls").out.splitlines())
    (name,) = (c.name for c in lived.memory.containers())
    assert head == ["NAMESPACE", "VOLUME", "AGE", "USED", "BY"]
    assert [[*row[:2], *row[3:]] for row in rows] == [
        ["demo", DATA, name],
        ["demo", "lb.demo.gone"],
        ["demo", "lb.demo.logs", name],
        ["demo", "lb.demo.past"],
    ]
    assert rows[1][2] == "gone"
    assert lived.lb("volume", "ls", "-n", "other", "-o", "json").json == []
    found = lived.lb("volume", "ls", "-n", "demo", "-o", "json").json
    assert [(v["name"], v["there"], v["used_by"]) for v in found[:2]] == [
        (DATA, True, [name]),
        ("lb.demo.gone", False, []),
    ]


# --- rm


@pytest.mark.parametrize("names", [["lb.demo.past"], ["demo/past"], ["demo/past", "lb.demo.past"]])
def test_a_volume_that_is_named_is_removed_and_nothing_else(lived: Desk, names: list[str]) -> None:
    before = held(lived)
    assert lived.lb("volume", "rm", "--yes", *names).out == "removed lb.demo.past\n"
    assert held(lived) == recorded(lived) == [name for name in before if name != "lb.demo.past"]
    newest = lived.lb("activity", "demo", "-o", "json").json[0]
    assert (newest["reason"], newest["type"], newest["service"]) == ("remove-volume", "normal", "")
    assert "lb.demo.past" in newest["message"]
    with lived.store() as store:
        assert store.recorded().intents == ()


def test_one_in_use_is_refused_and_then_none_goes(lived: Desk) -> None:
    before = held(lived)
    (container,) = lived.memory.containers()
    said = lived.lb("volume", "rm", "--yes", "demo/past", "demo/data", code=77)
    assert f"{DATA} is in use by {container.name}" in said.err and held(lived) == before
    lived.memory.stop(container.id, 0)  # it still holds it
    lived.lb("volume", "rm", "--yes", "demo/data", code=77)
    assert held(lived) == recorded(lived) == before


def test_a_foreign_volume_is_refused_whatever_its_labels(lived: Desk) -> None:
    lived.memory.create_volume(NamedVolume("theirs"), {})
    lived.memory.create_volume(NamedVolume("lb.demo.theirs"), {"lb.namespace": "demo", "lb.source": "quickstart"})
    for name in ("theirs", "lb.demo.theirs", "demo/theirs", "lb.state", "lb.demo.nonsense"):
        said = lived.lb("volume", "rm", "--yes", name, code=77)
        assert "is not recorded as ours" in said.err and "docker volume rm" in said.err
    assert lived.memory.volume("theirs") and lived.memory.volume("lb.demo.theirs") and lived.memory.volume("lb.state")


@pytest.mark.parametrize("labels", [{}, {"lb.namespace": "demo"}])
def test_one_that_took_the_name_of_ours_is_foreign(lived: Desk, labels: dict[str, str]) -> None:
    created = "2026-01-01T00:00:00Z" if not labels else "2026-01-01T00:00:01Z"
    lived.memory._volumes["lb.demo.past"] = Volume("lb.demo.past", labels, created)
    assert "is not the one that lb made" in lived.lb("volume", "rm", "--yes", "demo/past", code=77).err
    assert lived.memory.volume("lb.demo.past")


def test_one_that_is_gone_already_is_forgotten(lived: Desk) -> None:
    del lived.memory._volumes["lb.demo.past"]
    lived.lb("volume", "rm", "--yes", "demo/past")
    assert "lb.demo.past" not in recorded(lived)


def test_without_a_terminal_it_needs_yes_and_asks_once_with_one(lived: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "add --yes" in lived.lb("volume", "rm", "demo/past", code=64).err
    asked: list[str] = []

    def answer(question: str) -> None:
        asked.append(question)

    monkeypatch.setattr(cli.volume, "confirm", answer)
    lived.lb("volume", "rm", "demo/past", "demo/gone")
    assert asked == ["Remove lb.demo.past, lb.demo.gone with all data?"]
    assert recorded(lived) == [DATA, "lb.demo.logs"]


def test_a_container_that_comes_while_it_asks_keeps_its_volume(lived: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.volume, "confirm", lambda question: lived.memory._containers.update(other=mounting()))
    assert "is in use by other" in lived.lb("volume", "rm", "demo/past", code=77).err
    assert lived.memory.volume("lb.demo.past")


def mounting() -> object:
    from tests.support.memory import _Held

    return _Held({"Name": "/other", "HostConfig": {"Mounts": [{"Type": "volume", "Source": "lb.demo.past"}]}})


def test_what_the_engine_refuses_stays_recorded(lived: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise EngineError(f"volume {name}: the driver failed")

    monkeypatch.setattr(lived.memory, "remove_volume", refuse)
    said = lived.lb("volume", "rm", "--yes", "demo/past", "demo/gone", code=1)
    assert said.err.count(" stays: volume ") == 2 and said.out == ""
    assert "lb.demo.past" in recorded(lived)
    newest = lived.lb("activity", "demo", "-o", "json").json[0]
    assert (newest["reason"], newest["type"]) == ("remove-volume-failed", "warning")


@pytest.mark.parametrize("done", [True, False])
def test_a_removal_that_was_cut_off_is_settled_by_the_next_apply(lived: Desk, done: bool) -> None:
    with lived.store() as store:
        store.begin("remove-volume", Ref("demo"), "lb.demo.past", 0, "")
    if done:
        del lived.memory._volumes["lb.demo.past"]
    lived.service("redis", volumes=["data:/data", "logs:/logs"], env={"A": "b"})
    lived.apply()
    assert ("lb.demo.past" in recorded(lived)) == (not done)
    with lived.store() as store:
        assert store.recorded().intents == ()


def test_a_volume_that_is_recorded_anew_is_not_taken_for_the_old_one(lived: Desk) -> None:
    lived.lb("volume", "rm", "--yes", "demo/past")
    lived.service("old", volumes=["past:/past"])
    lived.apply()
    assert "lb.demo.past" in recorded(lived) and "lb.demo.past" in held(lived)


def test_the_state_forgets_a_volume(desk: Desk) -> None:
    with desk.store() as store:
        store.adopt_volume(RecordedVolume("lb.t.data", "t", "2026-01-01T00:00:00Z"))
        intent = store.begin("remove-volume", Ref("t"), "lb.t.data", 0, "")
        store.end(intent.nonce, Effect("volume-gone", id="lb.t.data"))
        assert store.recorded().volumes == {}


def test_once_nothing_is_left_the_engine_is_free_for_another_state(lived: Desk) -> None:
    lived.lb("down", "--yes")
    assert lived.memory.volume("lb.state")
    lived.lb("volume", "rm", "--yes", *held(lived))
    assert lived.memory.volume("lb.state") is None


# --- those without a name


@pytest.fixture
def nameless(desk: Desk) -> Desk:
    """A service whose image has two volumes, one of which the manifest names."""
    desk.memory.declared = {f"sha256:{IMAGE}": ("/data", "/kept")}
    desk.namespace()
    desk.service("redis", volumes=["kept:/kept"])
    desk.apply()
    return desk


def unnamed(desk: Desk) -> list[dict[str, object]]:
    return [row for row in desk.lb("volume", "ls", "-o", "json").json if row["unnamed"]]


def test_a_volume_without_a_name_is_listed_with_whose_it_is(nameless: Desk) -> None:
    (row,) = unnamed(nameless)
    (container,) = nameless.memory.containers()
    assert row["unnamed"] == {"service": "redis", "path": "/data"} and row["namespace"] == "demo"
    assert row["used_by"] == [container.name] and row["there"]
    head, named, last = (line.split() for line in nameless.lb("volume", "ls").out.splitlines())
    assert head[-4:] == ["UNNAMED", "OF", "USED", "BY"] and named[1] == "lb.demo.kept"
    assert (last[1], last[3:]) == (row["name"], ["redis:/data", container.name])


def test_each_container_leaves_its_own_and_no_apply_removes_it(nameless: Desk) -> None:
    (first,) = unnamed(nameless)
    nameless.service("redis", volumes=["kept:/kept"], env={"A": "1"})
    nameless.apply()
    old, new = unnamed(nameless)
    assert old["name"] == first["name"] and old["used_by"] == [] and new["used_by"]
    nameless.remove("demo.redis.yaml")
    nameless.apply()
    assert [row["used_by"] for row in unnamed(nameless)] == [[], []]
    assert {str(row["name"]) for row in unnamed(nameless)} <= set(held(nameless))


def test_one_that_is_named_is_removed_unless_it_is_in_use(nameless: Desk) -> None:
    nameless.service("redis", volumes=["kept:/kept"], env={"A": "1"})
    nameless.apply()
    old, new = (str(row["name"]) for row in unnamed(nameless))
    assert f"{new} is in use by demo.redis" in nameless.lb("volume", "rm", "--yes", old, new, code=77).err
    assert {old, new} <= set(held(nameless))
    assert nameless.lb("volume", "rm", "--yes", old).out == f"removed {old}\n"
    assert old not in held(nameless) and [row["name"] for row in unnamed(nameless)] == [new]
    newest = nameless.lb("activity", "demo/redis", "-o", "json").json[0]
    assert newest["reason"] == "remove-volume" and old in newest["message"]


def test_one_of_somebody_else_is_neither_listed_nor_removed(nameless: Desk) -> None:
    theirs = "0123456789abcdef" * 4
    nameless.memory.create_volume(NamedVolume(theirs), {})
    assert theirs not in nameless.lb("volume", "ls").out
    assert "is not recorded as ours" in nameless.lb("volume", "rm", "--yes", theirs, code=77).err
    assert nameless.memory.volume(theirs)


def test_one_that_was_made_before_it_was_recorded_is_known_by_its_container(nameless: Desk) -> None:
    """As an older lb left it."""
    (row,) = unnamed(nameless)
    with nameless.store() as store:
        store.settle_unnamed([], [str(row["name"])])
    assert unnamed(nameless) == []
    nameless.service("redis", volumes=["kept:/kept"], env={"A": "1"})
    nameless.apply()
    assert [str(row["name"]) in held(nameless) for row in unnamed(nameless)] == [True, True]


def test_one_that_is_gone_is_forgotten(nameless: Desk) -> None:
    nameless.service("redis", volumes=["kept:/kept"], env={"A": "1"})
    nameless.apply()
    (old, new) = (str(row["name"]) for row in unnamed(nameless))
    del nameless.memory._volumes[old]
    assert [row["name"] for row in unnamed(nameless)] == [new]
    nameless.service("other")
    nameless.apply()
    with nameless.store() as store:
        assert {old, new} & set(store.recorded().unnamed) == {new}


def test_a_removal_that_was_cut_off_keeps_what_is_still_there(nameless: Desk) -> None:
    nameless.service("redis", volumes=["kept:/kept"], env={"A": "1"})
    nameless.apply()
    old = str(unnamed(nameless)[0]["name"])
    with nameless.store() as store:
        store.begin("remove-volume", Ref("demo", "redis"), old, 0, "")
    nameless.service("other")
    nameless.apply()
    assert old in [row["name"] for row in unnamed(nameless)]


def test_adopted_containers_bring_theirs(nameless: Desk) -> None:
    (row,) = unnamed(nameless)
    shutil.rmtree(nameless.state)
    nameless.memory.remove_volume("lb.state")
    nameless.apply("--adopt")
    assert [found["name"] for found in unnamed(nameless)] == [row["name"]]


def test_the_plan_says_what_to_write(nameless: Desk) -> None:
    advice = "its image has a volume at /data that has no name in the manifest"
    assert f"i demo/redis: {advice}" in nameless.lb("plan").out
    (found,) = nameless.lb("plan", "-o", "json").json["advice"]
    assert found["object"] == "demo/redis" and "write volumes: [data:/data]" in found["message"]
    assert nameless.apply().out == "no changes\n"
    nameless.service("redis", volumes=["kept:/kept", "data:/data"])
    assert advice not in nameless.lb("plan").out
