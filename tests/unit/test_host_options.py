"""What host.yaml says where a command line says nothing: the state, where to listen, which source, its variables."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest

from reconciler import host as hosts
from reconciler.cli import running, serving
from reconciler.cli.options import this_host
from reconciler.errors import UsageError
from reconciler.host import Host
from tests.support.desk import Desk


def says(desk: Desk, **settings: Any) -> Path:
    file = Path(os.environ["LB_HOST_CONFIG"])
    file.write_text(json.dumps(settings))
    return file


def test_the_state_is_where_the_host_says_unless_the_command_line_does(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LB_STATE")
    says(desk, state=str(tmp_path / "said"))
    desk.namespace()
    desk.service("web")
    desk.apply()
    assert (tmp_path / "said" / "state.db").exists()
    assert "demo" in desk.lb("get", "services", "-o", "name").out
    monkeypatch.setenv("LB_STATE", str(tmp_path / "other"))
    assert desk.lb("get", "services", "-o", "name").out.strip() == ""
    assert "demo" in desk.lb("get", "services", "-o", "name", "--state", str(tmp_path / "said")).out


def test_a_broken_file_keeps_nobody_from_looking(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LB_STATE")
    file = says(desk, state=str(desk.state))
    desk.namespace()
    desk.service("web")
    desk.apply()
    file.write_text(f"state: {desk.state}\npolicy: nonsense\n")
    assert "demo/web" in desk.lb("get", "services", "-o", "name").out
    assert "host.yaml:2" in desk.apply(code=65).err
    file.write_text("state: [\n")
    assert "host.yaml:" in desk.lb("get", "services", code=65).err


def where(file: Path, listen: str | None = None, token_file: Path | None = None) -> tuple[str, int, str]:
    with click.Context(click.Command("x")) as context:
        context.meta["lb.host"] = hosts.read(file)
        this_host()
        return serving.where(listen, token_file)


def test_where_to_listen(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "other").write_text("other\n")
    file = says(desk)
    assert where(file) == ("127.0.0.1", 2967, "")
    says(desk, listen="0.0.0.0:80", token_file=str(tmp_path / "token"))
    assert where(file) == ("0.0.0.0", 80, "secret")
    assert where(file, "[::1]:81", tmp_path / "other") == ("::1", 81, "other")
    with pytest.raises(UsageError, match="write HOST:PORT"):
        where(file, "")
    says(desk, token_file=str(tmp_path / "nope"))
    with pytest.raises(UsageError, match="nope can't be read"):
        where(file)


def test_which_source_the_daemon_follows(desk: Desk) -> None:
    def follows(path: str | None, *listed: dict[str, str]) -> str:
        host = Host(hosts.read(says(desk, sources=list(listed))).settings)
        return str(running._followed(path, host))

    a, b = {"name": "a", "path": "/srv/a"}, {"path": "/srv/b"}
    assert follows(None) == "." and follows("x") == "x"
    assert follows(None, a) == "/srv/a" and follows("x", a) == "x"
    assert follows("a", a, b) == "/srv/a" and follows("./a", a, b) == "a"
    with pytest.raises(UsageError, match="lists several sources: name one of a, /srv/b"):
        follows(None, a, b)


def test_variables_of_a_source_come_from_the_files_that_the_host_names(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("ONE=host\nTWO=host\nTHREE=host\n")
    (tmp_path / "b.env").write_text("TWO=later $ONE\n")
    says(desk, sources=[{"path": str(desk.folder), "env_files": [str(tmp_path / "a.env"), str(tmp_path / "b.env")]}])
    desk.namespace()
    desk.service("web", env={"A": "${ONE} ${TWO} ${THREE}"})
    desk.apply("--set", "THREE=line")
    (container,) = desk.memory.raw().values()
    assert "A=host later host line" in container["Config"]["Env"]
    assert desk.apply("--set", "THREE=line").out == "no changes\n"
    (tmp_path / "b.env").unlink()
    assert "b.env, an env file of" in desk.lb("validate", "--set", "THREE=line", code=65).err
    says(desk, sources=[{"path": str(tmp_path), "env_files": [str(tmp_path / "a.env")]}])
    assert "ONE" in desk.lb("validate", code=65).out, "another source's are none of ours"
