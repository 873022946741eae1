"""Changes of a source on the engine in memory, each beside services that it does not mention, and decoys."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, cast

from reconciler import clock, marker, reconcile
from reconciler.apply import Tools
from reconciler.model import (
    DeleteBudget,
    Dependency,
    Desired,
    Links,
    Mount,
    Namespace,
    Plan,
    Port,
    Ref,
    Service,
    Spec,
    Update,
)
from reconciler.plan import Answers
from reconciler.runtime import MARKER
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from tests.support.faults import Hook, WatchedCalls, WatchedStore
from tests.support.memory import Memory
from tests.support.oracle import Before

IMAGE = "docker.io/library/app:1"
MIB = 1024 * 1024
RUNS = ("sleep", "1000")


def service(name: str, namespace: str = "t", **spec: Any) -> Service:
    needs = tuple(Dependency(Ref(namespace, other), "healthy") for other in spec.pop("after", ()))
    update = Update(min_ready=0, **spec.pop("update", {}))
    values = {"image": IMAGE, "command": RUNS, "update": update, "depends_on": needs, **spec}
    return Service(Ref(namespace, name), Spec(**values), shown={"image": IMAGE})


def source(*services: Service, namespaces: tuple[str, ...] = ("t",)) -> Desired:
    found = {s.ref: s for s in services}
    spaces = {name: Namespace(Ref(name), share_with=namespaces) for name in namespaces}
    refs = frozenset([*found, *(space.ref for space in spaces.values())])
    return Desired("test", "/", spaces, found, mentioned=refs, budget=DeleteBudget(count=10))


STILL = (service("still", replicas=2), service("calm"), service("even"))


def with_still(*services: Service, namespaces: tuple[str, ...] = ("t",)) -> Desired:
    return source(*STILL, *services, namespaces=namespaces)


def remaking(desired: Desired, before: Desired) -> Desired:
    """What was written before can be read again."""
    return replace(desired, remake=lambda revision: before.services.get(revision.ref))


@dataclass(frozen=True)
class Scenario:
    """`before` is applied without faults, then `wanted` with one. `good` is what is to be live in the end where that
    is not what was wanted; `floor` how many replicas of the service `a` serve at any moment."""

    name: str
    before: Desired
    wanted: Desired
    answers: Answers = field(default_factory=Answers)
    good: Desired | None = None
    floor: int = 0
    lost: bool = False  # the state was lost in between
    dies: bool = False  # `wanted` was applied without faults too, and a replica of the service `a` died soon after
    restart: bool = False  # a person asks for new containers of the service `a` in between
    reversible: bool = True
    removes: bool = False  # then the way back is blocked by copies of what was removed, which is right


_NEW = (("A", "b"),)
_BOTH = with_still(service("a", replicas=2, restart="always"))
_TOOK_OVER = with_still(service("a", replicas=2, restart="always", env=_NEW))
_PORT = Port(80, "tcp", 8080, "127.0.0.1")
_DATA = Mount("/data", "volume", "data")

SCENARIOS = [
    Scenario("create", with_still(), with_still(service("a", replicas=2))),
    Scenario("scale up", with_still(service("a")), with_still(service("a", replicas=3)), floor=1),
    Scenario("scale down", with_still(service("a", replicas=3)), with_still(service("a")), floor=1),
    Scenario("replace start-first", _BOTH, with_still(service("a", replicas=2, restart="always", env=_NEW)), floor=2),
    Scenario(
        "replace stop-first",
        with_still(service("a", ports=(_PORT,))),
        with_still(service("a", ports=(_PORT,), env=_NEW)),
    ),
    Scenario(
        "update in place",
        with_still(service("a", replicas=2, memory=32 * MIB)),
        with_still(service("a", replicas=2, memory=48 * MIB)),
        floor=2,
    ),
    Scenario(
        "two namespaces",
        with_still(),
        with_still(service("a", "u"), service("b", "v"), namespaces=("t", "u", "v")),
    ),
    Scenario(
        "two networks",
        with_still(service("b", "u"), namespaces=("t", "u")),
        with_still(service("b", "u"), service("a", replicas=2, links=Links(networks=("u",))), namespaces=("t", "u")),
    ),
    Scenario(
        "volume",
        with_still(),
        with_still(
            service("a", mounts=(_DATA,)), service("b", mounts=(_DATA, Mount("/own", "volume", "own")), after=("a",))
        ),
    ),
    Scenario(
        "dependencies",
        with_still(),
        with_still(service("a"), service("b", after=("a",)), service("c", after=("b",))),
    ),
    Scenario(
        "removal",
        with_still(service("a", replicas=2, mounts=(_DATA,)), service("b", "u"), namespaces=("t", "u")),
        with_still(),
        removes=True,
    ),
    Scenario(
        "failed revision",
        _BOTH,
        with_still(service("a", replicas=2, command=("exit", "3", "2"), update={"parallelism": 1})),
        good=_BOTH,
        floor=2,
    ),
    Scenario("taken back", _BOTH, remaking(_TOOK_OVER, _BOTH), good=_BOTH, floor=2, dies=True),
    Scenario(
        "adoption",
        with_still(service("a", replicas=2, mounts=(_DATA,))),
        with_still(service("a", replicas=2, mounts=(_DATA,))),
        answers=Answers(adopt=True),
        lost=True,
        reversible=False,
    ),
    Scenario("restart", _BOTH, _BOTH, floor=2, restart=True, reversible=False),
]


@dataclass
class World:
    """An engine and a state folder; each `cycle` is one process."""

    engine: Memory
    state: Path
    answers: Answers = field(default_factory=Answers)
    clock: clock.Clock = clock.now
    opened: Callable[[Store], None] = lambda store: None

    def cycle(self, desired: Desired, hook: Hook | None = None) -> reconcile.Cycle:
        hook = hook or Hook(self.engine)
        store = Store.open(self.state, self.clock)
        self.opened(store)
        try:
            watched = cast(Store, WatchedStore(store, hook))
            runtime = Engine(WatchedCalls(hook), str(self.state), clock.now)
            tools = Tools(runtime, watched, lambda: None, lambda progress: None, Event())
            marker.check(runtime, watched, adopt=self.answers.adopt)
            cycle = reconcile.carry_out(desired, self.answers, tools)
            marker.release(runtime, watched)
            return cycle
        finally:
            store.close()

    def plan(self, desired: Desired) -> Plan:
        store = Store.open(self.state, self.clock)
        try:
            return reconcile.preview(desired, store, Engine(self.engine, str(self.state), clock.now), self.answers)
        finally:
            store.close()


@dataclass
class Stage:
    """A scenario up to the change: cloned for each run of it."""

    scenario: Scenario
    world: World
    decoys: frozenset[str]
    still: frozenset[str]
    old: frozenset[str]  # the replicas that the change is about
    before: Before = field(default_factory=Before)

    def clone(self, folder: Path) -> World:
        state = Path(tempfile.mkdtemp(dir=folder))
        shutil.copytree(self.world.state, state, dirs_exist_ok=True)
        return World(self.world.engine.clone(), state, self.scenario.answers)


def stage(scenario: Scenario, folder: Path, *, back: bool = False) -> Stage:
    engine = Memory()
    engine.declared = dict.fromkeys(engine.images_here.values(), ("/unnamed",))
    world = World(engine, Path(tempfile.mkdtemp(dir=folder)))
    world.cycle(scenario.before)
    engine = world.engine
    if scenario.dies:
        world.cycle(scenario.wanted)
        engine.crash(next(k for k, row in engine.raw().items() if row["Config"]["Labels"]["lb.service"] == "a"))
    live = engine.raw()
    still = frozenset(
        key for key, row in live.items() if row["Config"]["Labels"]["lb.service"] in {"still", "calm", "even"}
    )
    decoys = set()
    for i, (key, row) in enumerate(live.items()):
        if scenario.lost or (back and scenario.removes and key not in still):
            continue
        decoys.add(engine.plant(key, f"decoy-{i}{row['Name'].replace('/', '-')}"))
        decoys.add(engine.plant(key, key if i % 2 else key[:12]))  # a name that is an id, or begins one
    if scenario.lost:
        engine.remove_volume(MARKER)
        shutil.rmtree(world.state)
        world.state.mkdir()
    if scenario.restart:
        with contextlib.closing(Store.open(world.state)) as store:
            store.order_restart(Ref("t", "a"))
    found = Stage(scenario, world, frozenset(decoys), still, frozenset(live) - still)
    found.before = Before.of(engine, found.still, found.decoys)
    return found
