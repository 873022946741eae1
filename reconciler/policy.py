"""What this host's policy says of a container that is about to be made. Pure.

Goes in: the body of the create call as the engine will get it, the volumes that it mounts, and what each path of the
host really is, links and `..` resolved. Comes out: what is denied, each with the lines of host.yaml that would allow
it. What is not allowed is denied, and so is a part of the body that this file does not know.

A grant of a folder trusts those who can write in it: they can put a link there after it was looked at.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .model import NamedVolume, Ref, Service

# What a container may be given without asking; the rest of HostConfig is judged below.
_ORDINARY = {
    "NetworkMode", "PortBindings", "LogConfig", "RestartPolicy", "Memory", "MemorySwap", "MemoryReservation",
    "NanoCpus", "PidsLimit", "ShmSize", "Ulimits", "Sysctls", "GroupAdd", "ReadonlyRootfs", "Init", "Dns", "ExtraHosts",
    "CapDrop",
}  # fmt: skip
_JUDGED = {"Mounts", "Privileged", "CapAdd", "SecurityOpt", "Devices", "MaskedPaths", "ReadonlyPaths"}
_HARMLESS = "no-new-privileges"  # it takes rights away; `=false` gives back what the engine may take from all
_REMOTE = {"nfs", "nfs4", "cifs", "tmpfs"}  # file systems that show nothing of this host
# Those that show what is on their device and nothing else: an overlay shows any folder, whatever its device.
_DISKS = {
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "exfat", "ntfs3", "iso9660", "udf", "squashfs", "erofs",
}  # fmt: skip
_MASKS = ("PATH", "NAME", "REGISTRY")  # stand for what a variable says, which is not told
_PLAIN = re.compile(r"[A-Za-z0-9_/.][A-Za-z0-9_/.:*=@-]*")


@dataclass(frozen=True, slots=True)
class Root:
    """A path of the host, resolved, that may be mounted with all that is under it."""

    path: str
    write: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What services whose name matches one of the patterns may have. Devices are resolved paths."""

    services: tuple[str, ...]
    privileged: bool = False
    host_network: bool = False
    docker_socket: bool = False
    cap_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    binds: tuple[Root, ...] = ()
    devices: tuple[str, ...] = ()
    volume_drivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """`registries` None is any."""

    grants: tuple[Grant, ...] = ()
    registries: tuple[str, ...] | None = None
    require_digests: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a path of the host is. `real` is the path without links; `socket` that of a container engine which lies
    there or under it; `unclear` is why nothing can be said of it."""

    real: str
    exists: bool = False
    socket: str = ""
    unclear: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """`own` are sources of mounts that lb itself made for this service."""

    ref: Ref
    image: str
    body: Mapping[str, Any]
    volumes: tuple[NamedVolume, ...] = ()
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Denial:
    """`field` is where the service asks for it ("volumes./data"); `lines` what in host.yaml would allow it, "" when
    nothing would, `masked` the same with a word in capitals for what the manifest says. `missing`: it is allowed, and
    not there."""

    field: str
    what: str
    lines: str = ""
    missing: bool = False
    hidden: bool = dataclasses.field(default=False, compare=False)  # a variable stands where its volume is defined
    masked: str = dataclasses.field(default="", compare=False)

    def text(self, service: Service, file: str) -> str:
        """For people; it never repeats what stands in a variable. `file` is this host's host.yaml."""
        written = service.shown.get(self.field, "")
        hidden = self.hidden or "${" in written
        if self.missing:
            return f"what {written} names does not exist on this host" if hidden else self.what
        what, lines = (f"what {written} names", self.masked) if hidden else (self.what, self.lines)
        way = f"; to allow it, write in {file}, under policy: {lines}" if lines else ""
        word = next((word for word in _MASKS if word in lines), "") if hidden else ""
        instead = f", with what the variable stands for in place of {word}" if word else ""
        return f"{what} is denied by this host's policy{way}{instead}"


class Warden(Protocol):
    """Says whether a container may be made, and gives the body with every path of the host resolved. `file` is the
    host.yaml that decides."""

    @property
    def file(self) -> str: ...
    def admit(self, request: Request) -> tuple[Mapping[str, Any], tuple[Denial, ...]]: ...


