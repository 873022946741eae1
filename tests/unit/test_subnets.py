"""The subnet of a new network is the first that overlaps nothing."""

from __future__ import annotations

import ipaddress

import pytest

from reconciler.errors import EngineError
from reconciler.runtimes import subnets
from reconciler.runtimes.subnets import Pool


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], "10.208.0.0/22"),
        (["172.17.0.0/16", "192.168.1.5/24"], "10.208.0.0/22"),
        (["10.208.0.0/22"], "10.208.4.0/22"),
        (["10.208.2.7/32"], "10.208.4.0/22"),
        (["10.208.0.0/14", "10.212.0.0/24"], "10.212.4.0/22"),
        (["10.208.4.0/22"], "10.208.0.0/22"),
        (["0.0.0.0/0"], "10.208.0.0/22"),
        (["fd00::/8", "10.208.0.0/22"], "10.208.4.0/22"),
    ],
)
def test_the_first_free_one(taken: list[str], expected: str) -> None:
    assert subnets.pick(taken, Pool()) == expected


def test_each_pick_is_another() -> None:
    taken: list[str] = []
    for _ in range(20):
        taken.append(subnets.pick(taken, Pool()))
    found = [ipaddress.ip_network(text) for text in taken]
    assert not any(a.overlaps(b) for a in found for b in found if a is not b)


def test_a_pool_that_is_used_up() -> None:
    assert subnets.pick(["10.0.0.0/25"], Pool("10.0.0.0/24", 25)) == "10.0.0.128/25"
    with pytest.raises(EngineError, match=r"no free /25 subnet is left in 10\.0\.0\.0/24"):
        subnets.pick(["10.0.0.0/24"], Pool("10.0.0.0/24", 25))


@pytest.mark.parametrize("taken", [["10.0.0.0/8"]])
def test_a_pool_inside_a_taken_network(taken: list[str]) -> None:
    with pytest.raises(EngineError):
        subnets.pick(taken, Pool())
