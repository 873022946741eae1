"""What takes manifests away without anybody's meaning it: nothing is removed, however long it lasts.

Real folders, the engine in memory, and a clock that the test moves: the budget is counted over ten minutes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler import source
from reconciler.clock import now, rfc3339, seconds
from reconciler.errors import SourceError
from tests.support.memory import Memory
from tests.support.scenarios import World

FOLDERS = "abcdef"  # each with two services: twelve in all, of which two may go in ten minutes
HEAD = "apiVersion: lb/v1\nkind: {kind}\nmeta: {{name: {name}{more}}}\n"
SERVICE = HEAD + "spec: {{image: app:1, command: [sleep, '1000'], update: {{min_ready: 0s}}}}\n"


def service(name: str) -> str:
    return SERVICE.format(kind="Service", name=name, more=", namespace: t")


@dataclass
class Home:
    """A source that was applied, on an engine; an hour later."""

    folder: Path
    world: World
    at: float = field(default_factory=lambda: seconds(now()))

    def clock(self) -> str:
        return rfc3339(int(self.at * 1e9))

    def apply(self) -> None:
        try:
            self.world.cycle(source.read(self.folder, variables={}))
        except SourceError as error:
            assert "nothing is changed" in str(error)

    def running(self) -> set[str]:
        rows = self.world.engine.raw().values()
        return {row["Config"]["Labels"]["lb.service"] for row in rows if row["State"]["Status"] == "running"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    folder = tmp_path / "source"
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "all.yaml").write_text("---\n".join([service(f"{name}1"), service(f"{name}2")]))
    (folder / "lb.yaml").write_text("name: src\n")
    (folder / "t.yaml").write_text(HEAD.format(kind="Namespace", name="t", more=""))
    world = World(Memory(), tmp_path / "state")
    found = Home(folder, world)
    world.clock = found.clock
    found.apply()
    assert len(found.running()) == 12
    found.at += 3600
    yield found


def unmount(folder: Path) -> None:
    """What is mounted there is gone; the mount point is an empty folder."""
    shutil.rmtree(folder)
    folder.mkdir()


def manifests(home: Home) -> list[Path]:
    return [home.folder / name / "all.yaml" for name in FOLDERS]


def cut(file: Path) -> None:
    text = file.read_bytes()
    file.write_bytes(text[: len(text) // 2])


def clear(*files: Path) -> None:
    for file in files:
        file.write_bytes(b"")


def away(*files: Path) -> None:
    for file in files:
        file.unlink()


def commented_out(home: Home) -> None:
    for file in (*manifests(home), home.folder / "t.yaml"):
        file.write_text("".join(f"# {line}\n" for line in file.read_text().splitlines()))


def one_bad_and_a_few_gone(home: Home) -> None:
    (home.folder / "a" / "all.yaml").write_text("kind: [\n")
    away(home.folder / "b" / "all.yaml")


def no_folder_can_be_listed(home: Home) -> None:
    """A link to itself, as a stale mount is an error to whoever looks inside."""
    shutil.rmtree(home.folder / "a")
    (home.folder / "a").symlink_to(home.folder / "a")
    (home.folder / "a.yaml").symlink_to(home.folder / "a" / "all.yaml")


HARMS: dict[str, Callable[[Home], object]] = {
    "empty": lambda home: away(*manifests(home), home.folder / "t.yaml", home.folder / "lb.yaml"),
    "unmounted": lambda home: unmount(home.folder),
    "not there": lambda home: shutil.rmtree(home.folder),
    "a file in its place": lambda home: (shutil.rmtree(home.folder), home.folder.write_text("")),
    "all files empty": lambda home: clear(*manifests(home), home.folder / "t.yaml"),
    "all commented out": commented_out,
    "its settings half-written": lambda home: (home.folder / "lb.yaml").write_text("name: [src"),
    "a file half-written": lambda home: cut(home.folder / "a" / "all.yaml"),
    "one bad file, and others gone": one_bad_and_a_few_gone,
    "a link that leads nowhere, and others gone": no_folder_can_be_listed,
    "over the budget": lambda home: away(*manifests(home)[:2]),
    "all services": lambda home: away(*manifests(home)),
    "all but one": lambda home: away(*manifests(home)[1:]),
    "a namespace without its services": lambda home: away(home.folder / "t.yaml"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_nothing_is_removed(home: Home, harm: str) -> None:
    before = home.world.engine.raw()
    HARMS[harm](home)
    for wait in (0, 30, 300, 300, 3600):
        home.at += wait
        home.apply()
        assert home.world.engine.raw() == before, f"{wait} s later"


def test_two_unmounts_five_minutes_apart(home: Home) -> None:
    """The first one takes as many as the budget allows, the second none, as long as the first one counts."""
    unmount(home.folder / "a")
    home.apply()
    left = home.running()
    assert len(left) == 10, "what may go without a word goes"
    home.at += 300
    unmount(home.folder / "b")
    for _ in range(3):
        home.apply()
        assert home.running() == left
        home.at += 60


def test_one_after_the_other_never_more_than_the_budget_in_ten_minutes(home: Home) -> None:
    gone: list[tuple[float, int]] = []
    for name in FOLDERS[:4]:
        unmount(home.folder / name)
        for _ in range(4):
            had = len(home.running())
            home.apply()
            gone.append((home.at, had - len(home.running())))
            home.at += 100
    for start, _ in gone:
        assert sum(count for at, count in gone if start <= at < start + 600) <= 2


def test_a_manifest_that_is_cut_anywhere(home: Home) -> None:
    """As a copy that is under way, or a full disk, leaves it. What the file still begins to say is not removed; a
    document that is missing as a whole can't be told from one that was taken away, and is one for the budget."""
    file = home.folder / "a" / "all.yaml"
    whole = file.read_text()
    begins = {name: whole.index(f"name: {name}") + len(f"name: {name}") for name in ("a1", "a2")}
    for length in range(len(whole)):
        file.write_text(whole[:length])
        plan = home.world.plan(source.read(home.folder, variables={}))
        held = {ref for guard in plan.guards for ref in guard.refs}
        removed = {a.ref.name for a in plan.actions if a.verb == "remove" and a.ref not in held}
        expected = {name for name, begin in begins.items() if length < begin}
        assert removed <= expected - {"a1"}, f"{length} bytes: {whole[:length]!r}"
