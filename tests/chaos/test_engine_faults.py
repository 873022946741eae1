"""Every fault on the wire, and every death of the process, at every call of thirteen changes on the real engine.

Seven lanes run side by side, each with its own source, state and proxy. A lane goes round a ring of changes, so
that what one combination left is what the next begins with. After each: cycles without faults, then the oracle.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import cast

import pytest

from reconciler import clock, marker, reconcile
from reconciler.apply import Tools
from reconciler.errors import LbError
from reconciler.model import Desired, Ref
from reconciler.plan import Answers, allowed
from reconciler.runtimes import wire
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from tests.chaos.conftest import FULL
from tests.conftest import PREFIX, SECOND
from tests.support.chaos_proxy import WIRE, ChaosProxy, Wire
from tests.support.crashing import KILLED, Apply, Crashing, When
from tests.support.faults import Kind
from tests.support.ledger import Ledger, settled_after
from tests.support.memory import Memory
from tests.support.oracle import Before, Wanted, judge, kept
from tests.support.own_engine import OwnEngine
from tests.support.real import LANES, TIMEOUT, Change, Real, Sources, calls_at

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group(SECOND)]

CYCLES = 4
FEWEST = 400 if FULL else 100
DECOYS = 20  # at least, in all lanes
TRIES = 3  # for a combination: on a busy machine a call may be given up on before the one that it is about
PARTS = 8  # of a lane: each is a line of progress


@dataclass(frozen=True)
class Combination:
    """The fault happens at the nth call of the change (`wire`), or the process dies there."""

    change: int
    step: str
    nth: int
    fault: str
    wire: Wire | None = None
    kind: Kind = "call"
    when: When = "before"


@dataclass
class Done:
    combination: Combination
    wrong: list[str]
    cycles: int
    reached: bool = True


@dataclass
class Lane:
    name: str
    folder: Path
    engine: OwnEngine
    done: list[Done] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = f"{PREFIX}{self.name}-{uuid.uuid4().hex[:6]}"
        self.sources = Sources(name, name.removeprefix(PREFIX))
        self.changes = self.sources.changes(self.name)
        self.real = Real(self.engine.api, name)
        self.state = self.folder / name
        self.proxy = ChaosProxy(self.engine.socket, self.folder / f"{self.name}.sock")
        self.calls = calls_at(self.proxy.url)
        self.crashing = Crashing()
        self.before = Before()

    def close(self) -> None:
        self.crashing.close()
        self.calls.close()
        self.proxy.close()
        self.real.clear()

    # --- what there is to try

    def begin(self) -> list[Combination]:
        """From nothing to the ring's begin; then once round it without faults, to see which points there are."""
        self._converge(self.changes[0].before, Answers())
        live = self.real.raw()
        still = {key for key, row in live.items() if row["Config"]["Labels"]["lb.service"] == "still"}
        copied = [key for key, row in live.items() if self._may_be_copied(row["Config"]["Labels"]["lb.service"])]
        names = [f"{self.sources.name}-decoy-{i}" for i in range(len(copied))]
        decoys = {key for like, name in zip(copied, names, strict=True) for key in self.real.plant(like, name)}
        self.before = Before.of(cast(Memory, self.real), still, decoys)
        found: list[Combination] = []
        for i, change in enumerate(self.changes):
            self._clear(change)
            self.proxy.disarm()
            came = self.crashing.run(self._apply(change))
            assert came.code == 0, came.said
            found += [
                Combination(i, verb, n, wire, wire) for n, verb in enumerate(self.proxy.trace, 1) for wire in WIRE
            ]
            kinds: Counter[Kind] = Counter()
            for point in came.points:
                kinds[point.kind] += 1
                if point.kind == "write":
                    found.append(Combination(i, point.verb, kinds["write"], "killed before", None, "write", "before"))
                elif point.kind == "call" and "lb.state" not in point.what:
                    found.append(Combination(i, point.verb, kinds["call"], "killed after", None, "call", "after"))
            self._settle(change)
        return found

    def _may_be_copied(self, service: str) -> bool:
        """A copy of what is not recorded can't be told from the original: then it is not made, and rightly."""
        names = [{ref.name for ref in change.wanted.services} for change in self.changes if not change.lost]
        return len(names) == len(self.changes) and all(service in known for known in names)

    # --- one after the other

    def run(self, combinations: list[Combination]) -> None:
        """Round and round: at each change, the next combination that it has left."""
        left = {i: [c for c in combinations if c.change == i] for i in range(len(self.changes))}
        tries: Counter[Combination] = Counter()
        while any(left.values()):
            for i, change in enumerate(self.changes):
                self._clear(change)
                if left[i]:
                    done = self._try(change, left[i].pop(0))
                    tries[done.combination] += 1
                    if done.reached or tries[done.combination] == TRIES:
                        self.done.append(done)
                    else:
                        left[i].append(done.combination)
                else:
                    self._settle(change)

    def _try(self, change: Change, combination: Combination) -> Done:
        if combination.wire:
            hit = self._harm(change, combination.nth, combination.wire)
        else:
            dies = {"kind": combination.kind, "nth": combination.nth, "when": combination.when}
            hit = self.crashing.run(replace(self._apply(change), **dies)).code == KILLED
        wrong, cycles = self._settle(change)
        return Done(combination, wrong if hit else ["the point was not reached", *wrong], cycles, reached=hit)

    def _clear(self, change: Change) -> None:
        for volume in self.real.all_volumes() if change.fresh else ():
            self.real.api.remove_volume(volume.name)
        if change.lost:
            shutil.rmtree(self.state)

    def _apply(self, change: Change) -> Apply:
        return Apply(self.proxy.url, str(self.state), change.wanted, answers=change.answers)

    def _harm(self, change: Change, nth: int, fault: Wire) -> bool:
        self.proxy.arm(nth, fault)
        with contextlib.suppress(LbError):
            self._cycle(change.wanted, change.answers)
        return self.proxy.hit

    def _settle(self, change: Change) -> tuple[list[str], int]:
        cycles = self._converge(change.wanted, change.answers)
        live = change.good or change.wanted
        wanted = Wanted(live, frozenset(live.services) if change.good else frozenset())
        wrong = judge(cast(Memory, self.real), self.state, self.before, wanted)
        if change.good and kept(cast(Memory, self.real), Ref(self.sources.namespace, "a"), self.before) != 1:
            wrong.append("no failed replica was kept")
        self.proxy.disarm()
        self._cycle(change.wanted, change.answers)
        return [*wrong, *([f"not at rest: {self.proxy.trace}"] if self.proxy.trace else [])], cycles

    def _converge(self, wanted: Desired, answers: Answers) -> int:
        self.proxy.disarm()
        for n in range(CYCLES):
            owes = self.proxy.owes
            with contextlib.suppress(LbError):
                cycle = self._cycle(wanted, answers)
                if not owes and not allowed(cycle.plan).changes:
                    return n
        return CYCLES

    def _cycle(self, wanted: Desired, answers: Answers) -> reconcile.Cycle:
        store = Store.open(self.state)
        try:
            runtime = Engine(self.calls, str(self.state), clock.now)
            marker.check(runtime, store, adopt=answers.adopt)
            tools = Tools(runtime, store, lambda: None, lambda progress: None, Event())
            return reconcile.carry_out(wanted, answers, tools)
        finally:
            store.close()


