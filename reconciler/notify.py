"""Commands of this host are told what happened: one at a time, in order, beside everything else.

In: events. Out: each is a line of JSON on a command's standard input. Whoever tells is never held up: a command is
ended after 30 s, and when too many events wait, the newest are dropped, and that is said. A command is the host's own
(host.yaml), so it has the environment that `lb` has.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from typing import Literal, Protocol

EventKind = Literal["failed", "recovered", "drift"]
PATIENCE = 30.0  # seconds that a command may take
LEAVING = 5.0  # seconds that are left for what waits, at the end
WAITING = 100  # events


@dataclass(frozen=True, slots=True)
class Event:
    """`object` is NAMESPACE/SERVICE or NAMESPACE, or what else it is about: source, engine, state, registry."""

    time: str
    event: EventKind
    object: str
    message: str
    source: str
    host: str


class Hook(Protocol):
    @property
    def command(self) -> Sequence[str]: ...
    @property
    def events(self) -> Sequence[str]: ...


class Notifier:
    """`hooks` is asked at each event, so that they may change; `say` is told, in a line, what did not work."""

    def __init__(self, hooks: Callable[[], Sequence[Hook]], say: Callable[[str], None]) -> None:
        self._hooks, self._say = hooks, say
        self._waiting: SimpleQueue[Event | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="notify")
        self._thread.start()

    def tell(self, event: Event) -> None:
        """From any thread; returns at once."""
        if not any(event.event in hook.events for hook in self._hooks()):
            return
        if self._waiting.qsize() >= WAITING:
            self._say(f"{WAITING} events wait for the commands of notify: one about {event.object} is dropped")
        else:
            self._waiting.put(event)

    def close(self) -> None:
        """Returns when all was told, or after 5 s."""
        self._waiting.put(None)
        self._thread.join(LEAVING)

    def _run(self) -> None:
        while event := self._waiting.get():
            for hook in self._hooks():
                if event.event in hook.events:
                    self._call(hook, event)

    def _call(self, hook: Hook, event: Event) -> None:
        line = json.dumps(asdict(event), ensure_ascii=False) + "\n"
        name = hook.command[0]
        try:
            done = subprocess.run(
                list(hook.command), input=line.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                timeout=PATIENCE, check=False, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self._say(f"{name} was ended: it took more than {PATIENCE:g} s")
        except OSError as error:
            self._say(f"{name} can't be run: {error.strerror}")
        else:
            if done.returncode:
                last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [""])[-1][:200]
                self._say(f"{name} ended with exit {done.returncode}" + (f": {last}" if last else ""))
