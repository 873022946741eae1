"""What was seen of files: unchanged by signature, unsure when young, forgotten when not asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from reconciler.seen import Seen


class Clock:
    """Seconds after the newest time of a file."""

    def __init__(self, file: Path) -> None:
        self.file, self.after = file, 3.0

    def __call__(self) -> float:
        status = self.file.stat()
        return max(status.st_mtime, status.st_ctime) + self.after


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "file"
    found.write_text("one")
    return found


def keep(seen: Seen, file: Path) -> str:
    with seen.cycle():
        return seen.keep(str(file), file.stat(), file.read_bytes())


def unchanged(seen: Seen, file: Path) -> str:
    with seen.cycle():
        return seen.unchanged(str(file), file.stat())


def test_what_is_older_than_two_seconds_is_known_by_its_signature(file: Path) -> None:
    seen = Seen(Clock(file))
    assert unchanged(seen, file) == ""
    assert keep(seen, file) == hashlib.sha256(b"one").hexdigest()
    assert unchanged(seen, file) == hashlib.sha256(b"one").hexdigest()


def test_what_is_younger_is_unsure_and_read_again(file: Path) -> None:
    clock = Clock(file)
    clock.after = 1.9
    seen = Seen(clock)
    keep(seen, file)
    clock.after = 60
    assert unchanged(seen, file) == "", "it was young when it was read, whatever its age is now"
    keep(seen, file)
    assert unchanged(seen, file)


def test_a_time_in_the_future_is_never_sure(file: Path) -> None:
    later = file.stat().st_mtime + 3600
    seen = Seen(Clock(file.parent))
    os.utime(file, (later, later))
    keep(seen, file)
    assert unchanged(seen, file) == ""


def test_an_old_time_that_was_set_by_hand_does_not_make_it_sure(file: Path) -> None:
    """`cp -p`, `tar` and `rsync -t` set the modification time back; the change time tells."""
    clock = Clock(file)
    clock.after = 1.0
    os.utime(file, (1, 1))
    seen = Seen(clock)
    keep(seen, file)
    assert unchanged(seen, file) == ""


@pytest.mark.parametrize("change", ["content", "time", "another file", "mode"])
def test_any_change_of_the_signature_asks_for_a_reading(file: Path, change: str) -> None:
    seen = Seen(Clock(file))
    keep(seen, file)
    before = file.stat()
    if change == "content":
        file.write_text("longer")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":
        os.utime(file, (1, 1))
    elif change == "another file":
        (file.parent / "new").write_text("two")
        os.utime(file.parent / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
        (file.parent / "new").rename(file)
    else:
        later = before.st_ctime_ns
        while file.stat().st_ctime_ns == later:  # a tick of the file system's clock
            file.chmod(0o600)
    assert unchanged(seen, file) == ""


def test_what_a_cycle_does_not_ask_for_is_forgotten(file: Path) -> None:
    seen = Seen(Clock(file))
    keep(seen, file)
    with seen.cycle():
        pass
    assert unchanged(seen, file) == ""


def test_a_cycle_that_failed_forgets_nothing(file: Path) -> None:
    seen = Seen(Clock(file))
    keep(seen, file)
    with pytest.raises(OSError, match="unmounted"), seen.cycle():
        raise OSError("unmounted")
    assert unchanged(seen, file)
