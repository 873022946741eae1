"""A service becomes the bodies of the engine's create and update calls, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import Healthcheck, Mount, Port
from reconciler.runtimes import body
from tests.support.build import MIB, make_service

SECOND = 1_000_000_000
IMAGE = "docker.io/library/nginx:1"


def create(**spec: Any) -> dict[str, Any]:
    return body.create(make_service(**spec), {"l": "1"}, "lb.shop", "/files")


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
    [{"replicas": 3}, {"pull_policy": "always"}, {"depends_on": ("db",)}, {"description": "x"}, {"labels": {"a": "b"}}],
)
def test_what_the_engine_is_not_told(given: dict[str, Any]) -> None:
    assert difference(**given) == {}


def test_a_live_container_is_given_only_what_is_set() -> None:
    """0 would mean "leave alone" for one field and "unlimited" for another."""
    assert body.resources(make_service().spec).keys() == {"RestartPolicy"}
    assert body.resources(make_service(memory=64 * MIB, cpus=1).spec) == {
        "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        "Memory": 64 * MIB,
        "MemorySwap": 128 * MIB,
        "NanoCpus": 1,
    }
