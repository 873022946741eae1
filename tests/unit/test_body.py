"""A service becomes the bodies of the engine's create and update calls, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import (
    Device,
    Healthcheck,
    Limits,
    Links,
    Logging,
    Mount,
    NamedVolume,
    Port,
    Powers,
    Process,
    Secret,
    Ulimit,
)
from reconciler.runtimes import body
from tests.support.build import MIB, make_service

SECOND = 1_000_000_000


def bind(source: str, target: str, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


IMAGE = "docker.io/library/nginx:1"


def create(**spec: Any) -> dict[str, Any]:
    return body.create(make_service(**spec), {"l": "1"}, "/files")


def difference(**spec: Any) -> dict[str, Any]:
    """The keys, those of HostConfig included, that these fields add or change."""
    plain, found = create(), create(**spec)
    flat = {k: v for k, v in found.items() if k != "HostConfig" and plain.get(k) != v}
    host = plain["HostConfig"]
    return flat | {k: v for k, v in found["HostConfig"].items() if host.get(k) != v}


def test_the_least() -> None:
    assert create() == {
        "Image": IMAGE,
        "Labels": {"l": "1"},
        "Env": [],
        "StopTimeout": 10,
        "HostConfig": {
            "NetworkMode": "lb.shop",
            "PortBindings": {},
            "Mounts": [],
            "LogConfig": {"Type": "local", "Config": {}},
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        },
        "NetworkingConfig": {"EndpointsConfig": {"lb.shop": {"Aliases": ["web", "web.shop"]}}},
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"image": "docker.io/library/nginx:2"}, {"Image": "docker.io/library/nginx:2"}),
        ({"memory": 64 * MIB}, {"Memory": 64 * MIB, "MemorySwap": 128 * MIB}),
        ({"cpus": 500_000_000}, {"NanoCpus": 500_000_000}),
        ({"command": ("a", "b")}, {"Cmd": ["a", "b"]}),
        ({"command": ()}, {"Cmd": []}),
        ({"entrypoint": ("a",)}, {"Entrypoint": ["a"]}),
        ({"env": {"B": "x=y", "A": ""}}, {"Env": ["A=", "B=x=y"]}),
        ({"restart": "on-failure:3"}, {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
        ({"restart": "no"}, {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}),
        ({"stop_signal": "SIGQUIT"}, {"StopSignal": "SIGQUIT"}),
        ({"stop_grace_period": 30 * SECOND}, {"StopTimeout": 30}),
        ({"stop_grace_period": 1}, {"StopTimeout": 1}),
        ({"stop_grace_period": 0}, {"StopTimeout": 0}),
        (
            {"healthcheck": Healthcheck(("CMD", "true"), SECOND, 2 * SECOND, 3 * SECOND, 4)},
            {
                "Healthcheck": {
                    "Test": ["CMD", "true"],
                    "Interval": SECOND,
                    "Timeout": 2 * SECOND,
                    "StartPeriod": 3 * SECOND,
                    "Retries": 4,
                }
            },
        ),
        ({"healthcheck": Healthcheck(("NONE",))}, {"Healthcheck": {"Test": ["NONE"]}}),
        ({"healthcheck": Healthcheck(retries=2)}, {"Healthcheck": {"Retries": 2}}),
        (
            {"ports": (Port(80),)},
            {"ExposedPorts": {"80/tcp": {}}, "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
        ),
        (
            {"ports": (Port(53, "udp", 53, "127.0.0.1"), Port(53, "udp", 54))},
            {
                "ExposedPorts": {"53/udp": {}},
                "PortBindings": {
                    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}, {"HostIp": "", "HostPort": "54"}]
                },
            },
        ),
        (
            {"mounts": (Mount("/data", "volume", "data"),)},
            {"Mounts": [{"Type": "volume", "Source": "lb.shop.data", "Target": "/data", "ReadOnly": False}]},
        ),
        ({"limits": Limits(mem_reservation=MIB, pids_limit=5)}, {"MemoryReservation": MIB, "PidsLimit": 5}),
        ({"limits": Limits(shm_size=MIB)}, {"ShmSize": MIB}),
        ({"limits": Limits(ulimits=(Ulimit("core", 0, 1),))}, {"Ulimits": [{"Name": "core", "Soft": 0, "Hard": 1}]}),
        ({"limits": Limits(sysctls=(("a", "1"),))}, {"Sysctls": {"a": "1"}}),
        ({"process": Process("1:2", ("7",), "/x")}, {"User": "1:2", "GroupAdd": ["7"], "WorkingDir": "/x"}),
        ({"process": Process(read_only=True, init=True)}, {"ReadonlyRootfs": True, "Init": True}),
        ({"process": Process(init=False)}, {"Init": False}),
        ({"process": Process(tty=True, stdin_open=True)}, {"Tty": True, "OpenStdin": True}),
        ({"links": Links(network_mode="host")}, {"NetworkMode": "host", "NetworkingConfig": {}}),
        ({"links": Links(networks=("other",))}, {}),
        ({"links": Links(hostname="h", dns=("10.0.0.1",))}, {"Hostname": "h", "Dns": ["10.0.0.1"]}),
        ({"links": Links(extra_hosts=(("a", "::1"),))}, {"ExtraHosts": ["a:::1"]}),
        ({"powers": Powers(True, ("A",), ("B",))}, {"Privileged": True, "CapAdd": ["A"], "CapDrop": ["B"]}),
        (
            {"powers": Powers(security_opt=("apparmor=x", "systempaths=unconfined"))},
            {"SecurityOpt": ["apparmor=x"], "MaskedPaths": [], "ReadonlyPaths": []},
        ),
        (
            {"powers": Powers(devices=(Device("/dev/a", "/dev/b", "r"),))},
            {"Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}]},
        ),
        ({"logging": Logging("none")}, {"LogConfig": {"Type": "none", "Config": {}}}),
        ({"container_labels": (("a", "b"),)}, {"Labels": {"a": "b", "l": "1"}}),
        (
            {"secrets": (Secret("a", "/run/secrets/a", "digest"),)},
            {"Mounts": [bind("/files/secret-digest/content", "/run/secrets/a", True)]},
        ),
        ({"mounts": (Mount("/x", "host", "/srv/x"),)}, {"Mounts": [bind("/srv/x", "/x", False)]}),
        (
            {"mounts": (Mount("/x", "tmpfs", "", size=5, mode=0o700),)},
            {
                "Mounts": [
                    {
                        "Type": "tmpfs",
                        "Target": "/x",
                        "ReadOnly": False,
                        "TmpfsOptions": {"SizeBytes": 5, "Mode": 0o700},
                    }
                ]
            },
        ),
        (
            {"mounts": (Mount("/x", "volume", "v", nocopy=True),), "volumes": {"v": NamedVolume("w", external=True)}},
            {
                "Mounts": [
                    {
                        "Type": "volume",
                        "Source": "w",
                        "Target": "/x",
                        "ReadOnly": False,
                        "VolumeOptions": {"NoCopy": True},
                    }
                ]
            },
        ),
        (
            {"mounts": (Mount("/etc/x", "bind", "digest", True),)},
            {"Mounts": [{"Type": "bind", "Source": "/files/digest/content", "Target": "/etc/x", "ReadOnly": True}]},
        ),
    ],
)
def test_each_field(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert difference(**given) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"platform": "linux/arm64"},
        {"protect": True},
        {"replicas": 3},
        {"pull_policy": "always"},
        {"depends_on": ("db",)},
        {"description": "x"},
        {"labels": {"a": "b"}},
    ],
)
def test_what_the_engine_is_not_told(given: dict[str, Any]) -> None:
    assert difference(**given) == {}


def test_a_label_of_ours_goes_before_one_of_the_author() -> None:
    assert create(container_labels=(("l", "x"),))["Labels"] == {"l": "1"}


def test_a_live_container_is_given_only_what_is_set() -> None:
    """0 would mean "leave alone" for one field and "unlimited" for another."""
    assert body.resources(make_service().spec).keys() == {"RestartPolicy"}
    assert body.resources(make_service(memory=64 * MIB, cpus=1).spec) == {
        "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        "Memory": 64 * MIB,
        "MemorySwap": 128 * MIB,
        "NanoCpus": 1,
    }
