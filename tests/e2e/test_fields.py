"""Every field of a service's spec, looked up with `inspect` on the engine."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest

from tests.conftest import BUSYBOX, ENDS, IMAGES, Sandbox

MIB = 1024 * 1024
NOFILE = {"Name": "nofile", "Soft": 100, "Hard": 200}


def dig(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[step]
    return value


def at(port: int) -> dict[str, str]:
    return {"HostIp": "127.0.0.1", "HostPort": str(port)}


@pytest.mark.parametrize(
    ("spec", "path", "expected"),
    [
        ({"memory": 64}, "HostConfig.Memory", 64 * MIB),
        ({"memory": "64m"}, "HostConfig.MemorySwap", 128 * MIB),
        ({"cpus": 0.25}, "HostConfig.NanoCpus", 250_000_000),
        ({"entrypoint": ["/bin/sh", "-c"], "command": ["sleep 100"]}, "Config.Entrypoint", ["/bin/sh", "-c"]),
        ({"entrypoint": "/bin/sleep", "command": "100"}, "Path", "/bin/sleep"),
        ({"command": "sleep '100'"}, "Config.Cmd", ["sleep", "100"]),
        ({"command": ["sleep", "101"]}, "Config.Cmd", ["sleep", "101"]),
        ({"restart": "no"}, "HostConfig.RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
        ({}, "HostConfig.RestartPolicy", {"Name": "unless-stopped", "MaximumRetryCount": 0}),
        ({"restart": "on-failure:2"}, "HostConfig.RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 2}),
        ({"stop_signal": "SIGKILL"}, "Config.StopSignal", "SIGKILL"),
        ({"stop_grace_period": "3s"}, "Config.StopTimeout", 3),
        ({"ports": ["127.0.0.1:18098:80/udp"]}, "HostConfig.PortBindings", {"80/udp": [at(18098)]}),
        (
            {"ports": [{"internal": 80, "external": 18097, "host_ip": "127.0.0.1"}]},
            "NetworkSettings.Ports",
            {"80/tcp": [at(18097)]},
        ),
        (
            {"healthcheck": {"test": "true", "interval": "1s", "timeout": "2s", "start_period": "3s", "retries": 4}},
            "Config.Healthcheck",
            {
                "Test": ["CMD-SHELL", "true"],
                "Interval": 10**9,
                "Timeout": 2 * 10**9,
                "StartPeriod": 3 * 10**9,
                "Retries": 4,
            },
        ),
        ({"healthcheck": {"disable": True}}, "Config.Healthcheck", {"Test": ["NONE"]}),
        ({"memory": 64, "mem_reservation": "32m"}, "HostConfig.MemoryReservation", 32 * MIB),
        ({"pids_limit": 50}, "HostConfig.PidsLimit", 50),
        ({"shm_size": "32m"}, "HostConfig.ShmSize", 32 * MIB),
        ({"shm_size": 33554432}, "HostConfig.ShmSize", 32 * MIB),
        ({"ulimits": {"nofile": {"soft": 100, "hard": 200}}}, "HostConfig.Ulimits", [NOFILE]),
        ({"sysctls": {"net.core.somaxconn": 512}}, "HostConfig.Sysctls", {"net.core.somaxconn": "512"}),
        ({"sysctls": ["net.core.somaxconn=512"]}, "HostConfig.Sysctls", {"net.core.somaxconn": "512"}),
        ({"user": "1000:1000"}, "Config.User", "1000:1000"),
        ({"user": 1000}, "Config.User", "1000"),
        ({"group_add": ["44", 7]}, "HostConfig.GroupAdd", ["44", "7"]),
        ({"working_dir": "/tmp"}, "Config.WorkingDir", "/tmp"),
        ({"read_only": True}, "HostConfig.ReadonlyRootfs", True),
        ({"init": True}, "HostConfig.Init", True),
        ({"init": False}, "HostConfig.Init", False),
        ({"tty": True}, "Config.Tty", True),
        ({"stdin_open": True}, "Config.OpenStdin", True),
        ({"hostname": "worker.example"}, "Config.Hostname", "worker.example"),
        ({"dns": "10.9.8.7"}, "HostConfig.Dns", ["10.9.8.7"]),
        ({"dns": ["10.9.8.7", "10.9.8.6"]}, "HostConfig.Dns", ["10.9.8.7", "10.9.8.6"]),
        ({"extra_hosts": ["b:10.1.1.1", "a=[::1]"]}, "HostConfig.ExtraHosts", ["a:::1", "b:10.1.1.1"]),
        ({"extra_hosts": {"me": "host-gateway"}}, "HostConfig.ExtraHosts", ["me:host-gateway"]),
        ({"cap_drop": ["all"]}, "HostConfig.CapDrop", ["ALL"]),
        ({"security_opt": ["no-new-privileges:true"]}, "HostConfig.SecurityOpt", ["no-new-privileges"]),
        ({}, "HostConfig.LogConfig", {"Type": "local", "Config": {}}),
        (
            {"logging": {"driver": "json-file", "options": {"max-size": "1m", "max-file": 2}}},
            "HostConfig.LogConfig",
            {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        ),
        ({"network_mode": "none"}, "HostConfig.NetworkMode", "none"),
        ({"platform": "linux/amd64"}, "Platform", "linux"),
        (
            {"volumes": [{"type": "tmpfs", "target": "/run", "tmpfs": {"size": "1m", "mode": "1777"}}]},
            "HostConfig.Mounts",
            [{"Type": "tmpfs", "Target": "/run", "TmpfsOptions": {"SizeBytes": MIB, "Mode": 0o1777}}],
        ),
        (
            {"volumes": [{"type": "volume", "source": "d", "target": "/etc", "volume": {"nocopy": True}}]},
            "HostConfig.Mounts",
            [{"Type": "volume", "Source": "lb.t.d", "Target": "/etc", "VolumeOptions": {"NoCopy": True}}],
        ),
    ],
)  # fmt: skip
def test_a_field_reaches_the_engine(sandbox: Sandbox, spec: dict[str, Any], path: str, expected: Any) -> None:
    sandbox.namespace()
    sandbox.service("a", **spec)
    sandbox.apply()
    assert dig(sandbox.one("a"), path) == expected
    assert sandbox.apply().out == "no changes\n"


@pytest.mark.parametrize("env", [{"A": "b", "N": 1, "T": True}, ["A=b", "N=1", "T=true"]])
def test_env(sandbox: Sandbox, env: Any) -> None:
    sandbox.namespace()
    sandbox.service("a", env=env)
    sandbox.apply()
    assert {"A=b", "N=1", "T=true"} <= set(sandbox.one("a")["Config"]["Env"])


def test_image_and_replicas(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2)
    sandbox.apply()
    wanted = sandbox.api.inspect_image(BUSYBOX)["Id"]
    assert [c["Image"] for c in sandbox.containers("a")] == [wanted, wanted]


def test_volumes_named_and_bound(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.write("conf/app.conf", "hello\n")
    sandbox.write("site/index.html", "page\n")
    sandbox.service("a", volumes=["data:/data", "./conf/app.conf:/etc/app.conf:ro", "./site:/site:ro"])
    sandbox.apply()
    mounts = {m["Destination"]: m for m in sandbox.one("a")["Mounts"]}
    assert (mounts["/data"]["Type"], mounts["/data"]["Name"], mounts["/data"]["RW"]) == ("volume", "lb.t.data", True)
    assert mounts["/etc/app.conf"]["Type"] == "bind" and not mounts["/etc/app.conf"]["RW"]
    assert str(sandbox.state) in mounts["/etc/app.conf"]["Source"]
    job = sandbox.api.exec_create(sandbox.one("a")["Id"], ["cat", "/etc/app.conf", "/site/index.html"])
    assert sandbox.api.exec_start(job["Id"]) == b"hello\npage\n"

    before = sandbox.running()
    sandbox.write("unrelated.txt", "x")
    assert sandbox.apply().out == "no changes\n"
    sandbox.write("conf/app.conf", "changed\n")
    result = sandbox.apply()
    assert "volumes./etc/app.conf" in result.out and sandbox.running() != before
    job = sandbox.api.exec_create(sandbox.one("a")["Id"], ["cat", "/etc/app.conf"])
    assert sandbox.api.exec_start(job["Id"]) == b"changed\n"


def test_depends_on_orders_creation(sandbox: Sandbox) -> None:
    sandbox.namespace()
    check = {"test": "test -f /ready", "interval": "100ms", "retries": 100}
    sandbox.service("db", command="sh -c 'usleep 700000; touch /ready; sleep 1000'", healthcheck=check)
    sandbox.service("app", depends_on={"db": {"condition": "healthy"}})
    sandbox.apply()
    log = sandbox.one("db")["State"]["Health"]["Log"]
    healthy = min(entry["End"] for entry in log if entry["ExitCode"] == 0)
    # The engine writes health times with the host's zone; instants are compared as instants.
    assert parse(healthy) < parse(sandbox.one("app")["Created"])


def parse(text: str) -> float:
    short = re.sub(r"\.(\d{6})\d*", r".\1", text)
    return datetime.datetime.fromisoformat(short).timestamp()


def test_a_failed_dependency_blocks_only_its_dependents(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("bad", command="sh -c 'exit 4'", **ENDS)
    sandbox.service("needs", depends_on={"bad": {"condition": "healthy"}})
    sandbox.service("free")
    result = sandbox.apply(code=1)
    assert "blocked: create t/needs: waits for t/bad" in result.out
    assert len(sandbox.containers("free")) == 1 and not sandbox.containers("needs")


def test_pull_policy(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", image="127.0.0.1:9/none:1", pull_policy="never")
    assert "is not on this engine and pull_policy is never" in sandbox.apply(code=1).out
    sandbox.service("a", image="127.0.0.1:9/none:1")
    assert "image 127.0.0.1:9/none:1 can't be pulled" in sandbox.apply(code=1).out
    sandbox.service("a", pull_policy="never")
    sandbox.apply()


def test_a_failed_pull_keeps_the_old_replicas(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    before = sandbox.running()
    sandbox.service("a", image="127.0.0.1:9/none:1")
    sandbox.apply(code=1)
    assert sandbox.running() == before


def test_update_parallelism(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=4, update={"parallelism": 2, "min_ready": "0s"})
    sandbox.apply()
    old = {c["Id"] for c in sandbox.containers("a")}
    sandbox.service("a", replicas=4, update={"parallelism": 2, "min_ready": "0s"}, env={"A": "b"})
    sandbox.apply()
    assert len(sandbox.containers("a")) == 4 and not old & {c["Id"] for c in sandbox.containers("a")}


def test_a_completed_service(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("job", command="sh -c 'echo did it'", restart="no")
    sandbox.service("after", depends_on={"job": {"condition": "completed"}})
    sandbox.apply()
    assert sandbox.apply().out == "no changes\n"
    assert sandbox.lb("get", "service", "t/job", "-o", "json").json["state"]["status"] == "completed"


def test_variables_stay_unresolved_wherever_they_are_shown(sandbox: Sandbox) -> None:
    canary = "canary-5f2c"
    sandbox.namespace()
    sandbox.service("a", image=f"{IMAGES}busybox:${{TAG}}", env={"PASSWORD": "${PASSWORD}"})
    shown = [sandbox.apply("--set", "TAG=1.35", "--set", f"PASSWORD={canary}")]
    assert f"PASSWORD={canary}" in sandbox.one("a")["Config"]["Env"]
    shown += [sandbox.lb("get", "service", "t/a", "-o", o) for o in ("table", "wide", "json", "yaml", "name")]
    shown += [sandbox.lb("plan", "-o", o, "--set", "TAG=1.35", "--set", "PASSWORD=other") for o in ("text", "json")]
    assert "${PASSWORD} → ${PASSWORD} (its value changed)" in shown[-2].out
    assert all(canary not in result.out + result.err for result in shown)
    assert "${PASSWORD}" in shown[4].out
    for file in sandbox.state.rglob("*"):
        assert not file.is_file() or canary.encode() not in file.read_bytes(), file
    assert canary not in str(sandbox.one("a")["Config"]["Labels"])
