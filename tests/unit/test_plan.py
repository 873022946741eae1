"""Desired, recorded and observed become a plan; what is compared is the plan as it is printed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler import fingerprint, plan, reconcile
from reconciler.errors import EXIT_INVALID, EXIT_REFUSED, worst
from reconciler.model import (
    Container,
    DeleteBudget,
    Dependency,
    Network,
    Place,
    Plan,
    Port,
    Problem,
    RecordedService,
    Ref,
    Service,
)
from reconciler.model.desired import POLICY_DENIED, Condition
from tests.support.build import (
    MIB,
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
SHOP = Ref("shop")
NEW_IMAGE = "docker.io/library/nginx:2"


def same(text: str, expected: str) -> None:
    assert text == textwrap.dedent(expected).strip("\n")


def only_cause(world: World) -> str:
    (action,) = world.plan().actions
    return f"{action.verb}: " + "; ".join(map(str, action.causes))


# --- the author's change


def test_a_new_source() -> None:
    same(
        empty(make_service(replicas=2)).text(),
        """
        + create namespace shop
            new namespace  [shop.yaml:1]
        + create service shop/web
            new service  [web.yaml:1]
        2 to create
        """,
    )


def test_no_change() -> None:
    world = steady(make_service(env={"A": "1"}, memory=64 * MIB), make_service("db", replicas=2))
    assert world.text() == "no changes" and not world.plan().changes


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"description": "x"}, "· record service shop/web\n    meta.description x  [web.yaml:4]\n1 to record"),
        (
            {"labels": {"a": "1"}},
            {"labels": {"a": "2"}},
            "· record service shop/web\n    meta.labels a=1 → a=2  [web.yaml:4]\n1 to record",
        ),
        (
            {"pull_policy": "missing"},
            {"pull_policy": "always"},
            "· record service shop/web\n    pull_policy missing → always  [web.yaml:4]\n1 to record",
        ),
        (
            {"replicas": 1},
            {"replicas": 3},
            "~ scale service shop/web\n    replicas 1 → 3  [web.yaml:4]\n1 to scale",
        ),
        (
            {"replicas": 3},
            {"replicas": 1},
            "~ scale service shop/web\n    replicas 3 → 1  [web.yaml:4]\n1 to scale",
        ),
        (
            {"memory": 64 * MIB},
            {"memory": 128 * MIB},
            "~ update service shop/web (in-place)\n    memory 67108864 → 134217728  [web.yaml:4]\n1 to update",
        ),
        (
            {"memory": 64 * MIB},
            {},
            "± replace service shop/web (rolling)\n"
            "    memory (can't be unset on a live container) 67108864 → unset  [web.yaml:1]\n1 to replace",
        ),
        (
            {},
            {"image": NEW_IMAGE},
            "± replace service shop/web (rolling)\n"
            "    image docker.io/library/nginx:1 → docker.io/library/nginx:2  [web.yaml:3]\n1 to replace",
        ),
        (
            {"env": {"A": "1"}},
            {"env": {"A": "2", "B": "3"}},
            "± replace service shop/web (rolling)\n"
            "    env.A 1 → 2  [web.yaml:3]\n    env.B 3  [web.yaml:4]\n1 to replace",
        ),
        (
            {},
            {"ports": (Port(80, external=8080),)},
            "± replace service shop/web (downtime)\n    ports 80  [web.yaml:4]\n1 to replace",
        ),
        ({}, {"file": "elsewhere.yaml"}, "no changes"),
    ],
)
def test_a_change_of_one_field(before: dict[str, Any], after: dict[str, Any], expected: str) -> None:
    assert steady(make_service(**before)).wants(make_service(**after)).text() == expected


def test_a_value_that_changed_behind_its_variable_is_not_shown() -> None:
    secret = make_service(env={"KEY": "${KEY}"})
    other = make_service(env={"KEY": "${KEY}"}, command=None)
    other = replace(other, spec=replace(other.spec, env=(("KEY", "new"),)))
    text = steady(secret).wants(other).text()
    assert "env.KEY ${KEY} → ${KEY} (its value changed)" in text and "new" not in text


def test_what_forces_replacement_comes_first_and_takes_the_rest_along() -> None:
    world = steady(make_service(memory=64 * MIB))
    world = world.wants(make_service(memory=128 * MIB, replicas=2, description="x", image=NEW_IMAGE))
    (action,) = world.plan().actions
    assert action.verb == "replace"
    assert [cause.field for cause in action.causes] == ["image", "memory", "replicas", "meta.description"]


def test_refused_in_place_becomes_a_replacement() -> None:
    service = make_service(memory=128 * MIB)
    world = steady(make_service(memory=64 * MIB)).wants(service)
    refused = world.answering(not_in_place={WEB: "no cgroup"})
    assert only_cause(refused) == "replace: memory (not in place: no cgroup) 67108864 → 134217728"
    in_place = make_revision(service, 1, status="pending", base="r0")
    known = replace(world.recorded.services[WEB], pending=in_place)
    (action,) = refused.remembers(known).plan().actions
    assert action.base == "", "the revision of the refused update made no containers to be kept"


@pytest.mark.parametrize("policy", ["missing", "always", "never"])
def test_a_tag_that_was_moved_on_the_engine_is_no_change(policy: str) -> None:
    world = steady(make_service(pull_policy=policy)).has_images(nginx="sha256:new")
    assert not world.plan().changes and world.text().endswith("no changes")
    told = [str(each) for each in world.plan().drifted]
    assert told == [] if policy == "always" else "is sha256:new here, the replicas run sha256:old" in told[0]


def test_dependencies_come_first() -> None:
    web, db = make_service("a", depends_on=["z"]), make_service("z")
    made = empty(web, db).plan()
    assert [str(a.ref) for a in made.actions] == ["shop", "shop/z", "shop/a"]
    assert [list(map(str, a.after)) for a in made.actions] == [[], ["shop"], ["shop"]]
    assert [[str(d.ref) for d in a.needs] for a in made.actions] == [[], [], ["shop/z"]]


def _without(world: World, name: str, problem: Problem) -> World:
    """`name` is mentioned, and can't be acted on."""
    services = {ref: service for ref, service in world.desired.services.items() if ref.name != name}
    return replace(world, desired=replace(world.desired, services=services, problems=(problem,)))


