"""Secrets of the host: mounted, rotated for those who use them, and shown nowhere."""

from __future__ import annotations

import json
import signal
import stat
from pathlib import Path

import pytest

from tests.conftest import ENDS, THIRD, Sandbox
from tests.e2e.test_more_fields import inside
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)

CANARY = "canary-8d51"


@pytest.fixture
def vault(sandbox: Sandbox) -> Path:
    """The secrets of namespace t."""
    folder = sandbox.folder / "secrets" / "t"
    folder.mkdir(parents=True)
    sandbox.host.write_text(json.dumps({"secrets": str(folder.parent)}))
    return folder


def put(vault: Path, name: str, value: str) -> None:
    file = vault / name
    file.touch(mode=0o600)
    file.write_text(value)


def test_a_secret_is_a_file_that_any_user_of_the_container_reads_and_none_of_the_host(
    sandbox: Sandbox, vault: Path
) -> None:
    put(vault, "password", CANARY)
    put(vault, "key", "k")
    sandbox.namespace()
    secrets = ["password", {"source": "key", "target": "/etc/app/key"}]
    sandbox.service("a", user="1000:1000", secrets=secrets)
    sandbox.apply()
    assert inside(sandbox, "a", "cat", "/run/secrets/password", "/etc/app/key") == f"{CANARY}k"
    assert "Read-only" in inside(sandbox, "a", "sh", "-c", "echo x > /run/secrets/password")
    mounts = sandbox.one("a")["Mounts"]
    assert len(mounts) == 2 and not any(mount["RW"] for mount in mounts)
    for mount in mounts:
        assert stat.S_IMODE(Path(mount["Source"]).parent.stat().st_mode) == 0o700
    assert sandbox.apply().out == "no changes\n"


def test_what_a_failing_replica_prints_of_its_values_is_shown_nowhere(sandbox: Sandbox, vault: Path) -> None:
    put(vault, "password", f"{CANARY}-secret\n")
    sandbox.write("app.env", f"OTHER={CANARY}-file\n")
    sandbox.namespace()
    said = 'echo "said: $KEY $OTHER $(cat /run/secrets/password) $0"; exit 3'
    sandbox.service("a", secrets=["password"], env={"KEY": "${KEY}"}, env_file="./app.env", restart="no",
                    command=["sh", "-c", said, "${WORD}"], update={"min_ready": "1s"})  # fmt: skip
    values = ["--set", f"KEY={CANARY}-variable", "--set", f"WORD={CANARY}-word"]
    failed = sandbox.apply(*values, code=1)
    again = sandbox.apply(*values, code=1)  # held
    commands = (["describe", "t/a"], ["activity", "-o", "json"], ["history", "t/a", "-o", "json"], ["status"],
                ["get", "service", "t/a", "-o", "json"], ["why", "t/a"])  # fmt: skip
    shown = [sandbox.lb(*command, code=None) for command in commands]
    assert "said: *** *** *** ***" in failed.out + failed.err
    for result in (failed, again, *shown):
        assert CANARY not in result.out + result.err
    assert all(CANARY.encode() not in file.read_bytes() for file in sandbox.state.glob("state.db*"))


def test_what_the_engine_repeats_of_values_is_shown_nowhere(sandbox: Sandbox, vault: Path) -> None:
    """Its errors have words of the spec in them: a command, a user, a share's password, an image that is not there."""
    share = {"type": "cifs", "device": "//127.0.0.1/x", "o": "username=u,password=${KEY},addr=127.0.0.1"}
    sandbox._dump("t.yaml", "Namespace", {"name": "t"}, {"volumes": {"share": {"driver_opts": share}}})
    sandbox.service("a", command=["${KEY}"])
    sandbox.service("b", user="${KEY}")
    sandbox.service("c", volumes=["share:/x"])
    sandbox.service("d", image="127.0.0.1:1/${KEY}:1")
    values = ["--set", f"KEY={CANARY}"]
    shown = [sandbox.apply("--debug", *values, code=1), sandbox.apply(*values, code=1)]
    assert "unable to find user ***" in shown[0].out and "password=***," in shown[0].out
    shown += [sandbox.lb("plan", "-o", "json", *values, code=None)]
    commands = (["activity", "-o", "json"], ["status"], ["status", "-o", "json"], ["get", "services", "-o", "json"])
    shown += [sandbox.lb(*command, code=None) for command in commands]
    for name in ("a", "b", "c", "d"):
        shown += [sandbox.lb(command, f"t/{name}", code=None) for command in ("describe", "history", "why")]
    for result in shown:
        assert CANARY not in result.out + result.err
    for file in (f for f in sandbox.state.rglob("*") if f.is_file()):
        assert CANARY.encode() not in file.read_bytes(), file


