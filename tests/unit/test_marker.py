"""One state an engine, and one engine a state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconciler import clock, marker
from reconciler.errors import RefusedError
from reconciler.model import EngineInfo
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from tests.support.memory import Memory


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "state")) as opened:
        yield opened


def runtime(memory: Memory | None = None) -> Engine:
    return Engine(memory or Memory(), "/nowhere", clock.now)


def test_a_state_is_of_one_engine(store: Store) -> None:
    store.bind_engine(EngineInfo("other", "/var/lib/docker", "unix:///run/docker.sock", "1.41"))
    with pytest.raises(RefusedError, match="is of another engine") as refused:
        marker.check(runtime(), store, adopt=False)
    assert "--adopt" in refused.value.hint
    marker.check(runtime(), store, adopt=True)


def test_another_way_to_the_same_engine_is_no_other_engine(store: Store) -> None:
    info = runtime().info()
    store.bind_engine(EngineInfo(info.id, info.root, "tcp://127.0.0.1:2375", "1.44"))
    marker.check(runtime(), store, adopt=False)


def test_an_engine_is_of_one_state(store: Store, tmp_path: Path) -> None:
    memory = Memory()
    marker.claim(runtime(memory), store)
    marker.check(runtime(memory), store, adopt=False)
    with closing(Store.open(tmp_path / "second")) as second, pytest.raises(RefusedError, match="by another state"):
        marker.check(runtime(memory), second, adopt=True)
