"""One process at a time changes an engine: many at once, a holder that is stopped, a lock that is swept away."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sqlite3
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.doors import lock_key
from reconciler.lock import folder as lock_folder
from tests.chaos.conftest import FULL
from tests.conftest import LB, SECOND, Sandbox
from tests.support.at_once import AtOnce
from tests.support.chaos_proxy import ChaosProxy, chaos_proxy
from tests.support.eventually import eventually
from tests.support.real import calls_at

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group(SECOND)]

ROUNDS = 200 if FULL else 3
LATER = {"test": "test -f /ready", "interval": "100ms", "retries": 1000}


@pytest.fixture
def proxy(sandbox: Sandbox, tmp_path: Path) -> Iterator[ChaosProxy]:
    """Says which process made which call."""
    with chaos_proxy(sandbox.socket, tmp_path / "engine.sock") as found:
        sandbox.env["DOCKER_HOST"] = found.url
        yield found


def spans(proxy: ChaosProxy) -> list[tuple[float, float, int]]:
    """When each process changed something: first begin, last end."""
    pids = {call.pid for call in proxy.calls}
    found = []
    for pid in pids:
        mine = [call for call in proxy.calls if call.pid == pid]
        found.append((min(c.begun for c in mine), max(c.ended for c in mine), pid))
    return sorted(found)


def test_of_eight_at_once_one_changes_the_engine(sandbox: Sandbox, proxy: ChaosProxy) -> None:
    sandbox.namespace()
    losers: list[float] = []
    at_once = AtOnce(sandbox.environ(), sandbox.source)
    try:
        for i in range(ROUNDS):
            for name in "ab":
                sandbox.service(name, env={"ROUND": str(i)})
            proxy.disarm()
            ended = at_once.run(8, "apply", "--yes")
            assert {e.code for e in ended} <= {0, 75} and 0 in {e.code for e in ended}, ended
            lost = [e for e in ended if e.code == 75]
            assert all("has been changing this engine since" in e.said for e in lost), lost
            losers += [e.seconds for e in lost]
            assert len(spans(proxy)) == 1, "two changed it"
            found = sandbox.containers()
            assert sorted(c["Config"]["Labels"]["lb.service"] for c in found) == ["a", "b"]
            assert all(c["State"]["Running"] and f"ROUND={i}" in c["Config"]["Env"] for c in found)
    finally:
        at_once.close()
    assert losers and max(losers) < 30, losers  # a gross hang
    if FULL:  # a promise of a second, on a machine that does nothing else
        assert statistics.median(losers) < 1.0, losers


def holder(sandbox: Sandbox, proxy: ChaosProxy) -> subprocess.Popen[str]:
    """An apply that waits at its gate, stopped (SIGSTOP)."""
    sandbox.namespace()
    sandbox.service("a", healthcheck=LATER)
    process = subprocess.Popen([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    eventually(lambda: sandbox.live("a"))
    eventually(lambda: proxy.trace[-1:] == ["start"])
    eventually(lambda: stopped_between_writes(sandbox, process))
    return process


def stopped_between_writes(sandbox: Sandbox, process: subprocess.Popen[str]) -> bool:
    """Stop it; let it go on if that was in the middle of a write to its state, which no second apply gets past."""
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T")
    with contextlib.closing(sqlite3.connect(sandbox.state / "state.db", timeout=0, isolation_level=None)) as state:
        try:
            state.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # locked, by it
            process.send_signal(signal.SIGCONT)
            return False
        state.execute("ROLLBACK")
    return True


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_stopped_holder_still_holds(sandbox: Sandbox, proxy: ChaosProxy) -> None:
    first = holder(sandbox, proxy)
    try:
        made = len(proxy.calls)
        assert f"pid {first.pid}" in sandbox.apply(code=75).err
        assert len(proxy.calls) == made
        container = sandbox.one("a")["Id"]
        sandbox.api.exec_start(sandbox.api.exec_create(container, ["touch", "/ready"])["Id"])
        assert finish(first)[0] == 0
        assert {call.pid for call in proxy.calls} == {first.pid}
    finally:
        first.kill()
        first.wait()


def test_a_holder_whose_lock_was_swept_away_changes_nothing_more(sandbox: Sandbox, proxy: ChaosProxy) -> None:
    first = holder(sandbox, proxy)
    try:
        lock_file(proxy).unlink()
        sandbox.service("a", env={"A": "second"})
        sandbox.apply()
        second = sandbox.one("a")
        made = [call for call in proxy.calls if call.pid == first.pid]
        code, err = finish(first)
        assert code != 0 and "Traceback" not in err
        assert [call for call in proxy.calls if call.pid == first.pid] == made
        after = sandbox.one("a")
        assert (after["Id"], after["State"]["StartedAt"]) == (second["Id"], second["State"]["StartedAt"])
        assert sandbox.apply().out == "no changes\n"
    finally:
        first.kill()
        first.wait()


def lock_file(proxy: ChaosProxy) -> Path:
    with contextlib.closing(calls_at(proxy.url)) as calls:
        key = lock_key(calls.info())
    found = lock_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.lock"
    assert found.exists() and found.stat().st_size, "the lock is named otherwise by now"
    return found
