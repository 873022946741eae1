"""The engine that `docker` would talk to; a socket goes by one name, whatever links lead there."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import EngineUnreachable
from reconciler.runtimes.client import connect
from reconciler.runtimes.endpoint import endpoint


def test_links_to_a_socket_are_one_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "run")
    found = set()
    for folder in ("run", "var"):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/{folder}/docker.sock")
        found.add(endpoint())
    assert found == {f"unix://{tmp_path}/run/docker.sock"}


def test_an_address_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    assert endpoint() == "tcp://10.0.0.1:2375"


def test_without_an_engine_the_system_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EngineUnreachable) as caught:
        connect()
    assert caught.value.message == "no Docker Engine answers: No such file or directory"