DENIED = Problem(Place("db.yaml"), "spec.volumes", "not allowed", POLICY_DENIED, Ref("shop", "db"))
NEEDY = (make_service("db"), make_service("table", depends_on=["db"]), make_service("web", depends_on=["table"]))


def test_what_needs_a_refused_service_is_held_back_with_it() -> None:
    same(
        _without(empty(*NEEDY, make_service("other")), "db", DENIED).text(),
        """
        + create namespace shop
            new namespace  [shop.yaml:1]
        + create service shop/other
            new service  [other.yaml:1]
        + create service shop/table
            new service  [table.yaml:1]
        + create service shop/web
            new service  [web.yaml:1]
        ! shop/table waits for shop/db, which policy refuses
        ! shop/web waits for shop/table, which waits for shop/db, which policy refuses
        4 to create
        """,
    )


def test_what_waits_is_not_begun_and_leaves_the_exit_code_to_what_it_waits_for() -> None:
    denied = _without(empty(*NEEDY), "db", DENIED).plan()
    assert [str(a.ref) for a in plan.allowed(denied).actions] == ["shop"]
    assert {guard.kind for guard in denied.guards} == {"dependency"}
    assert worst(reconcile.codes(denied)) == EXIT_REFUSED
    invalid = _without(empty(*NEEDY), "db", replace(DENIED, code="BAD_PARAMETER")).plan()
    assert invalid.guards[0].message == "shop/table waits for shop/db, whose manifest has a problem"
    assert worst(reconcile.codes(invalid)) == EXIT_INVALID


def test_what_needs_a_service_that_a_guard_holds_back_waits_with_it() -> None:
    stranger = replace(make_container(make_row(make_service("db"))), id="stranger")
    decided = empty(make_service("db"), make_service("web", depends_on=["db"])).sees_also(stranger).plan()
    assert [(guard.kind, str(guard.refs[0])) for guard in decided.guards] == [
        ("conflict", "shop/db"),
        ("dependency", "shop/web"),
    ]
    assert decided.guards[1].message == "shop/web waits for shop/db, which is held back"


