"""The engine's JSON becomes our values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..model import Container, Network, Port, Volume
from ..model.observed import ContainerState, Health

_NEVER = "0001-01-01T00:00:00Z"
_SECOND = 1_000_000_000
_LOST = re.compile(r"task [0-9a-f]{64}: already exists|^id already in use|mkdir \S+/[0-9a-f]{64}: file exists")


def container(raw: Mapping[str, Any]) -> Container:
    """From `GET /containers/{id}/json`."""
    state, config, host = raw["State"], raw["Config"], raw["HostConfig"]
    health = (state.get("Health") or {}).get("Status", "none")
    grace = config.get("StopTimeout")
    networks = raw["NetworkSettings"]["Networks"] or {}
    name = raw["Name"].lstrip("/")
    restart = _restart(host.get("RestartPolicy") or {})
    return Container(
        id=raw["Id"],
        name=name,
        labels=config.get("Labels") or {},
        state=cast(ContainerState, state["Status"]),
        health=cast(Health, health or "none"),
        exit_code=state.get("ExitCode", 0),
        error=state.get("Error", ""),
        stuck=state["Status"] in ("created", "exited") and lost(state.get("Error", "")),
        restarts=raw.get("RestartCount", 0),
        restart_policy=restart,
        image=config.get("Image", ""),
        image_id=raw.get("Image", ""),
        created=raw["Created"],
        started=_time(state.get("StartedAt")),
        finished=_time(state.get("FinishedAt")),
        stop_grace=(10 if grace is None else grace) * _SECOND,
        networks=tuple(sorted(n["NetworkID"] for n in networks.values() if n.get("NetworkID"))),
        ports=_ports(host, raw["NetworkSettings"].get("Ports") or {}),
        unnamed=_unnamed(raw),
        mounts=tuple(m["Source"] for m in raw.get("Mounts") or () if m.get("Type") == "bind"),
        projection={
            "memory": host.get("Memory", 0),
            "mem_reservation": host.get("MemoryReservation") or 0,
            "cpus": host.get("NanoCpus", 0),
            "pids_limit": max(0, host.get("PidsLimit") or 0),
            "restart": restart,
        },
    )


def _unnamed(raw: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The volumes that nobody asked for: the engine made them with the container."""
    asked = {mount.get("Source") for mount in raw["HostConfig"].get("Mounts") or ()}
    found = [(m.get("Name", ""), m["Destination"]) for m in raw.get("Mounts") or () if m.get("Type") == "volume"]
    return tuple(sorted((name, at) for name, at in found if name not in asked and Volume(name).unnamed))


def lost(error: str) -> bool:
    """dockerd was killed while it started the container: containerd has it running, or a folder of it left, dockerd
    does not know, and both insist. Seen on 20.10; it can be removed, and what ran in it goes on until the host is
    restarted."""
    return bool(_LOST.search(error))


def checked(raw: Mapping[str, Any]) -> bool:
    """Whether the container has a healthcheck, its own or its image's."""
    test = (raw["Config"].get("Healthcheck") or {}).get("Test") or []
    return bool(test) and test != ["NONE"]


def network(raw: Mapping[str, Any]) -> Network:
    pools = (raw.get("IPAM") or {}).get("Config") or []
    subnets = tuple(pool["Subnet"] for pool in pools if pool.get("Subnet"))
    return Network(raw["Id"], raw["Name"], raw.get("Labels") or {}, subnets)


def volume(raw: Mapping[str, Any]) -> Volume:
    options = tuple(sorted((raw.get("Options") or {}).items()))
    return Volume(raw["Name"], raw.get("Labels") or {}, raw.get("CreatedAt", ""), raw.get("Driver", "local"), options)


def mounted(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """From `GET /containers/json`: volume → names of the containers that mount it."""
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        name = (row.get("Names") or [row["Id"][:12]])[0].lstrip("/")
        for mount in row.get("Mounts") or ():
            if mount.get("Type") == "volume" and mount.get("Name"):
                found[mount["Name"]] = (*found.get(mount["Name"], ()), name)
    return found


def full_reference(name: str) -> str:
    """`redis:7.0` → `docker.io/library/redis:7.0`; a first part with a dot, a colon or "localhost" is a registry."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def _restart(policy: Mapping[str, Any]) -> str:
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{count}" if name == "on-failure" and count else name


def _ports(host: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[Port, ...]:
    """What is published now; what is bound while it does not run. An address a row; one row a port is enough."""
    found: set[Port] = set()
    for key, rows in (live or host.get("PortBindings") or {}).items():
        internal, _, protocol = key.partition("/")
        for row in rows or ():
            external = int(row["HostPort"]) if row.get("HostPort") else None
            address = "" if row.get("HostIp") in ("0.0.0.0", "::", None) else row["HostIp"]
            found.add(Port(int(internal), protocol or "tcp", external, address))
    return tuple(sorted(found, key=lambda p: (p.internal, p.protocol, p.external or 0, p.host_ip)))


def _time(text: str | None) -> str:
    return "" if not text or text == _NEVER else text
