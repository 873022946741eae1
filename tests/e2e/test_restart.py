"""`lb restart` and `lb retry` on a real engine: one service anew, without a gap, whatever happens half-way."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import LB, THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)

START_FIRST = {"min_ready": "0s", "order": "start-first"}
READY = {"test": "test -e /tmp/ready", "interval": "100ms", "retries": 1000}
LOOK = "ping -c 1 -W 5 keeper"


def ids(sandbox: Sandbox, service: str) -> set[str]:
    return {container["Id"] for container in sandbox.containers(service)}


@contextmanager
def watched(sandbox: Sandbox, service: str) -> Iterator[list[int]]:
    """How many replicas run, by the engine's own count, asked all the time."""
    counts: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        labels = [f"lb.source={sandbox.name}", f"lb.service={service}"]
        while not ended.is_set():
            counts.append(len(sandbox.api.containers(filters={"label": labels, "status": "running"})))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield counts
    finally:
        ended.set()
        thread.join()


def needing(sandbox: Sandbox, **spec: Any) -> None:
    """Service `keeper`, and `a`, which looks for it by its name when it starts, and then never again."""
    sandbox.service("keeper")
    sandbox.apply()
    sandbox.service("a", **spec)
    sandbox.apply()


def needy(sandbox: Sandbox) -> None:
    """`a` ends at once where there is no keeper."""
    needing(sandbox, restart="no", update=START_FIRST, healthcheck=READY,
            command=["sh", "-c", f"{LOOK} || exit 3; touch /tmp/ready; exec sleep 100000"])  # fmt: skip


def lose_keeper(sandbox: Sandbox) -> None:
    sandbox.api.stop(sandbox.one("keeper")["Id"], timeout=0)


def let_pass(sandbox: Sandbox, container: str) -> None:
    """Makes a container healthy that looks for /tmp/ready."""
    eventually(lambda: sandbox.api.inspect_container(container)["State"]["Running"])
    sandbox.api.exec_start(sandbox.api.exec_create(container, ["touch", "/tmp/ready"])["Id"])


def test_all_replicas_are_new_and_never_fewer_than_wanted(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=3, update=START_FIRST)
    sandbox.service("b", depends_on=["a"])
    sandbox.apply()
    before, other = ids(sandbox, "a"), sandbox.one("b")["Id"]
    with watched(sandbox, "a") as counts:
        said = sandbox.lb("restart", "t/a")
    assert "± replace service t/a (rolling)\n    restart was asked for\n" in said.out
    assert len(ids(sandbox, "a")) == 3 and not ids(sandbox, "a") & before
    assert len(counts) > 3 and min(counts) == 3 and max(counts) > 3, counts
    assert sandbox.one("b")["Id"] == other
    assert sandbox.apply().out == "no changes\n"


