"""Which checkout of a source counts: an older commit and another folder are refused, ordinary use never is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import checkout
from tests.support.desk import Desk
from tests.support.git import git


@pytest.fixture
def tracked(desk: Desk) -> Desk:
    """A source at its second commit, applied."""
    git(desk.folder, "init", "-q", "-b", "main")
    desk.namespace()
    desk.service("web")
    commit(desk.folder)
    desk.apply()
    change(desk, "2")
    commit(desk.folder)
    desk.apply()
    return desk


def change(desk: Desk, value: str, service: str = "web") -> None:
    desk.service(service, env={"A": value})


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "more")
    return git(folder, "rev-parse", "HEAD")


def env(desk: Desk) -> list[str]:
    (found,) = [c for c in desk.memory.containers() if c.ref.name == "web"]
    return desk.memory._find(found.id).raw["Config"]["Env"] or []


# --- refused


def test_an_older_commit_is_refused_until_it_is_meant(tracked: Desk) -> None:
    newest = git(tracked.folder, "rev-parse", "HEAD")
    git(tracked.folder, "checkout", "-q", "HEAD~1")
    said = tracked.apply(code=77)
    assert f"is at a commit that is older than {newest[:12]}" in said.err and "--take-over" in said.err
    assert env(tracked) == ["A=2"]
    assert "older" in tracked.lb("plan", code=77).out
    assert tracked.lb("plan", "-o", "json", code=77).json["guards"][0]["kind"] == "checkout"
    assert "env.A" in tracked.lb("plan", "--take-over").out
    tracked.apply("--take-over")
    assert env(tracked) == []
    change(tracked, "3")
    tracked.apply()  # this is the one that counts now
    git(tracked.folder, "checkout", "-qf", "main")
    tracked.apply()  # and that is newer
    assert env(tracked) == ["A=2"]


def test_an_older_removal_is_refused_too(tracked: Desk) -> None:
    tracked.service("new")
    commit(tracked.folder)
    tracked.apply()
    git(tracked.folder, "checkout", "-q", "HEAD~1")
    tracked.apply(code=77)
    assert {c.ref.name for c in tracked.memory.containers()} == {"web", "new"}


def test_another_clone_is_refused_while_the_first_is_there(tracked: Desk, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(tracked.folder), str(clone))
    (clone / "demo.web.yaml").write_text((clone / "demo.web.yaml").read_text().replace('"2"', '"3"'))
    said = tracked.apply(str(clone), code=77)
    assert f"source quickstart was applied from {tracked.folder} last, and this is {clone}" in said.err
    assert env(tracked) == ["A=2"]
    tracked.apply(str(clone), "--take-over")
    assert env(tracked) == ["A=3"]
    assert f"was applied from {clone} last" in tracked.apply(code=77).err
    shutil.rmtree(clone)
    tracked.apply()  # there is no other any more
    assert env(tracked) == ["A=2"]


def test_another_folder_without_git_is_refused_too(desk: Desk, tmp_path: Path) -> None:
    desk.namespace()
    desk.service("web")
    desk.apply()
    shutil.copytree(desk.folder, tmp_path / "copy")
    assert desk.apply(str(tmp_path / "copy")).out == "no changes\n"  # which says nothing else
    desk.folder, first = tmp_path / "copy", desk.folder
    change(desk, "2")
    assert "--take-over" in desk.apply(str(desk.folder), code=77).err
    assert desk.apply(str(first)).out == "no changes\n"


def test_drift_is_put_back_from_an_older_checkout_and_does_not_make_it_count(tracked: Desk) -> None:
    git(tracked.folder, "checkout", "-q", "HEAD~1")
    tracked.service("web", env={"A": "2"})  # as it was applied
    (name,) = [c.name for c in tracked.memory.containers()]
    tracked.memory.pause(name)
    tracked.apply()
    assert [c.state for c in tracked.memory.containers()] == ["running"]
    change(tracked, "0")
    tracked.apply(code=77)


def test_a_restart_needs_no_newer_commit_but_a_change_does(tracked: Desk) -> None:
    git(tracked.folder, "checkout", "-q", "HEAD~1")
    tracked.lb("restart", "demo/web", code=77)
    assert "restart" not in tracked.lb("plan", "--take-over").out  # nothing was asked for
    change(tracked, "2")
    tracked.lb("restart", "demo/web")


# --- never in the way

Step = Callable[[Desk, Path], None]


def again(desk: Desk, other: Path) -> None:
    """Nothing changed."""


def uncommitted(desk: Desk, other: Path) -> None:
    change(desk, "3")


def newer(desk: Desk, other: Path) -> None:
    change(desk, "3")
    commit(desk.folder)


def diverged(desk: Desk, other: Path) -> None:
    git(desk.folder, "checkout", "-q", "-b", "other", "HEAD~1")
    change(desk, "3")
    commit(desk.folder)


def amended(desk: Desk, other: Path) -> None:
    change(desk, "3")
    git(desk.folder, "commit", "-qa", "--amend", "-m", "amended")


def reverted(desk: Desk, other: Path) -> None:
    git(desk.folder, "revert", "--no-edit", "HEAD")


def made_anew(desk: Desk, other: Path) -> None:
    """The repository has another history now."""
    shutil.rmtree(desk.folder / ".git")
    git(desk.folder, "init", "-q")
    newer(desk, other)


def without_git(desk: Desk, other: Path) -> None:
    shutil.rmtree(desk.folder / ".git")
    change(desk, "3")


@pytest.mark.parametrize("step", [again, uncommitted, newer, diverged, amended, reverted, made_anew, without_git])
def test_ordinary_use_is_never_in_the_way(tracked: Desk, tmp_path: Path, step: Step) -> None:
    step(tracked, tmp_path / "other")
    tracked.apply()
    tracked.lb("plan")
    tracked.apply()


def test_a_moved_folder_is_no_other(tracked: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    tracked.folder.rename(tmp_path / "moved")
    tracked.folder = tmp_path / "moved"
    change(tracked, "3")
    tracked.apply(str(tracked.folder))


def test_a_link_that_leads_elsewhere_by_now_is_no_other(desk: Desk, tmp_path: Path) -> None:
    link = tmp_path / "current"
    desk.namespace()
    desk.service("web")
    for n in ("1", "2", "3"):
        change(desk, n)
        shutil.copytree(desk.folder, tmp_path / f"release-{n}")
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / f"release-{n}")
        desk.apply(str(link))
    change(desk, "4")
    shutil.copytree(desk.folder, tmp_path / "release-4")
    link.unlink()
    link.symlink_to(tmp_path / "release-4")
    desk.apply(str(tmp_path / "release-4"))  # where the link leads now


def test_a_link_that_the_shell_went_through(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "current"
    desk.namespace()
    for n in ("1", "2"):
        change(desk, n)
        shutil.copytree(desk.folder, tmp_path / f"release-{n}")
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / f"release-{n}")
        monkeypatch.chdir(link)
        monkeypatch.setenv("PWD", str(link))
        desk.apply()


def test_a_path_inside_is_the_same_folder(tracked: Desk) -> None:
    change(tracked, "3")
    tracked.apply("demo.web.yaml")
    change(tracked, "4")
    tracked.apply(str(tracked.folder / "demo.web.yaml"))


def test_once_all_is_removed_any_folder_will_do(tracked: Desk, tmp_path: Path) -> None:
    shutil.copytree(tracked.folder, tmp_path / "copy")
    tracked.lb("down", "--yes")
    tracked.apply(str(tmp_path / "copy"))


def test_sources_without_a_name_are_their_folders(desk: Desk, tmp_path: Path) -> None:
    (desk.folder / "lb.yaml").unlink()
    desk.namespace("one")
    desk.apply()
    other = tmp_path / "other"
    other.mkdir()
    (other / "two.yaml").write_text((desk.folder / "one.yaml").read_text().replace("one", "two"))
    desk.apply(str(other))


def test_a_quiet_apply_asks_no_git(tracked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(root: str, *arguments: str) -> str:
        raise AssertionError(arguments)

    monkeypatch.setattr(checkout, "_git", never)
    assert tracked.apply().out == "no changes\n"
