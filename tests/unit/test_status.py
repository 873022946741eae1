"""State word, counters and one line of why."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from reconciler import status
from reconciler.status import Status
from tests.support.build import World, make_recorded, make_revision, make_service, steady

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
    assert counters.running + counters.created + counters.stopped + counters.errored == counters.total == 3
    assert counters.ready + counters.provision <= counters.running


@pytest.mark.parametrize(
    ("replicas", "word", "why"),
    [
        ([{}, {}], "started", ""),
        ([{"health": "healthy"}, {}], "started", ""),
        ([{}, {"state": "exited"}], "warning", "1 of 2 replicas are ready"),
        ([{}, {"health": "starting"}], "warning", "1 of 2 replicas are ready"),
        ([{}, {"health": "unhealthy"}], "warning", "1 of 2 replicas are ready"),
        ([{"state": "paused"}], "error", "0 of 1 replicas are ready"),
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
