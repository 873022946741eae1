"""Watching: every way of saving wakes, the right content is then read, and nothing ends it but `stop`.

The daemon of these tests reads the source when it is woken and never else: what it knows, it was woken for.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyFD

from reconciler import watch
from reconciler.errors import SourceError
from reconciler.model import Desired, Ref
from reconciler.source import Source
from reconciler.watch import Watch
from tests.support.eventually import eventually

NAMESPACE = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo}\n"
WEB = Ref("demo", "web")


def service(tag: str, name: str = "web") -> str:
    return (
        f"apiVersion: lb/v1\nkind: Service\nmeta: {{name: {name}, namespace: demo}}\nspec: {{image: 'redis:{tag}'}}\n"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "apps").mkdir(parents=True)
    (folder / "namespace.yaml").write_text(NAMESPACE)
    (folder / "apps" / "web.yaml").write_text(service("1"))
    return folder


class Daemon:
    """Reads when it is woken."""

    def __init__(self, root: Path) -> None:
        self.source = Source(root)
        self.wakes: list[float] = []
        self.said: list[str] = []
        self.last: Desired | str = ""
        self.watch = Watch(root, self.wake, self.said.append)

    def wake(self) -> None:
        try:
            self.last = self.source.read()
        except SourceError as error:
            self.last = error.message
        self.wakes.append(time.monotonic())

    def tag(self, ref: Ref = WEB) -> str:
        """Of the image that it knows; "" when it knows none."""
        if isinstance(self.last, str) or ref not in self.last.services:
            return ""
        return self.last.services[ref].spec.image.rpartition(":")[2]

    def learns(self, tag: str, ref: Ref = WEB) -> None:
        eventually(lambda: self.tag(ref) == tag)


Start = Callable[[Path], Daemon]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Daemon] = []

    def begin(root: Path) -> Daemon:
        daemon = Daemon(root)
        daemon.watch.start()
        running.append(daemon)
        return daemon

    yield begin
    for daemon in running:
        daemon.watch.stop()


# Ways of saving


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


def half_and_half(file: Path, text: str) -> None:
    with file.open("w") as handle:
        handle.write(text[:60])
        handle.flush()
        handle.write(text[60:])


def atomically(file: Path, text: str) -> None:
    new = file.with_name("new.tmp")
    new.write_text(text)
    new.rename(file)


def vim(file: Path, text: str) -> None:
    """`backupcopy=auto`, as it does with an ordinary file: the old one becomes the backup."""
    swap, probe, backup = file.with_name(f".{file.name}.swp"), file.with_name("4913"), file.with_name(f"{file.name}~")
    swap.write_bytes(b"b0VIM 9.0")
    probe.touch()
    probe.unlink()
    file.rename(backup)
    file.write_text(text)
    backup.unlink()
    swap.unlink()


def vim_copying(file: Path, text: str) -> None:
    """`backupcopy=yes`, as it does with a link or another owner's file: a copy is the backup."""
    backup = file.with_name(f"{file.name}~")
    shutil.copy2(file, backup)
    file.write_text(text)
    backup.unlink()


def emacs(file: Path, text: str) -> None:
    lock, auto = file.with_name(f".#{file.name}"), file.with_name(f"#{file.name}#")
    lock.symlink_to("me@host.4711:1700000000")
    auto.write_text(text[:40])
    file.rename(file.with_name(f"{file.name}~"))
    file.write_text(text)
    auto.unlink()
    lock.unlink()


def rsync(file: Path, text: str) -> None:
    """A hidden file beside, its time set back to the origin's, then renamed."""
    new = file.with_name(f".{file.name}.Xq3kT9")
    new.write_text(text)
    os.utime(new, (1_700_000_000, 1_700_000_000))
    new.chmod(0o644)
    new.rename(file)


