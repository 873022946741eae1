"""The disk below the state is made read-only, or is full, under a real `lb` on a real engine: nothing is changed that
could not be written ahead, the API goes on answering, and with the disk in order again all is carried on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conftest import SECOND, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.proxy import proxied

pytestmark = [
    pytest.mark.xdist_group(SECOND),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk for the state"),
]


@pytest.fixture
def disk(sandbox: Sandbox) -> Iterator[Path]:
    """The state's folder on a small disk of its own."""
    sandbox.state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", uuid.uuid4().hex, sandbox.state], check=True)
    try:
        yield sandbox.state
    finally:
        subprocess.run(["umount", "--lazy", sandbox.state], check=True)


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Nobody may have a file open for writing there, so this is for commands, not for a daemon."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while os.write(filler, bytes(4096)):
                pass
        assert os.statvfs(disk).f_bavail == 0
        yield
    finally:
        os.close(filler)
        (disk / "filler").unlink()


FAULTS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {"read-only": read_only, "full": full}


def env(sandbox: Sandbox) -> list[str]:
    return [e for c in sandbox.live("a") for e in c["Config"]["Env"] if e.startswith("A=")]


@pytest.mark.parametrize("fault", ["read-only", "full"])
def test_an_apply_changes_nothing_and_says_why(sandbox: Sandbox, disk: Path, fault: str, tmp_path: Path) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"})
    sandbox.apply()
    before = sandbox.running()
    sandbox.service("a", env={"A": "2"})
    sandbox.service("b")
    engine = sandbox.socket
    with proxied(engine, tmp_path) as proxy, FAULTS[fault](disk):
        sandbox.env["DOCKER_HOST"] = f"unix://{proxy.path}"
        refused = sandbox.apply(code=73)
        assert str(disk) in refused.err and "can't be used" in refused.err
        assert [line for line in proxy.mutating if "/volumes" not in line] == []
        assert sandbox.running() == before
        assert "t/a" in sandbox.lb("plan").out and "a" in sandbox.lb("get", "services").out
    sandbox.env["DOCKER_HOST"] = f"unix://{engine}"
    sandbox.apply()
    assert env(sandbox) == ["A=2"] and len(sandbox.containers()) == 2


def test_a_daemon_goes_on_answering_and_carries_on_by_itself(sandbox: Sandbox, disk: Path) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"})
    with running_daemon(sandbox) as daemon:
        eventually(lambda: env(sandbox) == ["A=1"] and "t/a: create" in daemon.log)
        shown = [service["meta"]["name"] for service in daemon.get("/namespace/t/service")]
        before = sandbox.running()
        with full(disk):
            sandbox.service("a", env={"A": "2"})
            eventually(lambda: "error   state: " in daemon.log)
            for _ in range(3):
                assert [service["meta"]["name"] for service in daemon.get("/namespace/t/service")] == shown
                assert [entry["reason"] for entry in daemon.get("/namespace/t/service/a/activity")] == ["create"]
                assert sandbox.running() == before
        eventually(lambda: env(sandbox) == ["A=2"] and len(sandbox.containers()) == 1)
        eventually(lambda: "state: in order again" in daemon.log)
