"""Authors, people with a docker client, crashes, a failing engine and a jumping clock, in any order that Hypothesis
thinks of; after each pause, the promises. What a person did by hand is done to the engine in memory, not through lb."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from reconciler import plan, reconcile
from reconciler.apply import crew
from reconciler.clock import rfc3339
from reconciler.errors import LbError
from reconciler.model import Desired, Mount, Namespace, Place, Problem, Ref, Service
from reconciler.plan import Answers
from reconciler.runtimes import performer
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from tests.chaos.conftest import FULL
from tests.support.faults import FAULTS, Died, Hook, Kind
from tests.support.memory import Memory
from tests.support.oracle import Before, Wanted, judge
from tests.support.scenarios import MIB, RUNS, World, service

REFS = [Ref(namespace, name) for namespace in ("t", "u") for name in ("a", "b", "c")]
SHM = "/dev/shm" if Path("/dev/shm").is_dir() else None
CYCLES = 4
PARTS = 10 if FULL else 1
Name = st.sampled_from(REFS)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.offset = 0.0
        self.world = World(Memory(), Path(tempfile.mkdtemp(prefix="lb-life-", dir=SHM)), clock=self._now)
        self.wanted: dict[Ref, Service] = {}
        self.corrupt: set[Ref] = set()
        self.live: dict[Ref, Service] = {}  # what ran when it was at rest
        self.loose: set[Ref] = set()  # changed by hand, or half-way, under a revision that can't be carried out
        self.harmed: set[Ref] = set()  # since it was at rest
        self.foreign: set[str] = set()
        self.before = Before()
        self.pending = Hook(self.world.engine)  # whose late effects are still to come

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.at_rest()
        finally:
            shutil.rmtree(self.world.state)

    # --- the author

    @initialize()
    def begins(self) -> None:
        for name in ("a", "b"):
            self.wanted[Ref("t", name)] = service(name)
        self.at_rest()

    @rule(ref=Name, replicas=st.integers(0, 3))
    def adds(self, ref: Ref, replicas: int) -> None:
        if ref not in self.corrupt:
            data = (Mount("/data", "volume", ref.name),) if ref.name == "b" else ()
            self.wanted.setdefault(ref, service(ref.name, ref.namespace, replicas=replicas, mounts=data))

    @rule(ref=Name, env=st.sampled_from("012"), order=st.sampled_from(["auto", "start-first", "stop-first"]))
    def edits(self, ref: Ref, env: str, order: Any) -> None:
        self._change(ref, env=(("A", env),), command=RUNS, update=("order", order))

    @rule(ref=Name, replicas=st.integers(0, 3))
    def scales(self, ref: Ref, replicas: int) -> None:
        if ref in self.wanted and (self.wanted[ref].spec.command or ())[0] == "exit":
            return  # a replica more that ends at once condemns nothing, and is tried again and again
        self._change(ref, replicas=replicas)

    @rule(
        ref=Name,
        memory=st.sampled_from([None, 32 * MIB, 48 * MIB]),
        restart=st.sampled_from(["unless-stopped", "always"]),
    )
    def limits(self, ref: Ref, memory: int | None, restart: str) -> None:
        self._change(ref, memory=memory, restart=restart)

    @rule(ref=Name, last=st.booleans())
    def breaks(self, ref: Ref, last: bool) -> None:
        """A revision whose replicas end at once, all of them or the second only."""
        if ref in self.wanted:
            self._loosen(ref)
            self._change(ref, command=("exit", "3", "2" if last else "1"))

    @rule(ref=Name)
    def deletes(self, ref: Ref) -> None:
        if self._copied(ref):
            return
        if ref in self.wanted:
            self._loosen(ref)  # its removal may be held back
        self.wanted.pop(ref, None)
        self.corrupt.discard(ref)

    @rule(ref=Name, other=Name)
    def renames(self, ref: Ref, other: Ref) -> None:
        if self._copied(ref) or {ref, other} & self.corrupt:
            return
        if ref in self.wanted and other not in self.wanted:
            self._loosen(ref)
            self.wanted[other] = replace(self.wanted.pop(ref), ref=other)

    @rule(ref=Name)
    def corrupts(self, ref: Ref) -> None:
        if ref in self.wanted:
            self._loosen(ref)
            self.corrupt.add(ref)

    @rule()
    def mends(self) -> None:
        self.corrupt.clear()

    # --- people with a docker client

    @rule(which=st.integers(0, 20), harm=st.sampled_from(["stop", "remove", "pause", "rename", "update", "disconnect"]))
    def harms(self, which: int, harm: str) -> None:
        engine, ours = self.world.engine, self._ours()
        if not ours:
            return
        key = sorted(ours, key=lambda k: ours[k]["Name"])[which % len(ours)]
        ref = _ref(ours[key])
        self.harmed.add(ref)
        if ref not in self.wanted:
            self.loose.add(ref)
        if harm in ("remove", "update") and (self._bad(ref) or ref in self.corrupt):
            self.loose.add(ref)  # it can't be mended without the spec of the good revision
        if harm == "update" and key not in self._recorded():
            self.loose.add(ref)  # the process that made it died before it had noted how: this counts as how
        running = ours[key]["State"]["Status"] == "running"
        match harm:
            case "stop":
                engine.stop(key, 0)
            case "remove":
                engine.stop(key, 0)
                engine.remove(key)
            case "pause" if running:
                engine.pause(key)
            case "rename" if not any(row["Name"] == "/by-hand" for row in engine.raw().values()):
                engine.rename(key, "by-hand")
            case "update":
                engine.update(key, {"Memory": 64 * MIB, "RestartPolicy": {"Name": "no"}})
            case "disconnect" if running:
                engine.disconnect(key)

    @rule(which=st.integers(0, 20))
    def copies(self, which: int) -> None:
        """`docker commit` and run, say: all labels of ours. A service that they look like can't be made anew then, so
        only those are copied that stay."""
        ours = {key: row for key, row in self._ours().items() if _ref(row) == Ref("t", "a")}
        if ours and Ref("t", "a") in self.live.keys() & self.wanted.keys() and len(self.foreign) < 6:
            key = sorted(ours, key=lambda k: ours[k]["Name"])[which % len(ours)]
            self.foreign.add(self.world.engine.plant(key, f"copy-{len(self.foreign)}"))
            self.before = self.before.also(self.world.engine, self.foreign)

    # --- what goes wrong

    @rule(nth=st.integers(1, 30), fault=st.sampled_from(["crash before", "crash after", "state full", "state unsure"]))
    def the_state_fails(self, nth: int, fault: str) -> None:
        self._cycle("write", fault, nth)

    @rule(nth=st.integers(1, 12), fault=st.sampled_from(sorted(set(FAULTS["call"]) - {"crash, copied"})))
    def a_call_fails(self, nth: int, fault: str) -> None:
        self._cycle("call", fault, nth)

    @rule(nth=st.integers(1, 25), fault=st.sampled_from(sorted(FAULTS["look"])))
    def a_look_fails(self, nth: int, fault: str) -> None:
        self._cycle("look", fault, nth)

    @rule(hours=st.sampled_from([-30, -2, 2, 30]))
    def the_clock_jumps(self, hours: int) -> None:
        self.offset += hours * 3600.0

    @rule()
    def a_cycle(self) -> None:
        self._cycle(None, "", 0)

    # --- and at rest

    @rule()
    def at_rest(self) -> None:
        """A few cycles without faults, with every removal confirmed once it was seen to be held back."""
        for _ in range(CYCLES):
            cycle = self._cycle(None, "", 0)
            if not self.pending.owes and not plan.allowed(cycle.plan).changes and not cycle.plan.guards:
                break
        held = {ref for guard in cycle.plan.guards for ref in guard.refs}
        assert not plan.allowed(cycle.plan).changes, f"not at rest: {cycle}"
        assert {guard.kind for guard in cycle.plan.guards} <= {"incomplete"}, cycle.plan.guards
        waiting = {ref: s for ref, s in self.live.items() if ref in held}
        bad = {ref for ref in self.wanted if self._bad(ref)}
        self.harmed.clear()
        self.loose &= bad | self.corrupt | held
        stands = {ref: s for ref, s in self.wanted.items() if ref not in self.corrupt | bad}
        stands |= {ref: s for ref, s in self.live.items() if ref in bad | self.corrupt} | waiting
        loose = frozenset(self.loose | {ref for ref in self.corrupt | bad if ref not in self.live})
        self.live = {ref: s for ref, s in stands.items() if ref not in loose}
        spaces = {ref.namespace: Namespace(Ref(ref.namespace)) for ref in [*stands, *self._namespaces(), *held]}
        desired = Desired("test", "/", spaces, self.live)
        kept, maybe = frozenset(bad), frozenset({ref.namespace for ref in held} - self._namespace_names())
        wrong = judge(self.world.engine, self.world.state, self.before, Wanted(desired, kept, maybe, loose))
        assert not wrong, "\n".join(wrong)
        calls = Hook(self.world.engine)
        again = self.world.cycle(self._desired(), calls)
        made = [str(p) for p in calls.trace if p.kind == "call"]
        assert not made and not plan.allowed(again.plan).changes, f"not at rest: {made} {again.plan}"

    @invariant()
    def the_plan_is_the_same_whoever_makes_it(self) -> None:
        store = Store.open(self.world.state, self._now)
        try:
            sight = reconcile.look(store, Engine(self.world.engine, "/", self._now))
        finally:
            store.close()
        other = replace(sight.observed, containers=sight.observed.containers[::-1])
        desired = self._desired()
        shuffled = replace(desired, services=dict(reversed(desired.services.items())))
        first = plan.make(desired, sight.recorded, sight.observed)
        assert first == plan.make(desired, sight.recorded, sight.observed)
        again = plan.make(shuffled, sight.recorded, other)
        assert [(a.verb, a.ref, a.after) for a in first.actions] == [(a.verb, a.ref, a.after) for a in again.actions]

    # --- inside

    def _change(self, ref: Ref, update: tuple[str, Any] | None = None, **spec: Any) -> None:
        known = self.wanted.get(ref)
        if known is None or ref in self.corrupt:
            return
        if update:
            spec["update"] = replace(known.spec.update, **{update[0]: update[1]})
        self.wanted[ref] = replace(known, spec=replace(known.spec, **spec))

    def _cycle(self, kind: Kind | None, fault: str, nth: int) -> Any:
        desired = self._desired()
        if kind is None:
            hook = self.pending.then()
        else:
            hook = self.pending.then(None, FAULTS[kind][fault], nth=nth, kinds=(kind,))
        if kind:  # a removal that was cut off half-way may be held back from now on
            self.loose |= self.live.keys() - self.wanted.keys()
        before = self._ours()
        cycle = None
        with contextlib.suppress(*([Died, LbError] if kind else [])):
            cycle = self.world.cycle(desired, hook)
        self.pending = hook
        assert not hook.broken, hook.broken
        self._check_removals(desired, hook)
        if cycle:
            self._confirm(cycle, {} if hook.landed else before)
        return cycle

    def _confirm(self, cycle: Any, before: dict[str, Any]) -> None:
        """What a guard holds back is there as before, unless the engine did something late; then the person says yes to
        exactly that."""
        now = self.world.engine.raw()
        for guard in cycle.plan.guards:
            held = {key: row for key, row in before.items() if _ref(row) in guard.refs}
            assert all(now.get(key) == row for key, row in held.items()), f"{guard} did not hold back"
            if guard.kind == "mass-delete":
                self.world.answers = Answers(confirm=guard.confirm)

    def _check_removals(self, desired: Desired, hook: Hook) -> None:
        forgotten = {p.what.removeprefix("forget_service ") for p in hook.trace if p.what.startswith("forget_service")}
        mentioned = {str(ref) for ref in desired.mentioned}
        assert not forgotten & mentioned, f"{forgotten & mentioned} were removed though they are mentioned"
        assert not (forgotten and self.corrupt), "something was removed though a manifest could not be read"

    def _desired(self) -> Desired:
        services = {ref: s for ref, s in self.wanted.items() if ref not in self.corrupt}
        spaces = {name: Namespace(Ref(name)) for name in self._namespace_names()}
        problems = tuple(Problem(Place(f"{ref.name}.yaml"), "spec", "bad", ref=ref) for ref in sorted(self.corrupt))
        mentioned = frozenset([*self.wanted, *(Ref(name) for name in spaces)])
        return Desired("test", "/", spaces, services, problems, mentioned)

    def _namespace_names(self) -> set[str]:
        return {"t", *(ref.namespace for ref in self.wanted)}

    def _namespaces(self) -> list[Ref]:
        return [Ref(name) for name in self._namespace_names()]

    def _loosen(self, ref: Ref) -> None:
        """It is not at rest, and from now on not all of it can be mended."""
        if self.wanted[ref] != self.live.get(ref) or ref in self.harmed:
            self.loose.add(ref)

    def _copied(self, ref: Ref) -> bool:
        return bool(self.foreign) and ref == Ref("t", "a")

    def _bad(self, ref: Ref) -> bool:
        wanted = self.wanted.get(ref)
        if wanted is None or (wanted.spec.command or ())[0] != "exit":
            return False
        return wanted.spec.replicas >= int((wanted.spec.command or ())[2])

    def _recorded(self) -> set[str]:
        with contextlib.closing(Store.open(self.world.state, self._now)) as store:
            return {row.id for service in store.recorded().services.values() for row in service.containers}

    def _ours(self) -> dict[str, Any]:
        return {key: row for key, row in self.world.engine.raw().items() if key not in self.foreign}

    def _now(self) -> str:
        return rfc3339(int((time.time() + self.offset) * 1e9))


def _ref(row: Any) -> Ref:
    labels = row["Config"]["Labels"]
    return Ref(labels["lb.namespace"], labels["lb.service"])


class OneByOne(Executor):
    """Side by side, the so-manyeth call would be another one each time, and no failure could be shrunk."""

    def __init__(self, max_workers: int) -> None:
        super().__init__()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        found: Future[Any] = Future()
        try:
            found.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            found.set_exception(error)
        return found


@pytest.mark.parametrize("part", range(PARTS))
def test_life(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 lives of 50 steps when all of it is run, each part a line of progress; otherwise 200 of 30, always the
    same."""
    monkeypatch.setattr(performer, "ThreadPoolExecutor", OneByOne)
    monkeypatch.setattr(crew, "THREADS", 1)
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=200, stateful_step_count=50 if FULL else 30, deadline=None, derandomize=not FULL,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
