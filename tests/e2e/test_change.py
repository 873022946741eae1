"""What a change touches, and what it must leave alone."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGES, SOCKET, Sandbox
from tests.support.proxy import proxied

SAMPLER = str(Path(__file__).parents[1] / "support" / "sampler.py")


def test_an_unchanged_source_makes_no_mutating_call(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.namespace()
    spec = {"replicas": 2, "memory": 32, "cpus": 0.5, "ports": ["80"], "volumes": ["data:/data"]}
    sandbox.service("a", **spec)
    with proxied(SOCKET, tmp_path) as proxy:
        sandbox.env["DOCKER_HOST"] = f"unix://{proxy.path}"
        sandbox.apply()
        assert any("/containers/create" in line for line in proxy.mutating)
        proxy.requests.clear()
        assert sandbox.apply().out == "no changes\n"
        assert proxy.requests and proxy.mutating == []
        sandbox.service(
            "a", meta={"description": "new"}, replicas=2, memory=32, cpus=0.5, ports=["80"], volumes=["data:/data"]
        )
        assert "record" in sandbox.apply().out
        assert proxy.mutating == []


def test_one_of_twenty_changed_leaves_nineteen_alone(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for i in range(20):
        sandbox.service(f"s{i:02}")
    sandbox.apply()
    before = sandbox.running()
    assert len(before) == 20
    sandbox.service("s07", env={"A": "b"})
    sandbox.apply()
    after = sandbox.running()
    same = {name for name in before if after.get(name) == before[name]}
    assert len(same) == 19 and len(after) == 20


def test_memory_and_cpus_change_in_place(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", memory=32, cpus=0.5, restart="always")
    sandbox.apply()
    before = sandbox.running()
    sandbox.service("a", memory="48m", cpus=0.25, restart="on-failure:3")
    assert "update service t/a (in-place)" in sandbox.apply().out
    assert sandbox.running() == before
    host = sandbox.one("a")["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (48 * 1048576, 96 * 1048576, 250_000_000)
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert sandbox.apply().out == "no changes\n"
    sandbox.service("a", cpus=0.25, restart="on-failure:3")
    assert "replace service t/a" in sandbox.apply().out
    assert sandbox.one("a")["HostConfig"]["Memory"] == 0


def test_scaling_keeps_the_lowest_numbers(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=1)
    sandbox.apply()
    first = sandbox.running()
    sandbox.service("a", replicas=3)
    sandbox.apply()
    assert first.items() <= sandbox.running().items() and len(sandbox.running()) == 3
    sandbox.service("a", replicas=1)
    sandbox.apply()
    assert sandbox.running() == first
    sandbox.service("a", replicas=0)
    sandbox.apply()
    assert sandbox.running() == {}


@contextlib.contextmanager
def sampling(sandbox: Sandbox) -> Iterator[list[set[str]]]:
    """Twenty times a second, from the network of the container `watcher`: which replicas answer. Filled at the end."""
    (network,) = sandbox.api.networks(filters={"label": f"lb.source={sandbox.name}"})
    hosts = itertools.islice(ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"]).hosts(), 1, 13)
    inside = ["nsenter", "-t", str(sandbox.one("watcher")["State"]["Pid"]), "-n", sys.executable, SAMPLER]
    sampler = subprocess.Popen([*inside, *map(str, hosts)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ticks: list[set[str]] = []
    try:
        yield ticks
    finally:
        out, _ = sampler.communicate("")
        ticks += [set(line.split()[1:]) for line in out.splitlines()]


def test_a_rollout_never_has_fewer_replicas_answering(sandbox: Sandbox) -> None:
    sandbox.namespace()
    page = ["sh", "-c", "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www"]
    web = {
        "replicas": 3,
        "command": page,
        "healthcheck": {
            "test": ["CMD-SHELL", "wget -qO /dev/null http://127.0.0.1/"],
            "interval": "200ms",
            "retries": 50,
        },
    }
    sandbox.service("web", **web)
    sandbox.service("watcher")
    sandbox.apply()
    old = {c["Id"] for c in sandbox.containers("web")}
    sandbox.api.tag(f"{IMAGES}busybox:1.35", f"{IMAGES}busybox", "lbtest")
    try:
        with sampling(sandbox) as ticks:
            begun = time.monotonic()
            sandbox.service("web", **{**web, "image": f"{IMAGES}busybox:lbtest"})
            sandbox.apply()
            took = time.monotonic() - begun
    finally:
        sandbox.lb("down", "--yes")
        sandbox.api.remove_image(f"{IMAGES}busybox:lbtest")
    assert old and len(ticks) > 5 * took, f"only {len(ticks)} samples in {took:.1f} s"
    assert min(len(found) for found in ticks) >= 3, sorted(len(found) for found in ticks)[:5]
    assert len(set().union(*ticks)) == 6


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_a_failed_deploy_leaves_the_old_replicas(sandbox: Sandbox, order: str) -> None:
    sandbox.namespace()
    update = {"order": order, "min_ready": "0s"}
    sandbox.service("a", replicas=2, update=update)
    sandbox.apply()
    before = {c["Id"] for c in sandbox.containers("a")}
    update["min_ready"] = "1s"  # seen once while it still runs, it would be ready
    sandbox.service("a", replicas=2, update=update, command=["sh", "-c", "echo broken; exit 3"], restart="no")
    result = sandbox.apply(code=1)
    assert "exit 3" in result.out and "| broken" in result.out
    live = {c["Id"] for c in sandbox.containers("a") if c["State"]["Running"]}
    assert live == before
    kept = [c for c in sandbox.containers("a") if not c["State"]["Running"]]
    assert len(kept) == 1 and kept[0]["HostConfig"]["RestartPolicy"]["Name"] == "no"

    held = sandbox.apply(code=1)
    assert "held" in held.out and "exit 3" in held.out
    assert {c["Id"] for c in sandbox.containers("a")} == before | {kept[0]["Id"]}
    assert "warning" in sandbox.lb("get", "services").out

    sandbox.service("a", replicas=2, update=update)
    sandbox.apply()
    assert {c["Id"] for c in sandbox.containers("a")} == before
    assert sandbox.apply().out == "no changes\n"


def test_a_failing_replica_takes_finished_ones_back(sandbox: Sandbox) -> None:
    """The second replica fails: the first, already replaced, goes back to the container that ran before."""
    sandbox.namespace()
    sandbox.service("a", replicas=2, volumes=["shared:/shared"])
    sandbox.apply()
    before = {c["Id"] for c in sandbox.containers("a")}
    once = ["sh", "-c", "mkdir /shared/first && sleep 1000; exit 9"]
    sandbox.service(
        "a", replicas=2, volumes=["shared:/shared"], command=once, restart="no", update={"min_ready": "300ms"}
    )
    sandbox.apply(code=1)
    assert {c["Id"] for c in sandbox.containers("a") if c["State"]["Running"]} == before


def test_the_holder_of_a_taken_port_is_named(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", ports=["127.0.0.1:18099:80"])
    sandbox.apply()
    sandbox.namespace("u")
    sandbox.service("b", namespace="u", ports=["127.0.0.1:18099:80"])
    assert "host port 18099 is published by t/a too" in sandbox.apply(code=65).err
    sandbox.remove("t.a.yaml")
    holder = sandbox.one("a")["Name"].lstrip("/")
    result = sandbox.lb("apply", "-f", str(sandbox.source / "u.b.yaml"), code=1)
    assert f"port 18099/tcp of this host is taken by container {holder}" in result.out


def test_a_changed_file_rolls_its_users_only_and_its_old_copy_goes(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.write("a.conf", "one")
    sandbox.service("a", volumes=["./a.conf:/a.conf:ro"])
    sandbox.service("b")
    sandbox.apply()
    b, copies = sandbox.one("b")["Id"], sandbox.state / "snapshots"
    (first,) = copies.iterdir()
    sandbox.write("a.conf", "two")
    assert "(content" in sandbox.apply().out
    assert sandbox.one("b")["Id"] == b
    sandbox.apply()  # by then no container mounts it any more
    (second,) = copies.iterdir()
    assert second != first and sandbox.one("a")["Mounts"][0]["Source"] == f"{second}/content"