@pytest.mark.parametrize(
    ("condition", "seen", "waits"),
    [
        ("started", {}, False),
        ("healthy", {"health": "healthy"}, False),
        ("healthy", {"health": "starting"}, True),
        ("started", {"state": "exited", "exit_code": 1}, True),
        ("completed", {}, True),
        ("completed", {"state": "exited", "restart_policy": "no"}, False),
    ],
)
def test_what_needs_a_refused_service_goes_on_where_its_last_good_revision_serves(
    condition: Condition, seen: dict[str, Any], waits: bool
) -> None:
    db, web = make_service("db"), make_service("web")
    needs = replace(web.spec, image=NEW_IMAGE, depends_on=(Dependency(db.ref, condition),))
    world = steady(db, web).wants(replace(web, spec=needs)).sees("db-1", **seen)
    decided = _without(world, "db", DENIED).plan()
    assert [guard.kind for guard in decided.guards] == (["dependency"] if waits else [])
    assert any(str(a.ref) == "shop/web" for a in plan.allowed(decided).actions) is not waits


def test_only_what_makes_replicas_waits_for_its_dependencies() -> None:
    web = make_service("a", depends_on=["z"])
    world = steady(web, make_service("z"))
    needs = {
        "replace": world.wants(make_service("a", depends_on=["z"], image=NEW_IMAGE)),
        "scale": world.wants(make_service("a", depends_on=["z"], replicas=2)),
        "heal": world.sees("a-1", state="exited"),
        "update": world.wants(make_service("a", depends_on=["z"], memory=64 * MIB)),
    }
    found = {verb: [bool(a.needs) for a in given.plan().actions if a.verb == verb] for verb, given in needs.items()}
    assert found == {"replace": [True], "scale": [True], "heal": [False], "update": [False]}


def test_a_busy_object_is_left_alone() -> None:
    world = steady(make_service("a"), make_service("b"))
    changed = world.wants(make_service("a", image=NEW_IMAGE), make_service("b", image=NEW_IMAGE))
    busy = changed.answering(busy=frozenset({Ref("shop", "a")}))
    assert [str(a.ref) for a in busy.plan().actions] == ["shop/b"]
    gone = world.drops(Ref("shop", "a")).answering(busy=frozenset({Ref("shop", "a")}))
    assert gone.plan().actions == ()


def test_replicas_of_a_revision_stay_alike_when_the_tag_moves() -> None:
    world = steady(make_service("a", replicas=2)).misses("a-2")
    (heal,) = world.has_images(nginx="sha256:new", old="sha256:old").plan().actions
    assert (heal.verb, heal.image_id) == ("heal", "sha256:old")


def test_a_namespace_record() -> None:
    world = steady()
    spaces = {"shop": replace(world.desired.namespaces["shop"], description="new", labels={"a": "b"})}
    same(
        replace(world, desired=replace(world.desired, namespaces=spaces)).text(),
        """
        · record namespace shop
            meta.description new  [shop.yaml:1]
            meta.labels a=b  [shop.yaml:1]
        1 to record
        """,
    )


# --- removals and their guards


def test_a_removal() -> None:
    same(
        steady(*map(make_service, "abcde")).drops(Ref("shop", "c")).text(),
        """
        - remove service shop/c
            no longer in the source (was in c.yaml)
        1 to remove
        """,
    )


def test_a_source_that_is_taken_down() -> None:
    same(
        steady(make_service()).wants(down=True).drops(SHOP, WEB).text(),
        """
        - remove service shop/web
            the source is taken down (was in web.yaml)
        - remove namespace shop
            the source is taken down (was in shop.yaml)
        2 to remove
        """,
    )


def test_a_namespace_goes_after_its_services_and_those_in_reverse() -> None:
    world = steady(make_service("a"), make_service("b", depends_on=["a"]))
    actions = {str(a.ref): a for a in world.drops(SHOP, Ref("shop", "a"), Ref("shop", "b")).plan().actions}
    assert actions["shop/a"].after == (Ref("shop", "b"),)
    assert set(actions["shop"].after) == {Ref("shop", "a"), Ref("shop", "b")}
    assert actions["shop/b"].after == ()


def test_the_only_service_may_go() -> None:
    assert steady(make_service()).drops(SHOP, WEB).plan().guards == ()