def test_a_rotation_replaces_its_users_only(sandbox: Sandbox, vault: Path) -> None:
    put(vault, "password", CANARY)
    sandbox.namespace()
    sandbox.service("a", secrets=["password"])
    sandbox.service("b")
    sandbox.apply()
    before = sandbox.running()
    put(vault, "password", f"{CANARY}-new")
    assert inside(sandbox, "a", "cat", "/run/secrets/password") == CANARY  # what runs has what it started with
    plan = sandbox.lb("plan").out
    assert "replace service t/a" in plan and "secrets.password password → password (its value changed)" in plan
    sandbox.apply()
    assert inside(sandbox, "a", "cat", "/run/secrets/password") == f"{CANARY}-new"
    assert sandbox.running().items() >= {k: v for k, v in before.items() if k.startswith("/t.b.")}.items()
    sandbox.apply()
    copies = list((sandbox.state / "snapshots").glob("secret-*"))
    assert [(copy / "content").read_text() for copy in copies] == [f"{CANARY}-new"]  # the old one is gone
    sandbox.lb("down", "--yes")


def test_a_secret_that_is_not_there(sandbox: Sandbox, vault: Path) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    before = sandbox.running()
    sandbox.service("a", secrets=["password"])
    assert f"there is no secret password on this host; put it into {vault}/password" in sandbox.apply(code=65).err
    assert sandbox.running() == before
    assert "objects are valid" in sandbox.lb("validate").out  # a check may run where no secrets are
    (vault / "password").mkdir()
    assert "can't be read: " in sandbox.apply(code=65).err
    assert sandbox.running() == before


def test_a_namespace_reaches_its_own_secrets_only(sandbox: Sandbox, vault: Path) -> None:
    put(vault, "password", CANARY)
    sandbox.namespace()
    sandbox.namespace("x")
    sandbox.service("a", namespace="x", secrets=["password"])
    assert "there is no secret password" in sandbox.apply(code=65).err
    sandbox.service("a", namespace="x", secrets=["../t/password"])
    assert "is no name of a secret" in sandbox.apply(code=65).err


def test_it_is_shown_nowhere(sandbox: Sandbox, vault: Path) -> None:
    put(vault, "password", CANARY)
    sandbox.namespace()
    sandbox.service("a", secrets=["password"])
    shown = [sandbox.lb("plan", "-o", form) for form in ("text", "json")]
    shown.append(sandbox.apply("-o", "json"))
    put(vault, "password", f"{CANARY}-new")
    sandbox.service("a", secrets=["password"], command="sh -c 'exit 3'", **ENDS)
    shown += [sandbox.lb("plan", "-o", form) for form in ("text", "json")]
    shown.append(sandbox.apply(code=1))
    for command in (
        ["validate", "-o", "json"],
        *(["get", "service", "t/a", "-o", form] for form in ("table", "wide", "json", "yaml")),
        ["describe", "t/a"],
        ["history", "t/a"],
        ["history", "t/a", "--revision", "0", "-o", "yaml"],
        ["activity", "t/a", "-o", "json"],
        ["status", "-o", "json"],
    ):
        shown.append(sandbox.lb(*command, code=None))
    assert all(CANARY not in result.out + result.err for result in shown)
    for file in (f for f in sandbox.state.rglob("*") if f.is_file()):
        if not file.parent.name.startswith("secret-"):
            assert CANARY.encode() not in file.read_bytes(), file
    for container in sandbox.containers():
        assert CANARY not in json.dumps(container)


def test_a_daemon_rolls_a_rotated_secret_out(sandbox: Sandbox, vault: Path) -> None:
    put(vault, "password", CANARY)
    sandbox.namespace()
    sandbox.service("a", secrets=["password"])
    with running_daemon(sandbox) as daemon:
        eventually(lambda: sandbox.live("a"))
        before = sandbox.live("a")[0]["Id"]
        put(vault, "password", f"{CANARY}-new")
        daemon.process.send_signal(signal.SIGHUP)  # or it looks by itself, every 30 s
        eventually(
            lambda: [c["Id"] for c in sandbox.live("a")] not in ([], [before]) and len(sandbox.containers()) == 1
        )
        assert inside(sandbox, "a", "cat", "/run/secrets/password") == f"{CANARY}-new"
        assert CANARY not in daemon.log
