"""What an action does when one of its calls fails: what counts against the revision, and what is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler import errors
from reconciler.backoff import Backoff
from reconciler.model import Mount, NamedVolume, Outcome
from tests.support.faults import Hook, Point
from tests.support.memory import Memory
from tests.support.scenarios import MIB, World, service, source

PAIR = service("a", replicas=2)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Memory(), tmp_path)


def fails(error: errors.LbError) -> Callable[[Hook, Point, Any], Any]:
    def fault(hook: Hook, point: Point, act: Any) -> Any:
        raise error

    return fault


def apply(world: World, wanted: Any, point: Point | None = None, error: errors.LbError | None = None) -> Outcome:
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
    before = running(world)  # two are made at once, so either may have the first attempt's number
    bad = service("a", replicas=2, command=("exit", "3", "2"))
    outcome = apply(world, bad, Point("call", "start t.a.1", 2), errors.EngineError("no space left on device"))
    assert outcome.condemns and "exit 3" in outcome.message
    assert running(world) == ["/t.a.1-3", before[1]]
    assert apply(world, bad).result == "held"
    assert running(world) == before, "the next look mends it"


def test_a_replica_more_that_ends_at_once_condemns_nothing_and_waits(world: World) -> None:
    """Condemned, it would be held; as it is not, the daemon must not try it again at once, for ever."""
    world.cycle(source(service("a", command=("exit", "3", "2"))))
    wanted = service("a", command=("exit", "3", "2"), replicas=2)
    for verb in ("scale", "scale"):
        cycle = world.cycle(source(wanted))
        (action,), (outcome,) = cycle.plan.actions, cycle.outcomes
        assert (outcome.verb, outcome.result, outcome.condemns) == (verb, "failed", False)
        assert Backoff().after(action, outcome, 0.0).waits(action, 0.5)


def test_a_replica_that_a_person_pauses_at_the_gate_condemns_nothing(world: World) -> None:
    def pause(hook: Hook, point: Point, act: Any) -> Any:
        (container,) = hook.engine.raw()
        hook.engine.pause(container)
        return act()

    hook = Hook(world.engine, Point("look", "inspect t.a.1", 2), pause)
    outcome = world.cycle(source(service("a")), hook).outcomes[-1]
    assert hook.hit and outcome.result == "failed" and not outcome.condemns and "was paused" in outcome.message
    (made,) = world.engine.raw()
    assert apply(world, service("a")).result == "done"
    assert [(key, row["State"]["Status"]) for key, row in world.engine.raw().items()] == [(made, "running")]


@pytest.mark.parametrize(("labels", "result"), [({}, "failed"), ({"lb.namespace": "t"}, "done")])
def test_a_volume_that_somebody_else_makes_meanwhile(world: World, labels: dict[str, str], result: str) -> None:
    def others(hook: Hook, point: Point, act: Any) -> Any:
        hook.engine.create_volume(NamedVolume("lb.t.data"), labels)
        return act()

    world.cycle(source(service("still")))
    wanted = service("a", mounts=(Mount("/data", "volume", "data"),))
    hook = Hook(world.engine, Point("call", "create_volume lb.t.data"), others)
    (outcome,) = world.cycle(source(service("still"), wanted), hook).outcomes
    assert hook.hit and outcome.result == result
    assert result == "done" or "exists and was not made by lb" in outcome.message


@pytest.mark.parametrize("verb", ["stop", "remove"])
def test_a_container_that_bears_the_id_of_a_gone_one_as_its_name_is_never_touched(world: World, verb: str) -> None:
    """The engine takes an id that is gone for a name."""

    def forge(hook: Hook, point: Point, act: Any) -> Any:
        copy = hook.engine.plant(made, "copy")
        hook.engine.stop(made, 0)
        hook.engine.remove(made)
        hook.engine.rename(copy, made)
        return act()

    world.cycle(source(service("a"), service("b")))
    made = next(key for key, row in world.engine.raw().items() if row["Name"].startswith("/t.a."))
    hook = Hook(world.engine, Point("write", f"begin {verb} t.a.1"), forge)
    world.cycle(source(service("b")), hook)
    (copy,) = (row for row in world.engine.raw().values() if row["Name"] == f"/{made}")
    assert hook.hit and copy["State"]["Status"] == "running"


def test_the_failed_replica_is_kept_though_an_earlier_run_made_it(world: World) -> None:
    world.cycle(source(service("a")))
    bad = service("a", command=("exit", "3"))
    with pytest.raises(errors.EngineUnreachable):
        apply(world, bad, Point("call", "start t.a.1"), errors.EngineUnreachable("connection refused"))
    assert apply(world, bad).condemns
    found = sorted((row["Name"], row["State"]["Status"]) for row in world.engine.raw().values())
    assert found == [("/t.a.1-1", "running"), ("/t.a.1-2", "exited")]


@pytest.mark.parametrize("again", [1, 2])
def test_what_the_engine_lost_track_of_is_replaced_at_once(world: World, again: int) -> None:
    """Known from an earlier start, or found out at this one."""
    world.cycle(source(service("a")))
    (before,) = world.engine.raw()
    world.engine.lose(before)
    if again == 2:
        world.engine._containers[before].raw["State"]["Error"] = ""

        def lose(hook: Hook, point: Point, act: Any) -> Any:
            hook.engine.lose(before)
            return act()

        hook = Hook(world.engine, Point("call", "start t.a.1"), lose)
    else:
        hook = Hook(world.engine)
    (outcome,) = world.cycle(source(service("a")), hook).outcomes
    assert outcome.result == "done" and not hook.broken
    assert [(row["Name"], row["State"]["Status"]) for row in world.engine.raw().values()] == [("/t.a.1-2", "running")]


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
