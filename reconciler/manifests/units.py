"""What people write for sizes, durations, ports, images, hosts and devices, in canonical form. Pure.

Each function raises ValueError with what to write instead, and where that repeats the value, a second time without it,
for values that must not be printed; the caller knows the place. Short forms are Compose's.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ..model import Device, Port, Ulimit

MIB = 1024 * 1024
_MILLISECOND = 1_000_000  # in nanoseconds
_LARGEST = 2**63 - 1  # of what the Docker API takes
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[a-zA-Z]*)")
_UNITS = {"": 1, "k": 1024, "m": MIB, "g": 1024 * MIB, "t": 1024 * 1024 * MIB}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)")
_NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_PORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:]+\]|[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<external>[0-9]{0,9}):)?(?P<internal>[0-9]{1,9})(?:/(?P<protocol>\w+))?"
)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_IMAGE = re.compile(
    r"(?:(?:[a-zA-Z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)

_SIGNAL = re.compile(
    r"(SIG)?(ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|TRAP|TSTP|TTIN|TTOU|URG"
    r"|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN(\+([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?)"
)
_CAPABILITIES = (
    "ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
    "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE",
    "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
    "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
)  # fmt: skip


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
        sized = _with_unit(value)
        if sized is None:
            raise ValueError("must be a size like 64 (MiB), 64m or 1g")
        found = sized
    if found > _LARGEST:
        raise ValueError("is more than any host has; write something like 64 (MiB), 64m or 1g")
    if found < 6 * MIB:
        raise ValueError("the engine needs at least 6 MiB; write memory: 6 or more")
    return found


def size(value: int | str) -> int:
    """Bytes. A bare number counts bytes, as in Compose; units are binary."""
    bare = isinstance(value, int) or bool(re.fullmatch("[0-9]{1,18}", value))
    found = int(value) if bare else _with_unit(str(value))
    if found is None:
        raise ValueError("must be a size like 64m or 1g (a bare number counts bytes)")
    if bare and 0 < found < 4096:
        raise ValueError(
            f"{value} counts bytes, as in Compose; write {found}m", "counts bytes; write something like 64m"
        )
    if not 0 < found <= _LARGEST:
        raise ValueError("must be a size like 64m or 1g")
    return found


def reservation(value: int | str) -> int:
    """Bytes of memory; the engine refuses less than 6 MB."""
    found = size(value)
    if found < 6 * MIB:
        raise ValueError("the engine needs at least 6 MiB; write mem_reservation: 6m or more")
    return found


def _with_unit(text: str) -> int | None:
    match = _SIZE.fullmatch(text.strip())
    unit = match["unit"].lower().removesuffix("b").removesuffix("i") if match else ""
    return int(Decimal(match["number"]) * _UNITS[unit]) if match and unit in _UNITS else None


def pids(value: int) -> int | None:
    """-1 is no limit, which is what an unset field means."""
    if value < -1 or value == 0:
        raise ValueError("must be 1 or more, or -1 for no limit")
    return None if value == -1 else value


def ulimit(name: str, value: int | Mapping[str, int]) -> Ulimit:
    soft, hard = (value["soft"], value["hard"]) if isinstance(value, Mapping) else (value, value)
    if soft < -1 or hard < -1:
        raise ValueError("must be 0 or more, or -1 for no limit")
    if hard != -1 and (soft == -1 or soft > hard):
        raise ValueError(f"soft {soft} is more than hard {hard}; lower it", "soft is more than hard; lower it")
    return Ulimit(name, soft, hard)


def cpus(value: float | str) -> int:
    """Billionths of a CPU."""
    if re.fullmatch("[0-9]{1,9}m", str(value)):
        raise ValueError(
            f"counts whole CPUs; write cpus: {int(str(value)[:-1]) / 1000:g}", "counts whole CPUs; write it without m"
        )
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise ValueError("must be a number of CPUs like 0.5")
    if number > _LARGEST // 1_000_000_000:  # before it is made an integer: an exponent may stand for very many digits
        raise ValueError("is more than any host has; write something like 0.5")
    if number < Decimal("0.01"):
        raise ValueError("must be at least 0.01")
    return int(number * 1_000_000_000)


def duration(value: str) -> int:
    """Nanoseconds."""
    if not value or _DURATION.sub("", value):
        raise ValueError("must be a duration like 500ms, 10s or 1m30s")
    found = int(sum(Decimal(number) * _NS[unit] for number, unit in _DURATION.findall(value)))
    if found > _LARGEST:
        raise ValueError("is longer than 292 years; write something like 500ms, 10s or 1m30s")
    return found


def check_time(value: str) -> int:
    """Nanoseconds, of a healthcheck: 0 leaves it to the image, and the engine refuses less than 1 ms."""
    found = duration(value)
    if 0 < found < _MILLISECOND:
        raise ValueError("the engine needs at least 1ms; write something like 1s")
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
        found = Port(
            int(match["internal"]), (match["protocol"] or "tcp").lower(), external, (match["ip"] or "").strip("[]")
        )
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


def image(value: str) -> str:
    """The full reference: `redis:7.0` → `docker.io/library/redis:7.0`; without a tag or digest it is `latest`."""
    if not _IMAGE.fullmatch(value):
        raise ValueError("is no image reference; write something like redis:7.0")
    first, slash, rest = value.partition("/")
    if slash and first in ("docker.io", "index.docker.io"):
        value, slash = rest, "/" if "/" in rest else ""
        first = ""
    if not slash:
        value = f"docker.io/library/{value}"
    elif not ("." in first or ":" in first or first == "localhost"):
        if first != first.lower():
            raise ValueError("is no image reference: names are in small letters; write something like redis:7.0")
        value = f"docker.io/{value}"
    last = value.rpartition("/")[2]
    return value if ":" in last or "@" in last else f"{value}:latest"


def address(value: str) -> str:
    """An IP address as it is usually written."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(
            f"{value} is no IP address; write something like 10.0.0.2",
            "is no IP address; write something like 10.0.0.2",
        ) from None


