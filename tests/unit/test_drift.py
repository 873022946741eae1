"""What is wrong with one live replica."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import drift
from tests.support.build import make_container, make_replica, make_row, make_service

NETWORK = "net-shop"


def kinds(restart: str = "unless-stopped", **given: Any) -> list[str]:
    replica = make_replica(make_row(make_service(restart=restart)), **given)
    return [fault.kind for fault in drift.faults(replica, {"shop": NETWORK})]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"state": "restarting"}, []),
        ({"health": "unhealthy"}, []),
        ({"state": "dead"}, ["rebuild"]),
        ({"state": "removing"}, ["rebuild"]),
        ({"state": "created"}, ["stopped"]),
        ({"state": "exited", "exit_code": 0}, ["stopped"]),
        ({"state": "exited", "networks": ()}, ["disconnected", "stopped"]),
        ({"state": "exited", "networks": ("gone",)}, ["rebuild"]),
        ({"networks": ("other",)}, ["disconnected"]),
        ({"networks": ("other", NETWORK)}, []),
        ({"state": "paused", "name": "x"}, ["paused", "renamed"]),
        ({"projection": {"memory": 1, "cpus": 2, "restart": "no"}}, ["resized", "resized", "resized"]),
    ],
)
def test_faults_come_in_the_order_in_which_they_are_mended(given: dict[str, Any], expected: list[str]) -> None:
    assert kinds(**given) == expected


@pytest.mark.parametrize("restart", ["no", "on-failure", "on-failure:3"])
@pytest.mark.parametrize("code", [0, 1])
def test_what_may_end_is_not_started_again(restart: str, code: int) -> None:
    assert kinds(restart, state="exited", exit_code=code) == []


@pytest.mark.parametrize("restart", ["always", "unless-stopped"])
def test_a_policy_changed_by_hand_hides_no_stop(restart: str) -> None:
    assert kinds(restart, state="exited", restart_policy="no") == ["resized", "stopped"]


@pytest.mark.parametrize(
    ("networks", "state", "expected"),
    [
        (("net-shop", "net-other"), "running", []),
        (("net-other",), "running", ["replica 1 was disconnected from its network"]),
        (("net-shop",), "running", ["replica 1 was disconnected from the network of other"]),
        (
            ("elsewhere",),
            "running",
            ["replica 1 was disconnected from its network", "replica 1 was disconnected from the network of other"],
        ),
        (
            ("net-shop",),
            "exited",
            ["replica 1 was disconnected from the network of other", "replica 1 was stopped (exit 0)"],
        ),
        (("net-shop", "gone"), "exited", ["replica 1 lost its network"]),
        (("net-shop", "net-other", "more"), "running", []),
    ],
)
def test_every_network_that_it_belongs_on(networks: tuple[str, ...], state: str, expected: list[str]) -> None:
    replica = make_replica(make_row(make_service()), networks=networks, state=state)
    wanted = {"other": "net-other", "shop": "net-shop"}
    assert [fault.text for fault in drift.faults(replica, wanted)] == expected


def test_what_an_older_lb_did_not_record_is_no_drift() -> None:
    row = make_row(make_service())
    older = type(row)(
        row.id, row.ref, 1, 1, row.name, "r0", "r0", {"memory": 0, "cpus": 0, "restart": "unless-stopped"}
    )
    seen = {"memory": 0, "cpus": 0, "restart": "unless-stopped", "pids_limit": 5, "mem_reservation": 7}
    assert drift.faults(make_replica(older, projection=seen), {"shop": NETWORK}) == ()


def test_without_a_projection_nothing_counts_as_resized() -> None:
    row = make_row(make_service())
    bare = make_replica(type(row)(row.id, row.ref, 1, 1, row.name, "r0", "r0"), projection={"memory": 1})
    assert drift.faults(bare, {"shop": NETWORK}) == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"state": "exited", "exit_code": 0, "restart_policy": "no"}, True),
        ({"state": "exited", "exit_code": 0, "restart_policy": "on-failure:2"}, True),
        ({"state": "exited", "exit_code": 1, "restart_policy": "no"}, False),
        ({"state": "exited", "exit_code": 0, "restart_policy": "always"}, False),
        ({"state": "running", "restart_policy": "no"}, False),
    ],
)
def test_completed(given: dict[str, Any], expected: bool) -> None:
    assert drift.completed(make_container(make_row(make_service()), **given)) == expected
