"""`lb state`: a backup is consistent, private and whole; a restored state is the backup's, and removals wait."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from reconciler.errors import RefusedError, StateError
from reconciler.lock import Lock, key
from reconciler.model import Ref
from reconciler.store import Store
from reconciler.store.backup import backup, examine, restore
from reconciler.store.schema import MIGRATIONS
from tests.support.desk import Desk


@pytest.fixture
def lived(desk: Desk) -> Desk:
    desk.namespace()
    for name in ("a", "b", "c"):
        desk.service(name)
    desk.apply()
    return desk


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(("-wal", "-shm")))


# --- backup


def test_a_backup_holds_the_state_in_one_private_file(lived: Desk, tmp_path: Path) -> None:
    target = tmp_path / "kept" / "b.db"
    target.parent.mkdir()
    before = os.umask(0)
    try:
        said = lived.lb("state", "backup", str(target))
    finally:
        os.umask(before)
    assert str(target) in said.err and said.out == ""
    assert files(target.parent) == ["b.db"] and target.stat().st_mode & 0o777 == 0o600
    assert files(lived.state) == ["state.db"]
    found = examine(target)
    with lived.store() as store:
        assert (found.state_id, found.version, found.services) == (store.state_id, len(MIGRATIONS), 3)
    assert found.engine and found.engine.endpoint == "memory://" and found.backed_up.startswith("20")
    assert not found.outdated
    assert files(target.parent) == ["b.db"]  # looking at it leaves nothing


def test_what_is_not_in_the_file_itself_yet_is_in_the_backup(lived: Desk, tmp_path: Path) -> None:
    """A writer that has the state open keeps its last commits in the log beside the file."""
    with lived.store() as store:
        store.add_activity(Ref("demo", "a"), "normal", "heal", "the last one")
        assert (lived.state / "state.db-wal").stat().st_size
        backup(lived.state, tmp_path / "b.db")
    with closing(sqlite3.connect(tmp_path / "b.db")) as db:
        assert db.execute("select message from activity order by seq desc").fetchone() == ("the last one",)


def test_a_backup_is_consistent_while_another_writes(lived: Desk, tmp_path: Path) -> None:
    """Each transaction writes two rows; a backup holds both or none."""
    stop = Event()

    def write() -> None:
        with closing(sqlite3.connect(lived.state / "state.db", isolation_level=None, timeout=10)) as db:
            number = 0
            while not stop.is_set():
                number += 1
                db.execute("begin immediate")
                for service in ("one", "two"):
                    db.execute("insert into attempts values (?,?,1)", (f"round-{number}", service))
                db.execute("commit")

    writer = Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            backup(lived.state, tmp_path / f"{number}.db")
    finally:
        stop.set()
        writer.join()
    counts = []
    for number in range(20):
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as db:
            rounds = db.execute("select count(*) from attempts where namespace like 'round-%' group by namespace")
            sizes = [row[0] for row in rounds]
            assert set(sizes) <= {2}
            counts.append(len(sizes))
    assert counts == sorted(counts) and counts[-1] > counts[0]


def test_a_file_that_exists_is_overwritten_only_by_force(lived: Desk, tmp_path: Path) -> None:
    target = tmp_path / "b.db"
    target.write_text("mine")
    assert "--force" in lived.lb("state", "backup", str(target), code=77).err and target.read_text() == "mine"
    lived.lb("state", "backup", "--force", str(target))
    assert examine(target).services == 3
    assert "is a folder" in lived.lb("state", "backup", "--force", str(tmp_path), code=77).err


@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "state.db.before-restore-x"])
def test_the_state_is_never_overwritten_by_its_backup(lived: Desk, name: str) -> None:
    with pytest.raises(RefusedError, match="the state itself"):
        backup(lived.state, lived.state / name, force=True)


def test_a_backup_that_can_not_be_made_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    assert "there is no file" in desk.lb("state", "backup", str(tmp_path / "b.db"), code=73).err
    assert not (tmp_path / "b.db").exists() and not desk.state.exists()
    desk.namespace()
    desk.apply()
    said = desk.lb("state", "backup", str(tmp_path / "none" / "b.db"), code=73).err
    assert said.startswith(f"lb: {tmp_path}/none can't be used: No such file or directory: ")
    damaged = (desk.state / "state.db").read_bytes()
    (desk.state / "state.db").write_bytes(b"x" * len(damaged))
    desk.lb("state", "backup", str(tmp_path / "b.db"), code=73)
    assert "b.db" not in files(tmp_path) and not [f for f in files(tmp_path) if f.startswith(".state")]


# --- restore


def test_a_restored_state_is_the_backups_and_the_former_is_kept(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    lived.service("d")
    lived.apply()
    said = lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
    (kept,) = lived.state.glob("state.db.before-restore-*")
    assert str(kept) in said.err and "lb plan" in said.err and kept.stat().st_mode & 0o777 == 0o600
    assert examine(kept).services == 4 and examine(lived.state / "state.db").services == 3
    assert not list(lived.state.glob(".state.db-*"))
    names = [row.split()[1] for row in lived.lb("get", "services").out.splitlines()[1:]]
    assert names == ["a", "b", "c"]


def test_into_an_empty_folder(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    shutil.rmtree(lived.state)
    said = lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
    assert "former" not in said.err and files(lived.state) == ["state.db"]
    assert (lived.state / "state.db").stat().st_mode & 0o777 == 0o600
    assert lived.state.stat().st_mode & 0o777 == 0o700
    assert lived.apply().out == "no changes\n"


def test_a_damaged_state_is_moved_aside_whole(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    (lived.state / "state.db").write_bytes(b"no database" * 1000)
    lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
    (kept,) = (lived.state / name for name in files(lived.state) if name != "state.db")
    assert kept.read_bytes().startswith(b"no database")
    assert lived.apply().out == "no changes\n"


def test_a_process_that_has_the_state_open_sees_the_restored_one(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    lived.service("d")
    lived.apply()
    with lived.store() as store:
        assert len(store.recorded().services) == 4
        lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
        assert len(store.recorded().services) == 3
        store.add_activity(Ref("demo", "a"), "normal", "heal", "goes on")
    assert lived.lb("activity", "--limit", "1", "-o", "json").json[0]["message"] == "goes on"


@pytest.mark.parametrize("harm", ["missing", "text", "database", "page", "newer"])
def test_what_is_no_backup_is_refused_and_nothing_is_touched(lived: Desk, tmp_path: Path, harm: str) -> None:
    target = tmp_path / "b.db"
    if harm == "text":
        target.write_text("hello" * 1000)
    elif harm == "database":
        with closing(sqlite3.connect(target)) as db:
            db.execute("create table x (y)")
    elif harm in ("page", "newer"):
        lived.lb("state", "backup", str(target))
        with closing(sqlite3.connect(target)) as db:
            db.execute(f"pragma user_version = {len(MIGRATIONS) + 1 if harm == 'newer' else len(MIGRATIONS)}")
    if harm == "page":
        content = bytearray(target.read_bytes())
        content[4096 * 2 : 4096 * 4] = b"\xff" * 8192
        target.write_bytes(content)
    before = (lived.state / "state.db").read_bytes()
    said = lived.lb("state", "restore", str(target), "--yes", code=73)
    assert str(target) in said.err and "Traceback" not in said.err
    assert (lived.state / "state.db").read_bytes() == before and files(lived.state) == ["state.db"]
    assert ("newer lb" in said.err) == (harm == "newer")


def test_an_older_backup_is_brought_up_to_date(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "b.db")) as db:
        db.executescript(MIGRATIONS[0])
        db.execute("insert into meta values ('state_id', 'mine')")
        db.execute("insert into services values ('t', 'a', 'src', 'a.yaml', 1, '', '{}', '[]', 'x', 'x')")
        db.execute("pragma user_version = 1")
        db.commit()
    assert restore(tmp_path / "b.db", tmp_path / "state") is None
    with closing(Store.open(tmp_path / "state")) as store:
        assert store.state_id == "mine" and set(store.recorded().restored_at) == {"src"}


def test_a_restore_waits_for_nobody_who_changes_the_engine(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    with Lock.acquire(key(lived.memory.info()), "lb apply"):
        assert "`lb apply`" in lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes", code=75).err
        lived.memory.gone = True  # it is known which engine it is
        lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes", code=75)
    lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")


def test_the_backup_of_another_engine_is_refused(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    with closing(sqlite3.connect(tmp_path / "b.db")) as db:
        db.execute("update meta set value = replace(value, '\"memory\"', '\"other\"') where key = 'engine'")
        db.commit()
    assert "of another engine" in lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes", code=77).err


def test_it_asks_before_it_replaces(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    assert "--yes" in lived.lb("state", "restore", str(tmp_path / "b.db"), code=64).err
    assert files(lived.state) == ["state.db"]


CRASH = """
import os, signal, sqlite3, sys
from pathlib import Path
from reconciler.store import backup
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
backup._patience = lambda: die if backup.__dict__.get("armed") else (lambda *_: None)
keep = backup._keep
def kept(*args):
    found = keep(*args)
    backup.armed = True
    return found
