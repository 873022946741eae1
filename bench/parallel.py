"""How many engine calls at once are best? Creates and starts services of one container each, with different numbers
of slots, in rounds: each round measures every number once, in another order, and only ratios within a round count.

So a machine that is busy, or an engine that grows slow (after many removals the disk's freed inodes make a create cost
more for half a minute), does not tilt the answer. Everything that is made here is removed.

    bench/parallel.py [--services 24] [--rounds 5] [--slots 1,2,4,8,16,32] [--pause 3]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from reconciler import clock, marker, reconcile
from reconciler.apply import Tools
from reconciler.errors import LbError
from reconciler.lock import Lock
from reconciler.model import Desired, Namespace, Ref, Service, Spec, Update
from reconciler.plan import Answers
from reconciler.runtimes import translate
from reconciler.runtimes.client import connect
from reconciler.runtimes.engine import Engine
from reconciler.runtimes.work import SLOTS
from reconciler.store import Store

IMAGE = translate.full_reference(f"{os.environ.get('LB_TEST_IMAGES', 'lb.local/')}busybox:1.35")
NAMESPACE = Ref("lbbench")


def main() -> None:
    options = _options()
    slots = [int(number) for number in options.slots.split(",")]
    rounds: list[dict[int, float]] = []
    with contextlib.closing(connect()) as calls, tempfile.TemporaryDirectory(prefix="lbbench-") as folder:
        info = calls.info()
        print(f"engine {info.version}, {os.cpu_count()} CPUs, {options.services} services of one container, {IMAGE}")
        with _alone(f"{info.id}\n{info.root}\n{info.endpoint}"):
            for number in range(options.rounds):
                found: dict[int, float] = {}
                for n in random.sample(slots, len(slots)):
                    engine = Engine(calls, folder, clock.now, slots=n)
                    found[n] = _measured(engine, Path(folder) / f"{number}-{n}", options.services)
                    time.sleep(options.pause)
                rounds.append(found)
                print(f"round {number + 1}: " + "  ".join(f"{n}: {found[n]:.2f} s" for n in slots), flush=True)
    _show(slots, rounds, options.services)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--services", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", default="1,2,4,8,16,32")
    parser.add_argument("--pause", type=float, default=3.0, metavar="SECONDS", help="between two measurements")
    return parser.parse_args()


def _alone(key: str) -> Lock:
    return Lock.acquire(key, "bench/parallel.py", wait=60.0)


def _measured(engine: Engine, state: Path, count: int) -> float:
    """Seconds from the first step of an apply to its end; what it made is removed afterwards."""
    services = [_service(f"s{number}") for number in range(count)]
    with contextlib.closing(Store.open(state)) as store:
        marker.check(engine, store, adopt=False)  # an engine that another state manages is not for us
        try:
            begun = time.monotonic()
            _apply(engine, store, _desired(services))
            return time.monotonic() - begun
        finally:
            _apply(engine, store, Desired(NAMESPACE.namespace))
            marker.release(engine, store)


def _service(name: str) -> Service:
    spec = Spec(IMAGE, command=("sleep", "100000"), stop_signal="SIGKILL", update=Update(min_ready=0))
    return Service(Ref(NAMESPACE.namespace, name), spec, shown={"image": IMAGE})


def _desired(services: Sequence[Service]) -> Desired:
    wanted = {service.ref: service for service in services}
    spaces = {NAMESPACE.namespace: Namespace(NAMESPACE)}
    return Desired(NAMESPACE.namespace, "/", spaces, wanted, mentioned=frozenset({NAMESPACE, *wanted}))


def _apply(engine: Engine, store: Store, desired: Desired) -> None:
    tools = Tools(engine, store, lambda: None, lambda progress: None, Event())
    decided = reconcile.preview(desired, store, engine)
    answers = Answers(confirm=next((guard.confirm for guard in decided.guards if guard.confirm), ""))
    failed = [outcome for outcome in reconcile.carry_out(desired, answers, tools).outcomes if outcome.code]
    if failed:
        raise SystemExit("\n".join(f"{outcome.ref}: {outcome.message}" for outcome in failed))


def _show(slots: Sequence[int], rounds: Sequence[dict[int, float]], count: int) -> None:
    """Ratios to the number of slots that is built in; without it, to the first."""
    base = SLOTS if SLOTS in slots else slots[0]
    print(f"\nslots  seconds  a container  against {base} (least to most)")
    for n in slots:
        seconds = statistics.median(found[n] for found in rounds)
        ratios = sorted(found[n] / found[base] for found in rounds)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{n:5}  {seconds:7.2f}  {1000 * seconds / count:8.0f} ms  {spread}")


if __name__ == "__main__":
    try:
        main()
    except LbError as error:
        sys.exit(f"{error.message}: {error.hint}" if error.hint else error.message)
