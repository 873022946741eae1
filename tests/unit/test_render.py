"""What people and programs are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler import render, schema, status, views
from reconciler.model import Outcome, Place, Plan, Port, Problem, RecordedNamespace, Ref
from tests.support.build import (
    AT,
    MIB,
    SOURCE,
    World,
    empty,
    make_container,
    make_recorded,
    make_revision,
    make_row,
    make_service,
    steady,
)

REDIS = make_service("redis", image="docker.io/library/redis:7", memory=64 * MIB, replicas=2, env={"A": "${A}"})


def plans() -> list[tuple[str, Plan]]:
    pair = steady(make_service("a"), make_service("b"))
    bad = Problem(Place("x.yaml", 3, 5), "spec.memory", "must be a size", ref=Ref("shop", "x"))
    return [
        ("nothing", steady(make_service()).plan()),
        ("create", empty(make_service()).plan()),
        ("replace", steady(make_service()).wants(make_service(image="docker.io/library/nginx:2")).plan()),
        ("heal", steady(make_service()).sees("web-1", state="paused").plan()),
        ("remove", pair.drops(Ref("shop"), Ref("shop", "a"), Ref("shop", "b")).plan()),
        ("problems", pair.wants(problems=(bad, replace(bad, ref=None))).plan()),
    ]


@pytest.mark.parametrize(("name", "plan"), plans(), ids=[name for name, _ in plans()])
def test_a_plan_has_the_shape_of_its_schema(name: str, plan: Plan) -> None:
    assert schema.validate("plan", render.plan_json(plan)) == []
    with_outcomes = {**render.plan_json(plan), "outcomes": [render.outcome_json(Outcome(Ref("a"), "create", "done"))]}
    assert schema.validate("plan", with_outcomes) == []


def test_the_schema_knows_every_verb() -> None:
    assert schema.load("plan")["properties"]["actions"]["items"]["properties"]["action"]["enum"] == list(render.VERBS)


def test_a_plan_as_json() -> None:
    found = render.plan_json(empty(make_service()).plan())
    assert found["actions"][1] == {
        "action": "create",
        "kind": "service",
        "namespace": "shop",
        "name": "web",
        "origin": "author",
        "causes": [{"field": "new service", "old": "", "new": "", "at": "web.yaml:1"}],
        "impact": "none",
    }
    assert found["summary"]["create"] == 2 and found["summary"]["objects"] == 2


def test_problems_and_their_places() -> None:
    problem = Problem(Place("x.yaml", 3, 5), "spec.memory", "must be a size", ref=Ref("shop", "x"))
    assert render.problem_json(problem) == {
        "file": "x.yaml",
        "line": 3,
        "column": 5,
        "path": "spec.memory",
        "message": "must be a size",
        "code": "BAD_PARAMETER",
        "object": "shop/x",
    }


def test_outcomes_show_what_failed_and_its_last_lines() -> None:
    outcomes = [
        Outcome(Ref("shop"), "create", "done"),
        Outcome(Ref("shop", "a"), "replace", "failed", "exit 3", 1, ("one", "two")),
        Outcome(Ref("shop", "b"), "create", "blocked", "waits for shop/a", 1),
        Outcome(Ref("shop", "c"), "held", "held", "revision 2 failed", 1),
    ]
    assert render.outcomes_text(outcomes).splitlines() == [
        "failed: replace shop/a: exit 3",
        "    | one",
        "    | two",
        "blocked: create shop/b: waits for shop/a",
        "held shop/c: revision 2 failed",
        "1 done, 1 failed, 1 blocked, 1 held",
    ]


def shown(world: World) -> dict[str, Any]:
    (service,) = world.recorded.services.values()
    return views.service_json(service, status.of(service, world.observed), AT)


def test_the_last_good_revision_is_shown_beside_a_failed_one() -> None:
    bad = make_revision(make_service("redis"), 1, status="failed", cause="exit 3")
    found = shown(steady(REDIS).remembers(make_recorded(REDIS, failed=bad)))
    assert (found["spec"][0]["meta"]["revision"], found["state"]["state"]) == (0, "warning")
    only = shown(steady(REDIS).remembers(make_recorded(REDIS, current=None, failed=bad)))
    assert only["spec"][0]["meta"]["revision"] == 1


def test_a_manifest_is_shown_as_it_was_written() -> None:
    service = replace(REDIS, description="d", labels={"a": "b"})
    assert render.manifest(make_recorded(service, current=make_revision(service, written={"image": "${I}redis"}))) == {
        "apiVersion": "lb/v1",
        "kind": "Service",
        "meta": {"name": "redis", "namespace": "shop", "description": "d", "labels": {"a": "b"}},
        "spec": {"image": "${I}redis"},
    }


def test_the_table_of_services() -> None:
    world = steady(REDIS).sees("redis-1", ports=(Port(80, external=8080), Port(53, "udp", 53, "127.0.0.1")))
    rows = [(s, status.of(s, world.observed)) for s in world.recorded.services.values()]
    head, row = render.services_table(rows, wide=False)
    assert dict(zip(head, row, strict=True)) == {
        "NAMESPACE": "shop",
        "SERVICE": "redis",
        "STATE": "started",
        "READY": "2/2",
        "IMAGE": "docker.io/library/redis:7",
        "REV": "0",
        "PORTS": "0.0.0.0:8080->80/tcp,127.0.0.1:53->53/udp",
        "STATUS": "",
    }
    assert render.services_table(rows, wide=True)[1][-2:] == ["shop.redis.1-1,shop.redis.2-2", SOURCE]


def test_the_table_of_namespaces() -> None:
    world = steady(make_service("a"), make_service("b")).misses("b-1")
    namespace: RecordedNamespace = world.recorded.namespaces["shop"]
    states = [status.of(s, world.observed) for s in world.recorded.services.values()]
    assert render.namespaces_table([(namespace, states)], wide=False) == [
        ["NAMESPACE", "SERVICES", "READY", "CREATED"],
        ["shop", "2", "1/2", "2026-01-02T03:04:05Z"],
    ]


def test_resolved_values_are_nowhere() -> None:
    secret = replace(REDIS, spec=replace(REDIS.spec, env=(("A", "hunter2"),)))
    world = steady(secret).wants(replace(secret, spec=replace(secret.spec, env=(("A", "hunter3"),))))
    texts = [world.text(), str(render.plan_json(world.plan())), str(shown(world))]
    assert not [text for text in texts if "hunter" in text]
    assert "hunter" not in str(make_recorded(secret)) + str(make_container(make_row(secret)))
