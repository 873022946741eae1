"""`lb describe`: one object, whole, and nothing that a variable holds."""

from __future__ import annotations

import re

import pytest

from tests.support.desk import Desk


@pytest.fixture
def lived(desk: Desk) -> Desk:
    desk.namespace(description="ours", labels={"team": "a"})
    desk.service("db")
    desk.service(
        "redis",
        meta={"description": "keeps\tsessions", "labels": {"tier": "cache"}},
        replicas=2,
        memory=64,
        env={"A": "${SECRET}"},
        depends_on={"db": {"condition": "healthy"}},
        volumes=["data:/data"],
    )
    desk.apply("--set", "SECRET=hunter2")
    return desk


def described(text: str) -> dict[str, str]:
    """The first block: name → value."""
    return {key: value.strip() for key, _, value in
            (line.partition(":") for line in text.split("\n\n")[0].splitlines())}  # fmt: skip


def section(text: str, title: str) -> list[list[str]]:
    (block,) = [part for part in text.split("\n\n") if part.startswith(f"{title}:")]
    return [line.split() for line in block.splitlines()[1:]]


def test_a_service(lived: Desk) -> None:
    text = lived.lb("describe", "demo/redis").out
    head = described(text)
    assert {key: head[key] for key in ("Name", "Namespace", "Description", "Labels", "Source", "Depends on")} == {
        "Name": "redis",
        "Namespace": "demo",
        "Description": "keeps sessions",
        "Labels": "tier=cache",
        "Source": "quickstart, demo.redis.yaml:1",
        "Depends on": "demo/db (healthy)",
    }
    assert (head["State"], head["Ready"]) == ("started", "2 of 2") and "Why" not in head
    assert (
        "Current revision: 0\n" in text
        and re.search("Memory: +64 MiB", text)
        and re.search(r"env.A: +\$\{SECRET\}", text)
    )
    assert "hunter" not in text and "Pending" not in text and "Failed" not in text
    rows = section(text, "Replicas")
    assert rows[0] == ["NAME", "ID", "STATE", "HEALTH", "REVISION", "STARTED", "RESTARTS", "PORTS"]
    assert [[row[0].split("-")[0], row[2], row[4]] for row in rows[1:]] == [
        ["demo.redis.1", "running", "0"],
        ["demo.redis.2", "running", "0"],
    ]
    assert section(text, "Activity")[-1][1:] == ["normal", "create", "1", "demo/redis", "new", "service"]


@pytest.mark.parametrize(
    "words", [["service", "demo/redis"], ["redis", "-n", "demo"], ["svc", "redis", "-n", "demo"], ["demo/redis"]]
)
def test_the_ways_to_name_a_service(lived: Desk, words: list[str]) -> None:
    assert described(lived.lb("describe", *words).out)["Name"] == "redis"


def test_a_failed_revision_is_shown_beside_the_good_one(lived: Desk) -> None:
    lived.service("db", command=["exit", "3"], restart="no")
    lived.apply("--set", "SECRET=hunter2", code=1)
    text = lived.lb("describe", "demo/db").out
    head = described(text)
    assert head["State"] == "warning" and "revision 1 failed" in head["Why"]
    good, failed = text.index("Current revision: 0"), text.index("Failed revision: 1")
    assert good < failed and "(revision 0)" in text[failed:] and "exit 3" in text[failed:]
    assert "  Last lines:\n    | exit 3" in text[failed:]
    states = {row[0]: row[2] for row in section(text, "Replicas")[1:]}
    assert states == {"demo.db.1-1": "running", "demo.db.1-2": "exited"}


def test_a_replica_that_is_gone(lived: Desk) -> None:
    (victim,) = [c.id for c in lived.memory.containers() if c.name.startswith("demo.redis.2-")]
    lived.memory.stop(victim, 0)
    lived.memory.remove(victim)
    text = lived.lb("describe", "demo/redis").out
    assert described(text)["Why"] == "1 of 2 replicas are ready"
    assert [row[2] for row in section(text, "Replicas")[1:]] == ["running", "gone"]


@pytest.mark.parametrize("words", [["namespace", "demo"], ["ns", "demo"]])
def test_a_namespace(lived: Desk, words: list[str]) -> None:
    text = lived.lb("describe", *words).out
    head = described(text)
    assert (head["Name"], head["Description"], head["Labels"]) == ("demo", "ours", "team=a")
    assert head["Network"].startswith("lb.demo ") and head["Network"].endswith("/22")
    assert [row[:3] for row in section(text, "Services")[1:]] == [["db", "started", "1/1"], ["redis", "started", "2/2"]]
    assert section(text, "Volumes")[1][0] == "lb.demo.data"
    assert len(section(text, "Activity")) == 4


def test_without_an_engine_it_says_what_is_recorded(lived: Desk) -> None:
    lived.memory.gone = True
    said = lived.lb("describe", "demo/redis", code=69)
    assert described(said.out)["State"] == "unknown: no engine answers" and "no Docker Engine answers" in said.err
    assert [row[2] for row in section(said.out, "Replicas")[1:]] == ["unknown", "unknown"]
    said = lived.lb("describe", "namespace", "demo", code=69)
    assert "unknown" in described(said.out)["Network"]
    assert [row[:2] for row in section(said.out, "Services")[1:]] == [["db", "unknown"], ["redis", "unknown"]]


def test_what_is_not_there(lived: Desk) -> None:
    assert "SERVICE_NOT_FOUND" in lived.lb("describe", "demo/none", code=1).err
    assert "NAMESPACE_NOT_FOUND" in lived.lb("describe", "namespace", "none", code=1).err
    for words in ([], ["namespace"], ["redis"], ["pod", "demo/redis"]):
        assert "NAMESPACE" in lived.lb("describe", *words, code=64).err


def test_log_lines_do_nothing_to_the_terminal(lived: Desk) -> None:
    with lived.store() as store:
        current = store.recorded().services[next(iter(store.recorded().services))].current
        assert current
        store.fail(current.id, "bad\x1b]0;title\x07 end", ["\x1b[31mred\x1b[0m\x07 line\r"])
    text = lived.lb("describe", "demo/db").out
    assert "    | red line\n" in text and "bad end" in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]
