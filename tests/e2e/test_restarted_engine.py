"""Every example, unchanged, asks for no mutating call: right after it was applied, and after the engine's restart."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from reconciler import source
from tests.conftest import IMAGES, LB, SECOND
from tests.support.eventually import eventually
from tests.support.own_engine import OwnEngine, own_engine
from tests.support.proxy import proxied

pytestmark = pytest.mark.xdist_group(SECOND)

IMAGES_USED = [f"{IMAGES}{name}" for name in ("busybox:1.35", "nginx:1.22", "postgres:15", "redis:7.0")]
EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[2] / "examples").glob("*/lb.yaml"))


def running(engine: OwnEngine) -> dict[str, str]:
    with contextlib.closing(engine.api) as api:
        return {row["Id"]: row["State"] for row in api.containers(all=True)}


def provide(example: Path, folder: Path) -> list[str]:
    """What a host gives to the examples that ask for it: its host.yaml (the example's own, where it has one), secrets,
    and a folder to share. The answer is how lb is told."""
    host = folder / "host.yaml"
    allowed = example / "host.yaml.example"
    settings = allowed.read_text() if allowed.exists() else ""
    share = folder / "share"
    share.mkdir()
    secrets = folder / "secrets"
    (secrets / "voting").mkdir(parents=True)
    (secrets / "voting" / "pg_password").write_text("secret\n")
    host.write_text(f"{settings.replace('/srv/share', str(share))}\nsecrets: {secrets}\n")
    return ["--set", f"SHARE={share}", "--host-config", str(host)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_no_mutating_call_for_an_unchanged_example(example: Path, tmp_path: Path) -> None:
    options = ["--set", f"IMAGES={IMAGES}", *provide(example, tmp_path)]
    with own_engine(IMAGES_USED) as engine, proxied(engine.socket, tmp_path) as proxy:
        env = {**os.environ, "DOCKER_HOST": f"unix://{proxy.path}", "LB_STATE": str(tmp_path / "state")}
        host = next(iter(source.hosts(example)), "")
        env["LB_HOST"] = host
        nothing = f"no changes on host {host}\n" if host else "no changes\n"

        def apply() -> str:
            command = [LB, "apply", "--yes", *options, str(example)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        apply()
        before = running(engine)
        assert before and proxy.mutating
        proxy.requests.clear()
        assert apply() == nothing
        assert proxy.requests and proxy.mutating == []

        engine.stop()
        engine.start()
        eventually(lambda: running(engine) == before, 60)
        proxy.requests.clear()
        assert apply() == nothing
        assert proxy.requests and proxy.mutating == []
        assert running(engine) == before


@pytest.mark.parametrize("restart", ["unless-stopped", "no"])
def test_a_restart_of_the_engine_is_no_failure_of_what_took_over_before(restart: str, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    namespace = {"apiVersion": "lb/v1", "kind": "Namespace", "meta": {"name": "t"}}
    (folder / "t.yaml").write_text(json.dumps(namespace))
    with own_engine(IMAGES_USED[:1]) as engine:
        env = {**os.environ, "DOCKER_HOST": f"unix://{engine.socket}", "LB_STATE": str(tmp_path / "state")}

        def apply() -> str:
            command = [LB, "apply", "--yes", str(folder)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        for value in ("1", "2"):
            update = {"min_ready": "0s", "monitor": "10m"}
            spec = {"image": IMAGES_USED[0], "command": ["sleep", "1000"], "init": True, "restart": restart}
            meta = {"name": "a", "namespace": "t"}
            service = {"apiVersion": "lb/v1", "kind": "Service", "meta": meta}
            service["spec"] = {**spec, "update": update, "env": {"A": value}}
            (folder / "a.yaml").write_text(json.dumps(service))
            apply()
        before = running(engine)
        engine.stop()
        engine.start()
        eventually(lambda: running(engine).keys() == before.keys(), 60)
        assert "take-back" not in apply()
        assert running(engine).keys() == before.keys()
