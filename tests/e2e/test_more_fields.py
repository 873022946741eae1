"""What the fields beyond the usual ones do to a running service."""

from __future__ import annotations

import json
from typing import Any

import docker
import pytest

from tests.conftest import THIRD, Sandbox

pytestmark = pytest.mark.xdist_group(THIRD)

MIB = 1024 * 1024


def inside(sandbox: Sandbox, service: str, *command: str) -> str:
    """What a command prints in a service's container."""
    job = sandbox.api.exec_create(sandbox.one(service)["Id"], list(command))
    return str(sandbox.api.exec_start(job["Id"]).decode())


def test_env_files_are_read_as_compose_does_and_env_goes_before_them(sandbox: Sandbox) -> None:
    canary = "canary-77c1"
    sandbox.namespace()
    sandbox.write("conf/common.env", f"# all\nA=1\nexport B='two # words'\nPASSWORD={canary}\n")
    sandbox.write("conf/app.env", 'A=2\nC="x\\ty $A ${NAME}"\nOVER=file\n')
    sandbox.service("a", env_file=["./conf/common.env", "./conf/app.env"], env={"OVER": "env"})
    shown = [sandbox.apply("--set", "NAME=n")]
    env = set(sandbox.one("a")["Config"]["Env"])
    assert {"A=2", "B=two # words", f"PASSWORD={canary}", "C=x\ty 2 n", "OVER=env"} <= env
    before = sandbox.running()
    sandbox.write("conf/common.env", f"# all of them\nA=1\nexport B='two # words'\nPASSWORD={canary}\n")
    shown.append(sandbox.apply("--set", "NAME=n"))
    assert "record service t/a" in shown[-1].out and sandbox.running() == before
    sandbox.write("conf/common.env", f"A=1\nexport B='two # words'\nPASSWORD={canary}-new\n")
    shown.append(sandbox.lb("plan", "--set", "NAME=n"))
    assert "env.PASSWORD ./conf/common.env (content " in shown[-1].out and "replace service t/a" in shown[-1].out
    shown += [sandbox.lb("get", "service", "t/a", "-o", form) for form in ("json", "yaml", "wide")]
    shown.append(sandbox.apply("--set", "NAME=n"))
    assert f"PASSWORD={canary}-new" in sandbox.one("a")["Config"]["Env"]
    assert all(canary not in result.out + result.err for result in shown)
    for file in (f for f in sandbox.state.rglob("*") if f.is_file()):
        assert canary.encode() not in file.read_bytes(), file
    assert canary not in json.dumps(sandbox.one("a")["Config"]["Labels"])