backup._keep = kept
backup.restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_while_it_restores_the_state_is_the_former_or_the_restored_one(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    lived.service("d")
    lived.apply()
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path / "b.db"), str(lived.state)], check=False)
    assert done.returncode == -9
    assert examine(lived.state / "state.db").services in (3, 4)
    lived.lb("get", "services")
    lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
    assert examine(lived.state / "state.db").services == 3


# --- afterwards


def test_removals_wait_after_a_restore_until_they_are_confirmed(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    lived.remove("demo.c.yaml")
    lived.apply()
    lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
    before = len(lived.memory.containers())
    lived.service("a", env={"A": "b"})
    said = lived.apply(code=77)
    assert "the state was restored from a backup" in said.err and "removals wait: demo/c" in said.err
    assert "replace service demo/a" in said.out  # everything else goes on
    (guard,) = lived.lb("plan", "-o", "json", code=77).json["guards"]
    assert (guard["kind"], guard["objects"]) == ("restored", ["demo/c"])
    lived.apply("--confirm-deletes", guard["confirm"])
    assert len(lived.memory.containers()) == before
    with lived.store() as store:
        assert store.recorded().restored_at == {}
    lived.remove("demo.b.yaml")
    lived.apply()  # as ever


def test_an_apply_that_removes_nothing_ends_the_wait(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
    lived.apply("-f", "demo.a.yaml")  # not the whole source
    with lived.store() as store:
        assert set(store.recorded().restored_at) == {"quickstart"}
    assert lived.apply().out == "no changes\n"
    with lived.store() as store:
        assert store.recorded().restored_at == {}
        store.settle_restore("quickstart", "2026-01-02T03:04:05Z")


def test_only_the_restore_that_was_looked_at_is_settled(lived: Desk, tmp_path: Path) -> None:
    lived.lb("state", "backup", str(tmp_path / "b.db"))
    lived.lb("state", "restore", str(tmp_path / "b.db"), "--yes")
    with lived.store() as store:
        (at,) = store.recorded().restored_at.values()
        store.settle_restore("quickstart", "2026-01-02T03:04:05Z")
        assert store.recorded().restored_at == {"quickstart": at}
        store.settle_restore("quickstart", at)
        assert store.recorded().restored_at == {}


def test_examining_leaves_a_state_alone_whose_writer_died(lived: Desk, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with lived.store() as store:
        store.add_activity(Ref("demo", "a"), "normal", "heal", "in the log only")
        shutil.copytree(lived.state, copy)  # as a power cut leaves it
    (copy / "state.db-shm").unlink()
    assert examine(copy / "state.db").services == 3
    with pytest.raises(StateError, match="there is no file"):
        examine(copy / "other.db")
