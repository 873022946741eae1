"""A source that is read again: work in proportion to the change, and always what a first reading would give."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler import manifests, schema, source
from reconciler.errors import SourceError
from reconciler.manifests import lb_yaml, reading
from reconciler.model import Ref
from reconciler.source import Source

NAMESPACE = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo}\n"


def service(name: str, extra: str = "") -> str:
    return (
        f"apiVersion: lb/v1\nkind: Service\nmeta: {{name: {name}, namespace: demo}}\n"
        f"spec: {{image: 'busybox:${{TAG:-1}}'{extra}}}\n"
    )


_stamps = itertools.count(1_000_000_000_000_000_000, 1_000_000)


def stamp(file: Path) -> None:
    """Another time than any before, as if some time had gone by since the last edit."""
    moment = next(_stamps)
    os.utime(file, ns=(moment, moment))


def write(file: Path, text: str) -> None:
    if file.is_symlink():
        file.unlink()
    file.write_text(text)
    stamp(file)


def late() -> float:
    """By this clock every file is old enough to be known by its signature."""
    return time.time() + 10


@dataclass
class Work:
    """What was done since `clear`: paths that were opened, files that were parsed, documents that were validated."""

    opened: list[str] = field(default_factory=list)
    parsed: list[str] = field(default_factory=list)
    validated: list[str] = field(default_factory=list)

    def clear(self) -> None:
        self.opened.clear()
        self.parsed.clear()
        self.validated.clear()

    def none(self) -> bool:
        return not (self.opened or self.parsed or self.validated)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    done = Work()
    opened, parsed, validated = Path.open, reading.read, schema.validate

    def opening(self: Path, *arguments: object, **options: object) -> object:
        if arguments == ("rb",) or options.get("mode") == "rb":
            done.opened.append(self.name)
        return opened(self, *arguments, **options)  # type: ignore[call-overload]

    def parsing(file: str, content: bytes) -> object:
        done.parsed.append(file)
        return parsed(file, content)

    def validating(name: str, value: object) -> object:
        done.validated.append(name)
        return validated(name, value)

    monkeypatch.setattr(Path, "open", opening)
    monkeypatch.setattr(manifests, "read", parsing)
    monkeypatch.setattr(lb_yaml, "read", parsing)
    monkeypatch.setattr(schema, "validate", validating)
    return done


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "apps").mkdir(parents=True)
    (folder / "site").mkdir()
    write(folder / "lb.yaml", "name: shop\nvariables: {TAG: '1'}\n")
    write(folder / "namespace.yaml", NAMESPACE)
    write(folder / "apps" / "web.yaml", service("web", ", volumes: ['../site:/www:ro']"))
    write(folder / "apps" / "api.yaml", service("api", ", volumes: ['../api.conf:/etc/api.conf:ro']"))
    write(folder / "apps" / "redis.yaml", service("redis"))
    write(folder / "site" / "index.html", "hello")
    write(folder / "site" / "about.html", "about")
    write(folder / "api.conf", "listen 80")
    write(tmp_path / "outside.yaml", service("outside"))
    return folder


def outcome(read: Callable[[], object]) -> object:
    """What a reading gives, the order of its objects included, or why it gives nothing."""
    try:
        desired = read()
    except SourceError as error:
        return error.message, error.hint
    return desired, list(getattr(desired, "services")), list(getattr(desired, "namespaces"))  # noqa: B009


def test_an_unchanged_source_is_not_opened(root: Path, work: Work) -> None:
    reader = Source(root, clock=late)
    first = reader.read()
    assert not first.problems and len(work.parsed) == 5  # four manifests and lb.yaml
    work.clear()
    assert reader.read() == first
    assert work.none()


def test_one_of_a_thousand_files_is_one_file_parsed(root: Path, work: Work) -> None:
    for i in range(1000):
        write(root / "apps" / f"s{i}.yaml", service(f"s{i}"))
    reader = Source(root, clock=late)
    before = reader.read()
    work.clear()
    write(root / "apps" / "s500.yaml", service("s500", ", memory: 64"))
    after = reader.read()
    assert (work.opened, work.parsed, work.validated) == (["s500.yaml"], ["apps/s500.yaml"], ["manifest"])
    changed = {ref for ref in after.services if after.services[ref] is not before.services[ref]}
    assert changed == {Ref("demo", "s500")}


def test_a_new_a_renamed_and_a_removed_file(root: Path, work: Work) -> None:
    reader = Source(root, clock=late)
    reader.read()
    work.clear()
    write(root / "apps" / "new.yaml", service("new"))
    assert Ref("demo", "new") in reader.read().services
    assert work.parsed == ["apps/new.yaml"]
    work.clear()
    (root / "apps" / "new.yaml").rename(root / "apps" / "other.yaml")
    assert reader.read().services[Ref("demo", "new")].place.file == "apps/other.yaml"
    assert work.parsed == ["apps/other.yaml"]
    work.clear()
    (root / "apps" / "other.yaml").unlink()
    assert Ref("demo", "new") not in reader.read().services
    assert work.none()


def test_what_was_only_touched_is_read_and_not_parsed(root: Path, work: Work) -> None:
    reader = Source(root, clock=late)
    first = reader.read()
    work.clear()
    stamp(root / "apps" / "web.yaml")
    assert reader.read() == first
    assert (work.opened, work.parsed, work.validated) == (["web.yaml"], [], [])


def test_young_files_are_read_and_not_parsed(root: Path, work: Work) -> None:
    reader = Source(root)
    first = reader.read()
    work.clear()
    assert reader.read() == first
    assert len(work.opened) == 5 + 3 and not work.parsed and not work.validated


def test_an_edit_that_no_signature_shows_is_seen_while_the_file_is_young(root: Path) -> None:
    """Same size, same inode, same times: two edits within one tick of the file system's clock."""
    file = root / "apps" / "redis.yaml"
    moment = file.stat()
    reader = Source(root)
    assert reader.read().services[Ref("demo", "redis")].spec.image.endswith(":1")
    file.write_text(file.read_text().replace(":-1}", ":-1}").replace("busybox", "busyb0x"))
    os.utime(file, ns=(moment.st_atime_ns, moment.st_mtime_ns))
    assert "busyb0x" in reader.read().services[Ref("demo", "redis")].spec.image


