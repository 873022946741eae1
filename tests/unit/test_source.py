"""Sources: where the root is, which files count, and when nothing may be concluded from what is not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler import source
from reconciler.errors import SourceError
from reconciler.model import Desired, Ref, Revision
from tests.support.build import make_revision, make_service

NAMESPACE = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo}\n"
DEMO, WEB, REDIS = Ref("demo"), Ref("demo", "web"), Ref("demo", "redis")


def service(name: str, extra: str = "") -> str:
    return (
        f"apiVersion: lb/v1\nkind: Service\nmeta: {{name: {name}, namespace: demo}}\nspec: {{image: busybox{extra}}}\n"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "apps").mkdir(parents=True)
    (folder / "lb.yaml").write_text("name: shop\nvariables: {TAG: '1'}\n")
    (folder / "namespace.yaml").write_text(NAMESPACE)
    (folder / "apps" / "web.yaml").write_text(service("web"))
    (folder / "apps" / "redis.yml").write_text(service("redis"))
    return folder


def read(path: Path, **options: object) -> Desired:
    return source.read(path, variables={}, **options)  # type: ignore[arg-type]


def problems(desired: Desired) -> list[str]:
    return [str(problem) for problem in desired.problems]


def refused(path: Path, **options: object) -> str:
    with pytest.raises(SourceError) as caught:
        read(path, **options)
    return caught.value.message


def test_the_root_is_the_nearest_folder_with_an_lb_yaml(root: Path) -> None:
    for path in (root, root / "lb.yaml", root / "apps", root / "apps" / "web.yaml"):
        desired = read(path)
        assert (desired.source, desired.root) == ("shop", str(root))
        assert set(desired.services) == {WEB, REDIS}
        assert source.name(path) == "shop"


def test_without_an_lb_yaml_the_path_is_the_root_and_the_name(root: Path) -> None:
    (root / "lb.yaml").unlink()
    (root / "apps" / "namespace.yaml").write_text(NAMESPACE)
    desired = read(root / "apps")
    assert (desired.source, desired.root) == (str(root / "apps"), str(root / "apps"))
    single = read(root / "apps" / "web.yaml")
    assert single.root == str(root / "apps")
    assert single.selected == {WEB}


def test_a_link_to_a_source_is_that_source(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert read(tmp_path / "link").root == str(root)


def test_a_path_inside_selects_and_never_shrinks_the_picture(root: Path) -> None:
    whole = read(root)
    assert whole.selected is None and not whole.additive
    folder = read(root / "apps")
    assert folder.selected == {WEB, REDIS} and set(folder.services) == {WEB, REDIS}
    file = read(root / "apps" / "web.yaml")
    assert file.selected == {WEB} and set(file.services) == {WEB, REDIS} and not file.additive
    assert read(root / "namespace.yaml").selected == {DEMO}


def test_a_folder_is_no_prefix_of_another(root: Path) -> None:
    (root / "apps2").mkdir()
    (root / "apps2" / "more.yaml").write_text(service("more"))
    assert read(root / "apps").selected == {WEB, REDIS}


def test_files_join_the_source(root: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra.yaml"
    extra.write_text(service("extra"))
    desired = read(root, files=[extra])
    assert set(desired.services) == {WEB, REDIS, Ref("demo", "extra")}
    assert desired.selected == {Ref("demo", "extra")} and desired.additive


def test_a_file_of_the_source_that_joins_is_not_read_twice(root: Path) -> None:
    desired = read(root, files=[root / "apps" / "web.yaml"])
    assert desired.selected == {WEB} and not desired.problems
    assert desired.services[WEB].place.file == "apps/web.yaml"


def test_stdin_joins_the_source(root: Path) -> None:
    desired = read(root, stdin=service("piped").encode())
    assert desired.selected == {Ref("demo", "piped")} and desired.additive
    assert desired.services[Ref("demo", "piped")].place.file == "<stdin>"


def test_a_file_that_joins_must_be_there(root: Path) -> None:
    assert refused(root, files=[Path("gone.yaml")]) == "gone.yaml can't be read: No such file or directory"


def test_variables_of_the_command_line_go_first(root: Path) -> None:
    (root / "apps" / "web.yaml").write_text(service("web").replace("{image: busybox}", "{image: 'busybox:${TAG}'}"))
    assert read(root).services[WEB].spec.image == "docker.io/library/busybox:1"
    given = source.read(root, variables={"TAG": "2"})
    assert given.services[WEB].spec.image == "docker.io/library/busybox:2"


@pytest.mark.parametrize("name", [".hidden.yaml", ".#web.yaml", "web.yaml~", ".web.yaml.swp", "web.yaml.bak", "a.json"])
def test_what_is_no_manifest_is_left_alone(root: Path, name: str) -> None:
    (root / name).write_text("{ not yaml")
    assert not read(root).problems


def test_hidden_folders_are_left_alone(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git" / "x.yaml").write_text("{ not yaml")
    assert not read(root).problems


def test_fifos_and_folders_named_like_manifests_are_left_alone(root: Path) -> None:
    os.mkfifo(root / "pipe.yaml")
    (root / "folder.yaml").mkdir()
    assert not read(root).problems


def test_a_link_inside_the_root_is_read(root: Path) -> None:
    (root / "apps" / "web.yaml").rename(root / "web.txt")
    (root / "apps" / "web.yaml").symlink_to("../web.txt")
    assert WEB in read(root).services


def test_a_link_that_can_not_be_followed_is_a_problem_and_nothing_is_concluded(root: Path, tmp_path: Path) -> None:
    """Its objects were perhaps declared there yesterday: a share that is not mounted must remove nothing."""
    (tmp_path / "outside.yaml").write_text(service("outside"))
    os.mkfifo(root / "fifo")
    (root / "a.yaml").symlink_to(tmp_path / "outside.yaml")
    (root / "b.yaml").symlink_to("gone")
    (root / "c.yaml").symlink_to("c.yaml")
    (root / "d.yaml").symlink_to("fifo")
    desired = read(root)
    assert problems(desired) == [
        "a.yaml:1:1: can't be read: the link leads outside the source; copy the file into it",
        "b.yaml:1:1: can't be read: No such file or directory",
        "c.yaml:1:1: can't be read: Too many levels of symbolic links",
        "d.yaml:1:1: can't be read: the link leads to no regular file; remove it",
    ]
    assert not desired.complete
    assert set(desired.services) == {WEB, REDIS}


def test_an_empty_file_is_taken_for_half_written(root: Path) -> None:
    (root / "apps" / "web.yaml").write_text(" \n")
    desired = read(root)
    assert problems(desired) == [
        "apps/web.yaml:1:1: the file is empty, perhaps half-written; write a document, or remove the file"
    ]
    assert not desired.complete and set(desired.services) == {REDIS}


def test_a_file_that_is_commented_out_is_meant(root: Path) -> None:
    (root / "apps" / "web.yaml").write_text("# later\n")
    desired = read(root)
    assert desired.complete and not desired.problems and set(desired.services) == {REDIS}


def test_a_file_that_can_not_be_read_is_a_problem(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def denied(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "web.yaml":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    desired = read(root)
    assert problems(desired) == ["apps/web.yaml:1:1: can't be read: Permission denied"]
    assert not desired.complete


def test_settings_that_can_not_be_read_stop_everything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def denied(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "lb.yaml":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    assert refused(root) == f"{root}/lb.yaml can't be read: Permission denied; nothing is changed"


def test_a_folder_that_can_not_be_read_stops_everything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def denied(path: object = ".") -> object:
        if str(path).endswith("apps"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", denied)
    assert refused(root) == f"{root}/apps can't be read: Permission denied; nothing is changed"


def test_a_root_that_can_not_be_reached_stops_everything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", denied)
    assert refused(root) == f"{root} can't be read: Permission denied; nothing is changed"


def test_a_missing_or_looping_path_stops_everything(root: Path) -> None:
    assert refused(root / "gone") == f"{root}/gone does not exist; nothing is changed"
    (root / "round").symlink_to("round")
    assert refused(root / "round").startswith(f"{root}/round can't be read: ")


def test_an_empty_source_stops_everything(tmp_path: Path) -> None:
    """An empty folder is most often one that is not mounted."""
    assert refused(tmp_path) == f"there are no manifests in {tmp_path}; nothing is changed"
    (tmp_path / "lb.yaml").write_text("name: shop\n")
    assert refused(tmp_path) == f"there are no manifests in {tmp_path}; nothing is changed"
    (tmp_path / "a.yaml").write_text("# all gone\n")
    assert refused(tmp_path) == f"the manifests in {tmp_path} declare nothing; nothing is changed"


def test_too_many_manifests_stop_everything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_FILES", 2)
    assert refused(root) == f"more than 2 manifests in {root}; nothing is changed"


def test_bad_settings_hold_everything(root: Path) -> None:
    (root / "lb.yaml").write_text("name: shop\nnmespace: demo\n")
    desired = read(root)
    assert problems(desired) == ["lb.yaml:2:1: nmespace: there is no field nmespace; did you mean namespace?"]
    assert not desired.complete and not desired.services and {WEB, REDIS} <= desired.mentioned
    with pytest.raises(SourceError, match=r"lb\.yaml:2:1: nmespace"):
        source.name(root)


def test_an_lb_yaml_is_no_manifest_wherever_it_lies(root: Path) -> None:
    (root / "apps" / "lb.yaml").write_text("name: inner\n")
    assert not read(root).problems
    assert read(root / "apps" / "web.yaml").source == "inner"


def test_a_path_inside_without_manifests_is_refused(root: Path) -> None:
    (root / "empty").mkdir()
    assert refused(root / "empty") == f"there are no manifests in {root}/empty; nothing is changed"


def test_bound_content_is_named_by_its_digest_and_its_path(root: Path) -> None:
    (root / "apps" / "web.conf").write_text("listen 80")
    (root / "apps" / "web.yaml").write_text(service("web", ", volumes: ['./web.conf:/etc/web.conf:ro']"))
    found = read(root).services[WEB]
    assert list(found.files.values()) == ["apps/web.conf"]
    assert [m.source for m in found.spec.mounts] == list(found.files)
    (root / "apps" / "web.conf").unlink()
    assert problems(read(root)) == [
        "apps/web.yaml:4:34: spec.volumes[0]: apps/web.conf does not exist; create it, or correct the path "
        "(it counts from the manifest's folder)"
    ]


def test_a_file_from_elsewhere_never_takes_the_place_of_one_of_the_source(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "web.yaml").write_text(service("other"))
    monkeypatch.chdir(tmp_path)
    desired = read(root, files=[Path("apps/web.yaml")])
    assert {WEB, Ref("demo", "other")} <= set(desired.services)
    assert desired.selected == {Ref("demo", "other")}


def test_the_name_of_a_source_with_bad_settings_is_not_guessed(root: Path) -> None:
    (root / "lb.yaml").write_text("name: [shop]\n")
    with pytest.raises(SourceError, match=r"lb\.yaml:1:7: name: must be text.*nothing is changed"):
        source.name(root)


# --- as it was named, and as files


def test_the_root_is_kept_as_it_was_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "current"
    link.symlink_to(root)
    assert read(root / "apps" / "web.yaml").named == str(root)
    assert (read(link).root, read(link).named) == (str(root), str(link))
    assert read(link / "apps").named == str(link)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PWD", raising=False)
    assert read(Path("current")).named == str(link)
    monkeypatch.chdir(link)
    assert read(Path()).named == str(root)  # which is all that is known
    monkeypatch.setenv("PWD", str(link))
    assert read(Path()).named == read(Path("apps")).named == str(link)
    monkeypatch.setenv("PWD", "/")  # another folder
    assert read(Path()).named == str(root)


def test_it_is_read_from_a_folder_that_is_gone(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    gone.rmdir()
    try:
        assert read(root).named == str(root)
    finally:
        os.chdir(root)


def test_where_each_object_stands(root: Path) -> None:
    web = service("web").replace("busybox", '"${NONE}"')  # whatever is wrong with it
    (root / "apps" / "web.yaml").write_text(f"# nothing\n---\n{NAMESPACE.replace('demo', 'x')}---\n{web}")
    (root / "bad.yaml").write_text("kind: [")
    files = source.Source(root).files()
    assert files.stand[WEB] == [("apps/web.yaml", 1)] and files.stand[REDIS] == [("apps/redis.yml", 0)]
    assert files.stand[DEMO] == [("namespace.yaml", 0)] and "bad.yaml" in str(files.problems[0])
    assert (files.name, files.root) == ("shop", root)


def revision(name: str, written: Mapping[str, Any]) -> Revision:
    return replace(make_revision(make_service(name, "demo")), written=written)


def test_a_service_is_read_again_as_an_earlier_revision_was_written(tmp_path: Path) -> None:
    """Where its manifest stands, with the variables and files of now; what the template said is in there already."""
    templates = "templates: {web: {env: {T: new}}}\n"
    (tmp_path / "shop").mkdir()
    (tmp_path / "lb.yaml").write_text(f"name: src\nvariables: {{TAG: '2'}}\n{templates}")
    (tmp_path / "shop" / "x.conf").write_text("x")
    (tmp_path / "shop" / "all.yaml").write_text(NAMESPACE)
    now = "apiVersion: lb/v1\nkind: Service\nmeta: {name: web, namespace: demo}\nspec: {image: app:3, template: web}\n"
    (tmp_path / "shop" / "web.yaml").write_text(now)
    desired = source.read(tmp_path, variables={})
    written = {"image": "app:${TAG}", "template": "web", "env": {"T": "old"}, "volumes": ["./x.conf:/x:ro"]}
    found = desired.remake(revision("web", written))
    assert found and found.spec.image == "docker.io/library/app:2" and found.spec.env == (("T", "old"),)
    assert list(found.files.values()) == ["shop/x.conf"]
    assert desired.remake(revision("web", {"image": "app:${NOT_ANY_MORE}"})) is None
    assert desired.remake(revision("gone", written)) is None
