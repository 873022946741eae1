"""What a disk does to the state: full, read-only, torn, flipped, newer. Nothing is changed that was not written ahead;
what can be read is carried on, what can't is refused with the way out, and what is lost is adopted or left alone."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from reconciler.errors import LbError, StateError
from reconciler.model import Desired
from reconciler.plan import Answers
from reconciler.store import Store
from tests.chaos.conftest import FULL
from tests.support.faults import Hook
from tests.support.oracle import Wanted, judge
from tests.support.scenarios import RUNS, SCENARIOS, Scenario, World, service, stage, with_still

ROUNDS = 400 if FULL else 40


def calls(hook: Hook) -> list[str]:
    return [str(point) for point in hook.trace if point.kind == "call" and "lb.state" not in point.what]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_a_full_disk(scenario: Scenario, folder: Path) -> None:
    """However little room is left: what was written ahead is done or not, and with room again it is carried on."""
    found = stage(scenario, folder)
    stopped = 0
    for pages in range(0, 40, 2 if FULL else 8):
        world = found.clone(folder)
        _in_small_pages(world.state)
        hook = Hook(world.engine)

        def limited(store: Store, pages: int = pages) -> None:
            (now,) = store._db.execute("pragma page_count").fetchone()
            store._db.execute(f"pragma max_page_count = {now + pages}")

        world.opened = limited
        with contextlib.suppress(StateError):
            world.cycle(scenario.wanted, hook)
            stopped -= 1
        stopped += 1
        assert not hook.broken
        world.opened = lambda store: None
        for _ in range(3):
            world.cycle(scenario.wanted)
        good = scenario.good or scenario.wanted
        kept = frozenset(good.services) if scenario.good else frozenset()
        assert judge(world.engine, world.state, found.before, Wanted(good, kept)) == []
    assert stopped or scenario.removes, "there was room enough every time"


def _in_small_pages(state: Path) -> None:
    """So that every few rows need another."""
    with contextlib.closing(sqlite3.connect(state / "state.db")) as db:
        for statement in ("pragma journal_mode = delete", "pragma page_size = 512", "vacuum"):
            db.execute(statement)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_a_state_that_can_only_be_read(scenario: Scenario, folder: Path) -> None:
    found = stage(scenario, folder)
    world = found.clone(folder)
    world.opened = lambda store: store._db.execute("pragma query_only = 1") and None
    before, hook = world.engine.raw(), Hook(world.engine)
    with pytest.raises(StateError, match="readonly"):
        world.cycle(scenario.wanted, hook)
    assert world.engine.raw() == before and not calls(hook)
    assert world.plan(scenario.wanted).changes, "the plan can still be seen"


def live(folder: Path) -> tuple[World, Desired, Hook]:
    """A state whose write-ahead log is as a killed process leaves it: nothing of it is in the file yet."""
    before = with_still(service("a", replicas=2))
    scenario = Scenario("torn", before, before)
    found = stage(scenario, folder)
    world = found.clone(folder)
    wanted = with_still(service("a", replicas=3, env=(("A", "b"),)), service("b"))
    torn = World(world.engine, folder / f"torn-{world.state.name}")
    torn.state.mkdir()
    snapshot: list[Path] = []

    def keep(store: Store) -> None:
        store._db.execute("pragma wal_autocheckpoint = 0")
        snapshot.append(store.directory)

    world.opened = keep
    reader = Store.open(world.state)  # as long as somebody reads, closing leaves the log
    try:
        reader.recorded()
        world.cycle(wanted)
        shutil.copytree(world.state, torn.state, dirs_exist_ok=True)
    finally:
        reader.close()
    assert (torn.state / "state.db-wal").stat().st_size > 32 * 1024
    torn_hook = Hook(torn.engine)
    torn_hook.copies |= found.decoys
    return torn, wanted, torn_hook


def survives(world: World, wanted: Desired, foreign: set[str]) -> str:
    """Cycles, without and with --adopt; what is not ours stays as it is, whatever the state says."""
    strangers = {key: row for key, row in world.engine.raw().items() if key in foreign}
    said = "carried on"
    for answers in (Answers(), Answers(adopt=True), Answers(adopt=True)):
        world.answers = answers
        try:
            cycle = world.cycle(wanted)
        except LbError as error:
            assert error.hint, f"{error.message} names no way out"
            return "refused"
        if cycle.plan.guards or any(outcome.code for outcome in cycle.outcomes):
            said = "refused in part"
    now = world.engine.raw()
    assert {key: now.get(key) for key in strangers} == strangers
    return said


def test_a_torn_log_is_an_older_state(folder: Path) -> None:
    torn, wanted, hook = live(folder)
    log = torn.state / "state.db-wal"
    size, seen = log.stat().st_size, set()
    for cut in range(0, size, size // ROUNDS):
        world = World(torn.engine.clone(), torn.state.with_name("cut"))
        shutil.rmtree(world.state, ignore_errors=True)
        shutil.copytree(torn.state, world.state)
        with (world.state / "state.db-wal").open("r+b") as file:
            file.truncate(cut)
        (world.state / "state.db-shm").unlink(missing_ok=True)
        seen.add(survives(world, wanted, hook.copies))
        running = [r for r in world.engine.raw().items() if r[0] not in hook.copies]
        names = [row["Name"].rpartition("-")[0] for _, row in running if row["State"]["Status"] == "running"]
        assert {"/t.still.1", "/t.still.2", "/t.calm.1", "/t.even.1", "/t.a.1", "/t.a.2"} <= set(names)
    assert "carried on" in seen


@pytest.mark.parametrize("file", ["state.db", "state.db-wal"])
def test_flipped_bits_are_survived(folder: Path, file: str) -> None:
    torn, wanted, hook = live(folder)
    if file == "state.db":
        with contextlib.closing(sqlite3.connect(torn.state / "state.db")) as db:
            db.execute("pragma wal_checkpoint(truncate)")
    rng = random.Random(12)
    for _ in range(ROUNDS):
        world = World(torn.engine.clone(), torn.state.with_name("flipped"))
        shutil.rmtree(world.state, ignore_errors=True)
        shutil.copytree(torn.state, world.state)
        data = bytearray((world.state / file).read_bytes())
        for _ in range(rng.choice([1, 8, 200])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (world.state / file).write_bytes(bytes(data))
        (world.state / "state.db-shm").unlink(missing_ok=True)
        survives(world, wanted, hook.copies)


def test_a_newer_state_is_refused_and_nothing_done(folder: Path) -> None:
    before = with_still(service("a"))
    world = stage(Scenario("newer", before, before), folder).clone(folder)
    with contextlib.closing(sqlite3.connect(world.state / "state.db")) as db:
        db.execute("pragma user_version = 99")
    engine, content = world.engine.raw(), (world.state / "state.db").read_bytes()
    hook = Hook(world.engine)
    with pytest.raises(StateError, match="newer lb") as caught:
        world.cycle(with_still(service("a", command=(*RUNS, "x"))), hook)
    assert caught.value.hint and world.engine.raw() == engine and not hook.trace
    assert (world.state / "state.db").read_bytes() == content
