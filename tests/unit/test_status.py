"""State word, counters and one line of why."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from reconciler import status
from reconciler.model import OpenIntent, Ref
from reconciler.status import Pod, Status
from tests.support.build import AT, World, make_recorded, make_revision, make_row, make_service, steady

STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")


def of(world: World) -> Status:
    (service,) = world.recorded.services.values()
    return status.of(service, world.observed)


def seen(*replicas: dict[str, Any], **spec: Any) -> Status:
    world = steady(make_service(replicas=len(replicas), **spec))
    for number, given in enumerate(replicas, 1):
        world = world.sees(f"web-{number}", **given)
    return of(world)


@pytest.mark.parametrize("states", list(itertools.combinations_with_replacement(STATES, 3)))
@pytest.mark.parametrize("code", [0, 1, 137])
def test_the_counters_sum_up(states: tuple[str, ...], code: int) -> None:
    counters = seen(*({"state": state, "exit_code": code} for state in states)).counters
    leaving = states.count("removing")  # destroyed: counted in no word
    assert counters.running + counters.created + counters.stopped + counters.errored == counters.total - leaving
    assert counters.total == 3
    assert counters.ready + counters.provision <= counters.running + leaving


@pytest.mark.parametrize(
    ("replicas", "word", "why"),
    [
        ([{}, {}], "started", ""),
        ([{"health": "healthy"}, {}], "started", ""),
        ([{}, {"state": "exited"}], "warning", "1 of 2 replicas are ready"),
        ([{}, {"health": "starting"}], "warning", "1 of 2 replicas are ready"),
        ([{}, {"health": "unhealthy"}], "warning", "1 of 2 replicas are ready"),
        ([{"state": "paused"}], "error", "0 of 1 replicas are ready"),
        ([{"health": "starting"}], "warning", "0 of 1 replicas are ready"),
        ([{"started": AT, "restarts": 2}], "warning", "0 of 1 replicas are ready"),
        (
            [{"started": AT, "exit_code": 3, "restarts": 3}],
            "error",
            "CrashLoopBackOff: shop.web.1-1 exit 3, 3 restarts",
        ),
        ([{"state": "exited", "exit_code": 1}], "error", "0 of 1 replicas are ready"),
        (
            [{"state": "restarting", "exit_code": 3, "restarts": 7}],
            "error",
            "CrashLoopBackOff: shop.web.1-1 exit 3, 7 restarts",
        ),
        ([{"state": "exited", "exit_code": 0, "restart_policy": "no"}], "stopped", "completed"),
        ([], "stopped", "0 replicas wanted"),
    ],
)
def test_words(replicas: list[dict[str, Any]], word: str, why: str) -> None:
    found = seen(*replicas)
    assert (found.word, found.why) == (word, why)


def test_gone_replicas_do_not_count() -> None:
    found = of(steady(make_service(replicas=2)).misses("web-1"))
    assert (found.word, found.wanted, found.counters.total) == ("warning", 2, 1)


def test_containers_of_others_do_not_count() -> None:
    world = steady(make_service())
    copy = replace(world.observed.containers[0], id="copy")
    assert of(world.sees_also(copy)).counters.total == 1


@pytest.mark.parametrize(("state", "word"), [("running", "warning"), ("exited", "error")])
def test_a_failed_revision_beside_a_good_one(state: str, word: str) -> None:
    service = make_service()
    bad = make_revision(service, 1, status="failed", cause="exit 3")
    found = of(steady(service).remembers(make_recorded(service, failed=bad)).sees("web-1", state=state))
    assert (found.word, found.why) == (word, "revision 1 failed: exit 3")


def test_a_failed_first_revision() -> None:
    service = make_service()
    bad = make_revision(service, status="failed", cause="exit 3")
    assert of(steady(service).remembers(make_recorded(service, current=None, failed=bad))).word == "error"


def test_a_first_rollout() -> None:
    service = make_service()
    pending = make_revision(service, status="pending")
    world = steady(service).remembers(make_recorded(service, current=None, pending=pending))
    assert (of(world).word, of(world.misses("web-1")).word) == ("provision", "created")


def test_a_later_rollout() -> None:
    service = make_service()
    pending = make_revision(service, 1, status="pending")
    found = of(steady(service).remembers(make_recorded(service, pending=pending)))
    assert (found.word, found.why) == ("provision", "revision 1 is being rolled out")


def test_what_is_held_back_is_said_beside_what_runs() -> None:
    service = make_service(replicas=2)
    world = steady(service).remembers(make_recorded(service, note="web.yaml:3:1: spec.imge: no such field"))
    assert (of(world).word, of(world).why) == ("warning", "web.yaml:3:1: spec.imge: no such field")
    assert of(world.misses("web-1", "web-2")).why.startswith("0 of 2 replicas are ready; web.yaml:3:1")


def pod(world: World, number: int = 1) -> Pod:
    (service,) = world.recorded.services.values()
    return status.each(world.recorded, world.observed)[service.ref].pods[number - 1]


@pytest.mark.parametrize(
    ("given", "word", "why"),
    [
        ({}, "started", ""),
        ({"health": "unhealthy"}, "started", "unhealthy"),
        ({"state": "paused"}, "started", "paused"),
        ({"state": "created"}, "created", "replica 1 was never started"),
        ({"state": "created", "error": "no such file"}, "created", "no such file"),
        ({"state": "exited"}, "stopped", "replica 1 was stopped (exit 0)"),
        ({"state": "exited", "exit_code": 143}, "stopped", "exit 143"),
        ({"state": "exited", "exit_code": 3}, "error", "exit 3"),
        ({"state": "exited", "exit_code": 127, "error": "no such file"}, "error", "exit 127: no such file"),
        ({"state": "restarting", "exit_code": 3, "restarts": 7}, "error", "exit 3, 7 restarts"),
        ({"state": "dead"}, "error", "dead"),
        ({"state": "removing"}, "destroyed", "removing"),
    ],
)
def test_the_words_of_a_pod(given: dict[str, Any], word: str, why: str) -> None:
    found = pod(steady(make_service()).sees("web-1", **given))
    assert (found.word, found.why) == (word, why)


@pytest.mark.parametrize(
    ("seconds", "written", "replacing", "ready"),
    [
        (0.9, {}, False, False),
        (1.0, {}, False, True),
        (4.9, {}, True, False),
        (5.0, {}, True, True),
        (9.9, {"min_ready": "10s"}, False, False),
        (10.0, {"min_ready": "10s"}, False, True),
        (0.0, {"min_ready": "0s"}, True, True),
        (61.0, {"min_ready": "1m1s500ms"}, False, False),
        (62.0, {"min_ready": "1m1s500ms"}, False, True),
        (1.0, {"min_ready": "${WAIT}"}, False, True),
    ],
)
def test_ready_is_past_min_ready(seconds: float, written: dict[str, str], replacing: bool, ready: bool) -> None:
    service = make_service()
    spec = {"image": "nginx", "update": written}
    rows = (make_row(service, revision="r1" if replacing else "r0"),)
    pending = make_revision(service, 1, status="pending", written=spec) if replacing else None
    recorded = make_recorded(service, current=make_revision(service, written=spec), pending=pending, containers=rows)
    at = f"2026-01-02T03:05:{seconds + 0.5:09.6f}000Z" if seconds < 59 else f"2026-01-02T03:06:{seconds - 59.5:09.6f}Z"
    world = steady(service).remembers(recorded).sees("web-1", started="2026-01-02T03:05:00.5Z")
    world = replace(world, observed=replace(world.observed, at=at))
    found = pod(world)
    assert (found.ready, found.provision) == (ready, not ready)


def test_a_healthcheck_stands_instead_of_min_ready() -> None:
    world = steady(make_service())
    assert pod(world.sees("web-1", started=AT, health="healthy")).ready
    assert not pod(world.sees("web-1", started=AT)).ready


def under_way(step: str, target: str, revision: str = "r0") -> World:
    world = steady(make_service(replicas=2))
    intent = OpenIntent("n", step, Ref("shop", "web"), 1, 1, revision, target)
    return replace(world, recorded=replace(world.recorded, intents=(intent,)))


def test_a_step_under_way_is_provision() -> None:
    found = status.each(*seen_by(under_way("update", "web-2")))[Ref("shop", "web")]
    assert [p.provision for p in found.pods] == [False, True]
    assert (found.word, found.counters.provision) == ("started", 1)


@pytest.mark.parametrize(("step", "revision", "word"), [
    ("stop", "", "destroyed"), ("remove", "", "destroyed"), ("stop", "r0", "started"), ("connect", "", "started"),
])  # fmt: skip
def test_destroyed_is_the_removal_of_the_whole_service(step: str, revision: str, word: str) -> None:
    assert status.each(*seen_by(under_way(step, "web-1", revision)))[Ref("shop", "web")].word == word


def seen_by(world: World) -> tuple[Any, Any]:
    return world.recorded, world.observed


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "mine"}, "replica 1 was renamed to mine"),
        ({"networks": ()}, "replica 1 was disconnected from its network"),
        ({"projection": {"memory": 5, "cpus": 0}}, "replica 1 memory was changed to 5 bytes"),
    ],
)
def test_drift_is_a_warning_while_all_are_ready(given: dict[str, Any], why: str) -> None:
    world = steady(make_service()).sees("web-1", **given)
    found = status.each(*seen_by(world))[Ref("shop", "web")]
    assert (found.word, found.why, found.counters.ready) == ("warning", why, 1)
    service = make_service()
    rolling = make_recorded(service, pending=make_revision(service, 1, status="pending"))
    assert status.each(*seen_by(world.remembers(rolling)))[Ref("shop", "web")].why == "revision 1 is being rolled out"


def test_an_engine_that_never_answered() -> None:
    world = steady(make_service(replicas=2))
    found = status.each(world.recorded, None)[Ref("shop", "web")]
    assert (found.word, found.why, found.wanted) == ("warning", "not observed yet: no engine has answered", 2)
    assert found.counters == status.Counters() and found.pods == ()


def test_the_engines_error_may_repeat_the_value_of_a_variable() -> None:
    service = make_service()
    current = make_revision(service, written={"image": "nginx", "command": ["${TOOL}"]})
    world = steady(service).remembers(make_recorded(service, current=current))
    found = pod(world.sees("web-1", state="exited", exit_code=127, error='exec: "hunter2": not found'))
    assert "hunter2" not in found.why and found.why.startswith("exit 127: the engine's error is not shown")


def test_options_of_a_volume_that_the_engine_repeats_are_not_shown() -> None:
    """They stand in the namespace, so the service's spec may have no variable at all."""
    world = steady(make_service())
    mount = "error while mounting volume '/v': mount //nas/x:/v, data: password=hunter2: no such device"
    found = pod(world.sees("web-1", state="created", error=mount))
    assert found.why == "a volume can't be mounted; see `docker inspect`"


def test_a_service_without_any_revision() -> None:
    world = steady(make_service())
    bare = make_recorded(make_service(), current=None, containers=())
    assert of(world.remembers(bare)).word == "created"


def test_some_replicas_of_the_last_good_revision_beside_a_failed_one() -> None:
    service = make_service(replicas=2)
    bad = make_revision(service, 1, status="failed", cause="exit 3")
    world = steady(service).remembers(make_recorded(service, failed=bad))
    assert of(world.sees("web-1", state="exited")).word == "warning"
