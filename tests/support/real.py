"""The real engine as the oracle reads it, and the changes that are made on it in turn, each from what the last left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import docker

from reconciler.model import (
    DeleteBudget,
    Dependency,
    Desired,
    Links,
    Mount,
    Namespace,
    Network,
    Port,
    Ref,
    Service,
    Spec,
    Update,
    Volume,
)
from reconciler.plan import Answers
from reconciler.runtimes import translate
from reconciler.runtimes.client import DockerCalls
from reconciler.runtimes.wire import Api
from tests.conftest import BUSYBOX

MIB = 1024 * 1024
RUNS = ("sleep", "100000")
TIMEOUT = 3  # seconds that a client waits here for an answer


def calls_at(url: str) -> DockerCalls:
    api = Api(base_url=url, version="auto", timeout=TIMEOUT, max_pool_size=64)
    return DockerCalls(api, {"base_url": url}, url)


@dataclass
class Real:
    """What there is of one source, raw, with what was planted beside it; asked for past the proxy."""

    api: docker.APIClient
    source: str
    foreign: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)

    def raw(self) -> dict[str, Any]:
        listed = self.api.containers(all=True, filters={"label": f"lb.source={self.source}"})
        found = {}
        for key in {*(row["Id"] for row in listed), *self.foreign}:
            with contextlib.suppress(docker.errors.NotFound):
                found[key] = _as_written(self.api.inspect_container(key))
        return found

    def networks(self) -> list[Network]:
        return [translate.network(n) for n in self.api.networks(filters={"label": f"lb.source={self.source}"})]

    def all_volumes(self) -> list[Volume]:
        rows = self.api.volumes(filters={"label": f"lb.source={self.source}"})["Volumes"] or []
        return [translate.volume(row) for row in rows]

    def plant(self, like: str, name: str) -> set[str]:
        """Three that carry every label of it: one with a name of its own, one whose name begins the id of the original
        (or is all of it), and one of an image that was committed from it."""
        labels = self.api.inspect_container(like)["Config"]["Labels"]
        image = self.api.commit(like)["Id"]
        self.images.add(image)
        found = {
            self._run(f"{name}-labels", BUSYBOX, Labels=labels),
            self._run(like if name.endswith("0") else like[:12], BUSYBOX, Labels=labels),
            self._run(f"{name}-commit", image),
        }
        self.foreign |= found
        return found

    def _run(self, name: str, image: str, **body: Any) -> str:
        body = {"Image": image, "Cmd": list(RUNS), "StopSignal": "SIGKILL", **body}
        made = str(self.api.create_container_from_config(body, name)["Id"])
        self.api.start(made)
        return made

    def clear(self) -> None:
        for key in self.raw():
            self.api.remove_container(key, force=True, v=True)
        for network in self.networks():
            self.api.remove_network(network.id)
        for volume in self.all_volumes():
            self.api.remove_volume(volume.name)
        for image in self.images:
            self.api.remove_image(image)
        self.api.close()


def _as_written(raw: dict[str, Any]) -> dict[str, Any]:
    """Without what the image adds."""
    raw["Config"]["Env"] = [e for e in raw["Config"]["Env"] or [] if not e.startswith("PATH=")]
    return raw


@dataclass(frozen=True)
class Change:
    """From `before` to `wanted`; `good` is what is to be live in the end where that is not what was wanted."""

    name: str
    before: Desired
    wanted: Desired
    good: Desired | None = None

    @property
    def fresh(self) -> bool:
        """Volumes are to be made anew: a person removes those that an earlier round left."""
        return self.name == "create"

    @property
    def lost(self) -> bool:
        """The state is gone before it; all that matches is to be taken over."""
        return self.name == "adoption"

    @property
    def answers(self) -> Answers:
        return Answers(adopt=self.lost)


class Sources:
    """Desired states of one source in namespaces of its own, so that several share an engine."""

    def __init__(self, name: str, namespace: str) -> None:
        self.name, self.namespace = name, namespace
        self.still = self.service("still")

    def service(self, name: str, namespace: str = "", **spec: Any) -> Service:
        update = Update(**{"min_ready": 0, **spec.pop("update", {})})
        values = {"command": RUNS, "stop_signal": "SIGKILL", **spec}
        image = translate.full_reference(BUSYBOX)
        return Service(Ref(namespace or self.namespace, name), Spec(image, update=update, **values))

    def desired(self, *services: Service) -> Desired:
        found = {s.ref: s for s in (self.still, *services)}
        spaces = {ref.namespace: Namespace(Ref(ref.namespace), share_with=(self.namespace,)) for ref in found}
        refs = frozenset([*found, *(space.ref for space in spaces.values())])
        return Desired(self.name, "/", spaces, found, mentioned=refs, budget=DeleteBudget(count=100_000))

    def changes(self, lane: str) -> tuple[Change, ...]:
        """A ring: each begins where the one before ends."""
        return _ring(LANES[lane](self))


def _ring(states: list[tuple[str, Desired, bool]]) -> tuple[Change, ...]:
    """Each state's name is that of the change to it; one that fails leaves the one before it."""
    found, before = [], states[-1][1]
    for name, wanted, good in states:
        found.append(Change(name, before, wanted, None if good else before))
        before = wanted if good else before
    return tuple(found)


