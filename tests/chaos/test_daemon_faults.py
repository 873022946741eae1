"""The same faults under a daemon, on the engine in memory: nobody applies again, it comes back by itself.

A daemon that dies is followed by another; one that only has trouble goes on. Many run side by side, because most of
the time each waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import cast

import pytest

from reconciler import clock, daemon
from reconciler.daemon import Daemon, Doors
from reconciler.daemon.journal import Journal
from reconciler.daemon.wakes import Wakes
from reconciler.lock import Lock
from reconciler.model import Desired, Ref
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from tests.chaos.conftest import FULL
from tests.chaos.test_fault_matrix import combinations, staged
from tests.support.eventually import eventually
from tests.support.faults import FAULTS, Died, Hook, Point, WatchedCalls, WatchedStore
from tests.support.ledger import Ledger
from tests.support.oracle import Before, Wanted, judge
from tests.support.oracle import kept as stays
from tests.support.scenarios import SCENARIOS, Scenario, World

AT_ONCE = 12
PATIENCE = 20.0  # seconds
EVERY = 1 if FULL else 5  # so many-th combination


class Life:
    """One process that runs a daemon. What it logs is kept, for people who look why it went wrong."""

    def __init__(
        self, world: World, wanted: Desired, hook: Hook, calls: Callable[[Hook], WatchedCalls] = WatchedCalls
    ) -> None:
        self.store, self.wakes, self.stop, self.log = Store.open(world.state), Wakes(), Event(), list[str]()
        self.hook = hook
        watched = cast(Store, WatchedStore(self.store, hook))
        self.daemon = Daemon(
            Doors(
                read=lambda: wanted,
                connect=lambda: Engine(calls(hook), str(world.state), clock.now),
                lock=lambda info: Lock.acquire("engine", "daemon", world.state / "lock"),
                store=watched,
                publish=lambda recorded, observed: None,
            ),
            self.wakes,
            Journal(lambda level, subject, text: self.log.append(f"{level} {subject}: {text}"), watched),
        )
        self.failure: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.daemon.run(self.stop)
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            self.failure = error

    @property
    def died(self) -> bool:
        return not self._thread.is_alive()

    def end(self) -> None:
        """However it ended: what the kernel would take from a process is taken from it."""
        self.stop.set()
        self.wakes.kick()
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), self.log
        shift = self.daemon._shift
        if shift:
            shift.crew.close()
            shift.lock.close()
        self.store.close()
        if self.failure and not isinstance(self.failure, Died):
            raise self.failure


def run(scenario: Scenario, folder: Path, point: Point, fault: str) -> list[str]:
    """What is wrong in the end; nothing is right."""
    found, _ = staged(scenario.name, folder, back=False)
    world = found.clone(folder)
    harm = Hook(world.engine, point, FAULTS[point.kind][fault])
    life = Life(world, scenario.wanted, harm)
    good = scenario.good or scenario.wanted
    wanted = Wanted(good, frozenset(good.services) if scenario.good else frozenset())
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if life.died:
                life.end()
                life = Life(world, scenario.wanted, harm.then())
            life.wakes.kick()  # as the engine's events do
            before = found.before.also(world.engine, harm.copies)
            if harm.hit and not _wrong(scenario, world, before, wanted, life):
                return []
            time.sleep(0.1)
    finally:
        life.end()
    wrong = _wrong(scenario, world, before, wanted, life)
    return [*([] if harm.hit else ["the point was not reached"]), *wrong, *life.log]


def _wrong(scenario: Scenario, world: World, before: Before, wanted: Wanted, life: Life) -> list[str]:
    if life.hook.owes or life.daemon._shift:
        return ["something is under way"]
    wrong = [*life.hook.broken, *judge(world.engine, world.state, before, wanted)]
    if scenario.good and stays(world.engine, Ref("t", "a"), before) != 1:
        wrong.append("no failed replica was kept")
    return wrong


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Its waits are right for people, and long for a test."""
    monkeypatch.setattr(daemon, "_SHORTEST", 0.05)
    monkeypatch.setattr(daemon, "_LONGEST", 0.5)
    yield


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if not s.lost], ids=lambda s: s.name)
def test_it_comes_back_by_itself(scenario: Scenario, folder: Path, ledger: Ledger, quick: None) -> None:
    _, points = staged(scenario.name, folder, back=False)
    chosen = [c for c in combinations(scenario, points, back=False) if c[0].kind != "look"][::EVERY]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        came = list(pool.map(lambda c: run(scenario, folder, *c), chosen))
    for (point, fault), wrong in zip(chosen, came, strict=True):
        outcome = "FAILED" if wrong else "as wanted"
        ledger.count("Under a daemon, in memory", f"{point.kind} {point.verb}", fault, outcome)
    text = ["\n    ".join([f"{c[0]} / {c[1]}:", *wrong]) for c, wrong in zip(chosen, came, strict=True) if wrong]
    assert not text, "\n".join(text)


class Silent(WatchedCalls):
    """An engine whose events have stopped to come, and nobody is told."""

    def changes(self) -> Iterator[None]:
        Event().wait()
        yield None


def test_without_events_it_looks_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was killed is seen at the next look that nothing asked for, and that is within a minute."""
    assert daemon.PERIOD <= 60
    monkeypatch.setattr(daemon, "PERIOD", 0.2)
    scenario = next(s for s in SCENARIOS if s.name == "scale up")
    found, _ = staged(scenario.name, folder, back=False)
    world = found.clone(folder)
    life = Life(world, scenario.before, Hook(world.engine), Silent)
    try:
        (one,) = (key for key in found.old if world.engine.inspect(key).state == "running")
        world.engine.stop(one, 0)
        eventually(lambda: world.engine.inspect(one).state == "running")
        assert eventually(lambda: any("heal" in line and "was stopped" in line for line in life.log))
    finally:
        life.end()