def test_mounted_content_that_changed_is_digested_again_for_its_users_only(root: Path, work: Work) -> None:
    reader = Source(root, clock=late)
    before = reader.read()
    work.clear()
    write(root / "site" / "index.html", "hullo")
    after = reader.read()
    assert work.opened == ["index.html", "web.yaml"] and work.parsed == ["apps/web.yaml"]
    changed = {ref.name for ref in after.services if after.services[ref] is not before.services[ref]}
    assert changed == {"web"}
    assert after.services[Ref("demo", "web")].spec.mounts != before.services[Ref("demo", "web")].spec.mounts
    work.clear()
    stamp(root / "site" / "index.html")
    assert reader.read() == after
    assert work.opened == ["index.html"] and not work.parsed


def test_mounted_content_that_comes_goes_or_becomes_executable(root: Path, work: Work) -> None:
    reader = Source(root, clock=late)
    reader.read()
    seen = set()
    for change in (
        lambda: write(root / "site" / "new.html", "new"),
        lambda: (root / "site" / "new.html").chmod(0o755),
        lambda: (root / "site" / "new.html").rename(root / "site" / "newer.html"),
        lambda: shutil.rmtree(root / "site"),
        lambda: (root / "site").mkdir(),
    ):
        change()
        work.clear()
        desired = reader.read()
        assert work.parsed == ["apps/web.yaml"]
        assert desired == source.read(root, variables={})
        seen.add(desired.digest)
    assert len(seen) == 5


def test_lb_yaml_that_changed_is_a_new_start(root: Path, work: Work) -> None:
    reader = Source(root, clock=late)
    reader.read()
    work.clear()
    write(root / "lb.yaml", "name: shop\nvariables: {TAG: '2'}\n")
    desired = reader.read()
    assert desired.services[Ref("demo", "redis")].spec.image.endswith(":2")
    assert len(work.parsed) == 5
    work.clear()
    stamp(root / "lb.yaml")
    assert reader.read() == desired
    assert work.opened == ["lb.yaml"] and not work.parsed


