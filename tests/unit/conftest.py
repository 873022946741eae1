"""Fixtures that need no engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import lock
from reconciler.cli import doors
from tests.support.desk import IMAGE, Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    found = Desk(tmp_path / "source", tmp_path / "state")
    found.folder.mkdir()
    (found.folder / "lb.yaml").write_text("name: quickstart\n")
    monkeypatch.chdir(found.folder)
    monkeypatch.setenv("LB_STATE", str(found.state))
    host = tmp_path / "host.yaml"
    host.touch()
    monkeypatch.setenv("LB_HOST_CONFIG", str(host))
    monkeypatch.setattr(doors, "engine", found.engine)
    monkeypatch.setattr(lock, "folder", lambda: tmp_path / "lock")
    found.memory.images_here = {f"docker.io/library/{name}": f"sha256:{name}" for name in (IMAGE, "app:2")}
    return found
