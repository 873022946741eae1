"""An engine in memory: the calls of `reconciler.runtimes.calls`, with the behaviour of a real one that we rely on.

It earns trust in tests/contract, where the same tests run on it and on the real engine. A container is healthy, or
ends, as its command says: `sleep N` runs, `exit N` ends at once with N, `exit N M` does so from replica M on.
"""

from __future__ import annotations

import itertools
import marshal
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from reconciler import errors
from reconciler.clock import now
from reconciler.model import Container, EngineInfo, NamedVolume, Network, Volume
from reconciler.runtime import LogStream, by_digest
from reconciler.runtimes import translate
from reconciler.runtimes.calls import Calls, PullStream


@dataclass
class _Held:
    raw: dict[str, Any]


@dataclass(eq=False)
class Written(LogStream):
    """A log that is finished."""

    text: bytes

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        yield "stdout", self.text

    def close(self) -> None:
        self.text = b""


@dataclass
class Memory(Calls):
    """`calls` lists every mutating call, in order. `images_here` maps full references to image ids, `registry`
    those that can be pulled to digest and image id."""

    images_here: dict[str, str] = field(default_factory=lambda: {"docker.io/library/app:1": "sha256:1"})
    calls: list[str] = field(default_factory=list)
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)  # image id → its volumes, as paths
    registry: dict[str, tuple[str, str]] = field(default_factory=dict)
    late: bool = False  # what it was asked for long ago is done: an engine until 24 looked for the name then

    def __post_init__(self) -> None:
        self._containers: dict[str, _Held] = {}
        self._networks: dict[str, Network] = {}
        self._volumes: dict[str, Volume] = {}
        self._clock = itertools.count(1)
        self._lock = RLock()

    # --- reading

    def info(self) -> EngineInfo:
        return EngineInfo("memory", "/memory", "memory://", "1.41", "memory")

    def containers(self) -> list[Container]:
        with self._lock:
            found = [translate.container(held.raw) for held in self._containers.values()]
            return [c for c in found if "lb.service" in c.labels]

    def inspect(self, container: str) -> Container:
        with self._lock:
            return translate.container(self._find(container).raw)

    def has_healthcheck(self, container: str) -> bool:
        return translate.checked(self._find(container).raw)

    def networks(self) -> list[Network]:
        return list(self._networks.values())

    def volumes(self) -> list[Volume]:
        return [v for v in self._volumes.values() if v.unnamed or "lb.namespace" in v.labels]

    def volume(self, name: str) -> Volume | None:
        return self._volumes.get(name)

    def mounted(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for held in self._containers.values():
            asked = [mount["Source"] for mount in held.raw["HostConfig"]["Mounts"] if mount["Type"] == "volume"]
            for name in [*asked, *(mount["Name"] for mount in held.raw.get("Mounts", ()))]:
                found[name] = (*found.get(name, ()), held.raw["Name"].lstrip("/"))
        return found

    def images(self) -> dict[str, str]:
        return dict(self.images_here)

    def image(self, reference: str) -> str:
        return reference if reference in self.images_here.values() else self.images_here.get(reference, "")

    def digests(self, image_id: str) -> tuple[str, ...]:
        return tuple(name for name, held in self.images_here.items() if held == image_id and "@" in name)

    def taken_subnets(self) -> list[str]:
        return []

    def changes(self) -> Iterator[None]:
        yield None

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream:
        words = self._find(container).raw["Config"].get("Cmd") or []
        return Written((" ".join(words) + "\n").encode())

    def close(self) -> None:
        self.calls.clear()

    # --- changing

    def platform(self, image: str) -> str:
        return "linux/amd64"

    def pull(self, image: str, platform: str) -> PullStream:
        return _Pull(self, image)

    def ask(self, image: str) -> str:
        if image not in self.registry:
            raise errors.ImageUnavailable(f"image {image} is not in the registry", hint="check the name and tag")
        return self.registry[image][0]

    def create(self, name: str, body: Mapping[str, Any], platform: str) -> str:
        with self._lock:
            self.calls.append(f"create {name}")
            if any(held.raw["Name"] == f"/{name}" for held in self._containers.values()):
                raise errors.NameConflict(f'the container name "/{name}" is already in use')
            if not self.image(body["Image"]):
                raise errors.NotFound(f"no such image: {body['Image']}")
            found, host = uuid.uuid4().hex * 2, dict(body["HostConfig"])
            own = host["NetworkMode"] in ("none", "host")
            joined = [] if own else [host["NetworkMode"]]  # one that is not there is missed at the start only
            for key in ("Memory", "MemoryReservation", "NanoCpus", "MemorySwap", "PidsLimit"):
                host.setdefault(key, 0)
            self._containers[found] = _Held(
                {
                    "Id": found,
                    "Mounts": self._unnamed(body),
                    "Name": f"/{name}",
                    "Created": f"2026-01-01T00:00:00.{next(self._clock):09d}Z",
                    "Image": self.image(body["Image"]),
                    "RestartCount": 0,
                    "State": {"Status": "created", "ExitCode": 0, "Error": ""},
                    "Config": {k: body.get(k) for k in ("Image", "Labels", "Env", "Cmd", "StopTimeout", "Healthcheck")},
                    "HostConfig": host,
                    "NetworkSettings": {
                        "Networks": {name: {"NetworkID": self._network_id(name)} for name in joined},
                        "Ports": {},
                    },
                }
            )
            return found

    def start(self, container: str) -> None:
        with self._lock:
            self.calls.append(f"start {self._name(container)}")
            raw = self._find(container).raw
            if raw["State"]["Status"] == "running":
                return
            if translate.lost(raw["State"]["Error"]):
                raise errors.Stuck(f"the engine lost track of container {container[:12]}")
            if raw["State"]["Status"] == "paused":
                raise errors.EngineError("cannot start a paused container, try unpause instead")
            for name, joined in raw["NetworkSettings"]["Networks"].items():
                if len(self._named(name)) > 1 and not joined["NetworkID"]:
                    raise errors.EngineError(f"network {name} is ambiguous (2 matches found on name)")
                if (joined["NetworkID"] or self._network_id(name)) not in self._networks:
                    raise errors.NotFound(f"network {joined['NetworkID'][:12] or name} not found")
                joined["NetworkID"] = joined["NetworkID"] or self._network_id(name)
            self._take_ports(raw)
            raw["RestartCount"] = 0
            self._run(raw)

    def stop(self, container: str, grace: int) -> None:
        with self._lock:
            self.calls.append(f"stop {self._name(container)}")
            held = self._resolve(container)
            if held and held.raw["State"]["Status"] in ("running", "paused", "restarting"):
                held.raw["State"] |= {"Status": "exited", "ExitCode": 137, "Health": None}

    def remove(self, container: str) -> None:
        with self._lock:
            self.calls.append(f"remove {self._name(container)}")
            held = self._resolve(container)
            if held and held.raw["State"]["Status"] in ("running", "paused"):
                raise errors.EngineError("You cannot remove a running container")
            if held:
                del self._containers[held.raw["Id"]]

    def unpause(self, container: str) -> None:
        with self._lock:
            self.calls.append(f"unpause {self._name(container)}")
            state = self._find(container).raw["State"]
            if state["Status"] != "paused":
                raise errors.EngineError(f"Container {container} is not paused")
            state["Status"] = "running"

    def rename(self, container: str, name: str) -> None:
        with self._lock:
            self.calls.append(f"rename {self._name(container)}")
            raw = self._find(container).raw
            if raw["Name"] == f"/{name}":
                raise errors.Rejected("Renaming a container with the same name as its current name")
            if any(held.raw["Name"] == f"/{name}" for held in self._containers.values()):
                raise errors.NameConflict(f'the container name "/{name}" is already in use')
            raw["Name"] = f"/{name}"

    def update(self, container: str, body: Mapping[str, Any]) -> None:
        with self._lock:
            self.calls.append(f"update {self._name(container)}")
            host = self._find(container).raw["HostConfig"]
            host |= {key: value for key, value in body.items() if value}

    def connect(self, network: str, container: str, aliases: tuple[str, ...]) -> None:
        with self._lock:
            self.calls.append(f"connect {self._name(container)}")
            raw = self._find(container).raw
            joined = raw["NetworkSettings"]["Networks"]
            if network not in self._networks:
                raise errors.NotFound(f"network {network[:12]} not found")
            name = self._networks[network].name
            if name in joined and raw["State"]["Status"] == "running":
                raise errors.Rejected(f"endpoint with name {raw['Name']} already exists in network {name}")
            joined[name] = {"NetworkID": network, "Aliases": list(aliases)}

    def late_network(self, name: str, labels: Mapping[str, str]) -> None:
        """One that an engine until 24 was asked for before it made the other."""
        self.late = True
        self.create_network(name, labels, "")
        self.late = False

    def create_network(self, name: str, labels: Mapping[str, str], subnet: str) -> str:
        with self._lock:
            self.calls.append(f"create-network {name}")
            if self._named(name) and not self.late:
                raise errors.EngineError(f"network with name {name} already exists")
            found = uuid.uuid4().hex * 2
            self._networks[found] = Network(found, name, dict(labels), (subnet,))
            return found

    def remove_network(self, network: str) -> None:
        with self._lock:
            self.calls.append("remove-network")
            for held in self._containers.values():
                joined = [n["NetworkID"] for n in held.raw["NetworkSettings"]["Networks"].values()]
                if network in joined and held.raw["State"]["Status"] == "running":
                    raise errors.EngineError("network has active endpoints")
            self._networks.pop(network, None)

    def create_volume(self, volume: NamedVolume, labels: Mapping[str, str]) -> Volume:
        name = volume.name
        with self._lock:
            self.calls.append(f"create-volume {name}")
            made = Volume(name, dict(labels), "2026-01-01T00:00:00Z", volume.driver, volume.driver_opts)
            return self._volumes.setdefault(name, made)

    def remove_volume(self, name: str) -> None:
        with self._lock:
            self.calls.append(f"remove-volume {name}")
            if name in self.mounted():
                raise errors.EngineError("volume is in use")
            self._volumes.pop(name, None)

    # --- for tests: the engine itself, not what lb makes of it

    def clone(self) -> Memory:
        """As it is now; what happens to one of the two from here on does not happen to the other."""
        with self._lock:
            other = Memory(dict(self.images_here), declared=dict(self.declared))
            other._containers = {key: _Held(_copied(held.raw)) for key, held in self._containers.items()}
            other._networks, other._volumes = dict(self._networks), dict(self._volumes)
            other._clock = itertools.count(next(self._clock))
            return other

    def raw(self) -> dict[str, dict[str, Any]]:
        """What `inspect` says of every container there is, by id."""
        with self._lock:
            return {key: _copied(held.raw) for key, held in self._containers.items()}

    def all_volumes(self) -> list[Volume]:
        return list(self._volumes.values())

    def plant(self, like: str, name: str) -> str:
        """Somebody's copy of a container, labels and all, under another name; it runs, and is first in every list."""
        with self._lock:
            raw = _copied(self._find(like).raw)
            raw |= {
                "Id": uuid.uuid4().hex * 2,
                "Name": f"/{name}",
                "HostConfig": {**raw["HostConfig"], "PortBindings": {}},
            }
            raw["State"] |= {"Status": "running", "StartedAt": now()}
            raw["NetworkSettings"]["Networks"] = {}
            self._containers = {raw["Id"]: _Held(raw), **self._containers}
            return str(raw["Id"])

    def lose(self, container: str) -> None:
        """As a dockerd that is killed while it starts the container, and started again."""
        held = self._find(container)
        held.raw["State"] |= {"Status": "created", "Error": f"task {held.raw['Id']}: already exists"}

    def crash(self, container: str) -> None:
        """Its process ends by itself, and the engine starts it again."""
        raw = self._find(container).raw
        raw["RestartCount"] += 1
        raw["State"] |= {"FinishedAt": now(), "StartedAt": now()}

    # --- what a person might do by hand

    def pause(self, container: str) -> None:
        self._find(container).raw["State"]["Status"] = "paused"

    def disconnect(self, container: str) -> None:
        self._find(container).raw["NetworkSettings"]["Networks"].clear()

    # --- inside

    def _unnamed(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Makes the volumes of the image at which nothing else is mounted."""
        taken = {mount["Target"] for mount in body["HostConfig"]["Mounts"]}
        found = []
        for target in sorted(set(self.declared.get(self.image(body["Image"]), ())) - taken):
            name = uuid.uuid4().hex * 2
            self._volumes[name] = Volume(name, {}, "2026-01-01T00:00:00Z")
            found.append({"Type": "volume", "Name": name, "Destination": target})
        return found

    def _find(self, container: str) -> _Held:
        held = self._resolve(container)
        if held is None:
            raise errors.NotFound(f"no such container: {container[:12]}")
        return held

    def _resolve(self, container: str) -> _Held | None:
        """As the engine does: by id, and where there is none, by name, which may be the id of one that is gone. What is
        done late was looked for in time."""
        if self.late:
            return self._containers.get(container)
        named = (held for held in self._containers.values() if held.raw["Name"] == f"/{container}")
        return self._containers.get(container) or next(named, None)

    def _name(self, container: str) -> str:
        held = self._containers.get(container)
        return held.raw["Name"].lstrip("/") if held else container[:12]

    def _network_id(self, name: str) -> str:
        """ "" when there is none, or more than one."""
        found = self._named(name)
        return found[0] if len(found) == 1 else ""

    def _named(self, network: str) -> list[str]:
        return [found.id for found in self._networks.values() if found.name == network]

    def _take_ports(self, raw: dict[str, Any]) -> None:
        mine = _host_ports(raw)
        for held in self._containers.values():
            if held.raw is not raw and held.raw["State"]["Status"] == "running":
                for port in mine & _host_ports(held.raw):
                    name = held.raw["Name"].lstrip("/")
                    raise errors.PortTaken(f"port {port}/tcp of this host is taken by container {name}")

    def _run(self, raw: dict[str, Any]) -> None:
        words = raw["Config"].get("Cmd") or []
        number = int(raw["Config"]["Labels"].get("lb.replica", 1))
        if words[:1] == ["exit"] and number >= int([*words, "0", "0"][2]):
            raw["State"] |= {"Status": "exited", "ExitCode": int(words[1])}
            return
        raw["State"] |= {"Status": "running", "ExitCode": 0, "StartedAt": now()}
        if translate.checked(raw):
            passes = "true" in raw["Config"]["Healthcheck"]["Test"]
            raw["State"]["Health"] = {"Status": "healthy" if passes else "unhealthy"}


@dataclass
class _Pull(PullStream):
    engine: Memory
    image: str

    def __iter__(self) -> Iterator[str]:
        engine, image = self.engine, self.image
        engine.calls.append(f"pull {image}")
        yield "0.5 of 1.0 MB"
        exact = {by_digest(name, digest): (digest, held) for name, (digest, held) in engine.registry.items()}
        if image not in (known := engine.registry | exact):
            raise errors.ImageUnavailable(f"image {image} can't be pulled: there is no registry in memory")
        digest, held = known[image]
        engine.images_here |= {image: held, by_digest(image, digest): held}

    def close(self) -> None:
        """It never takes long."""


def _host_ports(raw: dict[str, Any]) -> set[str]:
    return {row["HostPort"] for rows in raw["HostConfig"]["PortBindings"].values() for row in rows if row["HostPort"]}


def _copied(raw: dict[str, Any]) -> dict[str, Any]:
    """Five times as fast as copy.deepcopy, which the fault matrix would mostly wait for."""
    found: dict[str, Any] = marshal.loads(marshal.dumps(raw))
    return found
