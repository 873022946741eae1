"""A change on disk becomes a wake-up. The only door to `watchdog`.

In: a folder. Out: `wake` is called 100 ms after the last change of a burst, 1 s after its first at the latest. It says
that something changed, never what: who is woken reads everything. It reads no file and never raises once it is started.

Every folder below the root is watched through inotify, but those of version control; links are not followed. Where
inotify can't be had, or would not tell of every change, all stat signatures are taken every 2 s instead. The root is a
path: what it leads to may go away, come back, be mounted or be another folder, which is noticed within 1 s.

watchdog's own observer is not used: it also watches `.git`, hides that a folder below could not be watched, says
nothing after lost events, and ends when the root goes. The layer below it, `InotifyFD`, leaves these to us.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor

QUIET = 0.1  # seconds without a change that end a burst
LATEST = 1.0  # seconds after its first change that a burst ends, quiet or not
TICK = 1.0  # seconds between looks at what the root's path leads to
AUDIT = 30.0  # seconds between looks at all folders: a mount upon one tells nobody
POLL = 2.0  # seconds between looks at all files, where there is no inotify

_VERSION_CONTROL = {".git", ".hg", ".svn", ".bzr", ".jj"}
# Lock, swap, backup and probe files of vim, emacs and others. They come and go while somebody types.
_LEFTOVER = re.compile(r"\.#.*|#.*#|.*~|\..*\.sw[a-z]|4913", re.DOTALL)
# Kinds of file systems that other hosts change too, or something beneath them; inotify tells only of what we write.
_ELSEWHERE = re.compile(r"nfs\d?|cifs|smb3?|smbfs|9p|afs|ceph|gfs2|ocfs2|lustre|vboxsf|virtiofs|fuse\..*|fuse")
_LIMITS = {
    errno.ENOSPC: "inotify has no watches left; raise fs.inotify.max_user_watches",
    errno.EMFILE: "there are too many inotify users; raise fs.inotify.max_user_instances",
}
_Identity = tuple[str, int, int]  # real path, device, inode


def _silent(line: str) -> None:
    pass


class Watch:
    """`mode` is how it watches now; `say` is told, in a line, when that is or becomes "poll", and when it ends.

    `without` is a folder inside that is not watched: what `lb` itself writes must not wake it.
    """

    def __init__(
        self, root: Path, wake: Callable[[], None], say: Callable[[str], None] = _silent, without: Path | None = None
    ) -> None:
        self._root, self._wake, self._say = root, wake, say
        self._without = os.path.realpath(without) if without else ""
        self._burst = _Burst()
        self._identity: _Identity | None = None
        self._sensor: _Sensor = _Poll("", "")
        self._thread = threading.Thread(target=self._run, name=f"watch {root}", daemon=True)
        self.mode: Literal["inotify", "poll"] = "inotify"

    def start(self) -> None:
        """Changes after this returns are noticed; the root need not be there."""
        self._identity = _identity(self._root)
        self._begin()
        self._thread.start()

    def stop(self) -> None:
        """`wake` is not called after this returns."""
        self._burst.stop()
        self._thread.join()
        self._sensor.close()

    def _run(self) -> None:
        while True:
            stirred = self._burst.wait(POLL if self.mode == "poll" else TICK)
            if self._burst.stopped:
                return
            if self._look() or stirred:
                self._wake()

    def _look(self) -> bool:
        """What no event tells: another root, lost events, new folders. Done before the wake, so that what is changed
        after it is noticed."""
        identity = _identity(self._root)
        if identity != self._identity or self._sensor.stale:
            self._identity = identity
            self._sensor.close()
            self._begin()
            return True
        try:
            return self._sensor.look()
        except OSError as error:
            self._sensor.close()
            self._poll(_reason(error))
            return True

    def _begin(self) -> None:
        """Watches what the root is now."""
        top = self._identity[0] if self._identity else ""
        kind = _file_system(top)
        if _ELSEWHERE.fullmatch(kind):
            self._poll(f"changes from elsewhere are not told on {kind}")
            return
        try:
            self._sensor = _Inotify(top, self._without, self._burst.note)
        except (OSError, ImportError) as error:
            self._poll(_reason(error))
            return
        if self.mode == "poll":
            self.mode = "inotify"
            self._say(f"{self._root} is watched through inotify again")

    def _poll(self, reason: str) -> None:
        self._sensor = _Poll(self._identity[0] if self._identity else "", self._without)
        if self.mode != "poll":
            self.mode = "poll"
            self._say(f"{self._root} is looked at every {POLL:g} s: {reason}")


class _Burst:
    """Changes close to each other, counted as one."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._first = self._last = 0.0  # monotonic seconds; 0 is none
        self.stopped = False

    def note(self) -> None:
        with self._condition:
            self._last = time.monotonic()
            if not self._first:
                self._first = self._last
                self._condition.notify_all()

    def stop(self) -> None:
        with self._condition:
            self.stopped = True
            self._condition.notify_all()

    def wait(self, seconds: float) -> bool:
        """Until a burst is over: True. False when none began in that time, or when it is stopped."""
        with self._condition:
            self._condition.wait_for(lambda: self._first or self.stopped, seconds)
            if not self._first:
                return False
            while not self.stopped:
                left = min(self._last + QUIET, self._first + LATEST) - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(left)
            self._first = 0.0
            return not self.stopped