def test_all_services_of_two_need_a_confirmation_of_that_list() -> None:
    world = steady(make_service("a"), make_service("b")).drops(SHOP, Ref("shop", "a"), Ref("shop", "b"))
    decided = world.plan()
    (guard,) = decided.guards
    assert guard.kind == "mass-delete" and plan.allowed(decided).actions == ()
    assert world.text().splitlines()[-2] == (
        "! all 2 services of this source would be removed (budget 2): shop/a, shop/b. "
        f"If that is meant, confirm exactly this list with --confirm-deletes {guard.confirm}"
    )
    assert world.answering(confirm=guard.confirm).plan().guards == ()
    assert world.answering(confirm="other").plan().guards == (guard,)
    assert world.misses("a-1").answering(confirm=guard.confirm).plan().guards, "other containers, another list"


@pytest.mark.parametrize(("gone", "lately", "guarded"), [(2, 0, False), (3, 0, True), (2, 1, True), (1, 1, False)])
def test_the_budget_counts_ten_minutes(gone: int, lately: int, guarded: bool) -> None:
    world = steady(*map(make_service, "abcdef")).drops(*(Ref("shop", name) for name in "abcdef"[:gone]))
    world = replace(world, recorded=replace(world.recorded, removed_lately={"test": lately}))
    assert bool(world.plan().guards) == guarded


def test_the_budget_is_the_sources_own() -> None:
    world = steady(*map(make_service, "abcdef")).drops(*(Ref("shop", name) for name in "abcd"))
    assert not world.wants(budget=DeleteBudget(4)).plan().guards
    assert world.wants(budget=DeleteBudget(3, 50)).plan().guards


@pytest.mark.parametrize("given", [{"complete": False}, {"problems": (Problem(Place("x.yaml"), "", "bad"),)}])
def test_removals_wait_while_something_cannot_be_read(given: dict[str, Any]) -> None:
    world = steady(make_service("a"), make_service("b"), make_service("c")).drops(Ref("shop", "a"))
    world = world.wants(make_service("b", image=NEW_IMAGE), **given)
    decided = world.plan()
    assert [g.message for g in decided.guards] == ["removals wait until every manifest can be read: shop/a"]
    assert [str(a.ref) for a in plan.allowed(decided).actions] == ["shop/b"]


def test_an_object_with_a_problem_is_not_taken_for_removed() -> None:
    world = steady(make_service("a"), make_service("b")).drops(Ref("shop", "a"))
    desired = replace(
        world.desired,
        mentioned=world.desired.mentioned | {Ref("shop", "a")},
        problems=(Problem(Place("a.yaml"), "spec.memory", "bad", ref=Ref("shop", "a")),),
    )
    decided = replace(world, desired=desired).plan()
    assert decided.actions == () and (decided.selected, decided.objects) == (3, 3)
    assert replace(world, desired=desired).text() == "no changes"


def test_joined_manifests_delete_nothing() -> None:
    world = steady(make_service("a"), make_service("b")).drops(Ref("shop", "a"), Ref("shop", "b"))
    world = world.wants(make_service("c"), additive=True, selected=frozenset([Ref("shop", "c")]))
    same(
        world.text(),
        """
        1 of 2 objects
        + create service shop/c
            new service  [c.yaml:1]
        1 to create
        """,
    )


def test_a_selection_takes_its_namespace_along() -> None:
    world = empty(make_service("a"), make_service("b"))
    world = world.wants(selected=frozenset([Ref("shop", "b")]))
    assert [str(a.ref) for a in world.plan().actions] == ["shop", "shop/b"]


# --- what belongs to others


def test_an_object_of_another_source() -> None:
    world = steady(make_service("a"))
    theirs = replace(make_recorded(make_service("a")), source="other")
    decided = world.remembers(theirs).wants(make_service("a", image=NEW_IMAGE)).plan()
    assert decided.actions == ()
    assert [str(p) for p in decided.problems] == [
        "a.yaml:1:1: meta.name: service shop/a belongs to source other (a.yaml); use another name"
    ]


def test_a_namespace_of_another_source() -> None:
    world = steady(make_service("a"))
    theirs = replace(world.recorded.namespaces["shop"], source="other")
    world = replace(world, recorded=replace(world.recorded, namespaces={"shop": theirs}))
    decided = world.wants(make_service("b")).plan()
    assert decided.actions == () and decided.problems[0].code == "NAME_NOT_UNIQUE"


def test_the_namespace_stays_while_another_source_lives_in_it() -> None:
    theirs = replace(make_recorded(make_service("a")), source="other")
    world = steady().remembers(theirs).drops(SHOP)
    assert world.text() == "no changes"