def some(begun: dict[str, list[Combination]]) -> dict[str, list[Combination]]:
    """Without the hour that all of them take: every fault once at every kind of step, each lane with its share."""
    if FULL:
        return begun
    seen: set[tuple[str, str]] = set()
    found: dict[str, list[Combination]] = {name: [] for name in begun}
    open_to = {name: iter(combinations) for name, combinations in begun.items()}
    while open_to:
        for name in sorted(open_to, key=lambda n: len(found[n]))[:1]:
            combination = next((c for c in open_to[name] if (c.step, c.fault) not in seen), None)
            if combination is None:
                del open_to[name]
            else:
                seen.add((combination.step, combination.fault))
                found[name].append(combination)
    return found


@pytest.fixture(scope="module")
def lanes(second_engine: OwnEngine) -> Iterator[dict[str, list[Future[list[Done]]]]]:
    """Under way when this returns: the parts of each lane, in turn."""
    folder = Path(tempfile.mkdtemp(prefix="lbc-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    before, wire.READ_TIMEOUT = wire.READ_TIMEOUT, TIMEOUT
    found = {name: Lane(name, folder, second_engine) for name in LANES}
    with ThreadPoolExecutor(max_workers=len(LANES)) as pool:
        try:
            begun = dict(zip(found, pool.map(Lane.begin, found.values()), strict=True))
            assert sum(len(lane.real.foreign) for lane in found.values()) >= DECOYS
            chosen = some(begun)
            parts: dict[str, list[Future[list[Done]]]] = {name: [Future() for _ in range(PARTS)] for name in LANES}
            for name, lane in found.items():
                pool.submit(_in_parts, lane, chosen[name], parts[name])
            yield parts
        finally:
            pool.shutdown(wait=True)
            for lane in found.values():
                lane.close()
            wire.READ_TIMEOUT = before
            shutil.rmtree(folder)


def _in_parts(lane: Lane, combinations: list[Combination], parts: list[Future[list[Done]]]) -> None:
    for i, part in enumerate(parts):
        begun = len(lane.done)
        try:
            lane.run(combinations[i :: len(parts)])
        except BaseException as error:
            for other in parts[i:]:
                other.set_exception(error)
            raise
        part.set_result(lane.done[begun:])


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("lane", LANES)
def test_lane(lane: str, part: int, lanes: dict[str, list[Future[list[Done]]]], ledger: Ledger) -> None:
    wrong = []
    for done in lanes[lane][part].result():
        c = done.combination
        outcome = "FAILED" if done.wrong else settled_after(done.cycles)
        ledger.count("On a Docker Engine", c.step, c.fault, outcome)
        if done.wrong:
            wrong.append("\n    ".join([f"{c.step} #{c.nth} / {c.fault} of change {c.change}:", *done.wrong]))
    assert not wrong, "\n".join(wrong)


def test_there_are_enough(lanes: dict[str, list[Future[list[Done]]]]) -> None:
    done = [d for parts in lanes.values() for part in parts for d in part.result()]
    assert len(done) >= FEWEST, Counter(d.combination.fault for d in done)
    assert {d.combination.fault for d in done} == {*WIRE, "killed before", "killed after"}
