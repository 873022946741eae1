"""Networks of several namespaces, volumes with options, and what is protected: as they are planned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler import fingerprint, plan
from reconciler.model import (
    Links,
    Mount,
    NamedVolume,
    Namespace,
    Place,
    RecordedVolume,
    Ref,
    Volume,
)
from tests.support.build import World, empty, make_recorded, make_service, steady

WEB = Ref("shop", "web")
JOINED = make_service(links=Links(networks=("other",)))
SPACES = ("shop", "other")


def sharing(world: World, *names: str, recorded: bool = True) -> World:
    """With the network of `other` shared with these namespaces."""
    other = replace(world.desired.namespaces["other"], share_with=names)
    world = replace(world, desired=replace(world.desired, namespaces={**world.desired.namespaces, "other": other}))
    if not recorded or "other" not in world.recorded.namespaces:
        return world
    known = replace(world.recorded.namespaces["other"], share_with=names)
    return replace(world, recorded=replace(world.recorded, namespaces={**world.recorded.namespaces, "other": known}))


def joins(world: World) -> World:
    (container,) = world.observed.containers
    return world.sees(container.id, networks=("net-shop", "net-other"))


def test_a_service_waits_for_every_network_that_it_joins() -> None:
    actions = sharing(empty(JOINED, namespaces=SPACES), "shop").plan().actions
    (service,) = [action for action in actions if action.ref.name]
    assert service.after == (Ref("other"), Ref("shop"))
    assert service.networks == {"shop": "", "other": ""}


def test_a_service_with_a_network_mode_joins_none() -> None:
    actions = empty(make_service(links=Links(network_mode="none"))).plan().actions
    assert [action.networks for action in actions if action.ref.name] == [{}]
    alone = make_service(links=Links(network_mode="none"))
    world = steady(alone).sees("web-1", networks=("net-none",))
    assert not world.plan().changes


def test_joined_everywhere_is_in_order() -> None:
    world = joins(sharing(steady(JOINED, namespaces=SPACES), "shop"))
    assert not world.plan().changes
    (action,) = world.sees("web-1", networks=("net-shop",)).plan().actions
    assert [str(cause) for cause in action.causes] == ["replica 1 was disconnected from the network of other"]


def test_what_is_not_shared_is_a_problem_and_what_runs_stays() -> None:
    world = joins(sharing(steady(JOINED, namespaces=SPACES), "someone"))
    found = world.plan()
    assert [str(p) for p in found.problems] == [
        "web.yaml:1:1: spec.networks: namespace other does not share its network; "
        "write share_with: [shop] under its spec:"
    ]
    assert found.problems[0].ref == WEB and not found.changes


def test_a_namespace_of_another_source_is_known_by_what_is_recorded() -> None:
    world = joins(sharing(steady(JOINED, namespaces=SPACES), "shop"))
    theirs = replace(world.recorded.namespaces["other"], source="elsewhere")
    recorded = replace(world.recorded, namespaces={**world.recorded.namespaces, "other": theirs})
    desired = replace(
        world.desired,
        namespaces={"shop": world.desired.namespaces["shop"]},
        mentioned=world.desired.mentioned - {Ref("other")},
    )
    assert not plan.make(desired, recorded, world.observed).problems
    unknown = replace(recorded, namespaces={"shop": recorded.namespaces["shop"]})
    (problem,) = plan.make(desired, unknown, world.observed).problems
    assert problem.message == "there is no namespace other; correct the name, or remove it"


def test_a_network_goes_after_those_who_joined_it() -> None:
    world = joins(sharing(steady(JOINED, namespaces=SPACES), "shop"))
    emptied = replace(world, desired=replace(world.desired, namespaces={}, services={}, mentioned=frozenset()))
    after = {action.ref: action.after for action in emptied.plan().actions}
    assert after == {WEB: (), Ref("other"): (WEB,), Ref("shop"): (WEB,)}

    leaving = make_service()
    spaces = {"shop": world.desired.namespaces["shop"]}
    mentioned = frozenset({WEB, Ref("shop")})
    desired = replace(world.desired, namespaces=spaces, services={WEB: leaving}, mentioned=mentioned)
    found = {action.ref: (action.verb, action.after) for action in replace(world, desired=desired).plan().actions}
    assert found[WEB][0] == "replace" and found[Ref("other")] == ("remove", (WEB,))


def test_what_a_namespace_shares_is_recorded() -> None:
    world = sharing(steady(make_service(), namespaces=SPACES), "shop", recorded=False)
    (action,) = world.plan().actions
    assert (action.verb, [str(cause) for cause in action.causes]) == ("record", ["share_with shop"])


# --- volumes


MADE = NamedVolume("lb.shop.data", "local", (("o", "size=1m"), ("type", "tmpfs")))
MOUNTS = (Mount("/data", "volume", "data"),)


def with_volume(wanted: NamedVolume | None, definition: str, seen: bool = True, **given: Any) -> World:
    """The volume as it is wanted now, and how it was made."""
    volumes = {"data": wanted} if wanted else {}
    before = make_service(mounts=MOUNTS, volumes=volumes)
    world = steady(before).wants(make_service(mounts=MOUNTS, volumes=volumes, **given))
    space = replace(
        world.desired.namespaces["shop"],
        volumes=volumes,
        places={"volumes.data": Place("shop.yaml", 5, 3)},
    )
    observed = Volume("lb.shop.data", {"lb.namespace": "shop"}, "then")
    return replace(
        world,
        desired=replace(world.desired, namespaces={"shop": space}),
        recorded=replace(world.recorded, volumes={MADE.name: RecordedVolume(MADE.name, "shop", "then", definition)}),
        observed=replace(world.observed, volumes=(observed,) if seen else ()),
    )


def test_a_volume_that_is_as_it_was_made() -> None:
    assert not with_volume(MADE, fingerprint.definition(MADE, "salt")).plan().guards
    assert not with_volume(None, "").plan().guards
    assert not with_volume(NamedVolume("lb.shop.data"), "").plan().guards


@pytest.mark.parametrize(("wanted", "made"), [(MADE, None), (None, MADE), (replace(MADE, driver="nfs"), MADE)])
def test_other_options_for_a_volume_that_exists_hold_back_its_users(
    wanted: NamedVolume | None, made: NamedVolume | None
) -> None:
    world = with_volume(wanted, fingerprint.definition(made, "salt") if made else "", env={"A": "b"})
    found = world.plan()
    (guard,) = found.guards
    assert guard.kind == "conflict" and guard.refs == (WEB, Ref("shop"))
    assert "volume lb.shop.data was made with other options than shop.yaml:" in guard.message
    assert "size=1m" not in guard.message
    assert not plan.allowed(found).actions


def test_a_volume_that_is_gone_is_made_as_it_is_wanted() -> None:
    assert not with_volume(MADE, "", seen=False).plan().guards


def test_an_external_volume_is_never_claimed() -> None:
    external = NamedVolume("compose_data", external=True)
    service = make_service(mounts=MOUNTS, volumes={"data": external})
    world = empty(service)
    seen = Volume("compose_data", {"lb.namespace": "shop"}, "then")
    found = replace(world, observed=replace(world.observed, volumes=(seen,))).plan()
    assert not found.guards and found.actions[1].volumes == (external,) and not found.actions[1].claims


# --- protection


def protected(*names: str) -> World:
    services = [make_service(name, protect=name in names) for name in ("a", "b", "c", "d")]
    world = steady(*services)
    for service in services:
        world = world.remembers(make_recorded(service, protect=service.protect))
    return world


def test_a_protected_service_stays_and_others_go() -> None:
    found = protected("a").drops(Ref("shop", "a"), Ref("shop", "b")).plan()
    (guard,) = found.guards
    assert (guard.kind, guard.refs) == ("protected", (Ref("shop", "a"),))
    assert guard.message == (
        "shop/a would be removed, which meta.protect refuses: "
        "put the manifest back, or first apply it with protect: false"
    )
    assert [action.ref.name for action in plan.allowed(found).actions] == ["b"]


def test_the_namespace_around_it_stays_too() -> None:
    world = protected("a")
    everything = (Ref("shop"), *(Ref("shop", name) for name in "abcd"))
    found = world.drops(*everything).plan()
    confirm = next(guard.confirm for guard in found.guards if guard.confirm)
    allowed = plan.allowed(world.drops(*everything).answering(confirm=confirm).plan())
    assert [action.ref.name for action in allowed.actions] == ["b", "c", "d"]


def test_with_one_that_is_protected_nothing_is_taken_down() -> None:
    world = protected("a", "c").wants(down=True).drops(Ref("shop"), *(Ref("shop", name) for name in "abcd"))
    decided = world.plan()
    guard = next(guard for guard in decided.guards if guard.kind == "protected")
    assert set(guard.refs) == {Ref("shop"), *(Ref("shop", name) for name in "abcd")}
    assert guard.message.startswith("shop/a, shop/c are protected (meta.protect), so nothing of the source is taken")
    assert plan.allowed(decided).actions == ()


def test_a_protected_namespace_stays() -> None:
    world = steady(make_service())
    known = replace(world.recorded.namespaces["shop"], protect=True)
    world = replace(world, recorded=replace(world.recorded, namespaces={"shop": known}))
    allowed = plan.allowed(world.drops(Ref("shop"), WEB).plan())
    assert [action.ref for action in allowed.actions] == [WEB]


def test_protection_is_recorded() -> None:
    world = steady(make_service()).wants(make_service(protect=True))
    (action,) = world.plan().actions
    assert (action.verb, [cause.field for cause in action.causes]) == ("record", ["meta.protect"])
    spaces: dict[str, Namespace] = {"shop": replace(world.desired.namespaces["shop"], protect=True)}
    world = steady(make_service())
    (action,) = replace(world, desired=replace(world.desired, namespaces=spaces)).plan().actions
    assert (action.verb, [str(cause) for cause in action.causes]) == ("record", ["meta.protect false → true"])
