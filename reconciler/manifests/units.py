"""What people write for sizes, durations, ports, mounts and images, in canonical form. Pure.

Each function raises ValueError with what to write instead, and where that repeats the value, a second time without it,
for values that must not be printed; the caller knows the place. Short forms are Compose's.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ..model import Port

MIB = 1024 * 1024
_LARGEST = 2**63 - 1  # of what the Docker API takes
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[a-zA-Z]*)")
_UNITS = {"": 1, "k": 1024, "m": MIB, "g": 1024 * MIB, "t": 1024 * 1024 * MIB}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)")
_NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_PORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:]+\]|[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<external>[0-9]*):)?(?P<internal>[0-9]+)(?:/(?P<protocol>\w+))?"
)
_IMAGE = re.compile(
    r"(?:(?:[a-zA-Z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


def memory(value: int | str) -> int:
    """Bytes. A bare number counts MiB, as in the API reference; units are binary; the engine refuses less than 6 MB."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, int):
        if value > 1_048_576:
            raise ValueError(
                f"{value} MiB looks like bytes; write memory: {max(6, value // MIB)} (MiB)",
                "looks like bytes; a bare number counts MiB",
            )
        found = value * MIB
    else:
        match = _SIZE.fullmatch(value.strip())
        unit = match["unit"].lower().removesuffix("b").removesuffix("i") if match else ""
        if not match or unit not in _UNITS:
            raise ValueError("must be a size like 64 (MiB), 64m or 1g")
        found = int(Decimal(match["number"]) * _UNITS[unit])
    if found > _LARGEST:
        raise ValueError("is more than any host has; write something like 64 (MiB), 64m or 1g")
    if found < 6 * MIB:
        raise ValueError("the engine needs at least 6 MiB; write memory: 6 or more")
    return found


def cpus(value: float | str) -> int:
    """Billionths of a CPU."""
    if str(value).endswith("m") and str(value)[:-1].isdecimal():
        raise ValueError(
            f"counts whole CPUs; write cpus: {int(str(value)[:-1]) / 1000:g}", "counts whole CPUs; write it without m"
        )
    try:
        found = int(Decimal(str(value)) * 1_000_000_000)
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError("must be a number of CPUs like 0.5") from None
    if found > _LARGEST:
        raise ValueError("is more than any host has; write something like 0.5")
    if found < 10_000_000:
        raise ValueError("must be at least 0.01")
    return found


def duration(value: str) -> int:
    """Nanoseconds."""
    if not value or _DURATION.sub("", value):
        raise ValueError("must be a duration like 500ms, 10s or 1m30s")
    found = int(sum(Decimal(number) * _NS[unit] for number, unit in _DURATION.findall(value)))
    if found > _LARGEST:
        raise ValueError("is longer than 292 years; write something like 500ms, 10s or 1m30s")
    return found


def port(value: int | str | Mapping[str, Any]) -> Port:
    if isinstance(value, Mapping):
        found = Port(value["internal"], value.get("protocol", "tcp"), value.get("external"), value.get("host_ip", ""))
    else:
        text = str(value)
        if "-" in text:
            raise ValueError("port ranges are not supported; write one line for each port")
        match = _PORT.fullmatch(text)
        if not match:
            raise ValueError("must look like 80, 8080:80, 127.0.0.1:8080:80 or 53:53/udp")
        if match["ip"] and match["external"] is None:
            raise ValueError(
                f"can be read two ways; write {match['ip']}:{match['internal']}:{match['internal']}",
                "can be read two ways; write HOST:CONTAINER",
            )
        external = int(match["external"]) if match["external"] else None
        found = Port(int(match["internal"]), match["protocol"] or "tcp", external, (match["ip"] or "").strip("[]"))
    if found.host_ip:
        try:
            ipaddress.ip_address(found.host_ip)
        except ValueError:
            raise ValueError(
                f"{found.host_ip} is no address of a host; write something like 127.0.0.1",
                "its address is none of a host; write something like 127.0.0.1",
            ) from None
    if found.protocol not in ("tcp", "udp"):
        raise ValueError(
            f"the protocol {found.protocol} is not supported; write tcp or udp", "its protocol must be tcp or udp"
        )
    if not all(0 < p < 65536 for p in (found.internal, 1 if found.external is None else found.external)):
        raise ValueError("ports go from 1 to 65535")
    return found


def mount(value: str | Mapping[str, Any]) -> tuple[str, str, str, bool]:
    """(kind, source as written, target, read only)."""
    if isinstance(value, Mapping):
        kind, source, target = value["type"], value["source"], value["target"]
        read_only = value.get("read_only", False)
    else:
        parts = value.split(":")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError("must look like data:/data or ./file:/path:ro, a source and a target")
        source, target, mode = parts[0], parts[1], parts[2] if len(parts) == 3 else "rw"
        if mode not in ("ro", "rw"):
            raise ValueError(f"the mode {mode} is not supported; write ro or rw", "its mode must be ro or rw")
        kind, read_only = ("bind" if source[0] in "./~" else "volume"), mode == "ro"
    if not target.startswith("/"):
        raise ValueError(
            f"the target {target} must be an absolute path in the container",
            "its target must be an absolute path in the container",
        )
    target = posixpath.normpath("/" + target.lstrip("/"))
    if target == "/":
        raise ValueError("nothing can be mounted over the container's /; write a folder of it, like /data")
    if kind == "volume" and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", source):
        raise ValueError(
            f"{source!r} is no volume's name; write something like data, or ./data for a path",
            "its source is no volume's name; write something like data, or ./data for a path",
        )
    return kind, source, target, read_only


def image(value: str) -> str:
    """The full reference: `redis:7.0` → `docker.io/library/redis:7.0`; without a tag or digest it is `latest`."""
    if not _IMAGE.fullmatch(value):
        raise ValueError("is no image reference; write something like redis:7.0")
    first, slash, rest = value.partition("/")
    if first in ("docker.io", "index.docker.io"):
        value, slash = rest, "/" if "/" in rest else ""
        first = ""
    if not slash:
        value = f"docker.io/library/{value}"
    elif not ("." in first or ":" in first or first == "localhost"):
        value = f"docker.io/{value}"
    last = value.rpartition("/")[2]
    return value if ":" in last or "@" in last else f"{value}:latest"
