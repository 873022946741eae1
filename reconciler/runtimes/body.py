"""A service becomes the body of the engine's create and update calls (Docker Engine API 1.41). Pure.

Numbers that are unset are left out, because 0 means "leave alone" or "unlimited" to the engine. Memory and swap go
together: swap is twice the memory, which is what the engine itself makes of a limit without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..model import Healthcheck, Links, Mount, NamedVolume, Port, Powers, Process, Service, Spec
from ..policy import Request
from ..runtime import aliases, named_volume, network_name, secret_folder

_UNMASKED = "systempaths=unconfined"  # the docker client's own: the engine knows it as two empty lists


def create(service: Service, labels: dict[str, str], files: str) -> dict[str, Any]:
    """`files` is the folder of the snapshots that binds and secrets are mounted from. The container is created on its
    namespace's own network; others that it joins are connected afterwards, because engines before API 1.44 take one."""
    spec = service.spec
    own = network_name(service.ref.namespace)
    body: dict[str, Any] = {
        "Image": spec.image,
        "Labels": {**dict(spec.labels), **labels},
        "Env": [f"{name}={value}" for name, value in spec.env or ()],
        "StopTimeout": max(1, round(spec.stop_grace_period / 1e9)) if spec.stop_grace_period else 0,
        "HostConfig": host_config(service, files),
        "NetworkingConfig": {"EndpointsConfig": {own: {"Aliases": list(aliases(service.ref))}}},
    }
    if spec.links.network_mode:
        body["NetworkingConfig"] = {}
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
    return body | _process(spec.process, spec.links)


def own_sources(service: Service, files: str) -> frozenset[str]:
    """Sources of mounts that lb itself makes: the snapshots of the source's files and of secrets."""
    copies = {f"{files}/{digest}/content" for digest in service.files}
    return frozenset(copies | {f"{secret_folder(files, s.digest)}/content" for s in service.spec.secrets})


def request(service: Service, body: Mapping[str, Any], files: str, volumes: Iterable[NamedVolume]) -> Request:
    """The body as it is put before the host's policy, with the volumes that it mounts."""
    return Request(service.ref, service.spec.image, body, tuple(volumes), own_sources(service, files))


def _process(process: Process, links: Links) -> dict[str, Any]:
    found: dict[str, Any] = {"User": process.user, "WorkingDir": process.working_dir, "Hostname": links.hostname}
    if process.tty:
        found["Tty"] = True
    if process.stdin_open:
        found["OpenStdin"] = True
    return {key: value for key, value in found.items() if value is not None}


def host_config(service: Service, files: str) -> dict[str, Any]:
    spec = service.spec
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        host = {"HostIp": port.host_ip, "HostPort": str(port.external) if port.external else ""}
        bindings.setdefault(_port_key(port), []).append(host)
    mounts = [_mount(service, mount, files) for mount in spec.mounts]
    mounts += [_bind(f"{secret_folder(files, s.digest)}/content", s.target, True) for s in spec.secrets]
    return {
        "NetworkMode": spec.links.network_mode or network_name(service.ref.namespace),
        "PortBindings": bindings,
        "Mounts": mounts,
        "LogConfig": {"Type": spec.logging.driver, "Config": dict(spec.logging.options)},
        **resources(spec),
        **_limits(spec),
        **_reach(spec),
        **_powers(spec.powers),
    }


def resources(spec: Spec) -> dict[str, Any]:
    """What a live container can be given: the body of `POST /containers/{id}/update`."""
    found = restart_policy(spec.restart)
    if spec.memory is not None:
        found |= {"Memory": spec.memory, "MemorySwap": 2 * spec.memory}
    if spec.limits.mem_reservation is not None:
        found["MemoryReservation"] = spec.limits.mem_reservation
    if spec.cpus is not None:
        found["NanoCpus"] = spec.cpus
    if spec.limits.pids_limit is not None:
        found["PidsLimit"] = spec.limits.pids_limit
    return found


def _limits(spec: Spec) -> dict[str, Any]:
    limits, process = spec.limits, spec.process
    found: dict[str, Any] = {
        "ShmSize": limits.shm_size,
        "Ulimits": [{"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in limits.ulimits],
        "Sysctls": dict(limits.sysctls),
        "GroupAdd": list(process.group_add),
        "ReadonlyRootfs": process.read_only,
    }
    found = {key: value for key, value in found.items() if value}
    return found if process.init is None else {**found, "Init": process.init}


def _reach(spec: Spec) -> dict[str, Any]:
    links = spec.links
    found = {"Dns": list(links.dns), "ExtraHosts": [f"{name}:{address}" for name, address in links.extra_hosts]}
    return {key: value for key, value in found.items() if value}


def _powers(powers: Powers) -> dict[str, Any]:
    options = [option for option in powers.security_opt if option != _UNMASKED]
    devices = [
        {"PathOnHost": d.host, "PathInContainer": d.container, "CgroupPermissions": d.permissions}
        for d in powers.devices
    ]
    found: dict[str, Any] = {
        "Privileged": powers.privileged,
        "CapAdd": list(powers.cap_add),
        "CapDrop": list(powers.cap_drop),
        "SecurityOpt": options,
        "Devices": devices,
    }
    found = {key: value for key, value in found.items() if value}
    return found if _UNMASKED not in powers.security_opt else {**found, "MaskedPaths": [], "ReadonlyPaths": []}


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


def _mount(service: Service, mount: Mount, files: str) -> dict[str, Any]:
    if mount.kind == "bind":
        return _bind(f"{files}/{mount.source}/content", mount.target, mount.read_only)
    if mount.kind == "host":
        return _bind(mount.source, mount.target, mount.read_only)
    if mount.kind == "tmpfs":
        options = {"SizeBytes": mount.size, "Mode": mount.mode}
        given = {key: value for key, value in options.items() if value is not None}
        return {"Type": "tmpfs", "Target": mount.target, "ReadOnly": mount.read_only, "TmpfsOptions": given}
    found: dict[str, Any] = {
        "Type": "volume",
        "Source": named_volume(service, mount.source).name,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    return {**found, "VolumeOptions": {"NoCopy": True}} if mount.nocopy else found


def _bind(source: str, target: str, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


def _port_key(port: Port) -> str:
    return f"{port.internal}/{port.protocol}"