@dataclass(frozen=True, slots=True)
class Closed:
    """The warden of a host that allows nothing."""

    file: str = "host.yaml"

    def admit(self, request: Request) -> tuple[Mapping[str, Any], tuple[Denial, ...]]:
        return request.body, denials(request, Policy(), {})


def denials(request: Request, policy: Policy, found: Mapping[str, Found]) -> tuple[Denial, ...]:
    """`found` has every path of `paths(request)`; one that it lacks is taken as it stands."""
    grants = [g for g in policy.grants if any(fnmatch.fnmatchcase(str(request.ref), p) for p in g.services)]
    return tuple(_Judge(request, policy, grants, found).all())


def paths(request: Request) -> Iterator[str]:
    """Every path of the host that the request is about."""
    host = request.body["HostConfig"]
    yield from (mount["Source"] for mount in _binds(request))
    yield from (device["PathOnHost"] for device in host.get("Devices", ()))
    yield from (option for v in request.volumes for name, option in v.driver_opts if name == "device")


def resolved(request: Request, found: Mapping[str, Found]) -> Mapping[str, Any]:
    """The body with each path as it was judged, so that what is mounted is what was looked at."""
    host = dict(request.body["HostConfig"])
    outside = [mount["Source"] for mount in _binds(request)]
    host["Mounts"] = [
        {**m, "Source": found[m["Source"]].real} if m.get("Source") in outside and m["Type"] == "bind" else m
        for m in host.get("Mounts", ())
    ]
    if "Devices" in host:
        host["Devices"] = [{**d, "PathOnHost": found[d["PathOnHost"]].real} for d in host["Devices"]]
    return {**request.body, "HostConfig": host}


def _binds(request: Request) -> list[Mapping[str, Any]]:
    mounts = request.body["HostConfig"].get("Mounts", ())
    return [m for m in mounts if m["Type"] == "bind" and m["Source"] not in request.own]


