"""What is done about drift, where not all of it is to be repaired: only told of, not counted, or beyond repair."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler import render, rollout, schema, status
from reconciler.model import DriftPolicy, Mount, Recorded, RecordedVolume, Ref, Volume
from tests.support.build import AT, World, make_recorded, make_revision, make_row, make_service, steady
from tests.support.desk import Desk

WEB = Ref("shop", "web")
REPORT = DriftPolicy("report")
DATA = Mount("/data", "volume", "data")
VOLUME = RecordedVolume("lb.shop.data", "shop", AT)


def world(policy: DriftPolicy = REPORT, **spec: Any) -> World:
    return steady(make_service(drift=policy, **spec))


def told(found: World) -> list[str]:
    return [str(each) for each in found.plan().drifted]


# --- only told of

HARM: dict[str, dict[str, Any]] = {
    "replica 1 was paused": {"state": "paused"},
    "replica 1 was stopped (exit 137)": {"state": "exited", "exit_code": 137},
    "replica 1 was renamed to other": {"name": "other"},
    "replica 1 was disconnected from its network": {"networks": ()},
    "replica 1 is dead": {"state": "dead"},
    "replica 1 memory was changed to 7 bytes": {
        "projection": {"memory": 7, "mem_reservation": 0, "cpus": 0, "pids_limit": 0, "restart": "unless-stopped"},
    },
}


@pytest.mark.parametrize(("text", "harm"), HARM.items(), ids=HARM.keys())
def test_drift_is_told_and_not_repaired(text: str, harm: dict[str, Any]) -> None:
    found = world(memory=64 << 20).sees("web-1", **harm)
    assert found.plan().actions == () and not found.plan().changes
    assert told(found) == [f"{text} (only told of: drift.mode is report)"]
    assert found.text() == (f"? drift of service shop/web (only told of: drift.mode is report)\n    {text}\nno changes")


def test_what_was_removed_is_told_too() -> None:
    found = world(replicas=2).misses("web-2")
    assert found.plan().actions == () and told(found)[0].startswith("replica 2 was removed (")


def test_other_services_are_healed() -> None:
    found = (
        steady(make_service(drift=REPORT), make_service("z")).sees("web-1", state="paused").sees("z-1", state="paused")
    )
    assert [(a.verb, a.ref.name) for a in found.plan().actions] == [("heal", "z")] and len(told(found)) == 1


def test_a_network_that_is_gone_is_told_where_the_whole_source_says_so() -> None:
    found = world().misses("net-shop")
    found = replace(found, desired=replace(found.desired, drift=REPORT))
    assert found.plan().actions == ()
    assert told(found)[0] == "network lb.shop is gone (only told of: drift.mode is report)"


def test_what_lb_left_over_itself_is_tidied_and_nothing_else() -> None:
    """A failed revision was taken back by its author: its replica goes, the one that somebody paused stays paused."""
    web = make_service(drift=REPORT, replicas=2)
    failed = make_revision(web, 1, status="failed")
    rows = (make_row(web, 1), make_row(web, 2), make_row(web, 1, 3, "r1"))
    found = steady(web).remembers(make_recorded(web, containers=rows))
    found = found.sees("web-2", state="paused").sees_also(left := replace(found.observed.containers[0], id="web-1-3"))
    (action,) = found.plan().actions
    assert [str(cause) for cause in action.causes] == ["replica 1 is left over from another revision"]
    assert str(rollout.steps(action)) == "finally stop 1 web-1-3\nfinally remove 1 web-1-3"
    assert told(found) == ["replica 2 was paused (only told of: drift.mode is report)"]
    assert failed.number == 1 and left.id == "web-1-3"


def test_its_authors_change_puts_right_what_it_touches() -> None:
    found = world(replicas=2).sees("web-1", state="paused").wants(make_service(drift=REPORT, replicas=3))
    (action,) = found.plan().actions
    assert action.verb == "scale" and "replica 1 was paused" in map(str, action.causes) and told(found) == []


def test_what_is_held_is_left_alone_too() -> None:
    web = make_service(drift=REPORT, env={"A": "1"})
    failed = make_revision(web, 1, status="failed", cause="exit 3")
    known = make_recorded(make_service(drift=REPORT), failed=failed)
    found = steady(web).remembers(known).sees("web-1", state="exited")
    (action,) = found.plan().actions
    assert action.verb == "held" and action.idle


def test_what_can_not_be_read_is_left_alone_by_what_was_recorded() -> None:
    def unread(policy: DriftPolicy) -> World:
        found = steady(make_service(), make_service("z")).sees("web-1", state="paused")
        desired = replace(found.desired, services={r: s for r, s in found.desired.services.items() if r != WEB})
        return replace(found, desired=desired).remembers(make_recorded(make_service(), drift=policy))

    assert [a.verb for a in unread(DriftPolicy()).plan().actions] == ["held"]
    assert unread(REPORT).plan().actions == ()


# --- not counted

IGNORED: dict[str, dict[str, Any]] = {
    "name": {"name": "other"},
    **{field: {"projection": {"memory": 0, "mem_reservation": 0, "cpus": 0, "pids_limit": 0,
                              "restart": "unless-stopped", field: 7}}
       for field in ("memory", "mem_reservation", "cpus", "pids_limit")},
    "restart": {"projection": {"memory": 0, "mem_reservation": 0, "cpus": 0, "pids_limit": 0, "restart": "no"},
                "restart_policy": "no"},
}  # fmt: skip


@pytest.mark.parametrize(("field", "harm"), IGNORED.items(), ids=IGNORED.keys())
@pytest.mark.parametrize("mode", ["heal", "report"])
def test_what_is_ignored_is_no_drift(field: str, harm: dict[str, Any], mode: Any) -> None:
    policy = DriftPolicy(mode, (field,))
    found = world(policy).sees("web-1", **harm)
    assert found.plan().actions == () and told(found) == []
    assert status.each(found.recorded, found.observed)[WEB].why == ""
    healed = world(DriftPolicy(), **{}).sees("web-1", **harm)
    assert [a.verb for a in healed.plan().actions] in (["heal"], ["replace"])


def test_status_does_not_count_it_either() -> None:
    web = make_service(drift=DriftPolicy(ignore=("memory",)))
    found = steady(web).sees("web-1", projection={**make_row(web).projection, "memory": 7})
    assert status.each(found.recorded, found.observed)[WEB].word == "started"
    other = found.remembers(make_recorded(web, drift=DriftPolicy()))
    assert "memory was changed" in status.each(other.recorded, other.observed)[WEB].why


def test_a_limit_that_no_call_can_take_away_is_ignored_like_any() -> None:
    """Else the replica would be replaced."""
    found = world(DriftPolicy(ignore=("memory",))).sees("web-1", **IGNORED["memory"], state="paused")
    (action,) = found.plan().actions
    assert [str(cause) for cause in action.causes] == ["replica 1 was paused"]
    assert str(rollout.steps(action)) == "unpause 1 web-1"


def test_the_schemas_name_the_same_fields() -> None:
    of_source = schema.load("source")["properties"]["drift"]["properties"]["ignore"]["items"]["enum"]
    of_service = schema.load("manifest")["$defs"]["drift"]["properties"]["ignore"]["items"]["enum"]
    assert of_source == of_service
    assert set(make_row(make_service()).projection) | {"name", "volumes", "image"} == set(of_source)


# --- volumes that are gone


def with_volume(live: bool, **given: Any) -> World:
    web = make_service(mounts=(DATA,), **given)
    found = steady(web)
    found = replace(found, recorded=replace(found.recorded, volumes={VOLUME.name: VOLUME}))
    if live:
        seen = Volume(VOLUME.name, {"lb.namespace": "shop"}, AT)
        found = replace(found, observed=replace(found.observed, volumes=(seen,)))
    return found


def test_a_volume_that_is_gone_is_told_while_its_service_runs_on() -> None:
    assert told(with_volume(True)) == []
    found = with_volume(False)
    assert found.plan().actions == () and found.plan().guards == ()
    assert told(found) == [
        "volume lb.shop.data of 2026-01-02T03:04:05Z is gone (it is made again, empty, only when a person says so: "
        "`lb volume rm` forgets it)"
    ]


@pytest.mark.parametrize(
    "harm", [{"state": "exited", "exit_code": 137}, {"state": "dead"}], ids=["is to be started", "is to be made again"]
)
def test_nothing_is_started_on_a_volume_that_is_gone(harm: dict[str, Any]) -> None:
    (guard,) = with_volume(False).sees("web-1", **harm).plan().guards
    assert guard.kind == "conflict" and guard.refs == (WEB,)
    assert guard.message.startswith("shop/web ran on lb.shop.data, which is gone with its data: `lb volume rm lb.shop")
    assert with_volume(True).sees("web-1", **harm).plan().guards == ()


def test_nor_is_it_replaced_but_it_may_be_unpaused_and_resized() -> None:
    changed = with_volume(False).wants(make_service(mounts=(DATA,), env={"A": "1"}))
    assert [guard.kind for guard in changed.plan().guards] == ["conflict"]
    assert with_volume(False).sees("web-1", state="paused").plan().guards == ()
    assert with_volume(False).wants(make_service(mounts=(DATA,), memory=64 << 20)).plan().guards == ()


def test_a_new_service_begins_with_an_empty_one_and_is_told_so() -> None:
    found = with_volume(False)
    found = replace(
        found, recorded=replace(found.recorded, services={}), observed=replace(found.observed, containers=())
    )
    assert [a.verb for a in found.plan().actions] == ["create"] and found.plan().guards == ()
    assert told(found) == ["volume lb.shop.data of 2026-01-02T03:04:05Z is gone (it is made again, empty)"]


def test_volumes_that_are_gone_may_be_ignored() -> None:
    found = with_volume(False, drift=DriftPolicy(ignore=("volumes",))).misses("web-1")
    assert told(found) == [] and found.plan().guards == () and [a.verb for a in found.plan().actions] == ["heal"]


# --- tags that moved


def test_a_tag_that_moved_is_told_unless_it_is_ignored_or_asked_for() -> None:
    moved = {"nginx": "sha256:new"}
    (text,) = told(steady(make_service()).has_images(**moved))
    assert text.startswith(
        "image digest of docker.io/library/nginx:1 is sha256:new here, the replicas run sha256:old ("
    )
    assert told(steady(make_service(drift=DriftPolicy(ignore=("image",)))).has_images(**moved)) == []
    assert told(steady(make_service(pull_policy="always")).has_images(**moved)) == []
    assert told(steady(make_service())) == []
    assert told(steady(make_service()).has_images(**moved).wants(make_service(env={"A": "1"}))) == []


# --- as it is written


def policies(desk: Desk) -> dict[str, DriftPolicy]:
    with desk.store() as store:
        recorded: Recorded = store.recorded()
    return {ref.name: known.drift for ref, known in recorded.services.items()}


@pytest.fixture
def written(desk: Desk) -> Desk:
    (desk.folder / "lb.yaml").write_text("name: quickstart\ndrift:\n  mode: report\n  ignore: [memory]\n")
    desk.namespace()
    desk.service("as-said")
    desk.service("heals", drift={"mode": "heal", "ignore": ["name"]})
    desk.service("ignores", drift={"ignore": ["cpus"]})
    desk.apply()
    return desk


def test_a_service_says_it_over_its_source(written: Desk) -> None:
    assert policies(written) == {
        "as-said": DriftPolicy("report", ("memory",)),
        "heals": DriftPolicy("heal", ("memory", "name")),
        "ignores": DriftPolicy("report", ("cpus", "memory")),
    }


def test_only_a_service_that_heals_is_healed(written: Desk) -> None:
    for seen in written.memory.containers():
        written.memory.pause(seen.name)
    said = written.apply()
    states = {c.ref.name: c.state for c in written.memory.containers()}
    assert states == {"as-said": "paused", "heals": "running", "ignores": "paused"}
    assert "lb: drift of demo/as-said: replica 1 was paused (only told of: drift.mode is report)" in said.err
    assert "no changes" in written.apply().out
    assert [d["object"] for d in written.lb("plan", "-o", "json").json["drift"]] == ["demo/as-said", "demo/ignores"]
    entry = written.lb("activity", "demo/as-said", "-o", "json").json[0]
    assert (entry["reason"], entry["type"], entry["count"]) == ("Drift", "warning", 2)
    found = written.lb("get", "service", "demo/as-said", "-o", "json").json["state"]
    assert (found["state"], found["status"]) == ("error", "0 of 1 replicas are ready")
    assert written.lb("plan", "--detailed-exitcode").code == 0


def test_another_policy_is_only_recorded(written: Desk) -> None:
    written.memory.pause(next(c.name for c in written.memory.containers() if c.ref.name == "as-said"))
    (written.folder / "lb.yaml").write_text("name: quickstart\ndrift: {mode: report}\n")
    text = written.lb("plan").out
    assert "· record service demo/as-said\n    drift report, ignore memory → report  [lb.yaml:2]\n" in text
    assert "? drift of service demo/as-said" in text
    written.apply()
    assert policies(written)["as-said"] == REPORT
    assert {c.state for c in written.memory.containers() if c.ref.name == "as-said"} == {"paused"}
    (written.folder / "lb.yaml").write_text("name: quickstart\n")
    written.apply()  # and now it is put right
    assert {c.state for c in written.memory.containers()} == {"running"}


def test_a_template_may_say_it(desk: Desk) -> None:
    (desk.folder / "lb.yaml").write_text("name: quickstart\ntemplates: {shy: {drift: {mode: report}}}\n")
    desk.namespace()
    desk.service("a", template="shy")
    desk.apply()
    assert policies(desk) == {"a": REPORT}


def test_a_volume_that_is_gone_comes_back_empty_when_a_person_says_so(desk: Desk) -> None:
    desk.namespace()
    desk.service("a", volumes=["data:/data"])
    desk.apply()
    (seen,) = desk.memory.containers()
    desk.memory.stop(seen.id, 0)
    desk.memory.remove(seen.id)
    desk.memory.remove_volume("lb.demo.data")
    said = desk.apply(code=77)
    assert "demo/a ran on lb.demo.data, which is gone with its data" in said.err and not desk.memory.containers()
    desk.lb("volume", "rm", "lb.demo.data", "--yes")
    desk.apply()
    assert desk.memory.containers() and "lb.demo.data" in {v.name for v in desk.memory.volumes()}


def test_the_plan_as_json_has_its_shape() -> None:
    found = render.plan_json(with_volume(False).plan())
    assert schema.validate("plan", json.loads(json.dumps(found))) == [] and len(found["drift"]) == 1