def test_a_foreign_network() -> None:
    world = empty(make_service())
    world = replace(world, observed=replace(world.observed, networks=(Network("n", "lb.shop"),)))
    same(
        world.text(),
        """
        ! network lb.shop exists and was not made by lb: remove it, or name the namespace otherwise
        no changes
        """,
    )


def stranger(number: int = 1, **labels: str) -> Container:
    service = make_service()
    found = make_container(make_row(service, number))
    own = {"lb.fingerprint": fingerprint.fingerprint(service), **labels}
    return replace(found, labels={**found.labels, **own})


def lost(*containers: Container) -> World:
    """The state is gone, the engine still has everything."""
    world = empty(make_service(replicas=2))
    network = Network("net-shop", "lb.shop", {"lb.namespace": "shop"})
    return replace(world, observed=replace(world.observed, networks=(network,))).sees_also(*containers)


def test_after_lost_state_adoption_is_asked_for() -> None:
    world = lost(stranger(1), stranger(2))
    same(
        world.text(),
        """
        < adopt namespace shop
            network lb.shop carries our labels and is not recorded
        ! namespace shop was made by lb under a state that is gone: take it over with --adopt
        ! shop.web.1-1, shop.web.2-2 were made by lb under a state that is gone: take them over with --adopt
        1 to adopt
        """,
    )
    assert plan.allowed(world.plan()).actions == ()
    same(
        world.answering(adopt=True).text(),
        """
        < adopt namespace shop
            network lb.shop carries our labels and is not recorded
        < adopt service shop/web
            shop.web.1-1, shop.web.2-2 run what the manifest says and are not recorded
        2 to adopt
        """,
    )


@pytest.mark.parametrize(
    "containers",
    [
        (stranger(1, **{"lb.fingerprint": "h1:other"}),),
        (stranger(1), replace(stranger(1), id="copy", name="copy")),
        (stranger(1, **{"lb.replica": ""}),),
    ],
    ids=["another fingerprint", "one number twice", "no number"],
)
def test_what_does_not_match_is_never_adopted(containers: tuple[Container, ...]) -> None:
    decided = lost(*containers).answering(adopt=True).plan()
    assert [str(a.ref) for a in decided.actions] == ["shop"]
    assert [g.kind for g in decided.guards] == ["conflict"]


def test_an_adoption_that_was_cut_off_is_asked_for_again() -> None:
    """Its revision was opened already, and no container was taken over yet."""
    service = make_service(replicas=2)
    begun = make_recorded(service, current=None, pending=make_revision(service, status="pending"), containers=())
    decided = lost(stranger(1), stranger(2)).remembers(begun).answering(adopt=True).plan()
    assert [(a.verb, str(a.ref)) for a in decided.actions] == [("adopt", "shop"), ("adopt", "shop/web")]


def test_a_copy_of_a_container_of_ours_is_not_touched() -> None:
    copy = replace(make_container(make_row(make_service())), id="copy", name="copy")
    assert steady(make_service()).sees_also(copy).text() == "no changes"


# --- drift


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"state": "exited", "exit_code": 137}, "replica 1 was stopped (exit 137)"),
        ({"state": "created"}, "replica 1 was never started"),
        ({"state": "paused"}, "replica 1 was paused"),
        ({"name": "x"}, "replica 1 was renamed to x"),
        (
            {"projection": {"memory": 7, "cpus": 0, "restart": "unless-stopped"}},
            "replica 1 memory was changed to 7 bytes",
        ),
        ({"networks": ()}, "replica 1 was disconnected from its network"),
        ({"state": "dead"}, "replica 1 is dead"),
        ({"state": "exited", "networks": ("old",)}, "replica 1 lost its network"),
    ],
)
def test_drift(changes: dict[str, Any], cause: str) -> None:
    same(
        steady(make_service()).sees("web-1", **changes).text(),
        f"""
        ! heal service shop/web
            {cause}
        1 to heal
        """,
    )


def test_removed_by_hand() -> None:
    assert only_cause(steady(make_service(replicas=2)).misses("web-2")) == "heal: replica 2 was removed"


def test_the_network_is_gone() -> None:
    same(
        steady(make_service()).misses("net-shop").text(),
        """
        ! heal namespace shop
            network lb.shop is gone
        ! heal service shop/web
            replica 1 was disconnected from its network
        2 to heal
        """,
    )


