"""What must not happen: lost containers, foreign ones touched, deletions nobody meant, two masters."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import BUSYBOX, LB, Sandbox
from tests.support.eventually import eventually


def test_killed_ten_times_then_one_apply_converges(sandbox: Sandbox) -> None:
    """SIGKILL at a random moment of an apply, each with another change; then one apply, and nothing is left over."""
    rng = random.Random(7)
    sandbox.namespace()
    for i in range(10):
        for name in "abc":
            sandbox.service(name, replicas=2, env={"ROUND": str(i)}, volumes=[f"{name}:/data"])
        apply = subprocess.Popen([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            apply.wait(timeout=rng.uniform(0.3, 2.0))
        except subprocess.TimeoutExpired:
            apply.send_signal(signal.SIGKILL)
            apply.wait()
    sandbox.apply()
    found = sandbox.containers()
    assert sorted(c["Config"]["Labels"]["lb.service"] for c in found) == ["a", "a", "b", "b", "c", "c"]
    assert all(c["State"]["Running"] and "ROUND=9" in c["Config"]["Env"] for c in found)
    assert sandbox.apply().out == "no changes\n"
    sandbox.lb("down", "--yes")
    assert sandbox.containers() == []


def test_interrupted_it_finishes_the_step_and_carries_on_next_time(sandbox: Sandbox) -> None:
    sandbox.namespace()
    check = {"test": "test -f /never", "interval": "100ms", "retries": 1000}
    sandbox.service("a", healthcheck=check)
    apply = subprocess.Popen([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    eventually(lambda: [c for c in sandbox.containers() if c["State"]["Running"]])
    apply.send_signal(signal.SIGINT)
    _, err = apply.communicate(timeout=20)
    assert apply.returncode == 130 and "Traceback" not in err
    kept = sandbox.one("a")["Id"]
    sandbox.api.exec_start(sandbox.api.exec_create(kept, ["touch", "/never"])["Id"])
    sandbox.apply()
    assert sandbox.one("a")["Id"] == kept


@pytest.mark.parametrize("harm", ["stop", "kill", "remove", "pause", "rename", "update", "disconnect"])
def test_drift_is_seen_and_mended(sandbox: Sandbox, harm: str) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2, memory=32)
    sandbox.apply()
    other, victim = (c["Id"] for c in sandbox.containers("a"))
    match harm:
        case "stop":
            sandbox.api.stop(victim, timeout=0)
        case "kill":
            sandbox.api.update_container(victim, restart_policy={"Name": "no"})
            sandbox.api.kill(victim)
        case "remove":
            sandbox.api.remove_container(victim, force=True)
        case "pause":
            sandbox.api.pause(victim)
        case "rename":
            sandbox.api.rename(victim, "lbtest-renamed")
        case "update":
            sandbox.api.update_container(victim, mem_limit=64 * 1024 * 1024, memswap_limit=128 * 1024 * 1024)
        case "disconnect":
            sandbox.api.disconnect_container_from_network(victim, "lb.t")
    result = sandbox.lb("plan", "-o", "json", "--detailed-exitcode", code=2).json
    (action,) = result["actions"]
    assert (action["action"], action["origin"], action["name"]) == ("heal", "drift", "a") and action["causes"]
    sandbox.apply()
    after = sandbox.containers("a")
    assert len(after) == 2 and all(c["State"]["Running"] and not c["State"]["Paused"] for c in after)
    assert [c["Name"].split("-")[0] for c in after] == ["/t.a.1", "/t.a.2"]
    assert all(
        c["HostConfig"]["Memory"] == 32 * 1024 * 1024 and "lb.t" in c["NetworkSettings"]["Networks"] for c in after
    )
    assert other in [c["Id"] for c in after] and (harm == "remove" or victim in [c["Id"] for c in after])
    assert {"a", "a.t"} <= set(after[1]["NetworkSettings"]["Networks"]["lb.t"]["Aliases"])
    assert sandbox.apply().out == "no changes\n"


@pytest.fixture
def decoys(sandbox: Sandbox) -> Iterator[list[str]]:
    made: list[str] = []
    yield made
    for container in made:
        sandbox.api.remove_container(container, force=True)


def test_copies_with_all_our_labels_are_never_touched(sandbox: Sandbox, decoys: list[str]) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    labels = sandbox.one("a")["Config"]["Labels"]
    for i in range(3):
        body = {"Image": BUSYBOX, "Cmd": ["sleep", "1000"], "Labels": labels}
        decoys.append(sandbox.api.create_container_from_config(body, f"lbtest-decoy-{i}")["Id"])
        sandbox.api.start(decoys[-1])
    before = [sandbox.api.inspect_container(c)["State"]["StartedAt"] for c in decoys]
    assert sandbox.apply().out == "no changes\n"
    sandbox.service("a", env={"A": "b"})
    sandbox.apply()
    sandbox.lb("down", "--yes")
    assert [sandbox.api.inspect_container(c)["State"]["StartedAt"] for c in decoys] == before


def test_a_foreign_container_of_our_name_is_a_conflict(sandbox: Sandbox, decoys: list[str]) -> None:
    decoys.append(sandbox.api.create_container_from_config({"Image": BUSYBOX}, "t.a.1-1")["Id"])
    sandbox.namespace()
    sandbox.service("a")
    assert "already in use" in sandbox.apply(code=1).out
    assert sandbox.api.inspect_container(decoys[0])["Name"] == "/t.a.1-1"
    sandbox.api.remove_container(decoys.pop())
    sandbox.apply()


def test_lost_state_is_adopted_and_nothing_recreated(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2, volumes=["data:/data"])
    sandbox.apply()
    before = sandbox.running()
    shutil.rmtree(sandbox.state)
    assert "--adopt" in sandbox.apply(code=77).err
    assert sandbox.running() == before
    result = sandbox.lb("plan", "--adopt")
    assert "< adopt namespace t" in result.out and "< adopt service t/a" in result.out
    sandbox.apply("--adopt")
    assert sandbox.running() == before
    assert sandbox.apply().out == "no changes\n"
    sandbox.service("a", replicas=3, volumes=["data:/data"])
    sandbox.apply()
    assert before.items() <= sandbox.running().items() and len(sandbox.running()) == 3


def test_a_second_state_folder_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.namespace()
    sandbox.apply()
    result = sandbox.lb("apply", "--yes", "--state", str(tmp_path / "other"), code=77)
    assert str(sandbox.state) in result.err


def test_removing_all_services_needs_its_hash(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for name in "abc":
        sandbox.service(name)
    sandbox.apply()
    before = sandbox.running()
    for name in "abc":
        sandbox.remove(f"t.{name}.yaml")
    refused = sandbox.apply(code=77)
    assert "all 3 services" in refused.err and sandbox.running() == before
    (guard,) = sandbox.lb("plan", "-o", "json", code=77).json["guards"]
    sandbox.apply("--confirm-deletes", "000000000000", code=77)
    assert sandbox.running() == before
    sandbox.apply("--confirm-deletes", guard["confirm"])
    assert sandbox.containers() == []


def test_a_bad_manifest_stops_only_itself_and_deletions_wait(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for name in "abcd":
        sandbox.service(name)
    sandbox.apply()
    before = sandbox.running()
    sandbox.remove("t.d.yaml")
    sandbox.write("t.c.yaml", "apiVersion: lb/v1\nkind: Service\nmeta: {name: c, namespace: t}\nspec: {imge: x}\n")
    sandbox.service("a", env={"A": "b"})
    result = sandbox.apply(code=65)
    assert "t.c.yaml:4:8: spec.imge: there is no field imge; did you mean image?" in result.err
    after = sandbox.running()
    assert len(after) == 4 and sum(1 for name in before if before[name] == after.get(name)) == 3


@pytest.mark.parametrize("state", ["empty", "missing"])
def test_a_source_that_vanished_deletes_nothing(sandbox: Sandbox, state: str) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    before = sandbox.running()
    for file in sandbox.source.glob("*.yaml"):
        file.unlink()
    if state == "missing":
        sandbox.source.rmdir()
    sandbox.lb("apply", "--yes", str(sandbox.source), code=65, cwd=sandbox.folder)
    assert sandbox.running() == before


def test_without_a_terminal_a_removal_needs_yes(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for name in "abc":
        sandbox.service(name)
    sandbox.apply()
    sandbox.remove("t.c.yaml")
    assert "add --yes" in sandbox.lb("apply", code=64).err
    assert len(sandbox.containers()) == 3
    sandbox.apply()
    assert len(sandbox.containers()) == 2


def test_an_object_belongs_to_one_source(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    other = tmp_path / "other"
    shutil.copytree(sandbox.source, other)
    (other / "lb.yaml").write_text("name: lbtest-other\n")
    result = sandbox.lb("apply", "--yes", str(other), code=65)
    assert f"namespace t belongs to source {sandbox.name}" in result.err


def test_a_second_apply_is_told_who_holds_the_lock(sandbox: Sandbox) -> None:
    sandbox.namespace()
    check = {"test": "false", "interval": "100ms", "retries": 1000}
    sandbox.service("a", healthcheck=check)
    first = subprocess.Popen([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        eventually(sandbox.containers)
        begun = time.monotonic()
        result = sandbox.apply(code=75)
        assert f"pid {first.pid} (`lb apply --yes`)" in result.err and time.monotonic() - begun < 5
    finally:
        first.kill()
        first.wait()


def test_dangerous_fields_are_refused(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", privileged=True)
    refused = sandbox.apply(code=77).err
    assert "spec.privileged: a privileged container is denied" in refused and "privileged: true}]" in refused
    assert not sandbox.containers()


def test_exit_codes_of_what_is_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.namespace()
    assert sandbox.lb("apply", "--nonsense", code=64).err.startswith("lb: No such option")
    sandbox.env["DOCKER_HOST"] = f"unix://{tmp_path}/none.sock"
    result = sandbox.apply(code=69)
    assert "no Docker Engine answers" in result.err and len(result.err.splitlines()) == 1
    del sandbox.env["DOCKER_HOST"]
    (tmp_path / "file").write_text("")
    result = sandbox.lb("apply", "--yes", "--state", str(tmp_path / "file"), code=73)
    assert "can't be used" in result.err and "Traceback" not in result.err
    assert "Traceback" in sandbox.lb("apply", "--yes", "--debug", "--state", str(tmp_path / "file"), code=73).err


def test_plan_json_keeps_its_schema(sandbox: Sandbox) -> None:

    sandbox.namespace()
    sandbox.service("a")
    plan = sandbox.lb("plan", "-o", "json").json
    jsonschema.validate(plan, json.loads(sandbox.lb("schema", "plan").out))
    assert plan["summary"]["create"] == 2
    outcome = sandbox.lb("apply", "--yes", "-o", "json").json
    jsonschema.validate(outcome, json.loads(sandbox.lb("schema", "plan").out))
    assert [o["result"] for o in outcome["outcomes"]] == ["done", "done"]


def test_the_time_limit_ends_the_wait(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", healthcheck={"test": "false", "interval": "100ms", "retries": 1000})
    result = sandbox.apply("--timeout", "1", code=1)
    assert "time limit of 1 s" in result.err
    sandbox.service("b", healthcheck={"test": "false", "interval": "100ms", "retries": 1000})
    sandbox.apply("--no-wait", "t.b.yaml")


def test_a_volume_that_is_not_recorded_is_used_only_on_order(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["data:/data"])
    sandbox.apply()
    sandbox.lb("down", "--yes")
    shutil.rmtree(sandbox.state)
    refused = sandbox.apply(code=77)
    assert "--adopt" in refused.err and not sandbox.containers()
    sandbox.apply("--adopt")
    assert sandbox.one("a")["Mounts"][0]["Name"] == "lb.t.data"
    assert sandbox.apply().out == "no changes\n"


def test_a_bind_from_outside_the_source_is_refused(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["/var/run/docker.sock:/var/run/docker.sock:ro"])
    refused = sandbox.apply(code=77).err
    assert "spec.volumes: /var/run/docker.sock" in refused and "docker_socket: true}]" in refused
    assert not sandbox.containers()


def test_a_volume_stays_ours_whatever_is_written_into_it(sandbox: Sandbox) -> None:
    """Engines before 23 give the time of the last write into a volume's folder as that of its creation."""
    sandbox.namespace()
    write = ["sh", "-c", "sleep 1.5; touch /data/$$; sleep 1000"]
    sandbox.service("a", volumes=["data:/data"], command=write)
    sandbox.apply()
    made = sandbox.api.inspect_volume("lb.t.data")["CreatedAt"]
    (folder,) = (mount["Source"] for mount in sandbox.one("a")["Mounts"])
    eventually(lambda: list(Path(folder).iterdir()))
    sandbox.service("a", volumes=["data:/data"], command=write, env={"A": "b"})
    assert "replace service t/a" in sandbox.apply().out
    assert sandbox.apply().out == "no changes\n"
    sandbox.service("b")
    sandbox.remove("t.a.yaml")
    sandbox.apply()
    sandbox.lb("volume", "rm", "--yes", "lb.t.data")
    assert "lb.t.data" not in [v["Name"] for v in sandbox.api.volumes()["Volumes"]] and made
