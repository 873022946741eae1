"""Every fault at every point of all changes, on the engine in memory; then cycles without faults, and the oracle.

`on`: the author still wants the change afterwards. `back`: by the next cycle, he wants what was there before.
"""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path

import pytest

from reconciler.errors import LbError
from reconciler.model import Ref
from reconciler.store import Store
from tests.chaos.conftest import FULL
from tests.support.faults import CALLS, FAULTS, LOOKS, WRITES, Died, Hook, Point
from tests.support.ledger import Ledger, settled_after
from tests.support.memory import Memory
from tests.support.oracle import Wanted, judge
from tests.support.oracle import kept as stays
from tests.support.scenarios import SCENARIOS, Scenario, Stage, stage

pytestmark = pytest.mark.xdist_group("faults in memory")  # they share what is staged

CYCLES = 3
FEWEST = 1400
# The way back differs where the fault leaves something behind.
BACK = {"write": {"crash after"}, "call": {"crash after", "late effect", "crash, stale list", "500 after"}}


@cache
def staged(name: str, folder: Path, back: bool) -> tuple[Stage, tuple[Point, ...]]:
    """The scenario up to its change, and the points of the change when nothing goes wrong."""
    (scenario,) = (s for s in SCENARIOS if s.name == name)
    found = stage(scenario, folder, back=back)
    world = found.clone(folder)
    hook = Hook(world.engine)
    world.cycle(scenario.wanted, hook)
    return found, tuple(hook.trace)


def combinations(scenario: Scenario, points: tuple[Point, ...], back: bool) -> list[tuple[Point, str]]:
    """A copy made of what is not recorded, or not any more, can't be told from the original: then adoption is refused,
    and rightly."""
    return [
        (point, fault)
        for point in points
        for fault in FAULTS[point.kind]
        if not (fault == "crash, copied" and (scenario.lost or (back and scenario.removes)))
        and (FULL or not back or fault in BACK.get(point.kind, ()))
    ]  # fmt: skip


def run(found: Stage, folder: Path, point: Point, fault: str, *, back: bool) -> tuple[list[str], int]:
    """What is wrong in the end (nothing is right), and how many cycles it took."""
    scenario = found.scenario
    world = found.clone(folder)
    hook = Hook(world.engine, point, FAULTS[point.kind][fault])
    if scenario.floor:
        hook.watch = lambda: _below(scenario.floor, world.engine, found.decoys)
    with contextlib.suppress(Died, LbError):
        world.cycle(scenario.wanted, hook)
    if not hook.hit:
        return ["the point was not reached"], 0
    before = found.before.also(world.engine, hook.copies)
    wanted = scenario.before if back else scenario.wanted
    wrong, cycles = list(hook.broken), 0
    while True:
        surprised = hook.owes
        hook = hook.then()
        cycle = world.cycle(wanted, hook)
        wrong += hook.broken
        if (not cycle.plan.changes and not surprised) or cycles > CYCLES:
            break
        cycles += 1
    live = wanted if back else scenario.good or wanted
    kept = frozenset(live.services) if scenario.good and not back else frozenset()
    stale = found.old & set(world.engine.raw()) if scenario.restart else ()
    wrong += [f"{key[:12]} was not restarted" for key in stale]
    wrong += judge(world.engine, world.state, before, Wanted(live, kept))
    if kept and stays(world.engine, Ref("t", "a"), before) != 1:
        wrong.append("no failed replica was kept")
    calls = [str(p) for p in hook.trace if p.kind == "call"]
    return [*wrong, *([f"not at rest after {cycles} cycles: {calls}"] if calls or cycles > CYCLES else [])], cycles


def _below(floor: int, engine: Memory, foreign: frozenset[str]) -> str:
    serving = sum(
        1 for key, row in engine.raw().items()
        if key not in foreign and row["Config"]["Labels"]["lb.service"] == "a" and row["State"]["Status"] == "running"
    )  # fmt: skip
    return "" if serving >= floor else f"only {serving} of {floor} replicas serve"


WAYS = [(s, back) for s in SCENARIOS for back in (False, True) if s.reversible or not back]


@pytest.mark.parametrize(("scenario", "back"), WAYS, ids=[f"{s.name} {'back' if b else 'on'}" for s, b in WAYS])
def test_every_fault_at_every_point(scenario: Scenario, back: bool, folder: Path, ledger: Ledger) -> None:
    found, points = staged(scenario.name, folder, back)
    wrong: dict[str, list[str]] = {}
    for point, fault in combinations(scenario, points, back):
        said, cycles = run(found, folder, point, fault, back=back)
        if said:
            wrong[f"{point} / {fault}"] = said
        outcome = "FAILED" if said else settled_after(cycles)
        ledger.count("In memory", f"{point.kind} {point.verb}", fault, outcome)
    text = "\n".join(f"{key}:\n    " + "\n    ".join(said) for key, said in wrong.items())
    assert not wrong, f"{len(wrong)} combinations\n{text}"


def test_there_are_enough(folder: Path) -> None:
    assert sum(len(combinations(s, staged(s.name, folder, back)[1], back)) for s, back in WAYS) >= FEWEST


def test_every_write_and_every_step_is_reached(folder: Path) -> None:
    """What is added to the store or to the calls has to be told to the matrix, and a scenario has to use it."""
    reads = {"open", "close", "recorded", "engine", "activity", "revisions", "removed"}
    assert {name for name in vars(Store) if not name.startswith("_")} - reads == WRITES
    assert {name for name in vars(Memory) if name in CALLS.keys() | LOOKS} == CALLS.keys() | LOOKS
    points = [point for s, back in WAYS for point in staged(s.name, folder, back)[1]]
    reached = {(point.kind, point.what.split()[0]) for point in points}
    # The others have tests of their own: the daemon, containers that people remove, a restored state, orders, the
    # place of a source.
    elsewhere = {"set_notes", "forget_containers", "record_service", "settle_restore", "order_restart", "order_retry"}
    elsewhere |= {"record_source", "call_off_restart"}
    assert {name for kind, name in reached if kind == "write"} == WRITES - elsewhere
    repairs = {"unpause", "rename", "pull", "remove_volume"}  # the contract tests reach these
    assert {name for kind, name in reached if kind == "call"} >= CALLS.keys() - repairs