def test_what_is_text_is_what_stands_in_the_file(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    file = next(sandbox.source.glob("t.a.yaml"))
    said = "VERSION: 1.10, HEX: 0x1F, FLAG: True, N: 7"
    text = file.read_text().replace('"command"', f'"env": {{{said}}}, "labels": {{v: 1.10}}, "command"')
    file.write_text(text)
    sandbox.apply()
    config = sandbox.one("a")["Config"]
    assert {"VERSION=1.10", "HEX=0x1F", "FLAG=True", "N=7"} <= set(config["Env"]) and config["Labels"]["v"] == "1.10"
    assert "VERSION: '1.10'" in sandbox.lb("get", "service", "t/a", "-o", "yaml").out
    file.write_text(text.replace("1.10", "1.2"))
    assert "env.VERSION 1.10 → 1.2" in sandbox.apply().out
    sandbox.lb("rollback", "t/a")
    sandbox.apply()
    assert "VERSION=1.10" in sandbox.one("a")["Config"]["Env"] and sandbox.apply().out == "no changes\n"


def test_labels_of_containers(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", labels=["traefik.enable=true", "empty"])
    sandbox.apply()
    labels = sandbox.one("a")["Config"]["Labels"]
    assert (labels["traefik.enable"], labels["empty"], labels["lb.service"]) == ("true", "", "a")


def test_pids_and_reserved_memory_change_in_place_and_are_unset_by_replacing(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", memory=64, mem_reservation="16m", pids_limit=50)
    sandbox.apply()
    before = sandbox.running()
    sandbox.service("a", memory=64, mem_reservation="32m", pids_limit=60)
    assert "update service t/a (in-place)" in sandbox.apply().out
    host = sandbox.one("a")["HostConfig"]
    assert (host["MemoryReservation"], host["PidsLimit"]) == (32 * MIB, 60) and sandbox.running() == before

    sandbox.api.update_container(sandbox.one("a")["Id"], mem_reservation=8 * MIB)
    result = sandbox.apply()
    assert "replica 1 mem_reservation was changed to 8 MiB" in result.out and sandbox.running() == before
    assert sandbox.one("a")["HostConfig"]["MemoryReservation"] == 32 * MIB

    sandbox.service("a", memory=64)
    sandbox.apply()
    host = sandbox.one("a")["HostConfig"]
    assert (host["MemoryReservation"], host["PidsLimit"]) == (0, None) and sandbox.running() != before
    assert sandbox.apply().out == "no changes\n"


def test_a_default_that_is_written_out_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    before = sandbox.running()
    plain: dict[str, Any] = {"tty": False, "stdin_open": False, "read_only": False, "privileged": False}
    sandbox.service("a", pids_limit=-1, logging={"driver": "local"}, dns=[], cap_drop=[], labels={}, **plain)
    assert sandbox.apply().out == "no changes\n" and sandbox.running() == before


def test_a_read_only_container_writes_to_its_tmpfs(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", read_only=True, volumes=[{"type": "tmpfs", "target": "/run"}])
    sandbox.apply()
    assert "Read-only" in inside(sandbox, "a", "touch", "/x")
    assert inside(sandbox, "a", "sh", "-c", "echo x > /run/x && cat /run/x") == "x\n"


def test_a_failure_is_told_where_no_logs_are_kept(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", command="sh -c 'exit 3'", restart="no", logging={"driver": "none"}, update={})
    out = sandbox.apply(code=1).out
    assert "ended with exit 3" in out and "configured logging driver does not support reading" in out
    assert "held" in sandbox.apply(code=1).out


def test_a_platform_that_is_not_here_is_asked_for(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", platform="linux/arm64")
    assert "can't be pulled" in sandbox.apply(code=1).out
    sandbox.service("a", platform="linux/arm64", pull_policy="never")
    assert "is on this engine for linux/amd64 only and pull_policy is never" in sandbox.apply(code=1).out
    assert sandbox.containers() == []


# --- networks


def shared(sandbox: Sandbox, *with_whom: str) -> None:
    sandbox._dump("shop.yaml", "Namespace", {"name": "shop"}, {"share_with": list(with_whom)} if with_whom else None)


def test_a_service_joins_the_network_of_a_namespace_that_shares_it(sandbox: Sandbox) -> None:
    sandbox.namespace()
    shared(sandbox, "t")
    sandbox.service("db", namespace="shop")
    sandbox.service("app", networks=["shop"])
    sandbox.service("other")
    sandbox.apply()
    joined = sandbox.one("app")["NetworkSettings"]["Networks"]
    assert set(joined) == {"lb.t", "lb.shop"} and {"app", "app.t"} <= set(joined["lb.shop"]["Aliases"])
    assert inside(sandbox, "app", "ping", "-c", "1", "db.shop").count("1 packets received") == 1
    assert "bad address" in inside(sandbox, "other", "ping", "-c", "1", "db.shop")
    assert sandbox.apply().out == "no changes\n"

    before = sandbox.running()
    sandbox.api.disconnect_container_from_network(sandbox.one("app")["Id"], "lb.shop")
    assert "replica 1 was disconnected from the network of shop" in sandbox.apply().out
    assert "lb.shop" in sandbox.one("app")["NetworkSettings"]["Networks"] and sandbox.running() == before

    sandbox.service("app")
    assert "replace service t/app" in sandbox.apply().out
    assert set(sandbox.one("app")["NetworkSettings"]["Networks"]) == {"lb.t"}


def test_a_network_that_is_not_shared_is_refused(sandbox: Sandbox) -> None:
    sandbox.namespace()
    shared(sandbox)
    sandbox.service("app", networks=["shop"])
    result = sandbox.apply(code=65)
    assert (
        "namespace shop does not share its network; write share_with: [t] under its spec: (shop.yaml:1)" in result.err
    )
    assert sandbox.containers("app") == []


def test_a_namespace_of_another_source_may_share_too(sandbox: Sandbox) -> None:
    other = sandbox.folder / "other"
    other.mkdir()
    (other / "lb.yaml").write_text(f"name: {sandbox.name}-other\n")
    space = {"apiVersion": "lb/v1", "kind": "Namespace", "meta": {"name": "shop"}, "spec": {"share_with": ["t"]}}
    (other / "shop.yaml").write_text(json.dumps(space))
    sandbox.namespace()
    sandbox.service("app", networks=["shop"])
    assert "there is no namespace shop" in sandbox.apply(code=65).err
    sandbox.lb("apply", "--yes", cwd=other)
    sandbox.apply()
    assert set(sandbox.one("app")["NetworkSettings"]["Networks"]) == {"lb.t", "lb.shop"}
    del space["spec"]
    (other / "shop.yaml").write_text(json.dumps(space))
    sandbox.lb("apply", "--yes", cwd=other)
    assert "namespace shop does not share its network" in sandbox.lb("plan", code=65).err
    sandbox.service("app")
    sandbox.apply()
    sandbox.lb("down", "--yes", cwd=other)


def test_no_network_at_all(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", network_mode="none")
    sandbox.apply()
    assert set(sandbox.one("a")["NetworkSettings"]["Networks"]) == {"none"}
    assert sandbox.apply().out == "no changes\n"


# --- volumes


def volumes(sandbox: Sandbox, **declared: Any) -> None:
    sandbox._dump("t.yaml", "Namespace", {"name": "t"}, {"volumes": declared})


def test_a_volume_is_made_with_its_options_and_never_with_others(sandbox: Sandbox) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    volumes(sandbox, small={"driver_opts": options}, usual=None)
    sandbox.service("a", volumes=["small:/small", "usual:/usual"])
    sandbox.apply()
    assert sandbox.api.inspect_volume("lb.t.small")["Options"] == options
    assert sandbox.api.inspect_volume("lb.t.usual")["Options"] in (None, {})
    before = sandbox.running()
    volumes(sandbox, small={"driver_opts": {**options, "o": "size=2m"}}, usual={})
    result = sandbox.apply(code=77)
    assert "volume lb.t.small was made with other options than t.yaml:" in result.err + result.out
    assert sandbox.running() == before
    sandbox.service("a", volumes=["small:/small", "usual:/usual"], env={"A": "b"})
    sandbox.apply(code=77)
    assert sandbox.running() == before
    assert "size=1m" in sandbox.lb("get", "namespace", "t", "-o", "yaml").out
    volumes(sandbox, small={"driver_opts": options}, usual={})
    assert "replace service t/a" in sandbox.apply().out


def test_an_external_volume_is_used_and_left(sandbox: Sandbox) -> None:
    name = f"{sandbox.name}-data"
    volumes(sandbox, old={"external": True, "name": name})
    sandbox.service("a", volumes=["old:/data"])
    result = sandbox.apply(code=1)
    assert f"volume {name} does not exist" in result.out and sandbox.containers("a") == []
    sandbox.api.create_volume(name, labels={"lb.source": sandbox.name})
    try:
        sandbox.apply()
        assert sandbox.one("a")["Mounts"][0]["Name"] == name
        assert sandbox.apply().out == "no changes\n"
        sandbox.lb("down", "--yes")
        assert sandbox.api.inspect_volume(name)["Labels"] == {"lb.source": sandbox.name}
    finally:
        for container in sandbox.containers():
            sandbox.api.remove_container(container["Id"], force=True)
        sandbox.api.remove_volume(name)


# --- protection


def test_what_is_protected_is_not_removed(sandbox: Sandbox) -> None:
    sandbox.namespace()
    for name in "abcde":
        sandbox.service(name, meta={"protect": True} if name == "a" else None)
    sandbox.apply()
    before = sandbox.running()
    sandbox.remove("t.a.yaml")
    sandbox.remove("t.b.yaml")
    result = sandbox.apply(code=77)
    assert "t/a would be removed, which meta.protect refuses" in result.err
    assert [c["Config"]["Labels"]["lb.service"] for c in sandbox.containers()] == ["a", "c", "d", "e"]
    assert "t/a is protected (meta.protect)" in sandbox.lb("down", "--yes", code=77).err
    assert [c["Config"]["Labels"]["lb.service"] for c in sandbox.containers()] == ["a", "c", "d", "e"]
    sandbox.namespace()
    sandbox.service("a", meta={"protect": False})
    sandbox.apply()
    assert sandbox.running()["/t.a.1-1"] == before["/t.a.1-1"]
    sandbox.lb("down", "--yes")
    assert sandbox.containers() == []


def test_a_protected_namespace_stays(sandbox: Sandbox) -> None:
    sandbox.namespace(protect=True)
    sandbox.service("a")
    sandbox.apply()
    assert "protect: true" in sandbox.lb("get", "namespace", "t", "-o", "yaml").out
    assert "t is protected (meta.protect)" in sandbox.lb("down", "--yes", code=77).err
    assert sandbox.containers("a") and sandbox.api.networks(names=["lb.t"])
    sandbox.namespace()
    sandbox.apply()
    sandbox.lb("down", "--yes")
    with pytest.raises(docker.errors.NotFound):
        sandbox.api.inspect_network("lb.t")
