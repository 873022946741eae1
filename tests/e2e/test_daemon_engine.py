"""A daemon whose engine goes away: it says so once, goes on answering, and mends everything when the engine is back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX, SECOND, Sandbox, sandbox_on
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.own_engine import OwnEngine, own_engine

pytestmark = pytest.mark.xdist_group(SECOND)


@pytest.fixture
def engine_of_its_own(tmp_path: Path) -> Iterator[tuple[OwnEngine, Sandbox]]:
    with own_engine([BUSYBOX]) as engine, contextlib.closing(engine.api) as api:
        yield engine, sandbox_on(engine, api, tmp_path)


def test_an_engine_that_goes_away_and_comes_back(engine_of_its_own: tuple[OwnEngine, Sandbox]) -> None:
    engine, box = engine_of_its_own
    box.namespace()
    box.service("a")
    box.service("b", restart="no")  # nobody but lb starts it again
    with running_daemon(box) as daemon:
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