def test_killed_half_way_the_next_apply_carries_on(sandbox: Sandbox) -> None:
    """The second new replica waits at its gate when the process is killed; neither is made a second time."""
    sandbox.namespace()
    needing(sandbox, replicas=2, update=START_FIRST, healthcheck=READY,
            command=["sh", "-c", f"{LOOK} && touch /tmp/ready; sleep 100000"])  # fmt: skip
    before, keeper = ids(sandbox, "a"), sandbox.one("keeper")["Id"]
    lose_keeper(sandbox)
    restart = subprocess.Popen([LB, "restart", "t/a"], cwd=sandbox.source, env=sandbox.environ(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        (first,) = eventually(lambda: ids(sandbox, "a") - before)
        let_pass(sandbox, first)
        (second,) = eventually(lambda: ids(sandbox, "a") - before - {first})
        eventually(lambda: second in {c["Id"] for c in sandbox.live("a")})
    finally:
        restart.kill()
        restart.wait()
    assert "restart was asked for" in sandbox.lb("plan").out
    let_pass(sandbox, second)
    with watched(sandbox, "a") as counts:
        assert "t/a" in sandbox.apply().out
    assert ids(sandbox, "a") == {first, second}
    assert min(counts) >= 2, counts
    assert sandbox.one("keeper")["Id"] == keeper
    assert sandbox.apply().out == "no changes\n"


def test_beside_a_daemon_the_daemon_does_it(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2, update=START_FIRST)
    sandbox.service("b")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: len(sandbox.live("a")) == 2 and len(sandbox.live("b")) == 1)
        eventually(lambda: daemon.log.count("create: new service") == 2)
        before, other = ids(sandbox, "a"), sandbox.one("b")["Id"]
        with watched(sandbox, "a") as counts:
            said = sandbox.lb("restart", "t/a", "-o", "json").json
        assert [(o["object"], o["result"]) for o in said["outcomes"]] == [("t/a", "done")]
        assert len(ids(sandbox, "a")) == 2 and not ids(sandbox, "a") & before and min(counts) == 2
        assert sandbox.one("b")["Id"] == other
        assert daemon.log.count("replace: restart was asked for") == 1
        after = ids(sandbox, "a")
    assert sandbox.apply().out == "no changes\n" and ids(sandbox, "a") == after


def test_what_else_the_daemon_holds_back_is_no_failure_of_a_restart(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.service("b")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: daemon.log.count("create: new service") == 2)
        sandbox.service("b", command=["sh", "-c", "exit 3"], restart="no", healthcheck=READY)
        eventually(lambda: "t/b: replace failed" in daemon.log)
        before = ids(sandbox, "a")
        said = sandbox.lb("restart", "t/a")
        assert "held t/b: " in said.out and not ids(sandbox, "a") & before


def test_a_restart_that_fails_is_taken_back_and_not_tried_again(sandbox: Sandbox) -> None:
    """What it needs has gone since it was started."""
    sandbox.namespace()
    needy(sandbox)
    before = sandbox.one("a")["Id"]
    lose_keeper(sandbox)
    with watched(sandbox, "a") as counts:
        failed = sandbox.lb("restart", "t/a", code=1)
    assert "exit 3" in failed.out and min(counts) >= 1
    assert [c["Id"] for c in sandbox.live("a")] == [before]
    assert "revision 1 failed" in sandbox.apply(code=1).out
    assert "lb retry t/a" in sandbox.lb("restart", "t/a", code=1).err
    assert [c["Id"] for c in sandbox.live("a")] == [before]


def test_a_failed_restart_is_tried_again_when_it_is_told_to(sandbox: Sandbox) -> None:
    sandbox.namespace()
    needy(sandbox)
    before = sandbox.one("a")["Id"]
    lose_keeper(sandbox)
    sandbox.lb("restart", "t/a", code=1)
    sandbox.apply(code=1)  # brings the keeper back, and leaves what is held alone
    assert [c["Id"] for c in sandbox.live("a")] == [before]
    said = sandbox.lb("retry", "t/a")
    assert "restart was asked for" in said.out
    assert sandbox.one("a")["Id"] != before and len(sandbox.live("a")) == 1
    assert sandbox.apply().out == "no changes\n"
    assert "t/a is not held: nothing failed" in sandbox.lb("retry", "t/a", code=1).err


def test_a_failed_change_is_tried_again_beside_a_daemon(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"})
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "t/a: create: new service" in daemon.log)
        before = sandbox.one("a")["Id"]
        sandbox.service("a", env={"A": "2"}, restart="no", update=START_FIRST, healthcheck=READY,
                        command=["sh", "-c", f"{LOOK} || exit 3; touch /tmp/ready; exec sleep 100000"])  # fmt: skip
        eventually(lambda: "replace failed" in daemon.log)
        failed = sandbox.lb("retry", "t/a", code=1)  # the cause is still there
        assert "exit 3" in failed.out and [c["Id"] for c in sandbox.live("a")] == [before]
        sandbox.service("keeper")
        eventually(lambda: "t/keeper: create: new service" in daemon.log)
        assert [c["Id"] for c in sandbox.live("a")] == [before]
        sandbox.lb("retry", "t/a")
        assert "A=2" in sandbox.one("a")["Config"]["Env"] and sandbox.one("a")["State"]["Running"]
        reasons = [e["reason"] for e in sandbox.lb("activity", "t/a", "-o", "json").json]
        reasons = [reason for reason in reasons if reason != "held"]  # an earlier try's replica was tidied away
        assert reasons == ["replace", "retry", "replace-failed", "retry", "replace-failed", "create"]
        assert sandbox.one("keeper")["State"]["Running"]
    assert sandbox.apply().out == "no changes\n"
