"""What git says of a folder: the commit, and nothing where it can't tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import checkout
from reconciler.checkout import Checkout
from tests.support.git import git


def commit(folder: Path, text: str, file: str = "a.yaml") -> str:
    (folder / file).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", f"says {text}")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    yield folder


def test_the_commit_and_whether_there_is_more(repository: Path) -> None:
    head = commit(repository, "one")
    assert checkout.look(str(repository)) == Checkout(head) and str(Checkout(head)) == head
    (repository / "a.yaml").write_text("two")
    assert str(checkout.look(str(repository))) == f"{head}-dirty"
    git(repository, "checkout", "-q", "a.yaml")
    (repository / "new.yaml").write_text("not added")
    assert checkout.look(str(repository)).dirty
    (repository / ".gitignore").write_text("new.yaml\n.gitignore\n")
    assert not checkout.look(str(repository)).dirty


def test_only_what_lies_under_the_root_counts(repository: Path) -> None:
    (repository / "deploy").mkdir()
    commit(repository, "one", "deploy/a.yaml")
    head = commit(repository, "one")
    (repository / "a.yaml").write_text("two")
    assert checkout.look(str(repository / "deploy")) == Checkout(head)
    (repository / "deploy" / "a.yaml").write_text("two")
    assert checkout.look(str(repository / "deploy")).dirty


def test_where_nothing_is_known(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout.look(str(tmp_path)) == Checkout() and str(Checkout()) == ""
    assert checkout.look(str(repository)) == Checkout()  # no commit yet
    head = commit(repository, "one")
    (repository / "other").mkdir()  # lies in a work tree, and nothing of it is in git
    (repository / "other" / "a.yaml").write_text("")
    assert checkout.look(str(repository / "other")) == Checkout()
    assert checkout.look(str(tmp_path / "none")) == Checkout()
    monkeypatch.setattr(checkout, "TIME_OUT", 0.0)
    assert checkout.look(str(repository)) == Checkout()
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    assert checkout.look(str(repository)) == Checkout() and not checkout.older(str(repository), head)


def test_the_environment_of_a_hook_does_not_matter(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = commit(repository, "one")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert checkout.look(str(repository)) == Checkout(head)


def test_no_hook_of_the_repository_is_run(repository: Path, tmp_path: Path) -> None:
    commit(repository, "one")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    (repository / "a.yaml").write_text("two")
    assert checkout.look(str(repository)).dirty and not (tmp_path / "ran").exists()


def test_older_is_only_what_comes_before(repository: Path) -> None:
    first, second = commit(repository, "one"), commit(repository, "two")
    root = str(repository)
    assert not checkout.older(root, second) and not checkout.older(root, first) and not checkout.older(root, "")
    git(repository, "checkout", "-q", first)
    assert checkout.older(root, second) and not checkout.older(root, first)
    commit(repository, "another two")
    assert not checkout.older(root, second)  # diverged
    assert not checkout.older(root, "0" * 40)  # unknown here


def test_who_touched_a_file_last(repository: Path) -> None:
    first = commit(repository, "one")
    second = commit(repository, "one", "b.yaml")
    (repository / "a.yaml").write_text("later")
    touch = checkout.last_touch(str(repository), "a.yaml", f"{second}-dirty")
    assert touch and (touch.commit, touch.author, touch.subject) == (first, "Ann", "says one") and touch.at[4] == "-"
    assert checkout.last_touch(str(repository), "none.yaml", second) is None
    assert checkout.last_touch(str(repository), "a.yaml", "") is None
