"""Every example, unchanged, asks for no mutating call: right after it was applied, and after the engine's restart."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from reconciler import source
from tests.conftest import IMAGES, LB
from tests.support.eventually import eventually
from tests.support.examples import NAMES, prepare
from tests.support.own_engine import OwnEngine, own_engine
from tests.support.proxy import proxied


def running(engine: OwnEngine) -> dict[str, str]:
    with contextlib.closing(engine.api) as api:
        return {row["Id"]: row["State"] for row in api.containers(all=True)}


@pytest.mark.parametrize("name", NAMES)
def test_no_mutating_call_for_an_unchanged_example(name: str, tmp_path: Path) -> None:
    images = [f"{IMAGES}{image}" for image in ("redis:7.0", "nginx:1.22", "busybox:1.35", "postgres:15")]
    example = prepare(name, tmp_path / "source", tmp_path / "host")
    settings = tmp_path / "host.yaml"
    settings.write_text(example.allowing)
    with own_engine(images) as engine, proxied(engine.socket, tmp_path) as proxy:
        env = {**os.environ, "DOCKER_HOST": f"unix://{proxy.path}", "LB_STATE": str(tmp_path / "state")}
        host = next(iter(source.hosts(example.source)), "")
        env |= {"LB_HOST": host, "LB_HOST_CONFIG": str(settings)}
        nothing = f"no changes on host {host}\n" if host else "no changes\n"

        def apply() -> str:
            command = [LB, "apply", "--yes", "--set", f"IMAGES={IMAGES}", str(example.source)]
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