def test_variables_go_before_those_of_lb_yaml_each_time(root: Path) -> None:
    reader = Source(root, {"TAG": "9"}, clock=late)
    for _ in range(2):
        assert reader.read().services[Ref("demo", "redis")].spec.image.endswith(":9")


def test_a_source_that_is_away_for_a_while_is_not_parsed_again(root: Path, work: Work, tmp_path: Path) -> None:
    reader = Source(root, clock=late)
    first = reader.read()
    root.rename(tmp_path / "away")
    with pytest.raises(SourceError, match="does not exist; nothing is changed"):
        reader.read()
    root.mkdir()
    with pytest.raises(SourceError, match="there are no manifests"):
        reader.read()
    root.rmdir()
    (tmp_path / "away").rename(root)
    work.clear()
    assert reader.read() == first
    assert not work.parsed


def test_a_root_behind_a_link_may_move_on(root: Path, tmp_path: Path, work: Work) -> None:
    """Releases side by side, and a link to the current one."""
    shutil.copytree(root, tmp_path / "next")
    write(tmp_path / "next" / "apps" / "redis.yaml", service("redis", ", memory: 64"))
    (tmp_path / "current").symlink_to("source")
    reader = Source(tmp_path / "current", clock=late)
    assert reader.read().root == str(root)
    (tmp_path / "link").symlink_to("next")
    (tmp_path / "link").rename(tmp_path / "current")
    work.clear()
    after = reader.read()
    assert after.root == str(tmp_path / "next") and after.services[Ref("demo", "redis")].spec.memory
    assert work.parsed == ["apps/redis.yaml"]


def test_the_digest_is_that_of_the_content(root: Path, tmp_path: Path) -> None:
    first = source.read(root, variables={}).digest
    assert len(first) == 64
    stamp(root / "apps" / "web.yaml")
    assert source.read(root, variables={"TAG": "5"}).digest == first, "neither times nor variables from outside"
    assert source.read(root / "apps" / "web.yaml", variables={}).digest == first, "nor which part is selected"
    shutil.copytree(root, tmp_path / "copy")
    assert source.read(tmp_path / "copy", variables={}).digest == first, "nor the place"


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write(root / "apps" / "web.yaml", (root / "apps" / "web.yaml").read_text() + "# more\n"),
        lambda root: write(root / "apps" / "new.yaml", "# nothing\n"),
        lambda root: (root / "apps" / "web.yaml").rename(root / "apps" / "web2.yaml"),
        lambda root: write(root / "lb.yaml", "name: shop\nvariables: {TAG: '1'}\n# more\n"),
        lambda root: (root / "lb.yaml").unlink(),
        lambda root: write(root / "site" / "index.html", "other"),
        lambda root: (root / "site" / "about.html").chmod(0o755),
        lambda root: (root / "site" / "about.html").unlink(),
        lambda root: write(root / "api.conf", "listen 81"),
        lambda root: (root / "api.conf").unlink(),
        lambda root: write(root / "apps" / "web.yaml", ""),
        lambda root: (root / "apps" / "gone.yaml").symlink_to("nowhere"),
    ],
)
def test_the_digest_changes_with_everything_that_counts(root: Path, change: Callable[[Path], object]) -> None:
    before = source.read(root, variables={}).digest
    change(root)
    assert source.read(root, variables={}).digest != before


def test_the_digest_overlooks_what_does_not_count(root: Path) -> None:
    before = source.read(root, variables={}).digest
    write(root / "README.md", "about")
    write(root / ".web.yaml.swp", "x")
    write(root / "site.conf", "mounted by nobody")
    assert source.read(root, variables={}).digest == before