def test_a_replica_twice_and_one_too_many() -> None:
    service = make_service()
    known = make_recorded(service)
    extra = (make_row(service, 1, 7), make_row(service, 2, 8))
    world = steady(service).remembers(replace(known, containers=known.containers + extra))
    world = world.sees_also(*map(make_container, extra))
    assert only_cause(world) == "heal: replica 1 exists twice; replica 2 is one too many"


def test_drift_is_mended_along_with_a_change_of_scale() -> None:
    world = steady(make_service(replicas=1)).wants(make_service(replicas=2)).sees("web-1", state="paused")
    assert only_cause(world) == "scale: replicas 1 → 2; replica 1 was paused"


def test_a_completed_job_is_no_drift() -> None:
    done = {"state": "exited", "exit_code": 0, "restart_policy": "no"}
    assert steady(make_service(restart="no")).sees("web-1", **done).text() == "no changes"


# --- failed and interrupted revisions


def failed(service: Any, **given: Any) -> World:
    old = make_service()
    bad = make_revision(service, 1, status="failed", cause="replica 1 ended with exit 3", **given)
    return steady(old).remembers(make_recorded(old, failed=bad))


def test_a_failed_revision_is_held() -> None:
    bad = make_service(image=NEW_IMAGE)
    world = failed(bad).wants(bad)
    same(
        world.text(),
        """
        x held service shop/web
            revision 1 failed: replica 1 ended with exit 3
        1 held
        """,
    )
    assert not world.plan().changes


def test_while_a_revision_is_held_the_good_replicas_are_mended() -> None:
    """As far as that needs no spec: a replica that is gone waits, and is named."""
    old, bad = make_service(replicas=2), make_service(image=NEW_IMAGE, replicas=2)
    revision = make_revision(bad, 1, status="failed", cause="it crashed")
    world = steady(old).remembers(make_recorded(old, failed=revision)).wants(bad)
    assert world.plan().actions[0].idle and not world.plan().changes
    stopped = world.sees("web-1", state="exited", exit_code=1)
    (action,) = stopped.plan().actions
    assert (action.verb, action.idle, stopped.plan().changes) == ("held", False, True)
    assert [str(c) for c in action.causes] == ["revision 1 failed: it crashed", "replica 1 was stopped (exit 1)"]
    gone = world.misses("web-2").plan().actions[0]
    assert gone.idle and "replica 2 was removed" in map(str, gone.causes)
    assert stopped.misses("net-shop").plan().actions[-1].idle, "its network comes first"


def test_what_can_not_be_read_any_more_is_kept_alive() -> None:
    world = steady(make_service(replicas=2))
    world = replace(
        world, desired=replace(world.desired, services={}, problems=(Problem(Place("web.yaml"), "", "bad", ref=WEB),))
    )
    assert not world.plan().actions
    (action,) = world.sees("web-1", state="exited", exit_code=1).plan().actions
    assert (action.verb, action.origin) == ("held", "drift")
    assert [str(c) for c in action.causes] == ["its manifest can't be read", "replica 1 was stopped (exit 1)"]


def test_a_failed_revision_stays_held_whatever_it_is_called() -> None:
    bad = make_service(image=NEW_IMAGE)
    world = failed(bad).wants(make_service(image=NEW_IMAGE, description="please"))
    assert [a.verb for a in world.plan().actions] == ["held"]


@pytest.mark.parametrize(
    "given", [{"image": "docker.io/library/nginx:3"}, {"image": NEW_IMAGE, "stop_signal": "SIGINT"}]
)
def test_a_failed_revision_is_tried_again_once_it_changes(given: dict[str, Any]) -> None:
    world = failed(make_service(image=NEW_IMAGE)).wants(make_service(**given))
    assert [a.verb for a in world.plan().actions] == ["replace"]


def test_more_time_is_a_new_chance() -> None:
    bad = make_service(image=NEW_IMAGE)
    patient = replace(bad, spec=replace(bad.spec, update=replace(bad.spec.update, timeout=10**12)))
    assert [a.verb for a in failed(bad).wants(patient).plan().actions] == ["replace"]


def test_another_image_under_the_same_name_is_a_new_chance() -> None:
    bad = make_service(image=NEW_IMAGE)
    world = failed(bad, image_id="sha256:bad").wants(bad)
    images = {NEW_IMAGE: "sha256:mended"}
    world = replace(world, observed=replace(world.observed, images=images))
    assert [a.verb for a in world.plan().actions] == ["replace"]


