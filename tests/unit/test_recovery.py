"""What an interrupted run left open, settled against what the engine shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.model import Network, OpenIntent, Ref, Volume
from reconciler.recovery import recover
from reconciler.runtime import Effect
from tests.support.build import (
    World,
    empty,
    make_container,
    make_recorded,
    make_revision,
    make_row,
    make_service,
    steady,
)

WEB = Ref("shop", "web")


def opened(world: World, **given: Any) -> World:
    values = {"nonce": "n1", "step": "create", "ref": WEB, "number": 2, "attempt": 2, "revision": "r1", "target": ""}
    intent = OpenIntent(**{**values, **given})
    return replace(world, recorded=replace(world.recorded, intents=(intent,)))


def settled(world: World) -> World:
    return replace(world, recorded=recover(world.recorded, world.observed).recorded)


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


def test_of_several_that_carry_the_nonce_the_one_with_the_name_is_ours() -> None:
    copies = [replace(marked(), id=name, name=name) for name in ("copy-1", "copy-2")]
    world = opened(steady(make_service()), revision="r0").sees_also(copies[0], marked(), copies[1])
    found = recover(world.recorded, world.observed).recorded.services[WEB].containers
    assert [row.id for row in found] == ["web-1", "made"]
    unsure = opened(steady(make_service()), revision="r0").sees_also(*copies)
    assert recover(unsure.recorded, unsure.observed).settled == ()


def test_a_renamed_one_is_still_ours() -> None:
    world = opened(steady(make_service()), revision="r0").sees_also(replace(marked(), name="by-hand"))
    found = recover(world.recorded, world.observed).recorded.services[WEB].containers
    assert [(row.id, row.name) for row in found] == [("web-1", "shop.web.1-1"), ("made", "shop.web.2-2")]


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


def test_of_two_networks_of_one_name_the_second_is_known_until_it_is_removed() -> None:
    world = opened(steady(), step="network", ref=Ref("shop"))
    first = replace(world.recorded.intents[0], nonce="n0")
    world = replace(world, recorded=replace(world.recorded, namespaces={}, intents=(first, *world.recorded.intents)))
    networks = tuple(
        Network(name, "lb.shop", {"lb.intent": nonce, "lb.source": "test"})
        for name, nonce in [("one", "n0"), ("two", "n1")]
    )
    world = settled(replace(world, observed=replace(world.observed, networks=networks)))
    assert world.recorded.namespaces["shop"].network == "one"
    assert [intent.nonce for intent in world.recorded.intents] == ["n1"]
    (action,) = world.plan().actions
    assert (action.verb, action.origin, action.surplus) == ("heal", "failure", ("two",))
    assert [str(c) for c in action.causes] == ["network lb.shop was made once more by a run that was interrupted"]
    gone = settled(replace(world, observed=replace(world.observed, networks=networks[:1])))
    assert not gone.plan().changes


def test_a_volume() -> None:
    world = opened(steady(make_service()), step="volume")
    volume = Volume("lb.shop.data", {"lb.intent": "n1"}, "2026")
    found = recover(world.recorded, replace(world.observed, volumes=(volume,)))
    assert found.recorded.volumes["lb.shop.data"].created == "2026"


def test_a_removal_that_went_through_is_recorded() -> None:
    world = opened(steady(make_service()), step="remove", target="web-1").misses("web-1")
    found = recover(world.recorded, world.observed)
    assert found.recorded.services[WEB].containers == ()
    assert found.gone == ("web-1",) and found.writes


def test_what_is_gone_is_forgotten_unless_it_is_under_way() -> None:
    world = steady(make_service(replicas=2)).misses("web-2")
    assert recover(world.recorded, world.observed).gone == ("web-2",)
    assert not recover(world.recorded, world.observed, {WEB}).writes


def test_what_comes_late_for_a_removed_service_is_recorded_to_be_removed() -> None:
    late = replace(marked(), labels={**marked().labels, "lb.source": "test"})
    world = opened(steady(), revision="r0").sees_also(late)
    service = recover(world.recorded, world.observed).recorded.services[WEB]
    assert service.remnant and service.source == "test" and [c.id for c in service.containers] == ["made"]
    assert [(a.verb, str(a.ref)) for a in settled(world).plan().actions] == [("remove", "shop/web")]
    back = settled(world.wants(make_service()))
    assert [(a.verb, len(a.replicas)) for a in back.plan().actions] == [("create", 1)]


def test_what_comes_late_for_a_removed_namespace_is_recorded_to_be_removed() -> None:
    world = opened(empty(namespaces=()), step="network", ref=Ref("shop"), attempt=0)
    network = Network("made", "lb.shop", {"lb.intent": "n1", "lb.source": "test"})
    world = settled(replace(world, observed=replace(world.observed, networks=(network,))))
    (action,) = world.plan().actions
    assert (action.verb, action.ref, action.network) == ("remove", Ref("shop"), "made")
    assert str(action.causes[0]) == "finished by the engine after it had been removed"


def test_a_remnant_counts_against_no_budget() -> None:
    refs = [Ref("shop", name) for name in "abcd"]
    world = steady(*(make_service(name) for name in "xyz"))
    for ref in refs:
        world = world.remembers(replace(make_recorded(make_service(ref.name)), current=None, containers=()))
    assert [str(a.ref) for a in world.plan().actions] == list(map(str, refs)) and not world.plan().guards


def test_a_removal_that_did_not_is_left_to_the_plan() -> None:
    world = opened(steady(make_service()), step="remove", target="web-1")
    found = recover(world.recorded, world.observed)
    assert [row.id for row in found.recorded.services[WEB].containers] == ["web-1"]
