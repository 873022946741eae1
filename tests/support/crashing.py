"""Applies that die. A process that has everything loaded forks one child for each apply, which ends by `os._exit(137)`
at the point it is told: no handler runs, nothing is flushed, every lock and connection is the kernel's to clean up.

Its process reads one pickled `Apply` a line (base64) and answers with one pickled `Came`.
"""

from __future__ import annotations

import base64
import os
import pickle
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from reconciler.model import Desired
from reconciler.plan import Answers
from tests.support.answering import Answering
from tests.support.faults import Act, Hook, Kind, Point
from tests.support.memory import Memory
from tests.support.real import calls_at
from tests.support.scenarios import World

KILLED = 137
When = Literal["before", "after"]


@dataclass(frozen=True)
class Apply:
    """Dies before or after the nth point of this kind; `nth` 0 lives on, and says which points it passed."""

    url: str
    state: str
    desired: Desired
    kind: Kind = "write"
    nth: int = 0
    when: When = "before"
    answers: Answers = field(default_factory=Answers)


@dataclass(frozen=True)
class Came:
    """`code` is how the process ended."""

    code: int
    points: tuple[Point, ...] = ()
    said: str = ""


class Crashing:
    """The process that forks them; used by one thread."""

    def __init__(self) -> None:
        self._process = Answering(__name__)
        self.close = self._process.close

    def run(self, apply: Apply) -> Came:
        answer = self._process.ask(base64.b64encode(pickle.dumps(apply)))
        return cast(Came, pickle.loads(base64.b64decode(answer)))


def main() -> None:
    for line in sys.stdin.buffer:
        apply: Apply = pickle.loads(base64.b64decode(line))
        source, target = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(source)
            _child(apply, target)
        os.close(target)
        with os.fdopen(source, "rb") as pipe:
            data = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        points, said = pickle.loads(data) if data else ((), "")
        sys.stdout.buffer.write(base64.b64encode(pickle.dumps(Came(code, points, said))) + b"\n")
        sys.stdout.buffer.flush()


def _child(apply: Apply, target: int) -> None:
    code, said = 0, ""
    calls = calls_at(apply.url)
    hook = Hook(cast(Memory, calls), None, _before if apply.when == "before" else _after, apply.nth, (apply.kind,))
    try:
        World(cast(Memory, calls), Path(apply.state), apply.answers).cycle(apply.desired, hook)
    except Exception:  # noqa: BLE001 - said to whoever asked
        code, said = 1, traceback.format_exc()
    with os.fdopen(target, "wb") as pipe:
        pipe.write(pickle.dumps((tuple(hook.trace), said)))
    os._exit(code)


def _before(hook: Hook, point: Point, act: Act) -> Any:
    os._exit(KILLED)


def _after(hook: Hook, point: Point, act: Act) -> Any:
    act()
    os._exit(KILLED)
