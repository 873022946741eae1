"""Snapshots: content-addressed, all or nothing, never of what lies outside the source."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from reconciler import snapshots
from reconciler.errors import SourceError, StateError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "site" / "deep").mkdir(parents=True)
    (folder / "site" / "index.html").write_text("hello")
    (folder / "site" / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "site" / "deep" / "run.sh").chmod(0o755)
    (folder / "web.conf").write_text("listen 80")
    (folder / "web.conf").chmod(0o644)
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def digest(root: Path, relative: str) -> str:
    return snapshots.digest(snapshots.content(root, relative))


def refused(root: Path, relative: str) -> str:
    with pytest.raises(SourceError) as caught:
        list(snapshots.content(root, relative))
    return caught.value.message


def test_content_is_sorted_with_names_below_the_path_and_the_executable_bit(root: Path) -> None:
    assert list(snapshots.content(root, "site")) == [
        ("deep/run.sh", b"#!/bin/sh\n", True),
        ("index.html", b"hello", False),
    ]
    assert list(snapshots.content(root, "web.conf")) == [("", b"listen 80", False)]


def test_the_digest_is_stable_across_versions() -> None:
    """A container's mount is named by it: another way to count would replace every service that has one."""
    fixed = snapshots.digest([("", b"listen 80", False)])
    assert fixed == "e75232cb47d15a3e38d6cc96ead4bbd146d987e27bdf69dcdaaa0c9ae83367c0"


def test_neither_times_nor_the_place_count(root: Path, tmp_path: Path) -> None:
    before = digest(root, "site")
    os.utime(root / "site" / "index.html", (1, 1))
    assert digest(root, "site") == before
    moved = root.rename(tmp_path / "elsewhere")
    assert digest(moved, "site") == before


def test_content_name_and_mode_bit_count(root: Path) -> None:
    seen = {digest(root, "site")}
    (root / "site" / "index.html").write_text("hello!")
    seen.add(digest(root, "site"))
    (root / "site" / "index.html").chmod(0o744)
    seen.add(digest(root, "site"))
    (root / "site" / "index.html").rename(root / "site" / "index.htm")
    seen.add(digest(root, "site"))
    assert len(seen) == 4


def test_only_the_executable_bit_of_the_mode_counts(root: Path) -> None:
    """Git keeps no other: two checkouts with another umask are the same content."""
    before = digest(root, "web.conf")
    (root / "web.conf").chmod(0o600)
    assert digest(root, "web.conf") == before


def test_keep_copies_once_with_modes_that_any_user_can_read(root: Path, state: Path) -> None:
    site, conf = digest(root, "site"), digest(root, "web.conf")
    mask = os.umask(0o077)
    try:
        snapshots.keep(state, root, {site: "site", conf: "web.conf"})
    finally:
        os.umask(mask)
    kept = snapshots.path(state, site)
    assert (kept / "index.html").read_text() == "hello"
    modes = {p.name: p.stat().st_mode & 0o777 for p in (kept, *kept.rglob("*"))}
    assert modes == {"content": 0o755, "deep": 0o755, "run.sh": 0o755, "index.html": 0o644}
    assert kept.parent.stat().st_mode & 0o777 == 0o755
    assert snapshots.path(state, conf).read_text() == "listen 80"
    times = kept.stat().st_mtime_ns
    snapshots.keep(state, root, {site: "site"})
    assert kept.stat().st_mtime_ns == times
    assert sorted(p.name for p in (state / "snapshots").iterdir()) == sorted([site, conf])


def test_what_is_kept_already_needs_no_source(root: Path, state: Path) -> None:
    conf = digest(root, "web.conf")
    snapshots.keep(state, root, {conf: "web.conf"})
    (root / "web.conf").unlink()
    snapshots.keep(state, root, {conf: "web.conf"})


def test_an_empty_folder_is_kept_as_a_folder(root: Path, state: Path) -> None:
    (root / "empty").mkdir()
    name = digest(root, "empty")
    snapshots.keep(state, root, {name: "empty"})
    assert snapshots.path(state, name).is_dir()