def test_going_back_forgets_the_failed_revision() -> None:
    """Also where it left no container behind: else its failure would be shown for ever."""
    world = failed(make_service(image=NEW_IMAGE))
    assert only_cause(world) == "record: revision 1 failed and is no longer wanted"


def test_going_back_forgets_an_interrupted_revision() -> None:
    old, new = make_service(), make_service(image=NEW_IMAGE)
    world = steady(old).remembers(make_recorded(old, pending=make_revision(new, 1, status="pending")))
    assert only_cause(world) == "record: revision 1 was not finished and is no longer wanted"


def half_done(status: Any, *, then: Service, now: Service) -> World:
    """Going back to `now` from an update in place that may have changed some of the replicas to `then`."""
    revision = make_revision(then, 1, status=status, base="r0")
    return steady(now).remembers(make_recorded(now, **{status: revision}))


@pytest.mark.parametrize("status", ["pending", "failed"])
def test_going_back_from_half_an_update_in_place_takes_it_back(status: str) -> None:
    small, big = make_service(replicas=2, memory=32 * MIB), make_service(replicas=2, memory=64 * MIB)
    (action,) = half_done(status, then=big, now=small).plan().actions
    assert (action.verb, action.resizes, list(map(str, action.causes))) == (
        "heal", True, [f"memory {64 * MIB} → {32 * MIB}"],
    )  # fmt: skip
    scaled = make_service(replicas=3, memory=32 * MIB)
    (action,) = half_done(status, then=big, now=small).wants(scaled).plan().actions
    assert (action.verb, action.resizes) == ("scale", True)


def test_what_half_an_update_set_and_nothing_unsets_is_replaced() -> None:
    text = only_cause(half_done("pending", then=make_service(memory=64 * MIB), now=make_service()))
    assert text == f"replace: memory (can't be unset on a live container) {64 * MIB} → unset"


def interrupted() -> tuple[World, RecordedService]:
    old, new = make_service(), make_service(image=NEW_IMAGE)
    row = make_row(new, 1, 2, "r1")
    known = make_recorded(old, pending=make_revision(new, 1, status="pending", image_id=""))
    known = replace(known, containers=(*known.containers, row))
    return steady(old).wants(new).remembers(known).sees_also(make_container(row)), known


def test_an_interrupted_rollout_is_carried_on() -> None:
    world, _ = interrupted()
    (action,) = world.plan().actions
    assert (action.verb, action.base) == ("replace", "r1")
    assert sorted(r.recorded.revision for r in action.replicas) == ["r0", "r1"]


def test_an_interrupted_rollout_of_something_else_is_not() -> None:
    world, _ = interrupted()
    (action,) = world.wants(make_service(image="docker.io/library/nginx:3")).plan().actions
    assert (action.verb, action.base) == ("replace", "")


def test_an_interrupted_first_rollout_is_carried_on() -> None:
    service = make_service()
    pending = make_revision(service, status="pending")
    known = make_recorded(service, current=None, pending=pending)
    (action,) = steady(service).remembers(known).plan().actions
    assert (action.verb, action.base) == ("create", "r0")


def test_going_back_from_an_interrupted_rollout_removes_what_it_left() -> None:
    world, _ = interrupted()
    assert only_cause(world.wants(make_service())) == "heal: replica 1 is left over from another revision"


# --- as a whole


def test_what_a_guard_holds_back_is_not_allowed() -> None:
    world = steady(*map(make_service, "abc")).drops(*(Ref("shop", name) for name in "abc"))
    decided = world.wants(make_service("d")).plan()
    assert [str(a.ref) for a in plan.allowed(decided).actions] == ["shop/d"]
    assert isinstance(plan.allowed(decided), Plan)


def test_no_wait_is_on_every_service() -> None:
    actions = empty(make_service()).answering(no_wait=True).plan().actions
    assert [a.unattended for a in actions] == [False, True]


