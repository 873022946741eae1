"""Picks the subnet of a new network: the first of the pool that overlaps nothing. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ..errors import EngineError

POOL = "10.208.0.0/12"
PREFIX = 22  # 1,022 addresses, which is about what one bridge takes


def pick(taken: Iterable[str], pool: str = POOL, prefix: int = PREFIX) -> str:
    """`taken` are networks or single addresses in CIDR form; what is not IPv4 is passed over.

    Raises EngineError when the pool is used up.
    """
    parsed = [ipaddress.ip_network(text, strict=False) for text in taken]
    used = [net for net in parsed if isinstance(net, ipaddress.IPv4Network) and net.prefixlen > 0]
    for candidate in ipaddress.IPv4Network(pool).subnets(new_prefix=prefix):
        if not any(candidate.overlaps(net) for net in used):
            return str(candidate)
    raise EngineError(
        f"no free /{prefix} subnet is left in {pool}",
        hint="remove namespaces or networks that are no longer needed (docker network prune)",
    )
