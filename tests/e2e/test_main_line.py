"""Manifests become containers, and the reference's operations work by manifest: create, get, list, update, remove."""

from __future__ import annotations

import json

import pytest

from tests.conftest import BUSYBOX, THIRD, Sandbox

pytestmark = pytest.mark.xdist_group(THIRD)


def test_create_get_update_remove_a_namespace(sandbox: Sandbox) -> None:
    sandbox.namespace(description="this description info about this namespace")
    sandbox.apply()
    got = sandbox.lb("get", "namespace", "t", "-o", "json").json
    assert list(got["meta"])[:4] == ["name", "description", "created", "updated"]
    assert got["meta"]["description"] == "this description info about this namespace"
    assert [ns["meta"]["name"] for ns in sandbox.lb("get", "namespaces", "-o", "json").json] == ["t"]
    (network,) = sandbox.api.networks(filters={"label": f"lb.source={sandbox.name}"})
    assert network["Name"] == "lb.t"

    sandbox.namespace(description="new")
    assert "record" in sandbox.lb("plan").out
    sandbox.apply()
    changed = sandbox.lb("get", "ns", "t", "-o", "json").json
    assert changed["meta"]["description"] == "new"
    assert changed["meta"]["created"] == got["meta"]["created"] and changed["meta"]["updated"] > got["meta"]["updated"]

    sandbox.remove("t.yaml")
    sandbox.namespace("u")
    sandbox.apply()
    assert sandbox.lb("get", "namespace", "t", code=1).err.startswith("lb: NAMESPACE_NOT_FOUND")
    assert [n["Name"] for n in sandbox.api.networks(filters={"label": f"lb.source={sandbox.name}"})] == ["lb.u"]


def test_create_get_update_remove_a_service(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("redis", meta={"description": "demo description"}, memory=64)
    sandbox.service("other")
    sandbox.apply()
    got = sandbox.lb("get", "service", "t/redis", "-o", "json").json
    assert list(got) == ["meta", "state", "spec", "pods"]
    assert list(got["meta"])[:6] == ["name", "description", "replicas", "namespace", "created", "updated"]
    assert got["state"]["state"] == "started" and got["state"]["resources"] == {"memory": 64}
    assert got["state"]["replicas"]["total"] == got["state"]["replicas"]["ready"] == 1
    (spec,) = got["spec"]
    assert list(spec) == ["meta", "memory", "command", "image", "env", "ports"]
    assert (spec["meta"]["revision"], spec["meta"]["parent"], spec["memory"], spec["env"]) == (0, "", 64, None)
    assert sandbox.one("redis")["HostConfig"]["Memory"] == 64 * 1024 * 1024
    assert [s["meta"]["name"] for s in sandbox.lb("get", "services", "-n", "t", "-o", "json").json] == [
        "other",
        "redis",
    ]

    before = sandbox.running()
    sandbox.service("redis", meta={"description": "new demo description"}, memory=64)
    sandbox.apply()
    changed = sandbox.lb("get", "service", "redis", "-n", "t", "-o", "json").json
    assert changed["meta"]["description"] == "new demo description"
    assert sandbox.running() == before

    sandbox.service("redis", memory=64, env={"A": "b"})
    sandbox.apply()
    third = sandbox.lb("get", "service", "t/redis", "-o", "json").json["spec"][0]
    assert third["meta"]["revision"] == 1 and third["meta"]["parent"] == spec["meta"]["id"]
    assert third["env"] == ["A=b"]

    sandbox.remove("t.redis.yaml")
    sandbox.apply()
    assert sandbox.lb("get", "service", "t/redis", code=1).err.startswith("lb: SERVICE_NOT_FOUND")
    assert sandbox.containers("redis") == []
    assert len(sandbox.containers("other")) == 1


def test_apply_twice_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2)
    sandbox.apply()
    before = sandbox.running()
    assert sandbox.apply().out == "no changes\n"
    assert sandbox.lb("plan", "--detailed-exitcode").out == "no changes\n"
    assert sandbox.running() == before


def test_plan_changes_nothing_and_says_so(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    result = sandbox.lb("plan", "--detailed-exitcode", code=2)
    assert "+ create service t/a" in result.out
    assert not sandbox.containers() and not sandbox.state.exists()


def test_down_removes_all_but_volumes(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["data:/data"])
    sandbox.service("b", depends_on=["a"])
    sandbox.apply()
    sandbox.lb("down", "--yes")
    assert not sandbox.containers()
    assert not sandbox.api.networks(filters={"label": f"lb.source={sandbox.name}"})
    assert [v["Name"] for v in sandbox.api.volumes(filters={"label": f"lb.source={sandbox.name}"})["Volumes"]] == [
        "lb.t.data"
    ]
    sandbox.apply()
    assert sandbox.one("a")["Mounts"][0]["Name"] == "lb.t.data"


def test_services_find_each_other_by_name(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.service("b")
    sandbox.apply()
    for name in ("b", "b.t"):
        job = sandbox.api.exec_create(sandbox.one("a")["Id"], ["ping", "-c", "1", "-W", "5", name])
        sandbox.api.exec_start(job["Id"])
        assert sandbox.api.exec_inspect(job["Id"])["ExitCode"] == 0


def test_logs_of_all_replicas(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2, command=["sh", "-c", "echo out; echo err >&2; sleep 1000"])
    sandbox.apply()
    result = sandbox.lb("logs", "t/a")
    assert sorted(line.split(" | ")[1] for line in result.out.splitlines()) == ["out", "out"]
    assert sorted(line.split(" | ")[1] for line in result.err.splitlines()) == ["err", "err"]
    assert sorted(sandbox.lb("logs", "t/a", "--since", "1h").out.splitlines()) == sorted(result.out.splitlines())
    assert sandbox.lb("logs", "t/a", "--since", "2100-01-01T00:00:00Z").out == ""


def test_a_file_from_standard_input_joins_and_deletes_nothing(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    spec = {"image": BUSYBOX, "command": "sleep 1000", "stop_signal": "SIGKILL"}
    manifest = {"apiVersion": "lb/v1", "kind": "Service", "meta": {"name": "b", "namespace": "t"}, "spec": spec}
    result = sandbox.lb("apply", "-f", "-", stdin=json.dumps(manifest))
    assert "+ create service t/b" in result.out and "1 of 3 objects" in result.out
    assert len(sandbox.containers()) == 2
    assert "- remove service t/b" in sandbox.lb("plan").out


def test_a_path_inside_the_source_selects(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.service("b")
    result = sandbox.apply("t.b.yaml")
    assert "1 of 3 objects" in result.out
    assert [c["Config"]["Labels"]["lb.service"] for c in sandbox.containers()] == ["b"]
