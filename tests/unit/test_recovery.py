"""What an interrupted run left open, settled against what the engine shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.model import Network, OpenIntent, Ref, Volume
from reconciler.recovery import recover
from reconciler.runtime import Effect
from tests.support.build import World, make_container, make_recorded, make_revision, make_row, make_service, steady

WEB = Ref("shop", "web")


def opened(world: World, **given: Any) -> World:
    values = {"nonce": "n1", "step": "create", "ref": WEB, "number": 2, "attempt": 2, "revision": "r1", "target": ""}
    intent = OpenIntent(**{**values, **given})
    return replace(world, recorded=replace(world.recorded, intents=(intent,)))


def marked(nonce: str = "n1") -> Any:
    found = make_container(make_row(make_service(), 2), id="made")
    return replace(found, labels={**found.labels, "lb.intent": nonce})


def test_nothing_open_changes_nothing() -> None:
    world = steady(make_service())
    assert recover(world.recorded, world.observed).recorded == world.recorded


def test_a_container_that_carries_the_nonce_is_ours() -> None:
    world = opened(steady(make_service()), revision="r0").sees_also(marked())
    found = recover(world.recorded, world.observed)
    row = found.recorded.services[WEB].containers[-1]
    assert (row.id, row.number, row.attempt, row.revision, row.base) == ("made", 2, 2, "r0", "r0")
    assert [effect.kind for _, effect in found.settled] == ["container"]
    assert found.recorded.intents == ()


def test_it_belongs_to_the_generation_of_its_revision() -> None:
    service = make_service()
    pending = make_revision(service, 1, status="pending", base="r0")
    world = steady(service).remembers(make_recorded(service, pending=pending))
    world = opened(world).sees_also(marked())
    assert recover(world.recorded, world.observed).recorded.services[WEB].containers[-1].base == "r0"


def test_a_volume_keeps_how_it_was_made() -> None:
    world = opened(steady(make_service()), step="volume", target="lb.shop.data")
    made = Volume("lb.shop.data", {"lb.intent": "n1", "lb.fingerprint": "salt:hash"}, "then")
    found = recover(world.recorded, replace(world.observed, volumes=(made,)))
    assert found.recorded.volumes["lb.shop.data"].definition == "salt:hash"
    assert found.settled[0][1].definition == "salt:hash"


def test_another_nonce_is_not_ours() -> None:
    world = opened(steady(make_service())).sees_also(marked("other"))
    found = recover(world.recorded, world.observed)
    assert found.recorded.services == world.recorded.services
    assert found.settled == ()


def test_a_create_whose_answer_was_lost_may_still_come_for_a_while() -> None:
    world = opened(steady(make_service()), revision="r0")
    waiting = recover(world.recorded, world.observed)
    assert waiting.settled == () and len(waiting.recorded.intents) == 1
    late = recover(waiting.recorded, world.sees_also(marked()).observed)
    assert [row.id for row in late.recorded.services[WEB].containers] == ["web-1", "made"]
    old = opened(steady(make_service()), stale=True)
    assert [effect for _, effect in recover(old.recorded, old.observed).settled] == [Effect()]


def test_intents_of_actions_under_way_are_left_to_them() -> None:
    world = opened(steady(make_service()), step="start")
    assert recover(world.recorded, world.observed, {WEB}).settled == ()
    assert len(recover(world.recorded, world.observed).settled) == 1


def test_a_nonce_proves_nothing_for_another_step() -> None:
    world = opened(steady(make_service()), step="start").sees_also(marked())
    assert recover(world.recorded, world.observed).recorded.services == world.recorded.services


def test_a_network() -> None:
    world = opened(steady(), step="network", ref=Ref("shop"))
    network = Network("made", "lb.shop", {"lb.intent": "n1"})
    found = recover(world.recorded, replace(world.observed, networks=(network,)))
    assert found.recorded.namespaces["shop"].network == "made"


def test_a_volume() -> None:
    world = opened(steady(make_service()), step="volume")
    volume = Volume("lb.shop.data", {"lb.intent": "n1"}, "2026")
    found = recover(world.recorded, replace(world.observed, volumes=(volume,)))
    assert found.recorded.volumes["lb.shop.data"].created == "2026"


def test_a_removal_that_went_through_is_recorded() -> None:
    world = opened(steady(make_service()), step="remove", target="web-1").misses("web-1")
    found = recover(world.recorded, world.observed)
    assert found.recorded.services[WEB].containers == ()
    assert found.settled[0][1] == Effect("container-gone", "web-1")


def test_a_removal_that_did_not_is_left_to_the_plan() -> None:
    world = opened(steady(make_service()), step="remove", target="web-1")
    found = recover(world.recorded, world.observed)
    assert [row.id for row in found.recorded.services[WEB].containers] == ["web-1"]
