"""One-shot commands on a source that is fetched: named by its name, one source through all its commits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from reconciler import handover, remote
from tests.support.desk import Desk
from tests.support.git import commit, git


@pytest.fixture
def fetched(desk: Desk, tmp_path: Path) -> Desk:
    """The desk's folder is the repository that is fetched; commands run elsewhere."""
    git(desk.folder, "init", "-q", "-b", "main")
    (desk.folder / "lb.yaml").unlink()
    desk.namespace()
    desk.service("web", env={"A": "1"})
    commit(desk.folder, "first")
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    says(desk)
    return desk


def says(desk: Desk, **source: Any) -> None:
    listed = {"name": "shop", "remote": f"file://{desk.folder}", **source}
    Path(os.environ["LB_HOST_CONFIG"]).write_text(json.dumps({"sources": [listed]}))


def push(desk: Desk, value: str, *options: str) -> str:
    desk.service("web", env={"A": value})
    return commit(desk.folder, value, *options)


def env(desk: Desk) -> list[str]:
    (found,) = [c for c in desk.memory.containers() if c.ref.name == "web"]
    return desk.memory._find(found.id).raw["Config"]["Env"] or []


def test_it_is_fetched_applied_and_one_source_through_all_its_commits(fetched: Desk) -> None:
    assert "create service demo/web" in fetched.lb("plan", "shop").out
    fetched.apply("shop")
    assert fetched.apply("shop").out == "no changes\n"
    second = push(fetched, "2")
    assert "env.A 1 → 2" in fetched.lb("plan", "shop").out
    fetched.apply("shop")
    assert env(fetched) == ["A=2"]
    assert {e["commit"] for e in fetched.lb("activity", "demo/web", "-o", "json").json[:1]} == {second}
    assert "2 objects are valid" in fetched.lb("validate", "shop").out
    with fetched.store() as store:
        assert {service.source for service in store.recorded().services.values()} == {"shop"}
    fetched.lb("restart", "demo/web", "--source", "shop")
    assert "demo/web" in fetched.lb("down", "shop", "--yes").out and not fetched.memory.containers()


def test_a_branch_that_was_rewritten_is_held_until_it_is_meant(fetched: Desk) -> None:
    fetched.apply("shop")
    last = push(fetched, "2")
    fetched.apply("shop")
    git(fetched.folder, "reset", "-q", "--hard", "HEAD~1")
    said = fetched.apply("shop", code=77).err
    assert f"which does not come after {last[:12]}" in said and "--take-over" in said and env(fetched) == ["A=2"]
    push(fetched, "3")  # on the other history
    fetched.apply("shop", code=77)
    fetched.apply("shop", "--take-over")
    assert env(fetched) == ["A=3"]
    push(fetched, "4")
    fetched.apply("shop")
    assert env(fetched) == ["A=4"]


def test_a_repository_of_another_history_is_held_too(fetched: Desk, tmp_path: Path) -> None:
    fetched.apply("shop")
    fetched.folder = tmp_path / "other"
    fetched.folder.mkdir()
    git(fetched.folder, "init", "-q", "-b", "main")
    fetched.namespace()
    push(fetched, "other")
    says(fetched)
    assert "does not come after" in fetched.apply("shop", code=77).err


def test_a_clone_of_it_does_not_count_while_it_is_fetched(fetched: Desk, tmp_path: Path) -> None:
    (fetched.folder / "lb.yaml").write_text("name: quickstart\n")
    commit(fetched.folder, "named")
    fetched.apply("shop")
    push(fetched, "1b")
    fetched.apply("shop")
    for number in range(3):  # so that the folder which was applied is swept away
        (fetched.folder / "README").write_text(str(number))
        commit(fetched.folder, "words")
        fetched.apply("shop")
    assert "was changed last by" in fetched.lb("why", "demo/web").out
    push(fetched, "2")
    assert "--take-over" in fetched.apply(str(fetched.folder), code=77).err
    fetched.apply("shop")


def test_away_it_is_what_was_fetched_last(fetched: Desk) -> None:
    fetched.folder.rename(fetched.folder.with_name("x"))
    assert "can't be fetched" in fetched.apply("shop", code=65).err
    fetched.folder.with_name("x").rename(fetched.folder)
    fetched.apply("shop")
    fetched.folder.rename(fetched.folder.with_name("x"))
    said = fetched.apply("shop")
    assert "no changes" in said.out and "can't be fetched" in said.err and "; this is " in said.err


def test_what_is_fetched_is_not_written_into(fetched: Desk) -> None:
    fetched.apply("shop")
    push(fetched, "2")
    fetched.apply("shop")
    there = str(remote.current(fetched.state, "shop"))
    assert "was fetched as shop" in fetched.lb("rollback", "demo/web", "--source", there, code=77).err


def test_its_variables_are_those_that_the_host_names(fetched: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("ONE=host\n")
    says(fetched, env_files=[str(tmp_path / "a.env")])
    push(fetched, "${ONE}")
    fetched.apply("shop")
    assert env(fetched) == ["A=host"]


def test_a_folder_of_that_name_is_written_with_its_path(fetched: Desk) -> None:
    Path("shop").mkdir()
    assert "there are no manifests in" in fetched.lb("plan", "./shop", code=65).err
    assert "create service demo/web" in fetched.lb("plan", "shop").out


def test_how_it_stands_is_shown(fetched: Desk) -> None:
    fetched.apply("shop")
    head = git(fetched.folder, "rev-parse", "HEAD")
    says(fetched, branch="gone")
    fetched.apply("shop")
    said = fetched.lb("status").out
    assert f"shop at {head[:12]} of file://{fetched.folder} (gone), fetched 20" in said and "has no branch gone" in said
    (found,) = fetched.lb("status", "-o", "json").json["remotes"]
    assert found["commit"] == head and "has no branch gone" in found["trouble"]
    assert "has no branch gone" in fetched.lb("doctor").out
    says(fetched)
    fetched.apply("shop")
    assert "gone" not in fetched.lb("status").out
    assert f"ok    remote      shop at {head[:12]}" in fetched.lb("doctor").out


def test_an_apply_that_read_another_commit_than_the_daemon_is_of_the_same_source(fetched: Desk) -> None:
    fetched.apply("shop")
    one = remote.current(fetched.state, "shop").resolve()
    push(fetched, "2")
    fetched.apply("shop")
    other = remote.current(fetched.state, "shop").resolve()
    assert one != other and handover._same(str(one), str(other))
    assert not handover._same(str(one), str(fetched.folder)) and not handover._same(str(one), str(one.parent / "git"))