def test_removals_under_way_count_against_the_budget_and_are_not_held_back() -> None:
    names = [f"s{i}" for i in range(8)]
    world = steady(*(make_service(name) for name in names))
    two_begun = frozenset({Ref("shop", "s0"), Ref("shop", "s1")})
    begun = world.drops(*two_begun).answering(busy=two_begun).plan()
    assert not begun.guards and not begun.actions
    more = world.drops(*(Ref("shop", name) for name in names[:3])).answering(busy=two_begun).plan()
    (guard,) = more.guards
    assert guard.kind == "mass-delete" and guard.refs == (Ref("shop", "s2"),)
    assert "2 more in the last ten minutes" in guard.message


NGINX, OLD, NEW = "docker.io/library/nginx:1", "sha256:" + "0" * 64, "sha256:" + "1" * 64


def always_asked(digest: str, images: Mapping[str, str] | None = None, **given: Any) -> World:
    """The registry names this digest; the current revision, made of sha256:old, has that of OLD."""
    service = make_service(pull_policy="always", **given)
    known = make_recorded(service, current=make_revision(service, digest=OLD))
    observed = {NGINX: "sha256:old", "sha256:old": "sha256:old", f"docker.io/library/nginx@{OLD}": "sha256:old"}
    world = steady(service).remembers(known)
    seen = replace(world.observed, images={**observed, **(images or {})}, digests={NGINX: digest})
    return replace(world, observed=seen)


def test_the_registrys_digest_counts_where_it_was_asked() -> None:
    assert always_asked(OLD).text() == "no changes"
    assert always_asked(OLD, {NGINX: "sha256:other"}).text() == "no changes", "whatever the tag here names"
    world = always_asked(NEW)
    assert only_cause(world) == f"replace: image digest of {NGINX} is {NEW[:19]}, was {OLD[:19]}"
    (action,) = world.plan().actions
    assert (action.image_id, action.digest, action.moved) == ("", NEW, True)
    assert always_asked(NEW, {f"docker.io/library/nginx@{NEW}": "sha256:old"}).text() == "no changes", "the same image"


@pytest.mark.parametrize("also", [{"replicas": 2}, {"memory": 64 * MIB}, {"env": {"A": "b"}}])
def test_a_digest_is_all_there_is_only_where_nothing_else_is_to_be_done(also: dict[str, Any]) -> None:
    world = always_asked(NEW)
    assert [a.moved for a in world.plan().actions] == [True]
    assert [a.moved for a in world.sees("web-1", state="exited").plan().actions] == [False]
    assert [a.moved for a in world.wants(make_service(pull_policy="always", **also)).plan().actions] == [False]


def test_a_digest_that_failed_is_held_and_another_is_tried() -> None:
    for asked, verb in ((NEW, "held"), ("sha256:" + "2" * 64, "replace")):
        world = always_asked(asked)
        service = world.desired.services[WEB]
        failed = make_revision(service, 1, status="failed", image_id="sha256:new", digest=NEW)
        known = replace(world.recorded.services[WEB], failed=failed)
        (action,) = world.remembers(known).plan().actions
        assert action.verb == verb


def test_what_is_gone_from_the_engine_is_made_again_of_the_same_image() -> None:
    service = make_service()
    world = steady(service).remembers(make_recorded(service, current=make_revision(service, digest=OLD)))
    here = world.sees("web-1", state="exited").has_images(nginx="sha256:new")
    (action,) = here.plan().actions
    assert (action.verb, action.image_id, action.digest, action.base) == ("heal", "", OLD, "r0")
    kept = replace(here, observed=replace(here.observed, images={**here.observed.images, "x": "sha256:old"}))
    (action,) = kept.plan().actions
    assert (action.image_id, action.digest) == ("sha256:old", OLD)


def test_a_rollout_that_is_carried_on_keeps_its_image() -> None:
    old, new = make_service(), make_service(image=NEW_IMAGE)
    pending = make_revision(new, 1, status="pending", digest=NEW, image_id="sha256:new")
    world = steady(old).wants(new).remembers(make_recorded(old, pending=pending))
    (action,) = world.plan().actions
    assert (action.base, action.image_id, action.digest) == ("r1", "", NEW)


def test_a_reference_by_tag_and_digest_is_known_by_its_digest() -> None:
    service = make_service(image=f"{NGINX}@{OLD}")
    world = empty(service)
    seen = replace(world.observed, images={f"docker.io/library/nginx@{OLD}": "sha256:old", NGINX: "sha256:new"})
    action = replace(world, observed=seen).plan().actions[-1]
    assert (action.image_id, action.digest) == ("sha256:old", OLD)
