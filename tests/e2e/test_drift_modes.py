"""Drift that is only told of, that does not count, and that no repair brings back, on a real engine."""

from __future__ import annotations

import pytest

from tests.conftest import BUSYBOX, IMAGES, THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)


def test_what_is_only_told_of_stays_as_it_is(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", drift={"mode": "report"}, replicas=2)
    sandbox.service("b")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: daemon.log.count("create: new service") == 2)
        first, second = (c["Id"] for c in sandbox.containers("a"))
        sandbox.api.pause(first)
        sandbox.api.remove_container(second, force=True)
        sandbox.api.pause(sandbox.one("b")["Id"])
        eventually(lambda: "t/b: heal" in daemon.log)
        eventually(lambda: "replica 1 was paused; replica 2 was removed (only told of" in daemon.log)
        assert [c["State"]["Status"] for c in sandbox.containers("a")] == ["paused"]
        state = daemon.get("/namespace/t/service/a")["state"]
        assert state["state"] in ("warning", "error") and "replica 2 was removed" in state["status"]
        sandbox.api.unpause(first)
        eventually(lambda: "t/a: Drift: replica 2 was removed (only told of" in daemon.log)
        sandbox.service("a", replicas=2)
        eventually(lambda: len(sandbox.live("a")) == 2)
        eventually(lambda: "t/a: heal: replica 2 was removed" in daemon.log and " is mended" in daemon.log)
        eventually(lambda: daemon.get("/namespace/t/service/a")["state"]["status"] == "")
        reasons = [e["reason"] for e in daemon.get("/namespace/t/service/a/activity")]
        assert {"Drift", "Mended", "heal"} <= set(reasons)


def test_what_is_ignored_is_not_put_back(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", memory=32, pids_limit=50, drift={"ignore": ["memory", "name"]})
    sandbox.apply()
    container = sandbox.one("a")["Id"]
    sandbox.api.update_container(container, mem_limit=64 << 20, memswap_limit=128 << 20)
    sandbox.api.rename(container, "lbtest-renamed")
    said = sandbox.apply()
    assert said.out == "no changes\n" and "drift" not in said.err
    found = sandbox.one("a")
    assert (found["Id"], found["HostConfig"]["Memory"], found["Name"]) == (container, 64 << 20, "/lbtest-renamed")
    assert sandbox.lb("get", "service", "t/a", "-o", "json").json["state"]["status"] == ""


def test_a_volume_that_is_gone_is_not_made_again_behind_a_service(sandbox: Sandbox) -> None:
    sandbox.namespace()
    keeps = ["sh", "-c", "[ -e /data/x ] || echo new > /data/x; sleep 100000"]
    sandbox.service("a", volumes=["data:/data"], command=keeps)
    sandbox.apply()
    sandbox.api.remove_container(sandbox.one("a")["Id"], force=True)
    sandbox.api.remove_volume("lb.t.data")
    assert "volume lb.t.data of " in sandbox.lb("plan", code=77).out
    said = sandbox.apply(code=77)
    assert "t/a ran on lb.t.data, which is gone with its data" in said.err
    assert not sandbox.containers("a") and "lb.t.data" not in {v["Name"] for v in sandbox.api.volumes()["Volumes"]}
    sandbox.lb("volume", "rm", "t/data", "--yes")
    sandbox.apply()
    assert sandbox.one("a")["State"]["Running"] and sandbox.apply().out == "no changes\n"


def test_a_tag_that_moved_is_told_and_what_runs_stays(sandbox: Sandbox) -> None:
    sandbox.api.tag(BUSYBOX, "lb.local/moving", "1")
    try:
        sandbox.namespace()
        sandbox.service("a", image="lb.local/moving:1")
        sandbox.apply()
        before = sandbox.one("a")["Id"]
        sandbox.api.tag(f"{IMAGES}redis:7.0", "lb.local/moving", "1")
        said = sandbox.apply()
        assert (
            said.out == "no changes\n" and "lb: drift of t/a: image digest of lb.local/moving:1 is sha256:" in said.err
        )
        assert sandbox.one("a")["Id"] == before
        sandbox.service("a", image="lb.local/moving:1", drift={"ignore": ["image"]})
        assert "drift" not in sandbox.apply().err
    finally:
        sandbox.api.remove_image("lb.local/moving:1", force=True)
