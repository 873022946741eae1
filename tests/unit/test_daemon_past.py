"""What a daemon remembers of how services were wanted before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reconciler.daemon.past import KEPT, LONGEST, Past
from reconciler.model import Desired, Ref, Revision, Service
from tests.support.build import make_revision, make_service

WEB = Ref("shop", "web")


def wanted(*services: Service) -> Desired:
    return Desired("src", services={s.ref: s for s in services}, mentioned=frozenset(s.ref for s in services))


def web(value: str, **given: object) -> Service:
    return replace(make_service(env={"A": value}), **given)  # type: ignore[arg-type]


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_wanted_before_is_had_with_its_values(tmp_path: Path) -> None:
    past = Past(tmp_path)
    old, new = web("secret one"), web("secret two")
    past.behind(wanted(old))
    found = past.behind(wanted(new))
    assert found.remake(make_revision(old, 0)) is old
    assert found.remake(make_revision(web("never seen"), 0)) is None
    for _ in range(3):
        found = past.behind(wanted(web("secret two")))
    assert found.remake(make_revision(old, 0)) is old, "the same once more takes nothing's place"


def test_what_is_not_remembered_is_read(tmp_path: Path) -> None:
    read: list[Revision] = []

    def remake(revision: Revision) -> Service:
        read.append(revision)
        return web("as written")

    found = Past(tmp_path).behind(replace(wanted(web("new")), remake=remake))
    revision = make_revision(web("old"), 0)
    assert found.remake(revision) == web("as written") and read == [revision]


def test_not_for_ever_and_not_without_end(tmp_path: Path) -> None:
    clock = Time()
    past = Past(tmp_path, clock)
    versions = [web(str(n), files={f"digest {n}": "x"}) for n in range(KEPT + 2)]
    for version in versions:
        found = past.behind(wanted(version))
    assert found.spared == {f"digest {n}" for n in range(2, KEPT + 1)}
    clock.now = LONGEST
    assert past.behind(wanted(versions[-1])).spared == frozenset()


def test_what_is_removed_is_forgotten(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.behind(wanted(web("1", files={"a": "x"}), make_service("other")))
    past.behind(wanted(web("2"), make_service("other")))
    assert past.behind(replace(wanted(make_service("other")), mentioned=frozenset({WEB}))).spared == {"a"}, "unreadable"
    assert past.behind(wanted(make_service("other"))).spared == frozenset()


def test_only_with_the_files_of_then_and_never_with_a_secret(tmp_path: Path) -> None:
    past = Past(tmp_path)
    old = web("1", files={"digest": "x.conf"})
    past.behind(wanted(old))
    found = past.behind(wanted(web("2")))
    assert found.remake(make_revision(old, 0)) is None
    (tmp_path / "snapshots" / "digest").mkdir(parents=True)
    (tmp_path / "snapshots" / "digest" / "content").touch()
    assert found.remake(make_revision(old, 0)) is old
    secret = web("1", secrets={"hash": "/etc/lb/secrets/shop/x"})
    past = Past(tmp_path)
    past.behind(wanted(secret))
    assert past.behind(wanted(web("2"))).remake(make_revision(secret, 0)) is None
