"""One source for several hosts, its templates and its variables, on an engine that is one of them."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import BUSYBOX, THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)

HOSTS = "hosts: {nas1: {variables: {WHERE: one}}, nas2: {variables: {WHERE: two}}, nas3: }\n"
TEMPLATES = f"""\
templates:
  quick:
    image: {BUSYBOX}
    command: [sleep, '100000']
    stop_signal: SIGKILL
    memory: 32
    env: {{WHERE: '${{WHERE:-nowhere}}', LOG: info}}
    update: {{min_ready: 0s}}
"""


def settings(sandbox: Sandbox, text: str = HOSTS) -> None:
    sandbox.write("lb.yaml", f"name: {sandbox.name}\n{text}{TEMPLATES}")


def service(sandbox: Sandbox, name: str, meta: str = "", spec: str = "") -> None:
    sandbox.write(
        f"{name}.yaml",
        f"apiVersion: lb/v1\nkind: Service\nmeta: {{name: {name}, namespace: t{meta}}}\n"
        f"spec: {{template: quick{spec}}}\n",
    )


def env(sandbox: Sandbox, name: str) -> set[str]:
    return {entry for c in sandbox.live(name) for entry in c["Config"]["Env"] if not entry.startswith("PATH=")}


@pytest.fixture
def source(sandbox: Sandbox) -> Sandbox:
    settings(sandbox)
    sandbox.namespace()
    for name in ("a", "b", "c"):
        service(sandbox, name)
    sandbox.env["LB_HOST"] = "nas1"
    return sandbox


def test_a_service_that_moves_to_another_host_is_removed_here_and_comes_back(source: Sandbox) -> None:
    first = source.apply()
    assert first.out.startswith("host nas1\n") and env(source, "a") == {"WHERE=one", "LOG=info"}
    assert source.apply().out == "no changes on host nas1\n"
    assert source.lb("plan", "-o", "json").json["host"] == "nas1"
    assert source.lb("get", "services").err == "lb: host nas1\n"
    before = source.running()

    service(source, "c", ", hosts: [nas2]")
    assert "no longer for host nas1 (was in c.yaml)" in source.lb("plan").out
    source.apply()
    assert not source.containers("c")
    assert before.items() >= source.running().items() and len(source.running()) == 2

    service(source, "c", ", hosts: ['nas?']")
    source.apply()
    assert len(source.containers("c")) == 1
    service(source, "c", ", hosts: [nas1, nas2]")
    assert "record" in source.lb("plan").out
    calm = source.running()
    source.apply()
    assert source.running() == calm
    written = source.lb("get", "service", "t/c", "-o", "yaml").out
    assert "hosts:\n    - nas1\n    - nas2\n" in written and written.endswith("spec:\n  template: quick\n")


@pytest.mark.parametrize("host", ["nas9", "", "NAS1"])
def test_an_unknown_host_changes_nothing_and_removes_nothing(source: Sandbox, host: str) -> None:
    service(source, "c", ", hosts: [nas1]")
    source.apply()
    before = source.running()
    source.env["LB_HOST"] = host
    for command in (["apply", "--yes"], ["plan"], ["validate"]):
        assert "nothing is changed" in source.lb(*command, code=65).err
    settings(source, "")
    source.env["LB_HOST"] = "nas1"
    assert "lists no hosts; nothing is changed" in source.apply(code=65).err
    settings(source, "hosts: {nas2: }\n")
    assert "lists no host nas1; nothing is changed" in source.apply(code=65).err
    assert source.running() == before


def test_a_misspelt_host_moves_nothing(source: Sandbox) -> None:
    source.apply()
    before = source.running()
    service(source, "c", ", hosts: [nsa2]")
    result = source.apply(code=65)
    assert "c.yaml:3:39: meta.hosts[0]: lb.yaml lists no host nsa2; did you mean nas2?" in result.err
    assert source.running() == before


def test_moving_most_of_a_source_needs_a_confirmation(source: Sandbox) -> None:
    source.apply()
    before = source.running()
    source.namespace(hosts=["nas2"])
    refused = source.apply(code=77)
    assert "all 3 services" in refused.out + refused.err and source.running() == before
    key = source.lb("plan", "-o", "json", code=77).json["guards"][0]["confirm"]
    source.apply("--confirm-deletes", key)
    assert not source.containers()
    assert source.apply().out == "no changes on host nas1\n"


def test_down_needs_no_host(source: Sandbox) -> None:
    source.apply()
    source.env["LB_HOST"] = ""
    source.lb("down", "--yes")
    assert not source.containers()


def test_a_template_that_changes_rolls_out_to_its_users(source: Sandbox) -> None:
    service(source, "b", spec=", memory: 64")
    source.write(
        "c.yaml",
        "apiVersion: lb/v1\nkind: Service\nmeta: {name: c, namespace: t}\n"
        f"spec: {{image: '{BUSYBOX}', command: sleep 9999, stop_signal: SIGKILL, update: {{min_ready: 0s}}}}\n",
    )
    source.apply()
    before = source.running()
    lb = (source.source / "lb.yaml").read_text()
    (source.source / "lb.yaml").write_text(lb.replace("memory: 32", "memory: 48"))
    plan = source.lb("plan").out
    assert "update service t/a" in plan and "[lb.yaml:8]" in plan and "t/b" not in plan and "t/c" not in plan
    source.apply()
    assert source.running() == before
    assert [source.one(n)["HostConfig"]["Memory"] >> 20 for n in "abc"] == [48, 64, 0]
    (source.source / "lb.yaml").write_text(lb.replace("LOG: info", "LOG: debug"))
    source.apply()
    assert "LOG=debug" in env(source, "a") & env(source, "b")
    assert source.running()["/t.c.1-1"] == before["/t.c.1-1"]
    shown = source.lb("get", "service", "t/b", "-o", "yaml").out
    assert "template: quick" in shown and "memory: 64" in shown and "LOG" not in shown
    told = source.lb("get", "service", "t/b", "-o", "json").json["spec"][0]
    assert set(told["env"]) == {"LOG=debug", "WHERE=${WHERE:-nowhere}"} and told["memory"] == 64


def test_where_variables_come_from(source: Sandbox) -> None:
    source.write(".env", "WHERE='of the file'\nOTHER=x\n")
    source.env["WHERE"] = "environment"
    source.apply()
    assert "WHERE=one" in env(source, "a")
    source.apply("--allow-env", "WHERE")
    assert "WHERE=environment" in env(source, "a")
    source.apply("--allow-env", "WHERE", "--env-file", ".env")
    assert "WHERE=of the file" in env(source, "a")
    result = source.apply("--allow-env", "WHERE", "--env-file", ".env", "--set", "WHERE=set")
    assert "WHERE=set" in env(source, "a")
    assert "of the file" not in result.out + result.err + (source.state / "state.db").read_bytes().decode("latin-1")
    assert source.apply("--env-file", "gone", code=65).err.endswith(
        "--env-file gone can't be read: No such file or directory; nothing is changed\n"
    )
    source.write(".env", "A=1\nB='x\n")
    assert (
        "--env-file .env: line 2 opens a ' that is never closed; nothing"
        in source.apply("--env-file", ".env", code=65).err
    )
    assert source.apply("--allow-env", "A*", code=64).err.endswith("write --allow-env NAME\n")


def test_a_daemon_is_one_of_the_hosts_and_reads_its_env_file_again(source: Sandbox) -> None:
    source.write(".env", "WHERE=first\n")
    source.env.pop("LB_HOST")
    with running_daemon(source, "--host", "nas1", "--env-file", ".env") as daemon:
        eventually(lambda: all("WHERE=first" in env(source, name) for name in "abc"))
        service(source, "c", ", hosts: [nas2]")
        eventually(lambda: not source.containers("c"))
        source.write(".env", "WHERE=second\n")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: all("WHERE=second" in env(source, name) for name in "ab") and len(source.containers()) == 2)
        before = source.running()
        (source.source / ".env").unlink()
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: ".env can't be read" in daemon.log)
        settings(source, "hosts: {nas2: }\n")
        source.write(".env", "WHERE=second\n")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "lists no host nas1" in daemon.log)
        assert source.running() == before
        settings(source)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "source: in order again" in daemon.log)
        assert source.running() == before
        handed = source.apply("--host", "nas2", "--env-file", ".env", code=77)
        assert "the daemon reads this source otherwise" in handed.err
        assert source.apply("--host", "nas1", "--env-file", ".env").out == "no changes on host nas1\n"


def test_every_view_is_validated_without_an_engine(source: Sandbox) -> None:
    source.env |= {"DOCKER_HOST": "unix:///nowhere", "LB_HOST": ""}
    service(source, "c", ", hosts: [nas2]", ", replicas: '${ONLY_ON_NAS2}'")
    result = source.lb("validate", "--all-hosts", code=65)
    assert result.out == (
        "c.yaml:4:35: spec.replicas: ${ONLY_ON_NAS2} is not defined; add it to lb.yaml: variables, or pass --set "
        "ONLY_ON_NAS2=... (on nas2)\n"
    )
    assert source.lb("validate", "--all-hosts", "--set", "ONLY_ON_NAS2=2").out == (
        "4 objects are valid (on nas1, nas2, nas3)\n"
    )
    source.lb("validate", "--host", "nas1")
    service(source, "a", spec=", replicas: x")
    both = source.lb("validate", "--all-hosts", "-o", "json", "--set", "ONLY_ON_NAS2=2", code=65).json["problems"]
    assert [p["message"] for p in both] == ["must be a whole number without quotes, like 2"]
