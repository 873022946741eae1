"""A revision that passes the gate and dies soon after: it failed too, and what ran before is made again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import BUSYBOX, THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)

# Ready at once; its end is the test's to choose: it ends by itself when /tmp/end is made.
UNTIL_TOLD = "while [ ! -e /tmp/end ]; do sleep 0.05; done; echo last words; exit 1"
DIES = ["sh", "-c", "sleep 2; echo last words; exit 1"]


def env(sandbox: Sandbox) -> list[str]:
    return [e for c in sandbox.live("a") for e in c["Config"]["Env"] if e.startswith("A=")]


def history(sandbox: Sandbox) -> list[tuple[str, str]]:
    found = sandbox.lb("history", "t/a", "-o", "json").json
    return [(each["status"], each["cause"]) for each in found]


def end(sandbox: Sandbox, container: dict[str, Any]) -> None:
    made = sandbox.api.exec_create(container["Id"], ["touch", "/tmp/end"])
    sandbox.api.exec_start(made["Id"])


def test_a_daemon_takes_it_back_and_holds_it_until_it_changes(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"})
    sandbox.service("b")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: env(sandbox) == ["A=1"] and sandbox.live("b"))
        other = sandbox.one("b")["Id"]
        sandbox.service("a", env={"A": "2"}, command=DIES)
        eventually(lambda: "revision 1 failed: replica 1 ended" in daemon.log)
        eventually(lambda: env(sandbox) == ["A=1"])
        eventually(lambda: "| last words" in daemon.log)
        eventually(lambda: daemon.get("/namespace/t/service/a")["state"]["replicas"]["ready"] == 1)
        shown = daemon.get("/namespace/t/service/a")
        assert shown["spec"][0]["meta"]["revision"] == 0 and shown["spec"][0]["env"] == ["A=1"]
        assert shown["state"]["state"] == "warning" and "revision 1 failed" in shown["state"]["status"]
        (current, failed) = history(sandbox)
        assert current == ("current", "") and failed[0] == "failed" and "after it took over" in failed[1]
        reasons = [entry["reason"] for entry in daemon.get("/namespace/t/service/a/activity")]
        assert reasons[:3] == ["take-back", "failed", "replace"]
        kept = [c for c in sandbox.containers("a") if c["State"]["Status"] == "exited"]
        assert [c["HostConfig"]["RestartPolicy"]["Name"] for c in kept] == ["no"]
        assert "was taken back" in sandbox.lb("why", "t/a").out
        before = sandbox.running()
        assert "last words" in sandbox.apply(code=1).out, "it is held"
        assert sandbox.running() == before
        sandbox.service("a", env={"A": "3"})
        eventually(lambda: env(sandbox) == ["A=3"] and len(sandbox.containers("a")) == 1)
        assert sandbox.one("b")["Id"] == other
    assert daemon.log.count("take-back") == 1


def test_the_next_apply_sees_it(sandbox: Sandbox) -> None:
    """Variables in the image and elsewhere have the values of then, as far as they can be had."""
    sandbox.namespace()
    sandbox.service("a", image=BUSYBOX.replace("1.35", "${TAG}"), env={"A": "1"})
    sandbox.apply("--set", "TAG=1.35")
    sandbox.api.tag(BUSYBOX, BUSYBOX.rpartition(":")[0], "lbtest")
    sandbox.service("a", image=BUSYBOX.replace("1.35", "${TAG}"), env={"A": "2"}, command=["sh", "-c", UNTIL_TOLD])
    sandbox.apply("--set", "TAG=lbtest")
    assert "no changes" in sandbox.apply("--set", "TAG=lbtest").out
    end(sandbox, sandbox.one("a"))
    eventually(lambda: sandbox.one("a")["RestartCount"] == 1)
    planned = sandbox.lb("plan", "--set", "TAG=lbtest", code=1).out
    assert "take-back service t/a" in planned and "revision 0 is made again" in planned
    said = sandbox.apply("--set", "TAG=lbtest", code=1).out
    assert "revision 1 failed" in said and "| last words" in said
    assert env(sandbox) == ["A=1"] and [c["Config"]["Image"] for c in sandbox.live("a")] == [BUSYBOX]
    before = sandbox.running()
    assert "held" in sandbox.apply("--set", "TAG=lbtest", code=1).out
    assert sandbox.running() == before
    sandbox.lb("retry", "t/a", "--set", "TAG=lbtest")
    assert env(sandbox) == ["A=2"]
    sandbox.api.remove_image(BUSYBOX.replace("1.35", "lbtest"))


def test_what_ran_before_can_not_be_made_again(sandbox: Sandbox) -> None:
    """A value that is kept nowhere: then what took over is left as it is, and held."""
    sandbox.namespace()
    sandbox.service("a", env={"A": "${SECRET}"}, command=["sh", "-c", UNTIL_TOLD])
    sandbox.apply("--set", "SECRET=one")
    sandbox.apply("--set", "SECRET=two")
    end(sandbox, sandbox.one("a"))
    eventually(lambda: sandbox.one("a")["RestartCount"] == 1)
    said = sandbox.apply("--set", "SECRET=two", code=1)
    assert "env.A had another value" in said.out and "one" not in said.out.replace("none", "")
    assert [status for status, _ in history(sandbox)] == ["current", "failed"]
    assert len(sandbox.containers("a")) == 1
    sandbox.apply("--set", "SECRET=two", code=1)
    sandbox.apply("--set", "SECRET=one")
    assert env(sandbox) == ["A=one"] and len(sandbox.containers("a")) == 1


def test_stop_takes_nothing_back(sandbox: Sandbox) -> None:
    sandbox.namespace()
    update = {"min_ready": "0s", "on_failure": "stop"}
    sandbox.service("a", replicas=2, env={"A": "1"}, update=update)
    sandbox.apply()
    sandbox.service("a", replicas=2, env={"A": "2"}, update=update, command=["sh", "-c", UNTIL_TOLD])
    sandbox.apply()
    one = sandbox.containers("a")[0]
    end(sandbox, one)
    eventually(lambda: sandbox.containers("a")[0]["RestartCount"] == 1)
    before = {container["Id"] for container in sandbox.containers("a")}
    sandbox.apply(code=1)
    assert {container["Id"] for container in sandbox.containers("a")} == before, "one is a crash loop, the other serves"
    assert env(sandbox)[-1:] == ["A=2"]
    assert [status for status, _ in history(sandbox)] == ["current", "failed"]


HARMLESS: dict[str, Callable[[Any, str], Any]] = {
    "kill": lambda api, c: api.kill(c),
    "stop": lambda api, c: api.stop(c, timeout=0),
    "restart": lambda api, c: api.restart(c, timeout=0),
    "remove": lambda api, c: api.remove_container(c, force=True),
}


@pytest.mark.parametrize("harm", HARMLESS)
@pytest.mark.parametrize("policy", ["unless-stopped", "on-failure:3", "no"])
def test_harm_by_hand_is_no_failure(sandbox: Sandbox, harm: str, policy: str) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"}, restart=policy)
    sandbox.apply()
    sandbox.service("a", env={"A": "2"}, restart=policy)
    sandbox.apply()
    HARMLESS[harm](sandbox.api, sandbox.one("a")["Id"])
    said = sandbox.apply().out
    assert "take-back" not in said and [status for status, _ in history(sandbox)] == ["superseded", "current"]


def test_a_job_that_ends_well_is_no_failure(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"}, restart="no", command=["true"])
    sandbox.apply()
    sandbox.service("a", env={"A": "2"}, restart="no", command=["true"])
    sandbox.apply()
    assert "no changes" in sandbox.apply().out


def test_it_is_watched_no_longer_than_asked(sandbox: Sandbox) -> None:
    sandbox.namespace()
    update = {"min_ready": "0s", "monitor": "0s"}
    sandbox.service("a", env={"A": "1"}, update=update)
    sandbox.apply()
    sandbox.service("a", env={"A": "2"}, update=update, command=["sh", "-c", UNTIL_TOLD])
    sandbox.apply()
    end(sandbox, sandbox.one("a"))
    eventually(lambda: sandbox.one("a")["RestartCount"] == 1)
    assert "no changes" in sandbox.apply().out


def test_a_first_revision_has_nothing_to_go_back_to(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", command=["sh", "-c", UNTIL_TOLD])
    sandbox.apply()
    end(sandbox, sandbox.one("a"))
    eventually(lambda: sandbox.one("a")["RestartCount"] == 1)
    assert "no changes" in sandbox.apply().out


def test_a_daemon_remembers_values_and_files_that_have_changed_since(sandbox: Sandbox) -> None:
    """One commit changes a variable, a mounted file and an env file; all of it is had back, but for the source."""
    sandbox.namespace()

    def commit(value: str, command: list[str]) -> None:
        sandbox.write("mounted.conf", f"mounted {value}\n")
        sandbox.write("app.env", f"B={value}\n")
        sandbox.write("lb.yaml", f"name: {sandbox.name}\nvariables: {{VALUE: {value}}}\n")
        files = {"volumes": ["./mounted.conf:/mounted.conf:ro"], "env_file": "app.env"}
        sandbox.service("a", env={"A": "${VALUE}"}, command=command, **files)

    def seen() -> list[tuple[set[str], bytes]]:
        found = []
        for container in sandbox.live("a"):
            made = sandbox.api.exec_create(container["Id"], ["cat", "/mounted.conf"])
            content = sandbox.api.exec_start(made["Id"])
            found.append(({e for e in container["Config"]["Env"] if e[:2] in ("A=", "B=")}, content))
        return found

    commit("one", ["sleep", "100000"])
    with running_daemon(sandbox) as daemon:
        eventually(lambda: env(sandbox) == ["A=one"] and "t/a: create" in daemon.log)
        daemon.process.send_signal(signal.SIGSTOP)  # four files, of which it must not see only some
        commit("two", DIES)
        daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: "a: take-back" in daemon.log)
        eventually(lambda: env(sandbox) == ["A=one"])
        assert seen() == [({"A=one", "B=one"}, b"mounted one\n")]
        assert "two" not in str(daemon.get("/namespace/t/service/a")["spec"][0]["env"])
        commit("three", ["sleep", "100000"])
        eventually(lambda: env(sandbox) == ["A=three"] and len(sandbox.containers("a")) == 1)
        assert seen() == [({"A=three", "B=three"}, b"mounted three\n")]
