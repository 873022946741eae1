"""What an action does when one of its calls fails: what counts against the revision, and what is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler import errors
from reconciler.model import Outcome
from tests.support.faults import Hook, Point
from tests.support.memory import Memory
from tests.support.scenarios import MIB, World, service, source

PAIR = service("a", replicas=2)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Memory(), tmp_path)


def fails(error: errors.EngineError) -> Callable[[Hook, Point, Any], Any]:
    def fault(hook: Hook, point: Point, act: Any) -> Any:
        raise error

    return fault


def apply(world: World, wanted: Any, point: Point | None = None, error: errors.EngineError | None = None) -> Outcome:
    hook = Hook(world.engine, point, fails(error) if error else None)
    (outcome,) = world.cycle(source(wanted), hook).outcomes
    assert hook.hit == (point is not None) and not hook.broken
    return outcome


def running(world: World) -> list[str]:
    return sorted(row["Name"] for row in world.engine.raw().values() if row["State"]["Status"] == "running")


def test_a_call_about_what_is_there_already_says_nothing_of_the_revision(world: World) -> None:
    """A late answer to an older call: it is joined to its network by now."""
    world.cycle(source(service("a", memory=32 * MIB)))
    (container,) = world.engine.raw()
    world.engine.disconnect(container)
    wanted = service("a", memory=48 * MIB)
    refused = errors.Rejected("endpoint with name t.a.1-1 already exists in network lb.t")
    outcome = apply(world, wanted, Point("call", "connect t.a.1"), refused)
    assert outcome.result == "failed" and not outcome.condemns
    assert apply(world, wanted).result == "done"


def test_what_the_engine_says_of_the_spec_condemns_it(world: World) -> None:
    world.cycle(source(PAIR))
    wanted = service("a", replicas=2, env=(("A", "b"),))
    outcome = apply(world, wanted, Point("call", "create t.a.1"), errors.Rejected("invalid mount config"))
    assert outcome.condemns and apply(world, wanted).result == "held"


def test_what_serves_is_not_stopped_where_the_old_one_can_not_be_started(world: World) -> None:
    """The second new replica ends at once, so the first is to be taken back; its predecessor can't be started."""
    world.cycle(source(PAIR))
    bad = service("a", replicas=2, command=("exit", "3", "2"))
    outcome = apply(world, bad, Point("call", "start t.a.1", 2), errors.EngineError("no space left on device"))
    assert outcome.condemns and "exit 3" in outcome.message
    assert running(world) == ["/t.a.1-3", "/t.a.2-2"]
    assert apply(world, bad).result == "held"
    assert running(world) == ["/t.a.1-1", "/t.a.2-2"], "the next look mends it"


def test_a_change_that_is_refused_in_place_is_a_replacement_only_for_its_author(world: World) -> None:
    world.cycle(source(service("a", memory=32 * MIB)))
    (before,) = world.engine.raw()
    refused = errors.UpdateRefused("device or resource busy")
    world.engine.update(before, {"Memory": 64 * MIB})
    outcome = apply(world, service("a", memory=32 * MIB), Point("call", "update t.a.1"), refused)
    assert outcome.result == "failed" and list(world.engine.raw()) == [before]
    world.cycle(source(service("a", memory=32 * MIB)))
    outcome = apply(world, service("a", memory=48 * MIB), Point("call", "update t.a.1"), refused)
    assert (outcome.verb, outcome.result) == ("replace", "done") and before not in world.engine.raw()
