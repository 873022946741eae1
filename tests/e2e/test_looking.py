"""What people look at, on a real engine: an object, how all of it stands, what happened; volumes removed by name."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.conftest import BUSYBOX, LB, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually


def test_a_failed_deploy_as_it_is_described(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "${SECRET}"}, memory=32, ports=["80"], volumes=["data:/data"])
    sandbox.apply("--set", "SECRET=hunter2")
    good = sandbox.one("a")
    sandbox.service("a", env={"A": "${SECRET}"}, memory=32, ports=["80"], volumes=["data:/data"], restart="no",
                    update={"min_ready": "2s"}, command=["sh", "-c", "echo the last words; exit 3"])  # fmt: skip
    sandbox.apply("--set", "SECRET=hunter2", code=1)
    text = sandbox.lb("describe", "t/a").out
    assert "hunter" not in text and "${SECRET}" in text
    for said in ("Source:", "t.a.yaml:1", "Current revision: 0", "Failed revision: 1", "| the last words", "exit 3",
                 good["Image"], good["Id"][:12], "Memory:    32 MiB"):  # fmt: skip
        assert said in text, said
    good = sandbox.api.inspect_container(good["Id"])  # it was stopped and started again, on another port of the host
    port = good["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    (row,) = [line.split() for line in text.splitlines() if good["Id"][:12] in line]
    assert row[2] == "running" and row[-1] == f"0.0.0.0:{port}->80/tcp"
    assert "lb.t.data" in sandbox.lb("describe", "namespace", "t").out
    history = sandbox.lb("history", "t/a", "-o", "json").json
    assert [(r["revision"], r["status"]) for r in history] == [(0, "current"), (1, "failed")]
    assert history[1]["logs"] == ["the last words"]


def test_watching_is_told_what_the_engine_shows(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    log = sandbox.folder / "log"
    with log.open("w") as out:
        watch = subprocess.Popen([LB, "status", "--watch"], stdout=out, stderr=out, env=sandbox.environ())
        try:
            eventually(lambda: "all services are in order" in log.read_text())
            sandbox.api.stop(sandbox.one("a")["Id"], timeout=0)
            eventually(lambda: "t/a started → error: 0 of 1 replicas are ready" in log.read_text())
            sandbox.apply()
            eventually(lambda: "t/a error → started" in log.read_text())
        finally:
            watch.send_signal(signal.SIGINT)
        assert watch.wait(timeout=20) == 130
    assert "Traceback" not in log.read_text()


def test_an_engine_that_does_not_answer_is_said_and_what_is_recorded_shown(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    sandbox.env["DOCKER_HOST"] = f"unix://{sandbox.folder}/none.sock"
    said = sandbox.lb("status", code=69)
    assert "Engine:      no Docker Engine answers" in said.out and "1 (1 unknown)" in said.out
    assert "unknown: no engine answers" in sandbox.lb("describe", "t/a", code=69).out
    assert len(sandbox.lb("activity", "t").out.splitlines()) == 3
    assert "new service" in sandbox.lb("history", "t/a").out


def test_while_an_apply_runs_status_says_who_holds_the_lock(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", healthcheck={"test": "false", "interval": "100ms", "retries": 1000})
    apply = subprocess.Popen([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        eventually(lambda: [c for c in sandbox.containers() if c["State"]["Running"]])
        found = sandbox.lb("status", "-o", "json").json
        assert (found["lock"]["pid"], found["lock"]["command"]) == (apply.pid, "lb apply --yes")
        assert found["engine"]["answers"] and found["not_in_order"][0]["state"] == "provision"
    finally:
        apply.kill()
        apply.wait()
    assert sandbox.lb("status", "-o", "json").json["lock"] is None


# --- volumes


@pytest.fixture
def foreign(sandbox: Sandbox) -> Iterator[list[str]]:
    """Names of volumes and containers of somebody else, removed at the end."""
    made: list[str] = []
    yield made
    for name in made:
        with contextlib.suppress(Exception):
            sandbox.api.remove_container(name, force=True)
        with contextlib.suppress(Exception):
            sandbox.api.remove_volume(name)


def volumes(sandbox: Sandbox) -> set[str]:
    return {volume["Name"] for volume in sandbox.api.volumes()["Volumes"] or []}


def test_a_volume_goes_only_when_it_is_named_and_nobody_mounts_it(sandbox: Sandbox, foreign: list[str]) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["data:/data", "more:/more"])
    sandbox.service("b")
    sandbox.apply()
    assert "t.a.1-1" in sandbox.lb("volume", "rm", "t/data", "--yes", code=77).err
    sandbox.remove("t.a.yaml")
    sandbox.apply()
    foreign.append("lbtest-mounts")
    sandbox.api.create_container_from_config(
        {"Image": BUSYBOX, "HostConfig": {"Binds": ["lb.t.data:/x"]}}, "lbtest-mounts"
    )
    assert "lbtest-mounts" in sandbox.lb("volume", "rm", "t/data", "--yes", code=77).err
    sandbox.api.remove_container("lbtest-mounts")
    assert {"lb.t.data", "lb.t.more"} <= volumes(sandbox)
    assert sandbox.lb("volume", "rm", "lb.t.data", "--yes").out == "removed lb.t.data\n"
    assert "lb.t.data" not in volumes(sandbox) and "lb.t.more" in volumes(sandbox)
    assert [v["name"] for v in sandbox.lb("volume", "ls", "-o", "json").json] == ["lb.t.more"]
    assert sandbox.apply().out == "no changes\n"


def test_a_volume_of_somebody_else_is_never_removed(sandbox: Sandbox, foreign: list[str]) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["data:/data"])
    sandbox.service("b")
    sandbox.apply()
    sandbox.remove("t.a.yaml")
    sandbox.apply()
    foreign += ["lbtest-theirs", "lb.t.data"]
    sandbox.api.create_volume("lbtest-theirs", labels={"lb.namespace": "t"})
    assert "not recorded as ours" in sandbox.lb("volume", "rm", "lbtest-theirs", "--yes", code=77).err
    made = sandbox.api.inspect_volume("lb.t.data")["CreatedAt"]
    sandbox.api.remove_volume("lb.t.data")
    eventually(lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) > made[:19])  # the engine counts seconds
    sandbox.api.create_volume("lb.t.data")
    assert "not the one that lb made" in sandbox.lb("volume", "rm", "t/data", "--yes", code=77).err
    assert {"lbtest-theirs", "lb.t.data"} <= volumes(sandbox)


@pytest.fixture
def with_volume(sandbox: Sandbox) -> Iterator[str]:
    """An image that declares a volume at /data."""
    made = sandbox.api.create_container_from_config({"Image": BUSYBOX})["Id"]
    sandbox.api.commit(made, "lbtest-volume", "1", changes="VOLUME /data")
    sandbox.api.remove_container(made)
    yield "lbtest-volume:1"
    sandbox.api.remove_image("lbtest-volume:1", force=True)


def test_a_volume_without_a_name_is_listed_and_goes_when_it_is_named(
    sandbox: Sandbox, foreign: list[str], with_volume: str
) -> None:
    def unnamed() -> list[str]:
        rows = [row for row in sandbox.lb("volume", "ls", "-o", "json").json if row["unnamed"]]
        assert all(row["unnamed"] == {"service": "a", "path": "/data"} for row in rows)
        return [row["name"] for row in rows]

    before = volumes(sandbox)
    sandbox.namespace()
    sandbox.service("a", image=with_volume)
    sandbox.apply()
    (first,) = unnamed()
    (mount,) = sandbox.one("a")["Mounts"]
    foreign.append(first)
    assert mount["Name"] == first and "write volumes: [data:/data]" in sandbox.lb("plan").out
    assert sandbox.apply().out == "no changes\n"
    assert f"{first} is in use by t.a.1-1" in sandbox.lb("volume", "rm", first, "--yes", code=77).err
    sandbox.service("a", image=with_volume, env={"A": "1"})
    sandbox.apply()
    (second,) = set(unnamed()) - {first}
    foreign.append(second)
    theirs = sandbox.api.create_volume()["Name"]
    foreign.append(theirs)
    assert "not recorded as ours" in sandbox.lb("volume", "rm", theirs, "--yes", code=77).err
    assert sandbox.lb("volume", "rm", first, "--yes").out == f"removed {first}\n"
    assert unnamed() == [second] and {second, theirs} <= volumes(sandbox) and first not in volumes(sandbox)
    sandbox.service("a", image=with_volume, volumes=["data:/data"])
    sandbox.apply()
    assert unnamed() == [second] and "i t/a" not in sandbox.lb("plan").out
    assert volumes(sandbox) >= before | {second, "lb.t.data"}
    assert wrong(sandbox) == {}


# --- the doctor


def wrong(sandbox: Sandbox, code: int = 0) -> dict[str, str]:
    """What is not ok of what this test is about; the limits of the machine are its own."""
    checks = sandbox.lb("doctor", "-o", "json", code=code).json["checks"]
    return {c["name"]: c["message"] for c in checks if c["result"] != "ok" and c["name"] not in ("inotify", "limits")}


def test_the_doctor_finds_what_was_left_over(sandbox: Sandbox, foreign: list[str]) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["data:/data"])
    sandbox.apply()
    before = sandbox.running()
    assert wrong(sandbox) == {}
    foreign += ["lbtest-copy", "lbtest-left"]
    labels = sandbox.one("a")["Config"]["Labels"]
    sandbox.api.create_container_from_config({"Image": BUSYBOX, "Labels": labels}, "lbtest-copy")
    sandbox.api.create_volume("lbtest-left", labels={"lb.namespace": "t"})
    sandbox.api.create_network("lbtest-net", labels={"lb.namespace": "gone", "lb.source": sandbox.name})
    assert wrong(sandbox) == {
        "containers": "not recorded, though they carry our labels: lbtest-copy",
        "networks": "of no namespace that is recorded: lbtest-net",
        "volumes": "not recorded, though they carry our labels: lbtest-left",
    }
    assert before.items() <= sandbox.running().items()


def test_the_doctor_sees_a_run_that_was_cut_off(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", stop_signal="SIGTERM", stop_grace_period="30s",
                    command=["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])  # fmt: skip
    sandbox.apply()
    sandbox.service("a", env={"A": "b"}, update={"order": "start-first", "min_ready": "0s"})
    apply = subprocess.Popen([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert apply.stderr
    while "stopping" not in apply.stderr.readline():
        assert apply.poll() is None
    eventually(lambda: not set(wrong(sandbox)))  # it is under way
    apply.kill()
    apply.wait()
    assert wrong(sandbox) == {"steps": "a run was cut off in the middle: stop t/a"}
    sandbox.api.kill(next(c["Id"] for c in sandbox.containers() if c["Name"] == "/t.a.1-1"))
    sandbox.apply()
    assert wrong(sandbox) == {}


def test_the_doctor_without_an_engine(sandbox: Sandbox) -> None:
    sandbox.env["DOCKER_HOST"] = f"unix://{sandbox.folder}/none.sock"
    assert set(wrong(sandbox, code=1)) == {"socket", "engine"}
    assert not sandbox.state.exists()


def test_a_restored_backup_carries_on(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["data:/data"])
    sandbox.service("b")
    sandbox.apply()
    backup = str(sandbox.folder / "backup.db")
    sandbox.lb("state", "backup", backup)
    before = sandbox.running()
    shutil.rmtree(sandbox.state)
    sandbox.lb("state", "restore", backup, "--yes")
    assert set(wrong(sandbox)) == {"restored"}
    assert sandbox.apply().out == "no changes\n" and sandbox.running() == before
    assert wrong(sandbox) == {}


def test_a_terminal_is_drawn_anew_and_left_in_order(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    ours, theirs = pty.openpty()
    shown: list[str] = []

    def text() -> str:
        while select.select([ours], [], [], 0)[0]:
            shown.append(os.read(ours, 65536).decode())
        return "".join(shown)

    watch = subprocess.Popen([LB, "status", "--watch"], stdin=theirs, stdout=theirs, stderr=theirs,
                             env={**sandbox.environ(), "TERM": "xterm"}, start_new_session=True)  # fmt: skip
    try:
        eventually(lambda: "all services are in order" in text())
        sandbox.api.stop(sandbox.one("a")["Id"], timeout=0)
        eventually(lambda: "0 of 1 replicas are ready" in text())
    finally:
        watch.send_signal(signal.SIGINT)
    assert watch.wait(timeout=20) == 130
    found = text()
    os.close(ours)
    os.close(theirs)
    assert "\x1b[1A" in found  # over what stood there
    assert not re.search(r"\x1b\[[0-9;]*m", found)  # no colours
    assert found.rindex("\x1b[?25h") > found.rindex("\x1b[?25l")  # the cursor is back


def test_a_restore_beneath_a_running_daemon_makes_removals_wait(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for name in "abc":
        sandbox.service(name)
    backup = str(sandbox.folder / "backup.db")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "all services are in order" in sandbox.lb("status").out and len(sandbox.running()) == 3)
        eventually(lambda: sandbox.lb("state", "backup", backup, "--force").code == 0)
        eventually(lambda: sandbox.lb("state", "restore", backup, "--yes", code=None).code == 0)  # it may hold the lock
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "restored" not in wrong(sandbox))  # all is as the source says: nothing waits any more
        sandbox.remove("t.a.yaml")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: not sandbox.containers("a"))
        eventually(lambda: sandbox.lb("state", "restore", backup, "--yes", code=None).code == 0)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "removals wait: t/a" in daemon.log)
        assert "restored" in wrong(sandbox) and len(sandbox.running()) == 2
        (guard,) = sandbox.lb("plan", "-o", "json", code=77).json["guards"]
        sandbox.apply("--confirm-deletes", guard["confirm"])
        eventually(lambda: "restored" not in wrong(sandbox))
        assert daemon.process.poll() is None