@dataclass(frozen=True, slots=True)
class _Judge:
    request: Request
    policy: Policy
    grants: list[Grant]
    found: Mapping[str, Found] = field(default_factory=dict)

    def all(self) -> Iterator[Denial]:
        host = self.request.body["HostConfig"]
        yield from self._image()
        if host.get("Privileged") and not any(grant.privileged for grant in self.grants):
            yield self._denial("privileged", "a privileged container", "privileged", True)
        yield from self._network(host["NetworkMode"])
        for name in host.get("CapAdd", ()):
            if not any(name in grant.cap_add or "ALL" in grant.cap_add for grant in self.grants):
                yield self._denial("cap_add", f"the capability {name}", "cap_add", [name], ["NAME"])
        yield from self._security(host)
        for mount in host.get("Mounts", ()):
            yield from self._mount(mount)
        for device in host.get("Devices", ()):
            yield from self._device("devices", device["PathOnHost"])
        for key in sorted(host.keys() - _ORDINARY - _JUDGED):
            yield Denial("", f"{key}, of which the policy knows nothing,")

    def _image(self) -> Iterator[Denial]:
        image, allowed = self.request.image, self.policy.registries
        name = image.partition("@")[0]
        if allowed is not None and not any(_comes_from(name, listed) for listed in allowed):
            registry = name.partition("/")[0]
            yield Denial(
                "image",
                f"an image from {registry}",
                f"registries: {_flow([*allowed, registry])}",
                masked=f"registries: {_flow([*allowed, 'REGISTRY'])}",
            )
        if self.policy.require_digests and "@sha256:" not in image:
            lines = "require_digests: false"
            yield Denial("image", "an image without a digest (NAME@sha256:...)", lines, masked=lines)

    def _network(self, mode: str) -> Iterator[Denial]:
        if mode == "host" and not any(grant.host_network for grant in self.grants):
            yield self._denial("network_mode", "the host's network", "network_mode", "host")
        elif mode.startswith("container:"):
            yield Denial("network_mode", "another container's network")

    def _security(self, host: Mapping[str, Any]) -> Iterator[Denial]:
        wanted = [option for option in host.get("SecurityOpt", ()) if option != _HARMLESS]
        if host.get("MaskedPaths") == [] or host.get("ReadonlyPaths") == []:
            wanted.append("systempaths=unconfined")
        for option in wanted:
            if not any(option in grant.security_opt for grant in self.grants):
                yield self._denial("security_opt", option, "security_opt", [option], ["NAME"])

    def _mount(self, mount: Mapping[str, Any]) -> Iterator[Denial]:
        at, source = f"volumes.{mount['Target']}", mount.get("Source", "")
        if mount["Type"] == "volume":
            for volume in (v for v in self.request.volumes if v.name == source):
                for denial in self._volume(at, volume, mount.get("ReadOnly", False)):
                    yield dataclasses.replace(denial, hidden=volume.varies)
        elif mount["Type"] == "bind" and source not in self.request.own:
            yield from self._bind(at, source, mount.get("ReadOnly", False))
        elif mount["Type"] not in ("bind", "tmpfs"):
            yield Denial(at, f"a mount of type {mount['Type']}")

    def _volume(self, at: str, volume: NamedVolume, read_only: bool) -> Iterator[Denial]:
        """The local driver mounts what its options say: a folder of this host too, or one of its disks."""
        options = dict(volume.driver_opts)
        flags = set(options.get("o", "").split(","))
        kind, device = options.get("type", ""), options.get("device", "")
        if volume.driver != "local":
            if not any(volume.driver in grant.volume_drivers for grant in self.grants):
                what = f"the volume driver {volume.driver}"
                yield self._denial(at, what, "volume_drivers", [volume.driver], ["NAME"])
        elif flags & {"remount", "move"}:
            yield Denial(at, f"a volume that is mounted with {', '.join(sorted(flags & {'remount', 'move'}))}")
        elif flags & {"bind", "rbind"} or (kind in ("", "none") and device):
            yield from self._bind(at, device, read_only or "ro" in flags)
        elif kind and kind not in _REMOTE:
            if kind in _DISKS and device.startswith("/"):
                yield from self._device(at, device)
            else:
                yield Denial(at, f"a volume of type {kind}")

    def _bind(self, at: str, source: str, read_only: bool) -> Iterator[Denial]:
        found = self.found.get(source, Found(source))
        if found.unclear:
            yield Denial(at, f"{source}, {found.unclear},")
            return
        where = source if source == found.real else f"{source}, which is {found.real},"
        if found.socket and not any(grant.docker_socket for grant in self.grants):
            way = "" if found.socket == found.real else f" (it leads to {found.socket})"
            what = f"{source}{way}: a container engine's socket, and with it this host,"
            yield self._denial(at, what, "docker_socket", True)
        elif found.socket != found.real and not self._may_mount(found.real, read_only):
            mode = "ro" if read_only else "rw"
            yield self._denial(at, f"mounting {where} {mode}", "binds", [f"{found.real}:{mode}"], [f"PATH:{mode}"])
        elif not found.exists:
            yield Denial(at, f"{source} does not exist on this host; create it, or correct the path", missing=True)

    def _may_mount(self, path: str, read_only: bool) -> bool:
        roots = [root for grant in self.grants for root in grant.binds]
        return any((read_only or root.write) and _under(path, root.path) for root in roots)

    def _device(self, at: str, path: str) -> Iterator[Denial]:
        found = self.found.get(path, Found(path))
        if found.unclear:
            yield Denial(at, f"{path}, {found.unclear},")
        elif not any(_under(found.real, device) for grant in self.grants for device in grant.devices):
            yield self._denial(at, f"the device {path}", "devices", [path], ["PATH"])
        elif not found.exists:
            yield Denial(at, f"{path} does not exist on this host; plug it in, or correct the path", missing=True)

    def _denial(self, at: str, what: str, key: str, value: Any, masked: Any = None) -> Denial:
        """`masked` is the value as it may be told whatever stands in the manifest; None where that is the value."""
        masked = value if masked is None else masked
        return Denial(at, what, self._grant(key, value), masked=self._grant(key, masked))

    def _grant(self, key: str, value: Any) -> str:
        return f"allow: [{_flow({'services': [str(self.request.ref)], key: value})}]"


def _comes_from(name: str, listed: str) -> bool:
    """A registry, or what is below a path of one. `ghcr.io/acme/x` has any tag, and `ghcr.io` is not `ghcr.io:5000`."""
    return name.startswith(f"{listed}/") or ("/" in listed and name.startswith(f"{listed}:"))


def _under(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
