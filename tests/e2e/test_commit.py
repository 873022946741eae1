"""The commit of the source's checkout stands with what was done, by an apply and by the daemon."""

from __future__ import annotations

import pytest

from tests.conftest import THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.git import git

pytestmark = pytest.mark.xdist_group(THIRD)


def commit(sandbox: Sandbox, subject: str) -> str:
    git(sandbox.source, "add", "-A")
    git(sandbox.source, "commit", "-qm", subject)
    return git(sandbox.source, "rev-parse", "HEAD")


def test_what_is_done_is_recorded_with_its_commit(sandbox: Sandbox) -> None:
    git(sandbox.source, "init", "-q")
    sandbox.namespace()
    sandbox.service("a")
    first = commit(sandbox, "first")
    sandbox.apply()
    assert [e["commit"] for e in sandbox.lb("activity", "t", "-o", "json").json] == [first, first]
    with running_daemon(sandbox) as daemon:
        sandbox.service("a", env={"A": "1"})
        eventually(lambda: "t/a: replace" in daemon.log)
        entries = daemon.get("/namespace/t/service/a/activity")
        assert [e["commit"] for e in entries] == [f"{first}-dirty", first]
        second = commit(sandbox, "second")
        sandbox.api.pause(sandbox.one("a")["Id"])
        eventually(lambda: "t/a: heal" in daemon.log)
        assert daemon.get("/namespace/t/service/a/activity")[0]["commit"] == second
    text = sandbox.lb("why", "t/a").out
    assert "env.A 1  [t.a.yaml:" in text and "Ann: first" in text


def test_a_daemon_holds_an_older_commit_back_until_it_is_meant(sandbox: Sandbox) -> None:
    git(sandbox.source, "init", "-q", "-b", "main")
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"})
    sandbox.service("b")
    commit(sandbox, "first")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: daemon.log.count("create: new service") == 2)
        sandbox.service("a", env={"A": "2"})
        commit(sandbox, "second")
        eventually(lambda: "t/a: replace: env.A 1 → 2" in daemon.log)
        now = sandbox.one("a")["Id"]
        git(sandbox.source, "checkout", "-q", "HEAD~1")
        eventually(lambda: "Held: " in daemon.log)
        assert "older than" in daemon.log and sandbox.one("a")["Id"] == now
        assert "older than" in sandbox.lb("get", "service", "t/a").out
        sandbox.api.pause(sandbox.one("b")["Id"])
        eventually(lambda: "t/b: heal" in daemon.log)
        assert "older than" in sandbox.apply(code=77).err
        sandbox.apply("--take-over")
        assert "A=1" in sandbox.one("a")["Config"]["Env"]
        eventually(lambda: "is mended" in daemon.log)
        git(sandbox.source, "checkout", "-q", "main")
        eventually(lambda: any("A=2" in c["Config"]["Env"] for c in sandbox.live("a")))
