"""A daemon that fetches its source: a push is applied, a rewritten branch and an unsigned commit are not."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler import checkout, remote
from tests.conftest import THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.git import commit, git, key, signing

pytestmark = pytest.mark.xdist_group(THIRD)


@dataclass
class Far:
    """A bare repository, to which the sandbox's folder pushes."""

    sandbox: Sandbox
    bare: Path

    def says(self, **source: Any) -> None:
        listed = {"name": "shop", "remote": f"file://{self.bare}", "branch": "main", "interval": "1s", **source}
        self.sandbox.host.write_text(json.dumps({"sources": [listed]}))

    def push(self, value: str, *options: str) -> str:
        self.sandbox.service("a", env={"A": value})
        made = commit(self.sandbox.source, f"A is {value}", *options)
        git(self.sandbox.source, "push", "-q", "--force", str(self.bare), "HEAD:refs/heads/main")
        return made

    def runs(self, value: str) -> bool:
        return [c["Config"]["Env"][0] for c in self.sandbox.live("a")] == [f"A={value}"]


@pytest.fixture
def far(sandbox: Sandbox) -> Far:
    found = Far(sandbox, sandbox.folder / "far.git")
    git(sandbox.folder, "init", "-q", "--bare", "-b", "main", str(found.bare))
    git(sandbox.source, "init", "-q", "-b", "main")
    sandbox.namespace()
    sandbox.service("b")
    found.says()
    return found


def test_a_push_is_enough_and_a_rewritten_branch_waits_until_it_is_meant(far: Far) -> None:
    sandbox = far.sandbox
    far.push("1")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: far.runs("1"))
        other = sandbox.one("b")["Id"]
        second = far.push("2")
        eventually(lambda: far.runs("2"))
        eventually(lambda: daemon.get("/namespace/t/service/a/activity")[0]["commit"] == second)
        assert f"remote: shop is at {second[:12]}" in daemon.log
        git(sandbox.source, "reset", "-q", "--hard", "HEAD~1")
        far.push("3")
        eventually(lambda: "does not come after" in daemon.log)
        assert far.runs("2") and sandbox.one("b")["Id"] == other
        assert "does not come after" in sandbox.lb("get", "service", "t/a").out
        sandbox.api.kill(other)
        eventually(lambda: "t/b: heal" in daemon.log)
        assert sandbox.apply("shop", code=77).err.count("does not come after") >= 1
        sandbox.apply("shop", "--take-over")
        eventually(lambda: far.runs("3"))
        eventually(lambda: "is mended" in daemon.log)
        far.push("4")
        sandbox.apply("shop")  # does not wait for the next fetch
        assert far.runs("4")
        assert daemon.end() == 0


def test_only_signed_commits_are_applied(far: Far, tmp_path: Path) -> None:
    ann = key(tmp_path, "ann")
    signers = tmp_path / "signers"
    signers.write_text(f"ann@example.org {ann.with_suffix('.pub').read_text()}")
    far.says(verify=True, signers=str(signers))
    far.push("unsigned")
    with running_daemon(far.sandbox) as daemon:
        eventually(lambda: "is refused: it is not signed" in daemon.log)
        assert not far.sandbox.containers("a")
        far.push("2", *signing(ann))
        eventually(lambda: far.runs("2"))
        assert "signed as it must be" in daemon.log
        before = daemon.log.count("is refused")
        bad = far.push("3")
        eventually(lambda: daemon.log.count("is refused") > before)
        assert f"commit {bad[:12]} of" in daemon.log and far.runs("2")
        assert "is not signed" in far.sandbox.lb("status").out
        assert daemon.end() == 0


def test_a_remote_that_is_away_changes_nothing_and_is_followed_again_when_it_is_back(far: Far) -> None:
    sandbox = far.sandbox
    tell, told = sandbox.folder / "tell", sandbox.folder / "told"
    tell.write_text(f"#!/bin/sh\ncat >>{told}\n")
    tell.chmod(0o755)
    listed = {"name": "shop", "remote": f"file://{far.bare}", "interval": "1s"}
    sandbox.host.write_text(json.dumps({"sources": [listed], "notify": [{"command": [str(tell)]}]}))
    far.push("1")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: far.runs("1"))
        here = sandbox.one("a")["Id"]
        far.bare.rename(away := far.bare.with_name("away"))
        eventually(lambda: "can't be fetched" in daemon.log)
        sandbox.api.kill(here)  # what was fetched last is still what is kept
        eventually(lambda: "t/a: heal" in daemon.log)
        daemon.kill()
        daemon.start()  # nor does a new one need the remote
        sandbox.api.kill(sandbox.one("a")["Id"])
        eventually(lambda: daemon.log.count("t/a: heal") == 2)
        eventually(lambda: daemon.log.count("can't be fetched") == 2)  # said once by each
        away.rename(far.bare)
        far.push("2")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: far.runs("2"))
        eventually(lambda: "remote: in order again" in daemon.log)
        assert daemon.log.count("can't be fetched") == 2
        assert daemon.end() == 0
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert [e["event"] for e in events if e["object"] == "remote"] == ["failed", "failed", "recovered"]
    reasons = [entry["reason"] for entry in sandbox.lb("activity", "-o", "json").json]
    assert "FetchFailed" in reasons and "Fetched" in reasons


def test_a_daemon_that_is_killed_while_it_fetches_is_followed_by_one_that_carries_on(far: Far) -> None:
    sandbox = far.sandbox
    for number in range(200):
        (sandbox.source / f"words-{number}.txt").write_text(str(number) * 2000)
    far.push("1")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: far.runs("1"))
        place = remote.folder(sandbox.state, "shop")
        for number in range(2, 6):
            for other in range(200):
                (sandbox.source / f"words-{other}.txt").write_text(f"{number} {other}" * 2000)
            newest = far.push(str(number))
            daemon.process.send_signal(signal.SIGHUP)
            if number % 2:  # while it checks out
                eventually(lambda newest=newest: (place / newest).exists())  # type: ignore[misc]
            daemon.kill()
            daemon.start()
            eventually(lambda number=number: far.runs(str(number)))  # type: ignore[misc]
        assert not checkout.look(str(remote.current(sandbox.state, "shop"))).dirty
        assert len([path for path in place.iterdir() if path.is_dir() and path.name != "git"]) <= 4
        assert daemon.end() == 0
