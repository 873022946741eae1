"""Who holds a port or a subnet of this host: the facts behind a clear error. Reads /proc, changes nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model import Container

_LISTEN = "0A"


def taken(wanted: Container, listed: Sequence[Mapping[str, Any]], text: str) -> str:
    """Names the holder of the port that `wanted` could not get; `text` is what the engine said."""
    for port in wanted.ports:
        if port.external is None:
            continue
        holder = _container(port.external, port.protocol, listed) or _process(port.external, port.protocol)
        if holder:
            return f"port {port.external}/{port.protocol} of this host is taken by {holder}"
    return f"a host port is taken: {text}"


def host_subnets(routes: Path, resolv: Path) -> list[str]:
    """Destinations of this host's routes and its name servers, as CIDR. A file that is not there has none."""
    found: list[str] = []
    for line in _lines(routes)[1:]:
        fields = line.split()
        address, mask = (ipaddress.IPv4Address(bytes.fromhex(fields[i])[::-1]) for i in (1, 7))
        found.append(f"{address}/{mask}")
    for line in _lines(resolv):
        if line.startswith("nameserver"):
            address_text = line.split()[1].partition("%")[0]
            if ":" not in address_text:
                found.append(f"{address_text}/32")
    return found


def _container(port: int, protocol: str, listed: Iterable[Mapping[str, Any]]) -> str:
    for row in listed:
        for published in row.get("Ports") or ():
            if published.get("PublicPort") == port and published.get("Type") == protocol:
                return f"container {row['Names'][0].lstrip('/')}"
    return ""


def _process(port: int, protocol: str) -> str:
    inodes = {inode for name in (protocol, f"{protocol}6") for inode in _listeners(Path("/proc/net") / name, port)}
    if not inodes:
        return ""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and inodes & _sockets(process / "fd"):
            name = "".join(_lines(process / "comm"))
            return f"process {process.name} ({name})"
    return "another process of this host"


def _listeners(table: Path, port: int) -> Iterable[str]:
    for line in _lines(table)[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and (fields[3] == _LISTEN or table.name.startswith("udp")):
            yield fields[9]


def _sockets(folder: Path) -> set[str]:
    found: set[str] = set()
    try:
        for handle in folder.iterdir():
            link = str(handle.readlink())
            if link.startswith("socket:["):
                found.add(link[8:-1])
    except OSError:  # the process ended, or is not ours to look into
        return found
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