def test_content_that_changed_since_it_was_read_is_refused(root: Path, state: Path) -> None:
    name = digest(root, "web.conf")
    (root / "web.conf").write_text("listen 81")
    with pytest.raises(SourceError, match=re.escape("web.conf changed while it was read")) as caught:
        snapshots.keep(state, root, {name: "web.conf"})
    assert caught.value.hint == "apply again"
    assert not (state / "snapshots").exists()


def test_a_write_that_fails_leaves_nothing_behind(root: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = digest(root, "site")
    chmod = Path.chmod

    def full(self: Path, mode: int) -> None:
        if self.name == "index.html":
            raise OSError(28, "No space left on device")
        chmod(self, mode)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "chmod", full)
        with pytest.raises(StateError, match="No space left on device"):
            snapshots.keep(state, root, {name: "site"})
    assert list((state / "snapshots").iterdir()) == []
    snapshots.keep(state, root, {name: "site"})
    assert (snapshots.path(state, name) / "index.html").read_text() == "hello"


def test_another_apply_that_was_quicker_is_no_error(root: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = digest(root, "web.conf")
    rename = Path.rename

    def slow(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        snapshots.keep(state, root, {name: "web.conf"})
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", slow)
    snapshots.keep(state, root, {name: "web.conf"})
    assert [p.name for p in (state / "snapshots").iterdir()] == [name]


def test_what_is_missing_or_leads_outside_or_is_no_file_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "nowhere").mkdir()
    (root / "nowhere" / "link").symlink_to("gone")
    (root / "loop").mkdir()
    (root / "loop" / "round").symlink_to("round")
    (root / "linked").mkdir()
    (root / "linked" / "folder").symlink_to("../site")
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "fifo")
    assert refused(root, "missing").startswith("does not exist; create it, or correct the path")
    assert refused(root, "out") == "leads outside the source through a link; that needs the host's policy"
    assert refused(root, "../secret") == "leads outside the source through a link; that needs the host's policy"
    assert refused(root, "nowhere") == "has a link that leads nowhere (link); correct or remove it"
    assert refused(root, "loop") == "has a link that leads nowhere (round); correct or remove it"
    assert refused(root, "linked").startswith("holds folder, which is no regular file")
    assert refused(root, "pipe").startswith("holds fifo, which is no regular file")


def test_a_link_inside_the_source_is_its_content(root: Path) -> None:
    (root / "alias.conf").symlink_to("web.conf")
    assert digest(root, "alias.conf") == digest(root, "web.conf")


def test_a_file_that_can_not_be_read_is_an_error_of_the_source(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = digest(root, "web.conf")

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(SourceError, match=re.escape("web.conf can't be read: Permission denied")):
        snapshots.keep(state, root, {name: "web.conf"})


def test_a_linked_folder_in_a_tree_is_refused_and_not_left_out(root: Path) -> None:
    (root / "tree" / "real").mkdir(parents=True)
    (root / "tree" / "real" / "a").write_text("a")
    (root / "tree" / "linked").symlink_to("real")
    with pytest.raises(SourceError, match="linked, which is no regular file"):
        list(snapshots.content(root, "tree"))


def test_a_folder_in_a_tree_that_can_not_be_read_does_not_look_empty(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "tree" / "closed").mkdir(parents=True)
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        list(snapshots.content(root, "tree"))


def test_what_nobody_needs_is_removed(root: Path, state: Path) -> None:
    names = {part: digest(root, part) for part in ("site", "web.conf")}
    snapshots.keep(state, root, {name: part for part, name in names.items()})
    mounted = str(snapshots.path(state, names["site"]))
    being_written = state / "snapshots" / ".new-x"
    being_written.mkdir()
    abandoned = state / "snapshots" / ".new-y"
    abandoned.mkdir()
    os.utime(abandoned, (1, 1))
    snapshots.prune(state, [mounted, names["web.conf"]])
    assert sorted(p.name for p in (state / "snapshots").iterdir()) == sorted([".new-x", *names.values()])
    snapshots.prune(state, [mounted])
    assert sorted(p.name for p in (state / "snapshots").iterdir()) == sorted([".new-x", names["site"]])
    assert (snapshots.path(state, names["site"]) / "index.html").read_text() == "hello"


def test_without_any_snapshot_there_is_nothing_to_remove(state: Path) -> None:
    snapshots.prune(state, [])
    assert not state.exists()
