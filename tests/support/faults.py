"""Faults at chosen points of a cycle: every write to the state, every call and every look at the engine is a point.

A point is named by what is done to which object, and how often that was done before; so it is the same one in every
run, whatever ran beside it. Recorded without a fault, the trace lists the points; with one, the fault happens there.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Literal, NamedTuple

from reconciler import errors
from reconciler.model import Container, Network, Ref, Volume
from reconciler.runtime import MARKER, Effect, Intent
from reconciler.runtimes.calls import Calls
from reconciler.store import Store
from tests.support.memory import Memory

Kind = Literal["write", "call", "look"]
Act = Callable[[], Any]

WRITES = {
    *("begin", "end", "raise_attempts", "open_revision", "set_image", "promote", "fail", "record_service"),
    *("record_namespace", "forget_namespace", "forget_service", "adopt", "adopt_network", "adopt_volume"),
    *("add_activity", "set_notes", "bind_engine", "forget_containers", "settle_restore", "record_source"),
    *("order_restart", "order_retry", "call_off_restart", "settle_unnamed", "fall_back"),
}
# A mutating call → the steps one of which must have been written ahead.
CALLS = {
    "pull": {"pull"},
    "create": {"create"},
    "start": {"start"},
    "stop": {"stop"},
    "remove": {"remove"},
    "unpause": {"unpause"},
    "rename": {"rename"},
    "update": {"update", "pin"},
    "connect": {"connect"},
    "create_network": {"network"},
    "remove_network": {"remove-network"},
    "create_volume": {"volume"},
    "remove_volume": set[str](),
}
LOOKS = {
    *("info", "containers", "inspect", "has_healthcheck", "networks", "volumes", "volume", "images", "image", "logs"),
    *("digests", "platform", "mounted", "ask"),
}


class Point(NamedTuple):
    kind: Kind
    what: str
    nth: int = 1

    @property
    def verb(self) -> str:
        """What is done there, whoever it is done to."""
        words = self.what.split()
        return " ".join(words[:2]) if words[0] in ("begin", "end") else words[0]

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f" #{self.nth}" if self.nth > 1 else "")


class Died(BaseException):
    """The process is gone: nothing that it does from now on reaches the state or the engine."""


Fault = Callable[["Hook", Point, Act], Any]


@dataclass
class Hook:
    """What happens `at` a point. `broken` lists promises that were broken on the way."""

    engine: Memory
    at: Point | None = None
    fault: Fault | None = None
    nth: int = 0  # or at the so-manyeth point of these kinds
    kinds: tuple[Kind, ...] = ("write", "call")
    trace: list[Point] = field(default_factory=list)
    hit: bool = False
    dead: bool = False
    later: list[Act] = field(default_factory=list)  # calls that the engine will carry out when it gets round to it
    overtaken: list[tuple[str, Act]] = field(default_factory=list)  # just after the next process has done the same
    rival: list[tuple[str, Act]] = field(default_factory=list)  # what was overtaken in the process before
    landed: int = 0  # of these
    stale: list[Lists] = field(default_factory=list)  # what the next look is shown instead
    open: dict[str, tuple[str, str]] = field(default_factory=dict)  # nonce → step and label of open intents
    broken: list[str] = field(default_factory=list)
    copies: set[str] = field(default_factory=set)
    watch: Callable[[], str] = lambda: ""  # what is wrong with the engine after a call, "" when nothing
    counts: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    lock: Any = field(default_factory=RLock)

    def passes(self, kind: Kind, what: str, act: Act) -> Any:
        with self.lock:
            if self.dead:
                raise Died
            self.counts[kind, what] += 1
            point = Point(kind, what, self.counts[kind, what])
            self.trace.append(point)
            passed = sum(n for (k, _), n in self.counts.items() if k in self.kinds) if self.nth else 0
            here = point == self.at or (not self.hit and bool(self.nth) and kind in self.kinds and passed >= self.nth)
            self.hit |= here
        found = self.fault(self, point, act) if here and self.fault else act()
        if kind == "call":
            self._land([act for same, act in self.rival if same == what])
            self.rival = [(same, act) for same, act in self.rival if same != what]
        if (kind, what) == ("look", "images"):  # the last part of a look
            self.stale.clear()
            self.land()
            if self.counts[kind, what] > 1:  # it went on without doing the same
                self._land([act for _, act in self.rival])
                self.rival = []
        return found

    def die(self) -> None:
        self.dead = True
        raise Died

    def land(self) -> None:
        """The engine carries out what it was asked for when nobody listened any more."""
        acts, self.later = self.later, []
        self._land(acts)

    @property
    def owes(self) -> bool:
        """Something of it is still to come, or to be believed."""
        return bool(self.later or self.overtaken or self.rival or self.stale)

    def then(self, at: Point | None = None, fault: Fault | None = None, **given: Any) -> Hook:
        """What the next process meets."""
        later = [*self.later, *(act for _, act in self.rival)]
        return Hook(self.engine, at, fault, stale=self.stale, later=later, rival=self.overtaken, **given)

    def _land(self, acts: list[Act]) -> None:
        self.landed += len(acts)
        self.engine.late = True
        for act in acts:
            with contextlib.suppress(errors.EngineError):  # it says so, to nobody
                act()
        self.engine.late = False


class Lists(NamedTuple):
    """What a look was shown. Containers are listed by id and then inspected, so only who is there can be old news."""

    containers: tuple[str, ...]
    networks: list[Network]
    volumes: list[Volume]

    @classmethod
    def of(cls, engine: Memory) -> Lists:
        return cls(tuple(engine.raw()), engine.networks(), engine.volumes())


class WatchedCalls(Calls):
    def __init__(self, hook: Hook) -> None:
        self.engine, self.hook = hook.engine, hook

    def __getattribute__(self, name: str) -> Any:
        if name not in CALLS and name not in LOOKS:
            return super().__getattribute__(name)

        def call(*given: Any, **named: Any) -> Any:
            if name == "containers":
                act: Act = self._containers
            elif name in ("networks", "volumes"):
                act = lambda: self._listed(name)  # noqa: E731
            else:
                act = lambda: getattr(self.engine, name)(*given, **named)  # noqa: E731
            named_ones = [getattr(value, "name", value) for value in given[name == "connect" :]]
            target = next((value for value in named_ones if isinstance(value, str)), "")
            what = f"{name} {self._label(target)}".strip()
            if name in LOOKS:
                return self.hook.passes("look", what, act)
            if target != MARKER:
                self._check_intent(name, what)
            found = self.hook.passes("call", what, act)
            wrong = self.hook.watch()
            if wrong:
                self.hook.broken.append(f"after {what}: {wrong}")
            return found

        return call

    def changes(self) -> Iterator[None]:
        return self.engine.changes()

    def taken_subnets(self) -> list[str]:
        return []

    def close(self) -> None:
        pass

    def _check_intent(self, name: str, what: str) -> None:
        label = what.partition(" ")[2]
        if not any(step in CALLS[name] and label == about for step, about in self.hook.open.values()):
            self.hook.broken.append(f"{what} was not written ahead; open are {sorted(self.hook.open.values())}")

    def _containers(self) -> list[Container]:
        if not self.hook.stale:
            return self.engine.containers()
        found = []
        for container in self.hook.stale[0].containers:
            with contextlib.suppress(errors.NotFound):
                found.append(self.engine.inspect(container))
        return [c for c in found if "lb.service" in c.labels]

    def _listed(self, name: str) -> Any:
        return getattr(self.hook.stale[0], name) if self.hook.stale else getattr(self.engine, name)()

    def _label(self, target: str) -> str:
        return label(self.engine, target)


def label(engine: Memory, target: str) -> str:
    """A name that is the same in every run: of a container its number but neither its id nor its attempt."""
    if not target:
        return ""
    with contextlib.suppress(errors.NotFound):
        return re.sub(r"-\d+$", "", engine.inspect(target).name)
    names = {network.id: network.name for network in engine.networks()}
    return names.get(target) or re.sub(r"(\.\d+)-\d+$", r"\1", target)


class WatchedStore:
    """A Store whose writes are points. It stands for one process: `close` it and open the next."""

    def __init__(self, store: Store, hook: Hook) -> None:
        self._store, self._engine, self._hook = store, hook.engine, hook

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name == "recorded":
            return lambda: self._hook.passes("look", name, found)
        if name not in WRITES:
            return found

        def write(*given: Any, **named: Any) -> Any:
            return self._hook.passes("write", f"{name} {_about(given[0])}", lambda: found(*given, **named))

        return write

    def begin(self, step: str, ref: Any, target: str, number: int, revision: str) -> Intent:
        about = label(self._engine, target) if target else f"{ref.namespace}.{ref.name}.{number}"

        def act() -> Intent:
            intent = self._store.begin(step, ref, target, number, revision)
            self._hook.open[intent.nonce] = (step, about)
            return intent

        found: Intent = self._hook.passes("write", f"begin {step} {about}", act)
        return found

    def end(self, nonce: str, effect: Effect) -> None:
        step, about = self._hook.open.get(nonce, ("settled", effect.kind))

        def act() -> None:
            self._store.end(nonce, effect)
            self._hook.open.pop(nonce, None)

        self._hook.passes("write", f"end {step} {about}", act)


def _about(value: Any) -> str:
    """The object that a write is about, as far as that is the same in every run."""
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, str):
        return "" if len(value) > 30 else value
    return str(getattr(value, "ref", getattr(value, "name", value if isinstance(value, tuple) else "")))


# --- the faults


def crash_before(hook: Hook, point: Point, act: Act) -> Any:
    hook.die()


def crash_after(hook: Hook, point: Point, act: Act) -> Any:
    act()
    hook.die()


def state_full(hook: Hook, point: Point, act: Act) -> Any:
    raise errors.StateError("the state can't be used: database or disk is full")


def state_unsure(hook: Hook, point: Point, act: Act) -> Any:
    """It is on the disk, and the disk says that it failed."""
    act()
    raise errors.StateError("the state can't be used: disk I/O error")


def unreachable(hook: Hook, point: Point, act: Act) -> Any:
    raise errors.EngineUnreachable("no Docker Engine answers: connection refused")


def answer_lost(hook: Hook, point: Point, act: Act) -> Any:
    with contextlib.suppress(errors.EngineError):
        act()
    raise errors.EngineUnreachable("no Docker Engine answers: connection reset")


def late(hook: Hook, point: Point, act: Act) -> Any:
    """Timed out: the engine does it when the next cycle has had its look."""
    hook.later.append(act)
    raise errors.EngineUnreachable("no Docker Engine answers: read timed out")


def crash_late(hook: Hook, point: Point, act: Act) -> Any:
    hook.later.append(act)
    hook.die()


def crash_overtaken(hook: Hook, point: Point, act: Act) -> Any:
    """The engine does it when the next process has just done the same."""
    hook.overtaken.append((point.what, act))
    hook.die()


def error_500(hook: Hook, point: Point, act: Act) -> Any:
    raise _as_client_says(point, "500 server error")


def error_500_after(hook: Hook, point: Point, act: Act) -> Any:
    act()
    raise _as_client_says(point, "500 server error")


def error_409(hook: Hook, point: Point, act: Act) -> Any:
    if point.verb == "create":
        raise errors.NameConflict("the container name is already in use by container 0123")
    raise _as_client_says(point, "409 conflict: operation already in progress")


def truncated(hook: Hook, point: Point, act: Act) -> Any:
    act()
    raise _as_client_says(point, "the engine's answer broke off")


def crash_then_stale(hook: Hook, point: Point, act: Act) -> Any:
    return stale(hook, point, act, crash_after)


def stale(hook: Hook, point: Point, act: Act, then: Fault = lambda hook, point, act: act()) -> Any:
    """The next look is shown who was there before this call."""
    hook.stale.append(Lists.of(hook.engine))
    return then(hook, point, act)


def copied(hook: Hook, point: Point, act: Act) -> Any:
    """Died after the call; and somebody made a copy of every container there is, with all its labels."""
    act()
    hook.dead = True
    for i, (key, raw) in enumerate(hook.engine.raw().items()):
        if key not in hook.copies:
            with contextlib.suppress(errors.NotFound):  # a call beside this one has just removed it
                hook.copies.add(hook.engine.plant(key, f"copy-{i}-of{raw['Name'].replace('/', '-')}"))
    hook.die()


def _as_client_says(point: Point, text: str) -> errors.EngineError:
    """As `reconciler.runtimes.client` translates it."""
    kinds = {"update": errors.UpdateRefused, "pull": errors.ImageUnavailable}
    return kinds.get(point.verb, errors.EngineError)(f"{point.what}: {text}")


FAULTS: dict[Kind, dict[str, Fault]] = {
    "write": {
        "crash before": crash_before,
        "crash after": crash_after,
        "state full": state_full,
        "state unsure": state_unsure,
    },
    "call": {
        "crash after": crash_after,
        "crash, late effect": crash_late,
        "crash, overtaken": crash_overtaken,
        "crash, stale list": crash_then_stale,
        "crash, copied": copied,
        "unreachable": unreachable,
        "answer lost": answer_lost,
        "late effect": late,
        "500": error_500,
        "500 after": error_500_after,
        "409": error_409,
        "truncated": truncated,
        "stale list": stale,
    },
    "look": {"unreachable": unreachable, "500": error_500},
}
