"""The lock: one holder, named to whoever comes second, and gone with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest

from reconciler.errors import LockedError, StateError
from reconciler.lock import Lock, holder

HOLDER = """
import sys
from pathlib import Path
from reconciler.lock import Lock
with Lock.acquire("engine", "lb apply x", Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
Holder = subprocess.Popen[str]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[], Holder]]:
    """Starts another process that holds the lock until its input ends."""
    started: list[Holder] = []

    def start() -> Holder:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def test_the_second_process_learns_at_once_who_holds_it(tmp_path: Path, hold: Callable[[], Holder]) -> None:
    holder = hold()
    before = time.monotonic()
    since = r"2[-0-9]{9}T[:0-9]{8}Z$"
    with pytest.raises(
        LockedError, match=rf"^pid {holder.pid} \(`lb apply x`\) has been changing this engine since {since}"
    ):
        Lock.acquire("engine", "lb apply y", tmp_path)
    assert time.monotonic() - before < 1


@pytest.mark.parametrize("since", ["", ', "since": null', ', "since": 5'])
def test_what_its_file_does_not_say_is_not_known(tmp_path: Path, hold: Callable[[], Holder], since: str) -> None:
    hold()
    (file,) = tmp_path.glob("*.lock")
    file.write_text(f'{{"pid": 5{since}}}')
    with pytest.raises(LockedError, match=r"^pid 5 \(`\?`\) has been changing this engine since \?"):
        Lock.acquire("engine", "lb apply y", tmp_path)


def test_other_engines_are_not_held_up(tmp_path: Path, hold: Callable[[], Holder]) -> None:
    hold()
    with Lock.acquire("another engine", "lb apply y", tmp_path) as lock:
        lock.check()


def test_waiting_gets_it_when_the_holder_leaves(tmp_path: Path, hold: Callable[[], Holder]) -> None:
    holder = hold()
    assert holder.stdin is not None
    Timer(0.2, holder.stdin.close).start()
    with Lock.acquire("engine", "lb apply y", tmp_path, wait=20) as lock:
        lock.check()


def test_waiting_ends(tmp_path: Path, hold: Callable[[], Holder]) -> None:
    hold()
    before = time.monotonic()
    with pytest.raises(LockedError):
        Lock.acquire("engine", "lb apply y", tmp_path, wait=0.3)
    assert 0.3 <= time.monotonic() - before < 1.3


def test_a_killed_holder_leaves_it_free(tmp_path: Path, hold: Callable[[], Holder]) -> None:
    holder = hold()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with Lock.acquire("engine", "lb apply y", tmp_path) as lock:
        lock.check()


def test_a_child_does_not_keep_it(tmp_path: Path) -> None:
    with Lock.acquire("engine", "lb apply x", tmp_path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        Lock.acquire("engine", "lb apply y", tmp_path).close()
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("taken", ["deleted", "replaced", "epoch"])
def test_a_lock_that_is_not_ours_any_more_is_noticed(tmp_path: Path, taken: str) -> None:
    with Lock.acquire("engine", "lb apply x", tmp_path) as lock:
        lock.check()
        (file,) = tmp_path.glob("*.lock")
        if taken == "epoch":
            file.write_text('{"epoch": 7}')
        else:
            file.unlink()
        if taken == "replaced":
            Lock.acquire("engine", "lb apply y", tmp_path).close()
        with pytest.raises(LockedError, match="taken away"):
            lock.check()


def test_after_close_it_is_not_ours(tmp_path: Path) -> None:
    lock = Lock.acquire("engine", "lb apply x", tmp_path)
    lock.close()
    lock.close()
    with pytest.raises(LockedError):
        lock.check()


def test_the_file_stays_and_every_holder_has_a_new_epoch(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        with Lock.acquire("engine", "lb apply x", tmp_path) as lock:
            epochs.append(lock._epoch)
    assert epochs == [1, 2, 3]
    (file,) = tmp_path.glob("*.lock")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"epoch": "x"}', "\0" * 50])
def test_what_a_dying_holder_wrote_is_no_obstacle(tmp_path: Path, text: str) -> None:
    Lock.acquire("engine", "lb apply x", tmp_path).close()
    (file,) = tmp_path.glob("*.lock")
    file.write_text(text)
    with Lock.acquire("engine", "lb apply y", tmp_path) as lock:
        lock.check()


@pytest.mark.parametrize("character", ["x", "ä", "\N{WHALE}", "\udcff"])
def test_a_very_long_command_line(tmp_path: Path, character: str) -> None:
    with Lock.acquire("engine", f"lb apply {character * 100_000}", tmp_path) as lock:
        lock.check()
        with pytest.raises(LockedError, match=f"pid {os.getpid()} "):
            Lock.acquire("engine", "lb apply y", tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="file") as raised:
        Lock.acquire("engine", "lb apply x", tmp_path / "file" / "lb")
    assert raised.value.hint


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    Lock.acquire("engine", "lb apply x", tmp_path).close()
    (file,) = tmp_path.glob("*.lock")
    file.unlink()
    (tmp_path / "precious").write_text("kept")
    file.symlink_to(tmp_path / "precious")
    with pytest.raises(StateError):
        Lock.acquire("engine", "lb apply x", tmp_path)
    assert (tmp_path / "precious").read_text() == "kept"


def test_looking_at_the_holder_takes_nothing(tmp_path: Path) -> None:
    assert holder("key", tmp_path) is None
    with Lock.acquire("key", "lb apply", tmp_path):
        found = holder("key", tmp_path)
        assert found and (found.pid, found.command) == (os.getpid(), "lb apply")
        assert holder("other", tmp_path) is None
    assert holder("key", tmp_path) is None
    Lock.acquire("key", "lb apply", tmp_path).close()


def test_a_holder_that_died_holds_nothing(tmp_path: Path) -> None:
    with Lock.acquire("key", "lb apply", tmp_path) as lock:
        os.close(lock._handle)  # as the kernel does when the process ends, with its name left in the file
        lock._handle = -1
        assert holder("key", tmp_path) is None


def test_a_lock_that_can_not_be_read_says_so(tmp_path: Path) -> None:
    with Lock.acquire("key", "lb apply", tmp_path):
        (file,) = tmp_path.iterdir()
    file.unlink()
    file.symlink_to("/dev/null")
    with pytest.raises(StateError, match="can't be read"):
        holder("key", tmp_path)
