"""A daemon whose engine goes away: it says so once, goes on answering, and mends everything when the engine is back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.own_engine import OwnEngine, own_engine


@pytest.fixture
def engine_of_its_own() -> Iterator[OwnEngine]:
    with own_engine([BUSYBOX]) as engine:
        yield engine


def test_an_engine_that_goes_away_and_comes_back(
    sandbox: Sandbox, engine_of_its_own: OwnEngine, tmp_path: Path
) -> None:
    engine = engine_of_its_own
    box = replace(sandbox, api=engine.api, env={"DOCKER_HOST": f"unix://{engine.socket}"})
    box.namespace()
    box.service("a")
    box.service("b", restart="no")  # nobody but lb starts it again
    with running_daemon(box) as daemon, contextlib.closing(box.api):
        eventually(lambda: daemon.log.count("create: new service") == 2)
        before = {c["Name"]: c["Id"] for c in box.containers()}
        engine.stop()
        eventually(lambda: " engine: " in daemon.log)
        begun = time.monotonic()
        (a, b) = daemon.get("/namespace/t/service")
        assert time.monotonic() - begun < 2 and (a["meta"]["name"], b["meta"]["name"]) == ("a", "b")
        box.service("a", env={"A": "1"})  # what is saved meanwhile is not lost
        engine.start()
        eventually(lambda: [e for c in box.live("a") for e in c["Config"]["Env"] if e.startswith("A=")] == ["A=1"], 60)
        eventually(lambda: "engine: in order again" in daemon.log)
        assert daemon.log.count(" engine: ") == 2, daemon.log
        assert {c["Name"]: c["Id"] for c in box.containers("b")} == {k: v for k, v in before.items() if ".b." in k}
