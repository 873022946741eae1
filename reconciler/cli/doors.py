"""Opens what a command needs: the engine, the state, the lock. Heavy imports are made here, when needed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer
from types import FrameType

from .. import clock, marker
from ..errors import EXIT_INTERRUPTED, EngineUnreachable, RefusedError
from ..host import Host
from ..host.standing import Standing
from ..lock import Lock
from ..lock import key as lock_key
from ..model import EngineInfo, Observed
from ..runtime import Runtime
from ..snapshots import FOLDER
from ..store import Store
from .options import this_host
from .terminal import say


def engine(state: Path, host: Host | Standing | None = None) -> Runtime:
    """Without a `host` nothing is made that needs its policy. Raises EngineUnreachable."""
    from ..runtimes.client import connect
    from ..runtimes.engine import Engine

    if host is None:
        return Engine(connect(), str(state / FOLDER), clock.now)
    warden = host.at(endpoint())  # it knows the engine's socket, wherever it is
    return Engine(connect(lambda: warden.registries), str(state / FOLDER), clock.now, warden, lambda: warden.pool)


def endpoint() -> str:
    """Where an engine is looked for, whether one answers there or not."""
    from ..runtimes.endpoint import endpoint

    return endpoint()


@contextlib.contextmanager
def reading(state: Path) -> Iterator[tuple[Store, Runtime]]:
    """State and engine for a command that changes neither."""
    runtime = engine(state)
    store = Store.open(state, create=False)
    try:
        yield store, runtime
    finally:
        store.close()
        runtime.close()


@contextlib.contextmanager
def remembered(state: Path) -> Iterator[Store]:
    """The state alone, for a command that asks no engine and changes nothing."""
    store = Store.open(state, create=False)
    try:
        yield store
    finally:
        store.close()


def glance(state: Path) -> Observed | EngineUnreachable:
    """One look at the engine, or why there is none: for commands that still have something to say then."""
    try:
        runtime = engine(state)
    except EngineUnreachable as error:
        return error
    try:
        return runtime.observe()
    except EngineUnreachable as error:
        return error
    finally:
        runtime.close()


@contextlib.contextmanager
def changing(state: Path, *, adopt: bool, remote: bool, patience: float = 0.0) -> Iterator[tuple[Store, Runtime, Lock]]:
    """State, engine and the lock, for which it waits `patience` seconds. Raises RefusedError where another state
    manages this engine."""
    runtime = engine(state, this_host())
    info = runtime.info()
    if not info.local and not remote:
        raise RefusedError(
            f"the engine at {info.endpoint} is not on this host, where the lock would not reach it",
            hint="run lb there, or add --remote-engine when nobody else does",
        )
    with engine_lock(info, patience) as lock:
        store = Store.open(state)
        try:
            marker.check(runtime, store, adopt=adopt)
            yield store, runtime, lock
        finally:
            store.close()
            runtime.close()


def engine_lock(info: EngineInfo, patience: float = 0.0) -> Lock:
    """Raises LockedError when another process holds it for longer than `patience` seconds."""
    return Lock.acquire(lock_key(info), " ".join(["lb", *sys.argv[1:]]), wait=patience)


class Stop(Event):
    """`timed_out` tells the time limit (`limit`, seconds) from a person's Ctrl-C."""

    def __init__(self, limit: float | None) -> None:
        super().__init__()
        self.limit, self.timed_out = limit or 0.0, False

    def time_out(self) -> None:
        self.timed_out = True
        self.set()


@contextlib.contextmanager
def stopping(timeout: float | None) -> Iterator[Stop]:
    """An event that Ctrl-C, SIGTERM or the time limit sets: the step in flight is finished and recorded.

    A second Ctrl-C leaves at once; the next apply carries on from what was written ahead.
    """
    cancel = Stop(timeout)

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            os._exit(EXIT_INTERRUPTED)
        say("stopping after the step in flight")
        cancel.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    timer = Timer(timeout, cancel.time_out) if timeout else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield cancel
    finally:
        if timer:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
