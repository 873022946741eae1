"""What was asked for and no manifest says, a restart: how long it stands, and what is planned for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler import render
from reconciler.model import Ref, Revision, Update
from reconciler.store import Store, backup
from tests.support.build import World, make_recorded, make_revision, make_service, steady
from tests.support.desk import Desk
from tests.unit.test_plan import WEB, only_cause
from tests.unit.test_store import open_revision, promoted, service


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path)) as opened:
        yield opened


def asked(store: Store) -> str:
    return store.recorded().services[WEB].restart


def restarted(store: Store) -> Revision:
    """A revision opened for a restart that was asked for."""
    current = promoted(store, service())
    store.order_restart(WEB)
    return open_revision(store, service(), current)


# --- how long it stands


def test_it_stands_until_the_revision_that_serves_it_is_through(tmp_path: Path, store: Store) -> None:
    revision = restarted(store)
    with closing(Store.open(tmp_path)) as other:
        assert asked(other).startswith("20") and asked(other).endswith("Z")
    assert open_revision(store, service(), revision).id == revision.id  # cut off, then carried on
    store.promote(revision.id, service(), "src")
    assert asked(store) == ""


def test_what_was_under_way_before_it_was_asked_for_does_not_serve_it(store: Store) -> None:
    earlier = open_revision(store, service())
    store.order_restart(WEB)
    store.promote(earlier.id, service(), "src")
    assert asked(store)
    later = open_revision(store, service(), earlier)
    assert later.id != earlier.id
    store.promote(later.id, service(), "src")
    assert not asked(store)


def test_half_done_is_not_carried_on_when_it_is_asked_for_again(store: Store) -> None:
    half = restarted(store)
    store.order_restart(WEB)
    assert store.recorded().services[WEB].pending is None
    assert open_revision(store, service()).id != half.id


def test_a_change_in_place_does_not_serve_it(store: Store) -> None:
    current = promoted(store, service())
    store.order_restart(WEB)
    promoted(store, service(memory=1), current, current.base)
    assert asked(store)


def test_a_failure_ends_it_and_another_try_asks_again(store: Store) -> None:
    revision = restarted(store)
    store.fail(revision.id, "exit 3", ["broken"])
    assert not asked(store) and store.recorded().services[WEB].failed
    store.order_retry(WEB)
    assert asked(store) and not store.recorded().services[WEB].failed
    assert [(e.reason, e.message) for e in store.activity("shop", "web")][:2] == [
        ("restart", "a restart was asked for"),
        ("retry", "revision 1 is to be tried again; it failed: exit 3"),
    ]


def test_another_try_of_a_change_is_no_restart(store: Store) -> None:
    current = promoted(store, service())
    failed = open_revision(store, service(image="docker.io/library/nginx:2"), current)
    store.fail(failed.id, "exit 3", [])
    store.order_retry(WEB)
    known = store.recorded().services[WEB]
    assert not known.failed and not known.restart and known.current
    assert [r.status for r in store.revisions(WEB)] == ["current", "superseded"]


def test_it_goes_with_its_service(store: Store) -> None:
    restarted(store)
    store.forget_service(WEB, "src")
    promoted(store, service())
    assert not asked(store)


def test_a_backup_that_is_put_back_asks_for_nothing(tmp_path: Path, store: Store) -> None:
    restarted(store)
    backup.backup(tmp_path, tmp_path / "copy")
    backup.restore(tmp_path / "copy", tmp_path)
    assert not asked(store) and store.recorded().services[WEB].pending


# --- what is planned for it


def ordered(world: World, **given: object) -> World:
    known = world.recorded.services[WEB]
    return world.remembers(replace(known, restart="2026-01-01T00:00:00.000000000Z", **given))  # type: ignore[arg-type]


def test_the_plan_says_why() -> None:
    world = ordered(steady(make_service(replicas=2), make_service("z")))
    assert world.text() == "± replace service shop/web (rolling)\n    restart was asked for\n1 to replace"
    (action,) = world.plan().actions
    assert action.base == "" and len(action.replicas) == 2


def test_with_its_own_order_of_update() -> None:
    assert "(downtime)" in ordered(steady(make_service(update=Update(order="stop-first")))).text()


def test_it_keeps_the_image_that_runs_wherever_the_tag_points() -> None:
    web = make_service()
    current = make_revision(web, image_id="sha256:old", digest="sha256:d")
    world = steady(web).has_images(nginx="sha256:new").remembers(make_recorded(web, current=current))
    (action,) = ordered(world).plan().actions
    assert (action.image_id, action.digest) == ("", "sha256:d")
    images = {"docker.io/library/nginx:1": "sha256:new", "docker.io/library/nginx:0": "sha256:old"}
    (action,) = ordered(replace(world, observed=replace(world.observed, images=images))).plan().actions
    assert action.image_id == "sha256:old"


def test_it_goes_with_the_authors_change() -> None:
    world = ordered(steady(make_service()).wants(make_service(replicas=2, memory=64 << 20)))
    assert only_cause(world) == "replace: restart was asked for; memory 67108864; replicas 2"


def test_cut_off_it_is_carried_on() -> None:
    web = make_service()
    pending = make_revision(web, 1, status="pending")
    (action,) = ordered(steady(web), pending=pending).plan().actions
    assert (action.verb, action.base) == ("replace", pending.id)


def test_what_is_held_is_not_restarted() -> None:
    web = make_service()
    failed = make_revision(web, 1, status="failed", cause="exit 3")
    assert only_cause(ordered(steady(web), failed=failed)).startswith("held: revision 1 failed: exit 3")


def test_the_plan_as_json_has_the_shape_it_had() -> None:
    (action,) = render.plan_json(ordered(steady(make_service())).plan())["actions"]
    assert [cause["field"] for cause in action["causes"]] == ["restart was asked for"]


# --- the command


@pytest.fixture
def lived(desk: Desk) -> Desk:
    desk.namespace()
    desk.service("web", replicas=2)
    desk.service("other")
    desk.apply()
    return desk


def ids(desk: Desk, name: str) -> set[str]:
    return {c.id for c in desk.memory.containers() if c.ref.name == name}


def test_only_this_service_is_made_anew(lived: Desk) -> None:
    before, other = ids(lived, "web"), ids(lived, "other")
    said = lived.lb("restart", "demo/web")
    assert "± replace service demo/web" in said.out and "restart was asked for" in said.out
    assert len(ids(lived, "web")) == 2 and not ids(lived, "web") & before
    assert ids(lived, "other") == other
    assert lived.apply().out == "no changes\n"
    found = lived.lb("activity", "demo/web", "-o", "json").json
    assert [(e["reason"], e["message"]) for e in found][:2] == [
        ("replace", "restart was asked for"),
        ("restart", "a restart was asked for"),
    ]
    assert lived.lb("restart", "-n", "demo", "web", "-o", "json").json["outcomes"][0]["result"] == "done"


def test_the_source_has_to_be_the_services(lived: Desk, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "lb.yaml").write_text("name: elsewhere\n")
    (other / "x.yaml").write_text('{"apiVersion": "lb/v1", "kind": "Namespace", "meta": {"name": "x"}}')
    before = ids(lived, "web")
    refused = lived.lb("restart", "demo/web", "--source", str(other), code=77)
    assert "demo/web is not of the source elsewhere: it belongs to quickstart" in refused.err
    assert "--source" in refused.err and ids(lived, "web") == before
    assert lived.apply().out == "no changes\n"


def test_what_is_not_there_can_not_be_restarted(lived: Desk) -> None:
    assert lived.lb("restart", "demo/nope", code=1).err == "lb: SERVICE_NOT_FOUND: there is no service demo/nope\n"
    lived.remove("demo.web.yaml")
    refused = lived.lb("restart", "demo/web", code=77)
    assert "the source does not say any more what it is" in refused.err
    (lived.folder / "demo.web.yaml").write_text("kind: [")
    assert "demo.web.yaml:2:1: not YAML" in lived.lb("restart", "demo/web", code=65).err
    with lived.store() as store:
        assert not asked_for(store)


@pytest.fixture
def failed(lived: Desk) -> Desk:
    """A change of web that did not pass the gate, for a cause that lies outside of its manifest."""
    lived.service("web", replicas=2, env={"A": "1"}, healthcheck={"test": "false", "interval": "10ms", "retries": 1})
    lived.apply(code=1)
    return lived


def test_what_is_held_is_tried_again(failed: Desk) -> None:
    before = ids(failed, "web")
    assert "failed" in failed.apply(code=1).out and ids(failed, "web") == before
    assert "lb retry demo/web" in failed.lb("restart", "demo/web", code=1).err
    said = failed.lb("retry", "demo/web", code=1)
    assert "± replace service demo/web" in said.out and ids(failed, "web") != before
    with failed.store() as store:
        known = store.recorded().services[Ref("demo", "web")]
        assert known.failed and known.failed.number == 2
        assert [e.reason for e in store.activity("demo", "web")][:3] == ["replace-failed", "retry", "replace-failed"]


def test_only_what_is_held_can_be_tried_again(failed: Desk) -> None:
    assert failed.lb("retry", "demo/other", code=1).err == "lb: demo/other is not held: nothing failed\n"
    failed.service("web", replicas=2, env={"A": "2"})
    refused = failed.lb("retry", "demo/web", code=1)
    assert "its manifest has changed since it failed, so `lb apply` tries it" in refused.err
    failed.apply()
    assert "nothing failed" in failed.lb("retry", "demo/web", code=1).err


def asked_for(store: Store) -> list[str]:
    return [str(s.ref) for s in store.recorded().services.values() if s.restart]