def gone_and_back(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def by_link(file: Path, text: str) -> None:
    """The manifest becomes a link to a file elsewhere in the source."""
    target = file.parent.parent / "web.txt"
    target.write_text(text)
    (file.parent / "link").symlink_to("../web.txt")
    (file.parent / "link").rename(file)


def with_its_folder(file: Path, text: str) -> None:
    new = file.parent.parent / "new"
    shutil.copytree(file.parent, new)
    (new / file.name).write_text(text)
    shutil.rmtree(file.parent)
    new.rename(file.parent)


def run(*words: object, cwd: Path | None = None) -> None:
    subprocess.run([str(word) for word in words], cwd=cwd, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def sed(file: Path, text: str) -> None:
    run("sed", "-i", f"s/redis:[0-9]*/redis:{text.partition('redis:')[2].partition(chr(39))[0]}/", file)


def shell(file: Path, text: str) -> None:
    run("sh", "-c", 'printf %s "$1" > "$2"', "sh", text, file)


def real_vim(file: Path, text: str) -> None:
    run("vim", "-Nu", "NONE", "-es", "-c", f"%s/redis:\\d*/redis:{text.partition('redis:')[2][0]}/", "-c", "wq", file)


def real_rsync(file: Path, text: str) -> None:
    origin = file.parents[2] / "origin"
    origin.mkdir(exist_ok=True)
    (origin / file.name).write_text(text)
    run("rsync", "-a", "--checksum", f"{origin}/", f"{file.parent}/")


def installed(**tools: Callable[[Path, str], None]) -> list[Callable[[Path, str], None]]:
    """The real tools that this machine has; the way of each is emulated above, too."""
    return [save for tool, save in tools.items() if shutil.which(tool)]


SAVES = [
    in_place, half_and_half, atomically, vim, vim_copying, emacs, rsync, gone_and_back, by_link, with_its_folder,
    sed, shell, *installed(vim=real_vim, rsync=real_rsync),
]  # fmt: skip


@pytest.fixture(params=["inotify", "poll"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways, with shorter times; the tests of the times have the real ones."""
    if request.param == "poll":
        no_inotify(monkeypatch)
    monkeypatch.setattr(watch, "TICK", 0.1)
    monkeypatch.setattr(watch, "QUIET", 0.01)
    return str(request.param)


def no_inotify(monkeypatch: pytest.MonkeyPatch, code: int = errno.EMFILE) -> None:
    def refuse(cls: object) -> int:
        raise OSError(code, "limit reached")

    monkeypatch.setattr(InotifyFD, "_create_inotify_fd", classmethod(refuse))
    monkeypatch.setattr(watch, "POLL", 0.02)


def slowly(change: Callable[[int], object]) -> None:
    """Ten changes, so far apart that each would wake on its own if it were noticed."""
    pause = threading.Event()
    for i in range(10):
        change(i)
        pause.wait(0.03)


@pytest.mark.parametrize("save", SAVES)
def test_every_way_of_saving_wakes_and_the_new_content_is_read(
    root: Path, start: Start, mode: str, save: Callable[[Path, str], None]
) -> None:
    daemon = start(root)
    assert daemon.watch.mode == mode
    for tag in ("2", "3"):
        save(root / "apps" / "web.yaml", service(tag))
        daemon.learns(tag)
    eventually(lambda: isinstance(daemon.last, Desired) and daemon.last.complete and not daemon.last.problems)


def test_a_checkout_of_another_branch_wakes(root: Path, start: Start, mode: str) -> None:
    def git(*words: str) -> None:
        run("git", "-c", "user.name=x", "-c", "user.email=x@x", *words, cwd=root)

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-q", "-b", "next")
    (root / "apps" / "web.yaml").write_text(service("2"))
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "api.yaml").write_text(service("5", "api"))
    git("add", ".")
    git("commit", "-qm", "two")
    daemon = start(root)
    git("checkout", "-q", "main")
    daemon.learns("1")
    assert daemon.tag(Ref("demo", "api")) == ""
    git("checkout", "-q", "next")
    eventually(lambda: (daemon.tag(), daemon.tag(Ref("demo", "api"))) == ("2", "5"))


def test_a_mounted_config_map_that_is_swapped_wakes(root: Path, start: Start, mode: str) -> None:
    """Only the hidden link `..data` is replaced; the links that people see stay as they are."""

    def publish(tag: str) -> None:
        folder = root / f"..2026_{tag}"
        folder.mkdir()
        (folder / "cm.yaml").write_text(service(tag, "cm"))
        (root / "..data_tmp").symlink_to(folder.name)
        (root / "..data_tmp").rename(root / "..data")

    publish("1")
    (root / "cm.yaml").symlink_to("..data/cm.yaml")
    daemon = start(root)
    for tag in ("2", "3"):
        publish(tag)
        daemon.learns(tag, Ref("demo", "cm"))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.touch(),
        lambda file: file.chmod(0o600),
        lambda file: file.unlink(),
        lambda file: file.rename(file.parents[2] / "away.yaml"),
        lambda file: shutil.rmtree(file.parent),
        lambda file: (file.parent / ".htaccess").write_text("a mounted file may have any name"),
        lambda file: (file.parent / "data.bin").write_bytes(b"\0"),
        lambda file: os.truncate(file, 3),
        lambda file: (file.parent / "link").symlink_to("nowhere"),
        lambda file: os.mkfifo(file.parent / "fifo"),
    ],
)
def test_everything_else_that_may_count_wakes_too(
    root: Path, start: Start, mode: str, change: Callable[[Path], object]
) -> None:
    daemon = start(root)
    change(root / "apps" / "web.yaml")
    eventually(lambda: daemon.wakes)


def test_folders_that_are_new_are_watched_however_deep(root: Path, start: Start, mode: str) -> None:
    daemon = start(root)
    folder = root / "a" / "b" / "c"
    folder.mkdir(parents=True)
    (folder / "api.yaml").write_text(service("1", "api"))
    daemon.learns("1", Ref("demo", "api"))
    (folder / "api.yaml").write_text(service("2", "api"))
    daemon.learns("2", Ref("demo", "api"))
    (root / "a").rename(root / "z")
    eventually(
        lambda: isinstance(daemon.last, Desired) and daemon.last.services[Ref("demo", "api")].place.file[0] == "z"
    )
    (root / "z" / "b" / "c" / "api.yaml").write_text(service("3", "api"))
    daemon.learns("3", Ref("demo", "api"))


def test_a_folder_that_left_no_longer_wakes(root: Path, start: Start, mode: str, tmp_path: Path) -> None:
    daemon = start(root)
    (root / "apps").rename(tmp_path / "left")
    eventually(lambda: isinstance(daemon.last, Desired) and WEB not in daemon.last.services)
    before = len(daemon.wakes)
    slowly(lambda i: (tmp_path / "left" / "web.yaml").write_text(service(str(i))))
    assert len(daemon.wakes) <= before + 1  # perhaps one more of the move


def test_a_half_saved_file_holds_the_last_good_state_until_the_rest_comes(root: Path, start: Start) -> None:
    daemon = start(root)
    with (root / "apps" / "web.yaml").open("w") as handle:
        eventually(lambda: isinstance(daemon.last, Desired) and not daemon.last.complete)
        handle.write(service("2")[:50])
        handle.flush()
        assert daemon.tag() == ""
        handle.write(service("2")[50:])
    daemon.learns("2")
    assert isinstance(daemon.last, Desired) and daemon.last.complete


# Bursts


def test_a_burst_is_few_wakes(root: Path, start: Start) -> None:
    daemon = start(root)
    began = time.monotonic()
    for i in range(300):
        (root / "apps" / f"s{i}.yaml").write_text(service("1", f"s{i}"))
    daemon.learns("1", Ref("demo", "s299"))
    # At least 100 ms of quiet lie before each wake, and the first comes no sooner.
    assert len(daemon.wakes) <= (time.monotonic() - began) / watch.QUIET
    assert daemon.wakes[0] - began >= watch.QUIET


def test_changes_without_an_end_wake_all_the_same(root: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a quiet time that never comes, only the limit of one second can end the burst."""
    monkeypatch.setattr(watch, "QUIET", 3600.0)
    daemon = start(root)
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.01):
            (root / "apps" / "log.txt").write_text("more")

    writer = threading.Thread(target=write)
    began = time.monotonic()
    writer.start()
    try:
        eventually(lambda: len(daemon.wakes) >= 2)
    finally:
        done.set()
        writer.join()
    assert daemon.wakes[0] - began >= watch.LATEST


OTHERS = [".git/index", ".git/objects/ab/cdef", ".hg/dirstate"]
LEFTOVERS = ["apps/.web.yaml.swp", "apps/.#web.yaml", "apps/web.yaml~", "apps/#web.yaml#", "apps/4913"]


@pytest.mark.parametrize("names", [OTHERS, LEFTOVERS], ids=["version control", "editors"])
def test_version_control_and_editors_do_not_wake(root: Path, start: Start, mode: str, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    daemon = start(root)

    def change(i: int) -> None:
        (root / names[i % len(names)]).write_text(str(i))
        (root / names[i % len(names)]).unlink()

    slowly(change)
    assert not daemon.wakes
    (root / "apps" / "web.yaml").write_text(service("2"))
    daemon.learns("2")


def test_a_flood_in_git_does_not_delay_a_wake(root: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event of it may count as the last one of a burst: quiet or not, the second's limit would hold it up."""
    monkeypatch.setattr(watch, "LATEST", 3600.0)
    (root / ".git" / "objects").mkdir(parents=True)
    daemon = start(root)
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.001):
            (root / ".git" / "objects" / "pack").write_text("more")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        (root / "apps" / "web.yaml").write_text(service("2"))
        daemon.learns("2")
    finally:
        done.set()
        writer.join()


def test_lost_events_wake_and_new_folders_are_watched_all_the_same(
    root: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's queue runs over while nobody reads it. What was lost is as if it had been told."""
    daemon = start(root)
    blocked, gate, handled = threading.Event(), threading.Event(), InotifyFD.handle_event
    overflows: list[object] = []

    def handle(self: InotifyFD, event: object) -> None:
        blocked.set()
        gate.wait(60)
        if getattr(event, "is_queue_overflow"):  # noqa: B009
            overflows.append(event)
        handled(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(InotifyFD, "handle_event", handle)
    (root / "apps" / "first").touch()
    assert blocked.wait(20)
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    first, second = str(root / "apps" / "first"), str(root / "namespace.yaml")
    for _ in range(max(queue, 16_384) // 2 + 2_000):  # two in turn: equal events next to each other are merged
        os.utime(first)
        os.utime(second)
    (root / "late").mkdir()
    (root / "late" / "api.yaml").write_text(service("1", "api"))
    gate.set()
    daemon.learns("1", Ref("demo", "api"))
    eventually(lambda: overflows)
    (root / "late" / "api.yaml").write_text(service("2", "api"))
    daemon.learns("2", Ref("demo", "api"))


# The root comes and goes


def test_a_root_that_goes_and_comes_back(root: Path, start: Start, mode: str, tmp_path: Path) -> None:
    daemon = start(root)
    root.rename(tmp_path / "away")
    eventually(lambda: daemon.last == f"{root} does not exist; nothing is changed")
    (tmp_path / "away").rename(root)
    daemon.learns("1")
    (root / "apps" / "web.yaml").write_text(service("2"))
    daemon.learns("2")
    shutil.copytree(root, tmp_path / "copy")
    shutil.rmtree(root)
    eventually(lambda: isinstance(daemon.last, str) or not daemon.last.complete)
    (tmp_path / "copy" / "apps" / "web.yaml").write_text(service("3"))
    (tmp_path / "copy").rename(root)
    daemon.learns("3")
    (root / "apps" / "web.yaml").write_text(service("4"))
    daemon.learns("4")


def test_a_root_that_comes_later(root: Path, start: Start, mode: str, tmp_path: Path) -> None:
    root.rename(tmp_path / "away")
    daemon = start(root)
    (tmp_path / "away").rename(root)
    daemon.learns("1")
    (root / "apps" / "web.yaml").write_text(service("2"))
    daemon.learns("2")


def test_a_link_to_the_root_that_is_swapped(root: Path, start: Start, mode: str, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "next")
    (tmp_path / "next" / "apps" / "web.yaml").write_text(service("2"))
    (tmp_path / "current").symlink_to("source")
    daemon = start(tmp_path / "current")
    (tmp_path / "new").symlink_to("next")
    (tmp_path / "new").rename(tmp_path / "current")
    daemon.learns("2")
    (tmp_path / "next" / "apps" / "web.yaml").write_text(service("3"))
    daemon.learns("3")
    before = len(daemon.wakes)
    slowly(lambda i: (root / "apps" / "web.yaml").write_text(service(str(i))))
    assert len(daemon.wakes) <= before + 1, "what it led to before is not watched any more"


@pytest.mark.parametrize("part", ["", "apps"])
def test_what_is_mounted_upon_it_or_a_folder_and_unmounted(
    root: Path, start: Start, mode: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount is told by no event: the root's is seen within a second, a folder's by the audit."""
    monkeypatch.setattr(watch, "AUDIT", 0.1)
    daemon = start(root)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", str(root / part)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (root / part / "other.yaml").write_text(NAMESPACE + "---\n" + service("7", "other"))
        if part:
            monkeypatch.setattr(watch, "TICK", 0.1)
        eventually(lambda: _touched(root / part / "other.yaml") and daemon.wakes)
    finally:
        run("umount", root / part)
    if not part:
        daemon.learns("1")
    (root / "apps" / "web.yaml").write_text(service("2"))
    eventually(lambda: _touched(root / "apps" / "web.yaml") and daemon.tag() == "2")


def _touched(file: Path) -> bool:
    file.touch()
    return True


# Without inotify


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EMFILE, "there are too many inotify users; raise fs.inotify.max_user_instances"),
        (errno.ENOSPC, "inotify has no watches left; raise fs.inotify.max_user_watches"),
        (errno.ENOSYS, "limit reached"),
    ],
)
def test_without_inotify_it_polls_and_says_so_once(
    root: Path, start: Start, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    no_inotify(monkeypatch, code)
    daemon = start(root)
    assert daemon.watch.mode == "poll"
    assert daemon.said == [f"{root} is looked at every 0.02 s: {reason}"]
    shutil.rmtree(root / "apps")
    eventually(lambda: daemon.wakes)
    assert len(daemon.said) == 1


def test_when_watches_run_out_below_the_root_it_polls(
    root: Path, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    daemon = start(root)
    added = InotifyFD.add_callback

    def add(self: InotifyFD, path: bytes, *rest: object) -> object:
        if path.endswith(b"/more"):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return added(self, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(InotifyFD, "add_callback", add)
    monkeypatch.setattr(watch, "POLL", 0.05)
    assert (daemon.watch.mode, daemon.said) == ("inotify", [])
    (root / "more").mkdir()
    (root / "more" / "api.yaml").write_text(service("1", "api"))
    daemon.learns("1", Ref("demo", "api"))
    assert daemon.watch.mode == "poll" and "max_user_watches" in daemon.said[0]
    (root / "more" / "api.yaml").write_text(service("2", "api"))
    daemon.learns("2", Ref("demo", "api"))
    # Another root is another try.
    shutil.copytree(root / "apps", tmp_path / "next")
    root.rename(tmp_path / "away")
    (tmp_path / "next").rename(root)
    eventually(lambda: daemon.watch.mode == "inotify")
    assert daemon.said[1:] == [f"{root} is watched through inotify again"]


def test_file_systems_that_change_elsewhere_are_polled(
    root: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_file_system", lambda path: "nfs4")
    daemon = start(root)
    assert daemon.watch.mode == "poll"
    assert daemon.said == [f"{root} is looked at every 2 s: changes from elsewhere are not told on nfs4"]


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "virtiofs", "ceph"])
def test_kinds_that_are_polled(kind: str) -> None:
    assert watch._ELSEWHERE.fullmatch(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", ""])
def test_kinds_that_are_not(kind: str) -> None:
    assert not watch._ELSEWHERE.fullmatch(kind)


def test_the_kind_of_a_file_system_is_that_of_the_nearest_mount() -> None:
    assert watch._file_system("/proc/self") == "proc"
    assert watch._file_system("/procession") == watch._file_system("/")


# The end


def test_a_reader_of_events_that_died_is_replaced(root: Path, start: Start) -> None:
    daemon = start(root)
    (reader,) = (t for t in threading.enumerate() if isinstance(t, InotifyFD))
    reader.stop()
    reader.join()
    (root / "apps" / "web.yaml").write_text(service("2"))
    daemon.learns("2")
    (root / "apps" / "web.yaml").write_text(service("3"))
    daemon.learns("3")


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_once_stopped_it_neither_wakes_nor_holds_anything(root: Path, mode: str) -> None:
    before = threading.active_count(), descriptors()
    daemon = Daemon(root)
    daemon.watch.start()
    (root / "apps" / "web.yaml").write_text(service("2"))
    daemon.watch.stop()
    woken = len(daemon.wakes)
    (root / "apps" / "web.yaml").write_text(service("3"))
    assert (threading.active_count(), descriptors()) == before
    assert len(daemon.wakes) == woken


def test_what_lb_writes_itself_does_not_wake(root: Path, mode: str) -> None:
    (root / "state").mkdir()
    daemon = Daemon(root)
    daemon.watch = Watch(root, daemon.wake, without=root / "state")
    daemon.watch.start()
    try:
        slowly(lambda i: (root / "state" / "state.db").write_text(str(i)))
        assert not daemon.wakes
        (root / "apps" / "web.yaml").write_text(service("2"))
        daemon.learns("2")
    finally:
        daemon.watch.stop()
