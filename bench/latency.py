"""How long the daemon takes beyond what the engine itself needs, in one run: from a save, and from harm by hand.

`make bench` runs it against the engine that answers. Each row is a median and a 95th percentile in milliseconds; the
engine's own time is that of making and starting a container on the same network, measured between the edits. What
counts is the difference within the run: the machine may be busy with other things.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
from docker.utils import kwargs_from_env

LB = str(Path(sys.executable).parent / "lb")
IMAGE = os.environ.get("LB_TEST_IMAGES", "lb.local/") + "busybox:1.35"
SOURCE = "lbtest-bench"
SERVICES, EDITS, ROUNDS = 20, 30, 20
HARMS: dict[str, Callable[[docker.APIClient, str], Any]] = {
    "kill": lambda api, c: api.kill(c),
    "stop": lambda api, c: api.stop(c, timeout=0),
    "rm -f": lambda api, c: api.remove_container(c, force=True),
    "pause": lambda api, c: api.pause(c),
    "rename": lambda api, c: api.rename(c, f"lbtest-bench-{time.monotonic_ns()}"),
    "update": lambda api, c: api.update_container(c, mem_limit=64 << 20, memswap_limit=128 << 20),
    "disconnect": lambda api, c: api.disconnect_container_from_network(c, "lb.bench"),
}


class Bench:
    def __init__(self, folder: Path) -> None:
        self.api = docker.APIClient(version="auto", timeout=60, **kwargs_from_env())
        self.source, self.state = folder / "source", folder / "state"
        self.source.mkdir()
        (self.source / "lb.yaml").write_text(f"name: {SOURCE}\n")
        self._dump("bench", "Namespace", {"name": "bench"})
        for number in range(SERVICES):
            self.edit(number, "0")

    def edit(self, number: int, value: str) -> None:
        self._dump(f"s{number}", "Service", {"name": f"s{number}", "namespace": "bench"}, {
            "image": IMAGE, "command": ["sleep", "100000"], "stop_signal": "SIGKILL", "memory": 32,
            "update": {"min_ready": "0s"}, "env": {"VALUE": value},
        })  # fmt: skip

    def containers(self, number: int) -> list[dict[str, Any]]:
        labels = [f"lb.source={SOURCE}", f"lb.service=s{number}"]
        found = []
        for row in self.api.containers(all=True, filters={"label": labels}):
            with contextlib.suppress(docker.errors.NotFound):
                found.append(self.api.inspect_container(row["Id"]))
        return found

    def right(self, number: int, value: str) -> bool:
        """One replica that runs with this value, as it was made."""
        found = self.containers(number)
        return any(
            c["State"]["Status"] == "running"
            and f"VALUE={value}" in c["Config"]["Env"]
            and c["Name"].startswith("/bench.")
            and c["HostConfig"]["Memory"] == 32 << 20
            and "lb.bench" in c["NetworkSettings"]["Networks"]
            for c in found
        )

    def settle(self, values: dict[int, str]) -> None:
        for number, value in values.items():
            until(lambda n=number, v=value: self.right(n, v) and len(self.containers(n)) == 1)  # type: ignore[misc]

    def own(self) -> float:
        """Seconds that the engine needs to make and start one container there."""
        host = self.api.create_host_config(network_mode="lb.bench")
        begun = time.monotonic()
        made = self.api.create_container(IMAGE, ["sleep", "1000"], host_config=host)["Id"]
        self.api.start(made)
        took = time.monotonic() - begun
        self.api.remove_container(made, force=True)
        return took

    def _dump(self, name: str, kind: str, meta: dict[str, Any], spec: dict[str, Any] | None = None) -> None:
        document = {"apiVersion": "lb/v1", "kind": kind, "meta": meta, **({"spec": spec} if spec else {})}
        (self.source / f"{name}.yaml").write_text(json.dumps(document))


def until(condition: Callable[[], bool], seconds: float = 60) -> float:
    """Seconds that it took, by polling as fast as the engine answers."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError("it never came")
    return time.monotonic() - begun


@contextlib.contextmanager
def daemon(bench: Bench) -> Iterator[None]:
    command = [LB, "daemon", str(bench.source), "--state", str(bench.state), "--listen", "127.0.0.1:0"]
    with (bench.source.parent / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        yield
    except TimeoutError:
        sys.stderr.write((bench.source.parent / "log").read_text())
        raise
    finally:
        process.terminate()
        process.wait()
        subprocess.run([LB, "down", str(bench.source), "--state", str(bench.state), "--yes"], capture_output=True)


def measure(bench: Bench) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"engine's own": [], "save → running": [], **{harm: [] for harm in HARMS}}
    dice, values = random.Random(1), dict.fromkeys(range(SERVICES), "0")
    bench.settle(values)
    for edit in range(1, EDITS + 1):
        found["engine's own"].append(bench.own())
        number = dice.randrange(SERVICES)
        values[number] = str(edit)
        begun = time.monotonic()
        bench.edit(number, values[number])
        until(lambda n=number: bench.right(n, values[n]))  # type: ignore[misc]
        found["save → running"].append(time.monotonic() - begun)
        bench.settle(values)
    for harm, do in HARMS.items():
        for number in range(ROUNDS):  # one a service: the third of the same would be a fight
            (victim,) = bench.containers(number)
            begun = time.monotonic()
            do(bench.api, victim["Id"])
            until(lambda n=number: bench.right(n, values[n]))  # type: ignore[misc]
            found[harm].append(time.monotonic() - begun)
            bench.settle(values)
            found["engine's own"].append(bench.own())
    return found


def show(found: dict[str, list[float]]) -> None:
    own = percentile(found["engine's own"])
    print(f"{'':16}  {'n':>4}  {'median':>7}  {'p95':>7}  {'p95 - own p95':>14}")
    for name, times in found.items():
        middle, high = statistics.median(times), percentile(times)
        print(f"{name:16}  {len(times):4}  {middle * 1e3:7.0f}  {high * 1e3:7.0f}  {(high - own) * 1e3:14.0f}")


def percentile(times: list[float]) -> float:
    return sorted(times)[max(0, round(len(times) * 0.95) - 1)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="lbtest-bench-") as name:
        bench = Bench(Path(name))
        with daemon(bench):
            result = measure(bench)
        show(result)
