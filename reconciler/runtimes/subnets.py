"""Picks the subnet of a new network: the first of the pool that overlaps nothing. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import EngineError


@dataclass(frozen=True, slots=True)
class Pool:
    """Where subnets are cut from, and their size: a /22 has 1,022 addresses, about what one bridge takes."""

    base: str = "10.208.0.0/12"
    size: int = 22


def pick(taken: Iterable[str], pool: Pool) -> str:
    """`taken` are networks or single addresses in CIDR form; what is not IPv4 is passed over.

    Raises EngineError when the pool is used up.
    """
    parsed = [ipaddress.ip_network(text, strict=False) for text in taken]
    used = [net for net in parsed if isinstance(net, ipaddress.IPv4Network) and net.prefixlen > 0]
    for candidate in ipaddress.IPv4Network(pool.base).subnets(new_prefix=pool.size):
        if not any(candidate.overlaps(net) for net in used):
            return str(candidate)
    raise EngineError(
        f"no free /{pool.size} subnet is left in {pool.base}",
        hint="remove networks that are no longer needed (docker network prune), or give host.yaml a network_pool:",
    )
