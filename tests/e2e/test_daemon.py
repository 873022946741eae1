"""The long life of `lb daemon`: edits, harm by hand, bad files, kills, hand-overs, silence in between."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import LB, THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)

Harm = Callable[[Any, str], Any]
HARMS: dict[str, Harm] = {
    "kill": lambda api, c: api.kill(c),
    "stop": lambda api, c: api.stop(c, timeout=0),
    "remove": lambda api, c: api.remove_container(c, force=True),
    "pause": lambda api, c: api.pause(c),
    "rename": lambda api, c: api.rename(c, "lbtest-renamed"),
    "update": lambda api, c: api.update_container(c, mem_limit=64 << 20, memswap_limit=128 << 20),
    "disconnect": lambda api, c: api.disconnect_container_from_network(c, "lb.t"),
}


def in_order(sandbox: Sandbox, service: str, memory: int = 0) -> bool:
    """One replica that runs under its name, on its network, with its limits."""
    found = sandbox.containers(service)
    return len(found) == 1 and (
        found[0]["State"]["Status"] == "running"
        and found[0]["Name"].startswith(f"/t.{service}.1-")
        and "lb.t" in found[0]["NetworkSettings"]["Networks"]
        and found[0]["HostConfig"]["Memory"] == memory
    )


def env(sandbox: Sandbox, service: str) -> list[str]:
    """Of its running replicas; what is being replaced may be gone at any moment."""
    return [e for c in sandbox.live(service) for e in c["Config"]["Env"] if e.startswith("A=")]


def test_a_save_is_enough(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.service("b")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: in_order(sandbox, "a") and in_order(sandbox, "b"))
        other = sandbox.one("b")["Id"]
        sandbox.service("a", env={"A": "1"})
        eventually(lambda: env(sandbox, "a") == ["A=1"])
        sandbox.remove("t.a.yaml")
        eventually(lambda: not sandbox.containers("a"))
        assert sandbox.one("b")["Id"] == other
        assert daemon.end() == 0
    assert sandbox.one("b")["Id"] == other and in_order(sandbox, "b")


def test_harm_done_by_hand_is_mended(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for harm in HARMS:
        sandbox.service(harm, memory=32)
    with running_daemon(sandbox) as daemon:
        eventually(lambda: daemon.log.count("create: new service") == len(HARMS))
        before = {harm: sandbox.one(harm)["Id"] for harm in HARMS}
        for harm, do in HARMS.items():
            do(sandbox.api, before[harm])
        eventually(lambda: all(in_order(sandbox, harm, 32 << 20) for harm in HARMS))
        eventually(lambda: daemon.log.count(" heal: ") == len(HARMS))
        after = {harm: sandbox.one(harm)["Id"] for harm in HARMS}
        assert {harm for harm in HARMS if after[harm] != before[harm]} == {"remove"}


def test_a_repair_that_is_undone_again_and_again_is_a_fight(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "t/a: create" in daemon.log)
        for repairs in range(4):
            eventually(lambda: in_order(sandbox, "a"))
            eventually(lambda n=repairs: daemon.log.count(" heal: ") == n)  # type: ignore[misc]
            if repairs < 3:
                sandbox.api.pause(sandbox.one("a")["Id"])
        sandbox.api.pause(sandbox.one("a")["Id"])
        eventually(lambda: "DriftFight" in daemon.log)
        assert sandbox.one("a")["State"]["Status"] == "paused" and daemon.log.count(" heal: ") == 3
        assert "again and again" in sandbox.lb("get", "services").out


def test_a_bad_file_stops_only_itself_until_it_is_mended(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.service("b")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: in_order(sandbox, "a") and in_order(sandbox, "b"))
        before = sandbox.one("b")["Id"]
        whole = (sandbox.source / "t.b.yaml").read_text()
        sandbox.write("t.b.yaml", whole[: len(whole) // 2])
        eventually(lambda: "Invalid" in daemon.log)
        sandbox.service("a", env={"A": "1"})
        eventually(lambda: env(sandbox, "a") == ["A=1"])
        assert sandbox.one("b")["Id"] == before
        assert "t.b.yaml:" in sandbox.lb("get", "service", "t/b").out
        sandbox.write("t.b.yaml", whole)
        eventually(lambda: "is mended" in daemon.log)
        assert sandbox.one("b")["Id"] == before and "t.b.yaml:" not in sandbox.lb("get", "service", "t/b").out


def test_a_source_that_goes_away_removes_nothing(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: in_order(sandbox, "a"))
        before = sandbox.running()
        away = sandbox.folder / "away"
        sandbox.source.rename(away)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "source: " in daemon.log)
        sandbox.api.kill(sandbox.one("a")["Id"])
        eventually(lambda: in_order(sandbox, "a"))  # what was last read is held, and healed
        away.rename(sandbox.source)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "source: in order again" in daemon.log)
        assert {name: c[0] for name, c in sandbox.running().items()} == {name: c[0] for name, c in before.items()}


def test_every_way_of_saving_is_followed_without_a_signal(sandbox: Sandbox) -> None:
    """Renamed over, changed in place, in a new folder, and a root that is a link to the current release."""
    sandbox.namespace()
    sandbox.service("a", env={"A": "0"})
    current = sandbox.folder / "current"
    current.symlink_to("source")
    with running_daemon(sandbox, str(current)) as daemon:
        eventually(lambda: env(sandbox, "a") == ["A=0"])
        manifest = sandbox.source / "t.a.yaml"

        def saved(number: int) -> str:
            return manifest.read_text().replace(f'"A": "{number - 1}"', f'"A": "{number}"')

        (sandbox.source / "new.tmp").write_text(saved(1))
        (sandbox.source / "new.tmp").rename(manifest)
        eventually(lambda: env(sandbox, "a") == ["A=1"])
        manifest.write_text(saved(2))
        eventually(lambda: env(sandbox, "a") == ["A=2"])
        (sandbox.source / "deep" / "er").mkdir(parents=True)
        sandbox.write("deep/er/t.b.yaml", manifest.read_text().replace('"name": "a"', '"name": "b"'))
        eventually(lambda: in_order(sandbox, "b"))
        before = sandbox.one("b")["Id"]
        following = sandbox.folder / "next"
        shutil.copytree(sandbox.source, following)
        (following / "t.a.yaml").write_text(saved(3))
        (sandbox.folder / "link").symlink_to("next")
        (sandbox.folder / "link").rename(current)
        eventually(lambda: env(sandbox, "a") == ["A=3"])
        manifest = following / "t.a.yaml"
        manifest.write_text(saved(4))
        eventually(lambda: env(sandbox, "a") == ["A=4"])
        assert sandbox.one("b")["Id"] == before
        assert "(inotify)" in daemon.log


def test_a_newer_edit_does_not_wait_for_an_older_one(sandbox: Sandbox) -> None:
    """A revision that can never be ready is waited for; the edit that mends it is not."""
    never = {"healthcheck": {"test": "false", "interval": "100ms", "retries": 1000}}
    sandbox.namespace()
    sandbox.service("a", update={"min_ready": "0s", "order": "start-first"})
    sandbox.service("b")
    with running_daemon(sandbox):
        eventually(lambda: in_order(sandbox, "a") and in_order(sandbox, "b"))
        sandbox.service("a", env={"A": "bad"}, **never)
        eventually(lambda: len(sandbox.containers("a")) == 2)
        sandbox.service("b", env={"A": "1"})
        eventually(lambda: env(sandbox, "b") == ["A=1"])  # another service does not wait either
        sandbox.service("a", env={"A": "good"})
        eventually(lambda: env(sandbox, "a") == ["A=good"] and len(sandbox.containers("a")) == 1)


def test_killed_twenty_times_among_edits_it_converges(sandbox: Sandbox) -> None:
    names, dice = ["a", "b", "c"], random.Random(7)
    sandbox.namespace()
    for name in names:
        sandbox.service(name, replicas=2)
    with running_daemon(sandbox) as daemon:
        eventually(lambda: all(len(sandbox.live(name)) == 2 for name in names))
        wanted = dict.fromkeys(names, "0")
        for turn in range(20):
            name = dice.choice(names)
            wanted[name] = str(turn)
            sandbox.service(name, replicas=2, env={"A": wanted[name]})
            began = len(daemon.log)
            if dice.random() < 0.7:  # in the midst of it, at a moment that differs
                eventually(lambda at=began: len(daemon.log) > at or len(sandbox.containers()) != 6)  # type: ignore[misc]
            daemon.kill()
            daemon.start()
        changed = [name for name in names if wanted[name] != "0"]
        eventually(lambda: all(env(sandbox, name) == [f"A={wanted[name]}"] * 2 for name in changed), 60)
        eventually(lambda: len(sandbox.containers()) == 6)
        assert daemon.end() == 0
    assert sandbox.apply().out == "no changes\n"


def test_an_apply_beside_it_is_handed_over(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"B": "${B:-1}"})
    with running_daemon(sandbox) as daemon:
        eventually(lambda: in_order(sandbox, "a"))
        assert sandbox.apply().out == "no changes\n"
        sandbox.service("slow", command=["sh", "-c", "sleep 3; touch /ready; sleep 1000"],
                        healthcheck={"test": "test -e /ready", "interval": "100ms", "retries": 100})  # fmt: skip
        result = sandbox.apply("-o", "json")
        assert [(o["object"], o["result"]) for o in result.json["outcomes"]] == [("t/slow", "done")]
        late = {"min_ready": "1s"}  # one that ends at once may be seen running before
        sandbox.service("bad", command=["sh", "-c", "echo broken; exit 3"], restart="no", update=late)
        failed = sandbox.apply(code=1)
        assert "exit 3" in failed.out and "| broken" in failed.out
        assert "with other variables" in sandbox.lb("apply", "--yes", "--set", "B=2", code=77).err
        assert "stop `lb daemon` first" in sandbox.lb("down", "--yes", code=77).err
        assert "take this back" in sandbox.lb("apply", "-f", "t.a.yaml", code=77).err
        assert len(sandbox.live("a")) == 1 and daemon.process.poll() is None


def test_a_confirmation_is_handed_over(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for name in "abc":
        sandbox.service(name)
    with running_daemon(sandbox) as daemon:
        eventually(lambda: all(in_order(sandbox, name) for name in "abc"))
        before = sandbox.running()
        for name in "abc":
            sandbox.remove(f"t.{name}.yaml")
        eventually(lambda: "all 3 services" in daemon.log)
        assert sandbox.running() == before
        (guard,) = sandbox.lb("plan", "-o", "json", code=77).json["guards"]
        sandbox.apply("--confirm-deletes", guard["confirm"])
        assert sandbox.containers() == []


def test_an_apply_of_another_source_goes_beside_it(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    with running_daemon(sandbox):
        eventually(lambda: in_order(sandbox, "a"))
        other = sandbox.folder / "other"
        shutil.copytree(sandbox.source, other)
        for file in other.glob("*.yaml"):
            text = file.read_text().replace('"t"', '"u"').replace(sandbox.name, f"{sandbox.name}-other")
            file.write_text(text)
        result = sandbox.lb("apply", "--yes", str(other))
        assert "2 done" in result.out and "another source" in result.err
        sandbox.lb("down", "--yes", str(other), code=77)
        assert in_order(sandbox, "a")


def test_there_is_one_daemon_a_state(sandbox: Sandbox) -> None:
    sandbox.namespace()
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "t: create" in daemon.log)  # a network that the engine is about to make would stay behind
        second = sandbox.lb("daemon", "--listen", "127.0.0.1:0", code=75)
        assert f"pid {daemon.process.pid}" in second.err


def test_what_is_under_way_is_finished_and_recorded_at_the_end(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for i in range(6):
        sandbox.service(f"s{i}")
    with running_daemon(sandbox) as daemon:
        eventually(sandbox.containers)
        assert daemon.end() == 0
    seen = {c["Id"] for c in sandbox.containers()}
    done = subprocess.run([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(), check=False)
    assert done.returncode == 0 and seen <= {c["Id"] for c in sandbox.containers()}
    assert len(sandbox.containers()) == 6


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_a_transition(sandbox: Sandbox, form: str) -> None:
    sandbox.namespace()
    sandbox.service("a")
    with running_daemon(sandbox, "--log-format", form) as daemon:
        eventually(lambda: "t/a" in daemon.log)
        assert daemon.end() == 0
    lines = daemon.log.splitlines()
    assert len([line for line in lines if "t/a" in line]) == 1, daemon.log


def test_more_file_events_than_inotify_can_hold(sandbox: Sandbox) -> None:
    """While it can't listen, 20,000 events come, more than the kernel keeps, and the one that matters among them."""
    sandbox.namespace()
    sandbox.service("a")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "t/a: create" in daemon.log)
        daemon.process.send_signal(signal.SIGSTOP)
        for i in range(10_000):
            path = sandbox.source / f"note{i % 100}.txt"
            path.write_text("x") if i % 2 else path.unlink(missing_ok=True)
            if i == 9_000:
                sandbox.service("a", env={"A": "1"})
        for path in sandbox.source.glob("note*.txt"):
            for _ in range(100):
                path.touch()
        daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: env(sandbox, "a") == ["A=1"])


