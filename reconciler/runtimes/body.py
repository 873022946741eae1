"""A service becomes the body of the engine's create and update calls (Docker Engine API 1.41). Pure.

Numbers that are unset are left out, because 0 means "leave alone" or "unlimited" to the engine. Memory and swap go
together: swap is twice the memory, which is what the engine itself makes of a limit without one.
"""

from __future__ import annotations

from typing import Any

from ..model import Healthcheck, Mount, Port, Ref, Service, Spec
from ..runtime import aliases, volume_name


def create(service: Service, labels: dict[str, str], network: str, files: str) -> dict[str, Any]:
    """`files` is the folder of the snapshots that binds are mounted from; `network` a network's name."""
    spec = service.spec
    body: dict[str, Any] = {
        "Image": spec.image,
        "Labels": labels,
        "Env": [f"{name}={value}" for name, value in spec.env or ()],
        "StopTimeout": max(1, round(spec.stop_grace_period / 1e9)) if spec.stop_grace_period else 0,
        "HostConfig": host_config(service, network, files),
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": list(aliases(service.ref))}}},
    }
    if spec.command is not None:
        body["Cmd"] = list(spec.command)
    if spec.entrypoint is not None:
        body["Entrypoint"] = list(spec.entrypoint)
    if spec.stop_signal is not None:
        body["StopSignal"] = spec.stop_signal
    if spec.healthcheck is not None:
        body["Healthcheck"] = healthcheck(spec.healthcheck)
    if spec.ports:
        body["ExposedPorts"] = {_port_key(port): {} for port in spec.ports}
    return body


def host_config(service: Service, network: str, files: str) -> dict[str, Any]:
    spec = service.spec
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        host = {"HostIp": port.host_ip, "HostPort": str(port.external) if port.external else ""}
        bindings.setdefault(_port_key(port), []).append(host)
    return {
        "NetworkMode": network,
        "PortBindings": bindings,
        "Mounts": [_mount(service.ref, mount, files) for mount in spec.mounts],
        **resources(spec),
    }


def resources(spec: Spec) -> dict[str, Any]:
    """What a live container can be given: the body of `POST /containers/{id}/update`."""
    found = restart_policy(spec.restart)
    if spec.memory is not None:
        found |= {"Memory": spec.memory, "MemorySwap": 2 * spec.memory}
    if spec.cpus is not None:
        found["NanoCpus"] = spec.cpus
    return found


def restart_policy(written: str) -> dict[str, Any]:
    name, _, count = written.partition(":")
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": int(count or 0)}}


def healthcheck(check: Healthcheck) -> dict[str, Any]:
    values = {
        "Test": list(check.test) if check.test is not None else None,
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "Retries": check.retries,
    }
    return {key: value for key, value in values.items() if value is not None}


def _mount(ref: Ref, mount: Mount, files: str) -> dict[str, Any]:
    if mount.kind == "volume":
        source, kind = volume_name(ref.namespace, mount.source), "volume"
    else:
        source, kind = f"{files}/{mount.source}/content", "bind"
    return {"Type": kind, "Source": source, "Target": mount.target, "ReadOnly": mount.read_only}


def _port_key(port: Port) -> str:
    return f"{port.internal}/{port.protocol}"