def _replaced(sources: Sources) -> list[tuple[str, Desired, bool]]:
    def state(value: str) -> Desired:
        return sources.desired(sources.service("a", restart="always", env=(("A", value),)))

    return [("replace start-first", state("1"), True), ("replace start-first", state("2"), True)]


def _stop_first(sources: Sources) -> list[tuple[str, Desired, bool]]:
    port = Port(80, "tcp", 18200 + hash(sources.namespace) % 700, "127.0.0.1")

    def state(value: str) -> Desired:
        return sources.desired(sources.service("a", ports=(port,), env=(("A", value),)))

    return [("replace stop-first", state("1"), True), ("replace stop-first", state("2"), True)]


def _sized(sources: Sources) -> list[tuple[str, Desired, bool]]:
    def state(replicas: int, memory: int) -> Desired:
        return sources.desired(sources.service("a", replicas=replicas, memory=memory * MIB))

    return [
        ("scale up", state(2, 32), True),
        ("update in place", state(2, 48), True),
        ("scale down", state(1, 48), True),
        ("update in place", state(1, 32), True),
    ]


def _made(sources: Sources) -> list[tuple[str, Desired, bool]]:
    other = f"{sources.namespace}-other"
    data = Mount("/data", "volume", "data")
    full = sources.desired(sources.service("a", mounts=(data,)), sources.service("b", other))
    return [("create", full, True), ("removal", sources.desired(), True)]


def _failed(sources: Sources) -> list[tuple[str, Desired, bool]]:
    good = sources.desired(sources.service("a", restart="always"))
    ends = sources.service("a", restart="no", command=("sh", "-c", "exit 3"), update={"min_ready": 500_000_000})
    bad = sources.desired(ends)  # at once, and yet it may be seen running
    return [("failed revision", bad, False), ("back to the good one", good, True)]


def _linked(sources: Sources) -> list[tuple[str, Desired, bool]]:
    other = f"{sources.namespace}-other"
    beside = sources.service("beside", other)
    a = sources.service("a")
    b = sources.service("b", depends_on=(Dependency(a.ref),))
    c = sources.service("c", depends_on=(Dependency(b.ref),))
    return [
        ("two networks", sources.desired(sources.service("a", links=Links(networks=(other,))), beside), True),
        ("depends_on chain", sources.desired(a, b, c), True),
    ]


def _taken_over(sources: Sources) -> list[tuple[str, Desired, bool]]:
    data = Mount("/data", "volume", "data")
    return [("adoption", sources.desired(sources.service("a", replicas=2, mounts=(data,))), True)]


LANES: dict[str, Callable[[Sources], list[tuple[str, Desired, bool]]]] = {
    "start-first": _replaced,
    "stop-first": _stop_first,
    "sizes": _sized,
    "objects": _made,
    "failed": _failed,
    "linked": _linked,
    "taken-over": _taken_over,
}