class _Sensor(Protocol):
    """How one root is watched. `stale`: it can't be trusted any more; begin anew."""

    @property
    def stale(self) -> bool: ...

    def look(self) -> bool:
        """Whether something changed that was not noted. Raises OSError where it can't go on."""

    def close(self) -> None: ...


class _Inotify:
    """A watchdog `WatchCallback`: the `on_` methods are called by the thread of its `InotifyFD`, and only note.

    Folders are known by device and inode, so that it does not matter how they are renamed.
    """

    def __init__(self, top: str, without: str, note: Callable[[], None]) -> None:
        """Raises OSError when there is no inotify left, ImportError when there is none at all."""
        try:
            from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyFD, Mask
        except (OSError, AttributeError, RuntimeError) as error:  # another system, or a C library without it
            raise ImportError(f"there is no inotify here: {error}") from error
        constants = InotifyConstants
        self._mask = Mask(
            constants.IN_MODIFY | constants.IN_ATTRIB | constants.IN_CLOSE_WRITE | constants.IN_MOVE
            | constants.IN_CREATE | constants.IN_DELETE | constants.IN_DELETE_SELF | constants.IN_MOVE_SELF
            | constants.IN_ONLYDIR | constants.IN_DONT_FOLLOW | constants.IN_EXCL_UNLINK
        )  # fmt: skip
        self._top, self._without, self._note = top, without, note
        self._id = CallbackId(id(self))
        self._watched: dict[tuple[int, int], WatchDescriptor] = {}
        self._deleted: deque[WatchDescriptor] = deque()
        self._overflowed, self._folders_changed = False, False
        self._audited = 0.0
        self._fd = InotifyFD()
        self._fd.start()
        try:
            self._arm()
        except OSError:
            self.close()
            raise

    def on_event(self, event: InotifyEvent) -> None:
        if _counts(os.fsdecode(event.name)):
            if event.is_directory:
                self._folders_changed = True
            self._note()

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        self._deleted.append(wd)

    def on_queue_overflow(self) -> None:
        self._overflowed = True
        self._note()

    @property
    def stale(self) -> bool:
        return self._overflowed or not self._fd.is_alive()

    def look(self) -> bool:
        if self._folders_changed or time.monotonic() > self._audited + AUDIT:
            self._arm()
        return False

    def close(self) -> None:
        self._fd.stop()
        self._fd.join()

    def _arm(self) -> None:
        """Watches the folders that there are now, and no others. Raises OSError when there are too many."""
        self._folders_changed = False  # before the look: a folder that comes while we look is one for the next
        self._audited = time.monotonic()
        while self._deleted:
            gone = self._deleted.popleft()
            self._watched = {identity: wd for identity, wd in self._watched.items() if wd != gone}
        found: set[tuple[int, int]] = set()
        waiting = [self._top] if self._top else []
        while waiting:
            folder = waiting.pop()
            identity = self._watch(folder)
            if identity and identity not in found:
                found.add(identity)
                waiting += (path for path, status in _entries(folder, self._without) if _is_folder(status))
        left = [self._watched.pop(identity) for identity in self._watched.keys() - found]
        self._fd.remove_callbacks([(wd, self._id) for wd in left])

    def _watch(self, folder: str) -> tuple[int, int] | None:
        """Before it is listed, so that what comes later is noted. None when it is gone, or can't be listed."""
        try:
            status = Path(folder).lstat()
            identity = (status.st_dev, status.st_ino)
            if identity not in self._watched:
                if not os.access(folder, os.R_OK):  # InotifyFD does not tell of it; the folder's mode is noted above
                    return None
                self._watched[identity] = self._fd.add_callback(os.fsencode(folder), self._mask, self, self._id)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        return identity


class _Poll:
    """The stat signatures of everything below the root, compared with those of the last look."""

    stale = False

    def __init__(self, top: str, without: str) -> None:
        self._top, self._without = top, without
        self._seen = self._signatures()

    def look(self) -> bool:
        before, self._seen = self._seen, self._signatures()
        return self._seen != before

    def close(self) -> None:
        pass

    def _signatures(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        waiting = [self._top] if self._top else []
        while waiting:
            for path, status in _entries(waiting.pop(), self._without):
                if _is_folder(status):  # its times tell of what does not count, too
                    found[path] = (status.st_mode, status.st_ino)
                    waiting.append(path)
                else:
                    found[path] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        return found


def _entries(folder: str, without: str) -> Iterator[tuple[str, os.stat_result]]:
    """What counts in a folder; nothing where it can't be listed, which the reader of the source will say."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _counts(entry.name) and entry.path != without:
                with contextlib.suppress(OSError):  # gone since the listing
                    yield entry.path, entry.stat(follow_symlinks=False)


def _is_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode)


def _counts(name: str) -> bool:
    return name not in _VERSION_CONTROL and not _LEFTOVER.fullmatch(name)


def _identity(root: Path) -> _Identity | None:
    """What the root's path leads to now; None when that is nothing, or can't be told."""
    try:
        real = os.path.realpath(root, strict=True)
        status = Path(real).stat()
    except OSError:
        return None
    return real, status.st_dev, status.st_ino


def _file_system(path: str) -> str:
    """The kind of file system that a path is on, as the kernel calls it; "" where that can't be told."""
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mount.split()[4])
        if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, rest.split()[0]  # of two on one point the later one lies on top
    return kind


def _reason(error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else None
    return _LIMITS.get(code or 0) or getattr(error, "strerror", None) or str(error)