def test_the_host_s_settings_are_read_again_and_what_fails_is_told(sandbox: Sandbox) -> None:
    told = sandbox.folder / "told"
    tell = {"command": ["sh", "-c", f"cat >>'{told}'"]}

    def says(**settings: Any) -> None:
        sandbox.set_host(json.dumps({"notify": [tell], **settings}))

    def events() -> list[tuple[str, str]]:
        found = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        return [(each["event"], each["object"]) for each in found]

    says(sources=[{"name": "shop", "path": str(sandbox.source), "env_files": [str(sandbox.folder / "v.env")]}])
    (sandbox.folder / "v.env").write_text("VALUE=1\n")
    sandbox.namespace()
    sandbox.service("a", cap_add=["NET_ADMIN"], env={"A": "${VALUE}"})
    with running_daemon(sandbox, "shop") as daemon:
        eventually(lambda: events() == [("failed", "t/a")])
        assert not sandbox.containers("a") and "NET_ADMIN is denied" in daemon.log
        listed = json.loads(sandbox.host.read_text())["sources"]

        sandbox.set_host("policy: nonsense\n")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: events()[1:] == [("failed", "host.yaml")])
        assert "what was read before holds" in daemon.log
        assert "HostSettings" in sandbox.lb("activity").out

        says(sources=listed, policy={"allow": [{"services": ["t/a"], "cap_add": ["NET_ADMIN"]}]})
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: env(sandbox, "a") == ["A=1"])
        assert "policy changed" in daemon.log
        eventually(lambda: events()[2:] == [("recovered", "host.yaml"), ("recovered", "t/a")])