def test_the_folder_to_watch_is_the_path_as_given_or_the_root_above(root: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("source")
    assert Source(root).folder() == root
    assert Source(tmp_path / "current").folder() == tmp_path / "current"
    for part in ("apps", "apps/web.yaml", "lb.yaml"):
        assert Source(tmp_path / "current" / part).folder() == root
    assert Source(tmp_path / "later").folder() == tmp_path / "later"


# Any edits in any order


class Editor:
    """Edits of a source, as people, editors and tools make them. Each takes a number that picks what it is done to."""

    NAMES = ("a", "b", "c", "d")

    def __init__(self, root: Path) -> None:
        self.root = root
        self.denied: set[str] = set()

    def file(self, n: int) -> Path:
        return self.root / ("apps" if n % 2 else "") / f"{self.NAMES[n % 4]}.yaml"

    def write_service(self, n: int) -> None:
        extras = ("", ", memory: 64", ", ports: ['80:80']", ", depends_on: [b]", ", depends_on: [gone]",
                  ", volumes: ['./site:/www:ro']", ", volumes: ['../api.conf:/x:ro']", ", nonsense: 1")  # fmt: skip
        write(self.file(n), service(self.NAMES[n // 4 % 4], extras[n // 3 % len(extras)]))

    def write_two(self, n: int) -> None:
        both = (service(self.NAMES[n % 4], ", depends_on: [x]"), service("x", ", depends_on: [a]"))
        write(self.file(n), "---\n".join(both))

    def write_namespace(self, n: int) -> None:
        write(self.file(n), NAMESPACE if n % 3 else NAMESPACE.replace("demo", "ops"))

    def replace_atomically(self, n: int) -> None:
        write(self.root / ".new", service(self.NAMES[n % 4], ", cpus: 0.5"))
        (self.root / ".new").rename(self.file(n))

    def corrupt(self, n: int) -> None:
        write(self.file(n), ("a: [\n", "", "# later\n", "kind: Pod\n", "\tx", "meta: {name: ${")[n % 6])

    def half_write(self, n: int) -> None:
        if (file := self.file(n)).is_file():
            write(file, file.read_text()[: len(file.read_text()) // 2])

    def remove(self, n: int) -> None:
        if self.file(n).is_symlink() or not self.file(n).is_dir():
            self.file(n).unlink(missing_ok=True)

    def rename(self, n: int) -> None:
        if self.file(n).is_file():
            self.file(n).rename(self.file(n + 1))

    def touch(self, n: int) -> None:
        if self.file(n).is_file():
            stamp(self.file(n))

    def deny(self, n: int) -> None:
        """As chmod does, which root would not notice: the file may not be opened, and its signature is another."""
        file = (self.file(n), self.root / "api.conf", self.root / "site" / "index.html")[n % 3]
        if file.is_file():
            self.denied ^= {file.name}
            for each in self.root.rglob(file.name):
                stamp(each)

    def link(self, n: int) -> None:
        self.remove(n)
        targets = ("namespace.yaml", "../namespace.yaml", "gone", "../outside.yaml", self.file(n).name, ".", "apps")
        self.file(n).symlink_to(targets[n % len(targets)])

    def swap_data(self, n: int) -> None:
        """As a mounted ConfigMap changes: a new hidden folder, and the link `..data` to it is replaced."""
        folder = self.root / f"..{n}"
        folder.mkdir(exist_ok=True)
        write(folder / "cm.yaml", service("cm", f", replicas: {n}"))
        (self.root / "..tmp").symlink_to(folder.name)
        (self.root / "..tmp").rename(self.root / "..data")
        if not (self.root / "cm.yaml").is_symlink():
            (self.root / "cm.yaml").symlink_to("..data/cm.yaml")

    def edit_mounted(self, n: int) -> None:
        if n % 4 == 0:
            write(self.root / "api.conf", f"listen {n}")
        elif n % 4 == 1:
            (self.root / "api.conf").unlink(missing_ok=True)
        elif n % 4 == 2:
            (self.root / "site").mkdir(exist_ok=True)
            write(self.root / "site" / f"{n % 3}.html", f"page {n}")
        elif (self.root / "site" / "0.html").exists():
            (self.root / "site" / "0.html").chmod(0o755 if n % 8 == 3 else 0o644)

    def spoil_mounted(self, n: int) -> None:
        (self.root / "site").mkdir(exist_ok=True)
        link = self.root / "site" / "link"
        link.unlink(missing_ok=True)
        if n % 5:
            link.symlink_to(("gone", "../../outside.yaml", "0.html", "../apps")[n % 4])
        elif n % 2:
            shutil.rmtree(self.root / "site")

    def settings(self, n: int) -> None:
        texts = ("name: shop\n", "variables: {TAG: '2'}\n", "nonsense: 1\n", "name: [\n", "namespace: demo\n", "")
        write(self.root / "lb.yaml", texts[n % len(texts)])

    def many_settings(self, n: int) -> None:
        """Templates and hosts come, change and go."""
        spec = ("{image: a, volumes: ['./site:/www:ro']}", "{image: b, env: {N: '${N:-0}'}}", "{x: 1}", "7")[n % 4]
        where = ("nas1: {variables: {N: 1}}, nas2: ", "nas1: , nas2: {variables: {N: 2}}", "nas2: ")[n // 4 % 3]
        write(self.root / "lb.yaml", f"templates: {{t: {spec}}}\nhosts: {{{where}}}\n")

    def write_for_hosts(self, n: int) -> None:
        hosts = ("[nas1]", "[nas2]", "['nas*']", "[nas3]", "nas1")[n % 5]
        spec = ("{template: t}", "{template: t, env: {N: null}}", "{template: u}", "{image: c}")[n // 5 % 4]
        text = service(self.NAMES[n % 4]).replace("namespace: demo", f"namespace: demo, hosts: {hosts}")
        write(self.file(n), text.partition("spec:")[0] + f"spec: {spec}\n")

    def no_settings(self, n: int) -> None:
        (self.root / "lb.yaml").unlink(missing_ok=True)

    def folder(self, n: int) -> None:
        """A folder goes elsewhere and comes back."""
        one, other = self.root / "apps", self.root / "moved"
        if one.exists() and not other.exists():
            one.rename(other)
        elif other.exists() and not any(one.iterdir()):
            other.rename(one)
        (self.root / "apps").mkdir(exist_ok=True)

    def clear(self, n: int) -> None:
        for file in self.root.rglob("*.yaml"):
            file.unlink()

    def edits(self) -> Iterator[Callable[[int], None]]:
        names = [name for name, value in vars(Editor).items() if callable(value) and not name.startswith("_")]
        return (getattr(self, name) for name in names if name not in ("file", "edits"))


@pytest.mark.parametrize("clock", [late, time.time], ids=["by signature", "unsure"])
@pytest.mark.parametrize("seed", range(6))
def test_after_any_edits_it_equals_a_first_reading(
    root: Path, monkeypatch: pytest.MonkeyPatch, seed: int, clock: Callable[[], float]
) -> None:
    editor = Editor(root)
    opened, read_bytes = Path.open, Path.read_bytes

    def opening(self: Path, *arguments: object, **options: object) -> object:
        if self.name in editor.denied and arguments == ("rb",):
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)  # type: ignore[call-overload]

    def reading(self: Path) -> bytes:
        if self.name in editor.denied:
            raise PermissionError(13, "Permission denied")
        return read_bytes(self)

    chance = random.Random(seed)
    edits = list(editor.edits())
    assert len(edits) == 20
    # An edit that spoils the whole source is rarer, or little else would be seen.
    weights = [
        1 if edit.__name__ in ("clear", "settings", "folder", "deny", "write_for_hosts") else 4 for edit in edits
    ]
    readers = [Source(root, clock=clock, host="nas1"), Source(root, clock=clock, host="nas1")]
    failed = 0
    for step in range(60):
        edit, number = chance.choices(edits, weights)[0], chance.randrange(24)
        edit(number)
        if chance.random() < 0.05:
            shutil.copytree(root, root.parent / "copy", symlinks=True)
            shutil.rmtree(root)
            (root.parent / "copy").rename(root)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", opening)
            patched.setattr(Path, "read_bytes", reading)
            fresh = outcome(lambda: source.read(root, variables={}, host="nas1"))
            for reader in readers[: 1 + step % 2]:  # the second one sleeps through every other edit
                assert outcome(reader.read) == fresh, f"step {step}: {edit.__name__} {number}"
        failed += isinstance(fresh[0], str)  # type: ignore[index]
        if not any(root.rglob("*.yaml")):
            write(root / "namespace.yaml", NAMESPACE)
    assert failed < 30, "most readings say something"
