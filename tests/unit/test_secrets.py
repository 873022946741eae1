"""Copies of secrets: of what, for whom, and for how long."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from reconciler import secrets, snapshots
from reconciler.errors import SourceError, StateError


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "vault" / "shop" / "key"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"canary\0\xff")
    return file


def kept(files: Path) -> dict[str, bytes]:
    return {folder.name: (folder / "content").read_bytes() for folder in files.glob("secret-*")}


def test_the_hash_is_of_content_and_names(key: Path) -> None:
    one, error = secrets.digest("shop", "key", key)
    assert len(one) == 64 and error == "" and "canary" not in one
    assert secrets.digest("shop", "key", key)[0] == one
    assert secrets.digest("shop", "other", key)[0] != one != secrets.digest("other", "key", key)[0]


def test_a_copy_is_made_once_and_only_its_owner_reaches_it(tmp_path: Path, key: Path) -> None:
    files, (digest, _) = tmp_path / "files", secrets.digest("shop", "key", key)
    secrets.keep(files, "shop", {digest: str(key)})
    assert kept(files) == {f"secret-{digest}": b"canary\0\xff"}
    folder = files / f"secret-{digest}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "content").stat().st_mode) == 0o444
    inode = (folder / "content").stat().st_ino
    secrets.keep(files, "shop", {digest: str(key)})
    assert (folder / "content").stat().st_ino == inode
    assert sorted(entry.name for entry in files.iterdir()) == [folder.name]


def test_one_that_changed_meanwhile(tmp_path: Path, key: Path) -> None:
    digest, _ = secrets.digest("shop", "key", key)
    key.write_text("another")
    with pytest.raises(SourceError, match="changed while it was read"):
        secrets.keep(tmp_path / "files", "shop", {digest: str(key)})
    key.unlink()
    with pytest.raises(SourceError, match="can't be read: No such file"):
        secrets.keep(tmp_path / "files", "shop", {digest: str(key)})
    assert kept(tmp_path / "files") == {}


def test_a_copy_that_cannot_be_written(tmp_path: Path, key: Path) -> None:
    (tmp_path / "files").touch()
    digest, _ = secrets.digest("shop", "key", key)
    with pytest.raises(StateError, match=r"the copy of the secret .* can't be written"):
        secrets.keep(tmp_path / "files", "shop", {digest: str(key)})


def test_what_is_no_secret(tmp_path: Path, key: Path) -> None:
    gone = key.with_name("gone")
    assert secrets.digest("shop", "gone", gone) == ("", f"there is no secret gone on this host; put it into {gone}")
    assert "no regular file" in secrets.digest("shop", "shop", key.parent)[1]
    fifo = key.with_name("fifo")
    os.mkfifo(fifo)
    assert "no regular file" in secrets.digest("shop", "fifo", fifo)[1]
    large = key.with_name("large")
    large.write_bytes(b"x" * (secrets.MAX_BYTES + 1))
    assert "larger than 1024 KiB" in secrets.digest("shop", "large", large)[1]


def test_copies_go_when_nobody_uses_them(tmp_path: Path, key: Path) -> None:
    files = tmp_path / snapshots.FOLDER
    digests = []
    for value in ("one", "two", "three"):
        key.write_text(value)
        digests.append(secrets.digest("shop", "key", key)[0])
        secrets.keep(files, "shop", {digests[-1]: str(key)})
    snapshots.prune(tmp_path, [f"/host_mnt{files}/secret-{digests[0]}/content", f"/secret-{digests[1]}"])
    assert sorted(kept(files)) == sorted(f"secret-{digest}" for digest in digests[:2])
