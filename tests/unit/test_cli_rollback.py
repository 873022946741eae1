"""`lb rollback` and `lb undelete`: manifests are written back, and nothing else is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from reconciler import rewrite
from reconciler.errors import LbError, SourceError
from reconciler.source import Source
from tests.support.desk import Desk

REDIS = """\
# what keeps sessions
apiVersion: lb/v1
kind: Service
meta:
  name: redis
  namespace: demo
  description: keeps sessions   # for people
spec:
  image: app:1   # pinned
  command: [sleep, "1000"]
  update: {min_ready: 0s}
  # more of it
  replicas: 1
---
apiVersion: lb/v1
kind: Namespace
meta: {name: demo, labels: {team: a}}
"""


@pytest.fixture
def written(desk: Desk) -> Desk:
    """One service, in three revisions: app:1, then app:2, then app:2 twice."""
    write(desk, REDIS)
    desk.apply()
    write(desk, REDIS.replace("image: app:1", "image: app:2"))
    desk.apply()
    write(desk, REDIS.replace("image: app:1", "image: app:2").replace("replicas: 1", "replicas: 2"))
    desk.apply()
    return desk


def write(desk: Desk, text: str, file: str = "demo.yaml") -> None:
    (desk.folder / file).parent.mkdir(parents=True, exist_ok=True)
    (desk.folder / file).write_text(text)


def read(desk: Desk, file: str = "demo.yaml") -> str:
    return (desk.folder / file).read_text()


# --- rollback


def test_the_revision_before_is_written_back_and_shown(written: Desk) -> None:
    calls = list(written.memory.calls)
    said = written.lb("rollback", "demo/redis")
    assert read(written) == REDIS.replace("image: app:1", "image: app:2")
    assert said.out.startswith("--- a/demo.yaml\n+++ b/demo.yaml\n@@")
    assert "\n-  replicas: 2\n+  replicas: 1\n" in said.out
    assert "commit and apply" in said.err and written.memory.calls == calls
    assert "scale service demo/redis" in written.lb("plan").out


def test_any_revision(written: Desk) -> None:
    written.lb("rollback", "redis", "-n", "demo", "--to", "0")
    assert read(written) == REDIS
    written.apply()
    assert "says already what revision 0 said" in written.lb("rollback", "demo/redis", "--to", "0").err
    assert written.lb("history", "demo/redis", "-o", "json").json[-1]["spec"]["image"] == "app:1"


def test_a_dry_run_only_shows(written: Desk) -> None:
    before = read(written)
    assert "-  image: app:2   # pinned\n+  image: app:1   # pinned\n" in (
        written.lb("rollback", "demo/redis", "--to", "0", "--dry-run").out
    )
    assert read(written) == before


def test_while_a_revision_is_held_the_current_one_is_meant(written: Desk) -> None:
    before = read(written)
    write(written, before.replace('[sleep, "1000"]', "[exit, '3']"))
    written.apply(code=1)
    written.lb("rollback", "demo/redis")
    assert read(written) == before.replace('"1000"', "'1000'")
    written.apply()
    assert written.lb("get", "service", "demo/redis", "-o", "json").json["state"]["state"] == "started"


def test_a_restart_is_no_revision_to_go_back_to(written: Desk) -> None:
    written.lb("restart", "demo/redis")
    assert "-  replicas: 2\n+  replicas: 1\n" in written.lb("rollback", "demo/redis").out


def test_what_was_edited_since_is_told(written: Desk) -> None:
    write(written, read(written).replace("replicas: 2", "replicas: 7"))
    assert "was edited since it was applied" in written.lb("rollback", "demo/redis").err
    assert "edited since" not in written.lb("rollback", "demo/redis", "--to", "0").err


def test_a_manifest_that_was_broken_meanwhile(written: Desk) -> None:
    write(written, read(written).replace("image: app:2", "imag: app:2"))
    written.lb("validate", code=65)
    written.lb("rollback", "demo/redis")
    written.lb("validate")
    assert "replicas: 1" in read(written)


def test_a_document_that_was_moved_is_found(written: Desk) -> None:
    written.remove("demo.yaml")
    write(written, REDIS.replace("app:1", "app:9"), "sub/other.yaml")
    written.lb("rollback", "demo/redis")
    assert "image: app:2   # pinned" in read(written, "sub/other.yaml")


def test_a_path_names_the_source(written: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert "there are no manifests" not in written.lb("rollback", "demo/redis", "--source", str(written.folder)).err
    assert "replicas: 1" in read(written)


def test_another_source_is_refused(written: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lb.yaml").write_text("name: other\n")
    (other / "demo.yaml").write_text(REDIS)
    said = written.lb("rollback", "demo/redis", "--source", str(other), code=64)
    assert "belongs to source quickstart" in said.err and (other / "demo.yaml").read_text() == REDIS


def test_what_can_not_be_gone_back_to(written: Desk) -> None:
    assert (
        "demo/redis has no revision 9: there are 0, 1, 2"
        in written.lb("rollback", "demo/redis", "--to", "9", code=1).err
    )
    assert "SERVICE_NOT_FOUND" in written.lb("rollback", "demo/none", code=1).err
    write(written, REDIS.replace("name: redis", "name: new"), "new.yaml")
    write(written, REDIS.split("---\n")[0].replace("name: redis", "name: new"), "new.yaml")
    written.apply()
    assert (
        "demo/new has no earlier revision that is written otherwise" in written.lb("rollback", "demo/new", code=1).err
    )


def test_anchors_are_refused_with_their_line(written: Desk) -> None:
    text = read(written).replace("image: app:2", "image: &image app:2")
    write(written, text)
    assert "demo.yaml:9: the document uses anchors (&) or aliases (*); edit it by hand" in (
        written.lb("rollback", "demo/redis", code=65).err
    )
    assert read(written) == text


def test_a_file_that_is_no_yaml_is_refused(written: Desk) -> None:
    text = read(written) + "---\n\tx: [\n"
    write(written, text)
    assert "demo.yaml:19:1: not YAML" in written.lb("rollback", "demo/redis", code=65).err
    assert read(written) == text


def test_a_document_that_is_gone_or_there_twice_is_refused(written: Desk) -> None:
    write(written, read(written), "twice.yaml")
    assert "demo/redis is declared twice, in demo.yaml and twice.yaml" in (
        written.lb("rollback", "demo/redis", code=65).err
    )
    written.remove("twice.yaml")
    written.remove("demo.yaml")
    assert "demo/redis is declared nowhere" in written.lb("rollback", "demo/redis", code=65).err


def test_variables_stay_unresolved_and_what_stood_behind_them_is_told(desk: Desk) -> None:
    write(desk, REDIS.replace("replicas: 1", 'env: {A: "${SECRET}", B: 1.10}'))
    desk.apply("--set", "SECRET=hunter2")
    write(desk, REDIS.replace("replicas: 1", 'env: {A: "${OTHER}", B: 1.20}'))
    desk.apply("--set", "OTHER=x")
    said = desk.lb("rollback", "demo/redis", "--set", "SECRET=hunter3")
    assert "env: {A: \"${SECRET}\", B: '1.10'}" in read(desk)
    assert "revision 0 had other values behind what is written: env.A (" in said.err
    assert "hunter" not in said.out + said.err + read(desk)
    assert "behind what is written" not in desk.lb("rollback", "demo/redis", "--to", "0", "--set", "SECRET=hunter2").err
    assert "${SECRET} is not defined" in desk.lb("rollback", "demo/redis", "--to", "0").err


def test_a_service_with_a_template_gets_back_what_it_said_itself(desk: Desk) -> None:
    (desk.folder / "lb.yaml").write_text(
        "name: quickstart\ntemplates: {one: {image: 'app:1', replicas: 2, command: [sleep, '1'], env: {A: '1'}}}\n"
    )
    mine = "  template: one\n  update: {min_ready: 0s}\n  env:\n    A: null\n    B: b\n"
    head, rest = REDIS.split("  image: app:1")[0], REDIS.partition("---\n")[2]
    write(desk, f"{head}{mine}---\n{rest}")
    desk.apply()
    write(desk, f"{head}  template: one\n  update: {{min_ready: 0s}}\n  replicas: 3\n---\n{rest}")
    desk.apply()
    desk.lb("rollback", "demo/redis")
    assert read(desk) == f"{head}{mine}---\n{rest}"
    assert "replicas 3 → 2" in desk.lb("plan").out


def test_mode_and_owner_of_the_file_stay(written: Desk) -> None:
    file = written.folder / "demo.yaml"
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1234, 5678)
    before = file.stat()
    written.lb("rollback", "demo/redis")
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert sorted(p.name for p in written.folder.iterdir()) == ["demo.yaml", "lb.yaml"]


def test_a_link_stays_one(written: Desk) -> None:
    (written.folder / "demo.yaml").rename(written.folder / "demo.txt")
    (written.folder / "demo.yaml").symlink_to("demo.txt")
    written.lb("rollback", "demo/redis")
    assert (written.folder / "demo.yaml").is_symlink() and "replicas: 1" in read(written, "demo.txt")


def test_nothing_outside_of_the_source_is_written(written: Desk, tmp_path: Path) -> None:
    (written.folder / "demo.yaml").rename(tmp_path / "out.yaml")
    (written.folder / "demo.yaml").symlink_to(tmp_path / "out.yaml")
    before = (tmp_path / "out.yaml").read_text()
    written.lb("rollback", "demo/redis", code=65)
    assert (tmp_path / "out.yaml").read_text() == before


def test_a_file_that_changed_meanwhile_is_left_alone(written: Desk) -> None:
    files = Source(written.folder).files()
    (ref,) = [ref for ref in files.stand if ref.name]
    change = rewrite.respecified(files, ref, {"image": "app:9"})
    write(written, "kind: Namespace\n")
    with pytest.raises(LbError, match="changed meanwhile"):
        rewrite.write(change)
    assert read(written) == "kind: Namespace\n"
    written.remove("demo.yaml")
    with pytest.raises(LbError, match="changed meanwhile"):
        rewrite.write(change)
    assert not list(written.folder.glob(".demo*"))


# --- undelete


def test_a_removed_service_is_declared_again_at_the_end_of_its_file(written: Desk) -> None:
    _, _, rest = read(written).partition("---\n")
    write(written, rest)
    written.apply()
    assert "SERVICE_NOT_FOUND" in written.lb("history", "demo/redis", code=1).err
    said = written.lb("undelete", "demo/redis")
    assert read(written).startswith(f"{rest}---\napiVersion: lb/v1\nkind: Service\nmeta:\n  name: redis\n")
    assert "description: keeps sessions" in read(written) and "+  replicas: 2\n" in said.out
    written.apply()
    assert written.lb("get", "service", "demo/redis", "-o", "json").json["state"]["replicas"]["ready"] == 2
    assert [r["revision"] for r in written.lb("history", "demo/redis", "-o", "json").json] == [0]


def test_a_file_that_is_gone_is_made_again_and_the_namespace_with_it(written: Desk) -> None:
    write(written, REDIS.replace("demo", "other"), "sub/deep/other.yaml")
    written.apply()
    written.remove("sub/deep/other.yaml")
    (written.folder / "sub" / "deep").rmdir()
    written.apply()
    shown = written.lb("undelete", "other/redis", "--dry-run").out
    assert shown.startswith("--- /dev/null\n+++ b/sub/deep/other.yaml\n") and not (written.folder / "sub/deep").exists()
    written.lb("undelete", "other/redis")
    text = read(written, "sub/deep/other.yaml")
    assert text.index("kind: Namespace") < text.index("kind: Service") and "team: a" in text
    assert stat.S_IMODE((written.folder / "sub/deep/other.yaml").stat().st_mode) & 0o400
    written.apply()
    assert written.lb("get", "service", "other/redis", "-o", "json").json["state"]["state"] == "started"


def test_a_removal_that_was_not_applied_yet(written: Desk) -> None:
    before = read(written)
    written.remove("demo.yaml")
    written.lb("undelete", "demo/redis")
    assert "replicas: 2" in read(written)
    write(written, before.partition("---\n")[2])
    written.lb("undelete", "demo/redis", "--to", "0")
    assert "image: app:1" in read(written)
    assert "no changes" not in written.lb("plan").out


def test_what_was_read_from_elsewhere_gets_a_file_of_its_own(written: Desk, tmp_path: Path) -> None:
    text = REDIS.split("---\n")[0].replace("name: redis", "name: out")
    (tmp_path / "out.yaml").write_text(text)
    written.apply("-f", str(tmp_path / "out.yaml"))
    written.apply()  # removes it: it is in no file of the source
    written.lb("undelete", "demo/out")
    assert "name: out" in read(written, "demo.out.yaml") and (tmp_path / "out.yaml").read_text() == text


def test_what_is_there_can_not_be_undeleted(written: Desk) -> None:
    assert "`lb rollback demo/redis` changes it" in written.lb("undelete", "demo/redis", code=64).err
    assert "SERVICE_NOT_FOUND: no service demo/none is kept" in written.lb("undelete", "demo/none", code=1).err
    assert "NAMESPACE_NOT_FOUND" in written.lb("undelete", "none", code=1).err
    assert "has no revisions" in written.lb("undelete", "demo", "--to", "1", code=64).err


def test_a_namespace_alone(written: Desk) -> None:
    write(written, "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: gone}\nspec: {share_with: [demo]}\n", "gone.yaml")
    written.apply()
    written.remove("gone.yaml")
    written.apply()
    written.lb("undelete", "gone")
    assert "share_with:\n    - demo\n" in read(written, "gone.yaml")
    written.apply()


def test_the_last_good_revision_comes_back(written: Desk) -> None:
    write(written, read(written).replace('[sleep, "1000"]', "[exit, '3']"))
    written.apply(code=1)
    write(written, REDIS.partition("---\n")[2])
    written.apply()
    written.lb("undelete", "demo/redis")
    assert "sleep" in read(written) and "exit" not in read(written)


def test_an_unreadable_file_is_told(written: Desk) -> None:
    files = Source(written.folder).files()
    with pytest.raises(SourceError, match=r"none\.yaml can't be read"):
        rewrite.respecified(
            type(files)(files.name, files.root, {next(iter(files.stand)): [("none.yaml", 0)]}, ()),
            next(iter(files.stand)),
            {},
        )