def host_entry(value: str) -> tuple[str, str]:
    """(name, address) of `name:address`, `name=address` or `name:host-gateway`, as Compose reads them."""
    cut = "=" if "=" in value else ":"
    name, found, target = value.partition(cut)
    if not found or not target:
        raise ValueError("must look like db.example:10.0.0.2, a name and an address")
    return host(name, target)


def host(name: str, target: str) -> tuple[str, str]:
    if not _HOST.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a host; write something like db.example",
            "holds no name of a host; write something like db.example",
        )
    target = target.removeprefix("[").removesuffix("]")
    return name, target if target == "host-gateway" else address(target)


def device(value: str) -> Device:
    """`/dev/ttyUSB0`, `/dev/ttyUSB0:/dev/tty`, `/dev/ttyUSB0:/dev/tty:rw`; the second part may be the permissions."""
    parts = value.split(":")
    if parts[0] and not parts[0].startswith("/") and "=" in value:
        raise ValueError("devices by a vendor's name (CDI) are not supported; write a path like /dev/ttyUSB0")
    last = parts.pop() if len(parts) == 3 or (len(parts) == 2 and set(parts[1]) <= set("rwm")) else "rwm"
    if len(parts) > 2 or not all(part.startswith("/") for part in parts) or not last or set(last) - set("rwm"):
        raise ValueError("must look like /dev/ttyUSB0, or /dev/ttyUSB0:/dev/tty:rwm")
    return Device(parts[0], parts[-1], last)


def capability(value: str) -> str:
    """`NET_ADMIN` of `cap_net_admin`."""
    found = value.upper().removeprefix("CAP_")
    if not re.fullmatch("[A-Z][A-Z_]*", found):
        raise ValueError("must look like NET_ADMIN, or ALL")
    if found not in _CAPABILITIES:
        near = difflib.get_close_matches(found, _CAPABILITIES, n=1, cutoff=0.6)
        end = f"did you mean {near[0]}?" if near else "`man 7 capabilities` has them"
        raise ValueError(f"there is no capability {value}; {end}", "is no capability; `man 7 capabilities` has them")
    return found


def signal(value: str) -> str:
    """As it is written, where the engine knows it: `SIGTERM`, `term` or `15`."""
    number = int(value) if re.fullmatch("[0-9]{1,2}", value) else None
    if not (_SIGNAL.fullmatch(value.upper()) if number is None else 0 < number < 65):
        raise ValueError(
            f"{value!r} is no signal; write something like SIGTERM", "is no signal; write something like SIGTERM"
        )
    return value


def mode(value: int | str) -> int:
    """Of chmod: a number as it is (0o1777), digits in quotes as octal ones ("1777")."""
    found = value if isinstance(value, int) else int(value, 8) if re.fullmatch("0?[0-7]{3,4}", value) else -1
    if not 0 <= found <= 0o7777:
        raise ValueError('must be a mode like 0o755 or "755"')
    return found


def absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be an absolute path in the container, like /srv/app")
    return value
