"""The state: what is written is read back, survives a crash, and fails in one way only."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler import __version__, fingerprint
from reconciler.clock import now, rfc3339, seconds
from reconciler.errors import StateError
from reconciler.model import (
    Dependency,
    EngineInfo,
    Namespace,
    Place,
    RecordedContainer,
    RecordedVolume,
    Ref,
    Revision,
    Service,
    Spec,
)
from reconciler.runtime import Effect
from reconciler.store import ACTIVITY_KEPT, INTENT_AGE, Store, removed
from reconciler.store.schema import MIGRATIONS

WEB = Ref("shop", "web")
DB = Ref("shop", "db")
SHOP = Namespace(Ref("shop"), "The shop", {"team": "a"}, Place("shop.yaml", 3))


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> str:
        return rfc3339(int(self.at * 1e9))


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def store(tmp_path: Path, clock: Time) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "state", clock)) as opened:
        yield opened


def service(ref: Ref = WEB, **spec: Any) -> Service:
    return Service(
        ref,
        Spec(**{"image": "docker.io/library/nginx:1", "depends_on": (Dependency(DB, "healthy"),), **spec}),
        description="Pages",
        labels={"tier": "front"},
        place=Place("web.yaml", 7),
        written={"image": "nginx:1", "env": {"KEY": "${KEY}"}},
        shown={"image": "nginx:1", "env.KEY": "${KEY}"},
    )


def open_revision(
    store: Store, wanted: Service, parent: Revision | None = None, base: str | None = None,
    image_id: str = "sha256:1", digest: str = "",
) -> Revision:  # fmt: skip
    return store.open_revision(
        wanted,
        source="src",
        fingerprint=fingerprint.fingerprint(wanted),
        digests_of=lambda salt: fingerprint.digests(wanted, salt),
        parent=parent,
        base=base,
        image_id=image_id,
        digest=digest,
    )


def promoted(store: Store, wanted: Service, parent: Revision | None = None, base: str | None = None) -> Revision:
    revision = open_revision(store, wanted, parent, base)
    store.promote(revision.id, wanted, "src")
    return revision


def container(store: Store, revision: Revision, name: str, number: int = 0) -> RecordedContainer:
    """A container as a runtime would have it recorded."""
    intent = store.begin("create", revision.ref, "", number, revision.id)
    effect = Effect("container", name, f"name-{name}", number, intent.attempt, projection={"memory": 1})
    store.end(intent.nonce, effect)
    return next(c for c in store.recorded().services[revision.ref].containers if c.id == name)


# --- opening


def test_folder_and_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(Store.open(tmp_path / "a" / "state")) as store:
            store.record_namespace(SHOP, "src")
            modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "a" / "state").iterdir()}
    finally:
        os.umask(before)
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700


def test_a_folder_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    tmp_path.chmod(0o755)
    Store.open(tmp_path).close()
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_durability_is_asked_for(store: Store) -> None:
    asked = {name: store._db.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert asked == {"journal_mode": "wal", "synchronous": 2}
    assert store._db.execute("pragma busy_timeout").fetchone()[0] == 10_000


def test_reading_where_no_state_is_makes_no_file(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path / "none", create=False)) as store:
        assert not store.recorded().services
    assert not list(tmp_path.iterdir())


def test_the_state_keeps_its_id_and_reading_writes_nothing(tmp_path: Path, store: Store) -> None:
    store._db.execute("pragma wal_checkpoint(truncate)")
    with closing(Store.open(tmp_path / "state", create=False)) as other:
        assert other.state_id == store.state_id
        assert other.recorded() == store.recorded()
    assert (tmp_path / "state" / "state.db-wal").stat().st_size == 0


@pytest.mark.parametrize("create", [True, False])
def test_a_file_in_place_of_the_folder(tmp_path: Path, create: bool) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateError, match=str(tmp_path / "state")) as raised:
        Store.open(tmp_path / "state", create=create)
    assert raised.value.hint


@pytest.mark.parametrize("create", [True, False])
def test_a_state_that_is_no_database(tmp_path: Path, create: bool) -> None:
    (tmp_path / "state.db").write_text("no database " * 100)
    with pytest.raises(StateError, match="not a database"):
        Store.open(tmp_path, create=create)


def test_a_newer_state_is_refused_and_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.execute("update meta set value = '9.8.7' where key = 'lb'")
        db.execute("pragma user_version = 99")
        db.commit()
    with pytest.raises(
        StateError, match=rf"newer lb \(version 99 .* {__version__} knows {len(MIGRATIONS)}\)"
    ) as raised:
        Store.open(tmp_path)
    assert "lb 9.8.7 or later" in raised.value.hint
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        assert db.execute("pragma user_version").fetchone() == (99,)


def test_a_state_of_the_first_version_opens(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.executescript(MIGRATIONS[0])
        db.execute("insert into meta values ('state_id', 'mine')")
        db.execute("pragma user_version = 1")
        db.commit()
    with closing(Store.open(tmp_path)) as store:
        assert store.state_id == "mine"
        assert not store.recorded().services


def test_what_is_recorded_without_hosts_is_for_all(tmp_path: Path) -> None:
    """A row of a version that knew neither hosts nor templates."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.executescript(MIGRATIONS[0] + MIGRATIONS[1])
        db.execute("insert into meta values ('state_id', 'mine')")
        db.execute("insert into namespaces values ('shop', 's', 'f', 1, '', '{}', 'c', 'u', '')")
        db.execute("insert into services values ('shop', 'web', 's', 'f', 1, '', '{}', '[]', 'c', 'u')")
        db.execute("pragma user_version = 2")
        db.commit()
    with closing(Store.open(tmp_path)) as store:
        recorded = store.recorded()
        assert recorded.namespaces["shop"].hosts == () and recorded.services[WEB].hosts == ()


def test_hosts_and_what_the_author_wrote_come_back(store: Store) -> None:
    wanted = replace(service(), hosts=("nas1", "edge-*"), authored={"template": "web", "memory": None})
    promoted(store, wanted)
    store.record_namespace(replace(SHOP, hosts=("nas1",)), "src")
    recorded = store.recorded()
    known = recorded.services[WEB]
    assert known.hosts == wanted.hosts and recorded.namespaces["shop"].hosts == ("nas1",)
    assert known.current and known.current.authored == wanted.authored and known.current.written == wanted.written
    plain = replace(service(), description="Other")
    store.record_service(plain, "src", fingerprint.digests(plain, known.current.id))
    known = store.recorded().services[WEB]
    assert known.hosts == () and known.current and known.current.authored == {}


def test_what_is_recorded_survives_every_migration(tmp_path: Path) -> None:
    """Of a state of two versions back: what its tables did not know has its default."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        for script in MIGRATIONS[:2]:
            db.executescript(script)
        db.execute("insert into namespaces values ('shop', 'src', 'a.yaml', 1, '', '{}', 'then', 'then', 'n1')")
        db.execute("insert into services values ('shop', 'web', 'src', 'b.yaml', 1, '', '{}', '[]', 'then', 'then')")
        db.execute("insert into volumes values ('lb.shop.data', 'shop', 'then')")
        db.execute("insert into meta values ('state_id', 'mine')")
        db.execute("pragma user_version = 2")
        db.commit()
    with closing(Store.open(tmp_path)) as store:
        found = store.recorded()
    space, known = found.namespaces["shop"], found.services[WEB]
    assert (space.network, space.protect, space.share_with, space.written) == ("n1", False, (), {})
    assert (known.place.file, known.protect) == ("b.yaml", False)
    assert found.volumes["lb.shop.data"] == RecordedVolume("lb.shop.data", "shop", "then", "")


def test_several_processes_may_make_the_state_at_once(tmp_path: Path) -> None:
    def opened(_: int) -> str:
        with closing(Store.open(tmp_path / "state")) as store:
            return store.state_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(opened, range(16)))) == 1


def test_the_engine_is_bound_once_it_is_known(tmp_path: Path, store: Store) -> None:
    assert store.engine() is None
    store.bind_engine(EngineInfo("id", "/var/lib/docker", "unix:///run/docker.sock", "1.44"))
    with closing(Store.open(tmp_path / "state")) as again:
        assert again.engine() == {"id": "id", "root": "/var/lib/docker", "endpoint": "unix:///run/docker.sock"}


# --- steps


def test_an_intent_is_open_until_it_ends(store: Store) -> None:
    intent = store.begin("start", WEB, "abc", 2, "rev")
    (found,) = store.recorded().intents
    assert (found.nonce, found.step, found.ref, found.number, found.attempt) == (intent.nonce, "start", WEB, 2, 0)
    assert (found.revision, found.target) == ("rev", "abc")
    store.end(intent.nonce, Effect())
    assert store.recorded().intents == ()


def test_attempts_rise_by_service_and_outlive_it(store: Store) -> None:
    def attempt(ref: Ref) -> int:
        return store.begin("create", ref, "", 0, "").attempt

    promoted(store, service())
    assert [attempt(WEB), attempt(WEB), attempt(DB)] == [1, 2, 1]
    store.forget_service(WEB, "src")
    assert attempt(WEB) == 3
    store.raise_attempts(WEB, 10)
    store.raise_attempts(WEB, 4)
    assert attempt(WEB) == 11
    store.raise_attempts(Ref("shop", "new"), 5)
    assert attempt(Ref("shop", "new")) == 6


def test_a_container_is_recorded_changed_and_gone(store: Store) -> None:
    revision = promoted(store, service())
    made = container(store, revision, "c1", 1)
    expected = RecordedContainer("c1", WEB, 1, 1, "name-c1", revision.id, revision.base, {"memory": 1})
    assert made == expected

    intent = store.begin("update", WEB, "c1", 1, revision.id)
    store.end(intent.nonce, Effect("container", "c1", "renamed", projection={"memory": 2}))
    assert store.recorded().services[WEB].containers == (
        replace(expected, projection={"memory": 2}),
    )  # name, number and attempt are those it was made with

    intent = store.begin("remove", WEB, "c1", 1, revision.id)
    store.end(intent.nonce, Effect("container-gone", "c1"))
    assert store.recorded().services[WEB].containers == ()


def test_what_comes_late_is_recorded_though_its_object_was_removed(store: Store) -> None:
    store.record_namespace(Namespace(Ref("shop")), "mine")
    revision = promoted(store, service())
    intents = [store.begin("network", Ref("shop"), "", 0, ""), store.begin("create", WEB, "", 1, revision.id)]
    store.forget_service(WEB, "mine")
    store.forget_namespace("shop")
    store.end(intents[0].nonce, Effect("network", "n1", source="mine"))
    store.end(intents[1].nonce, Effect("container", "c1", "shop.web.1-1", 1, 1, source="mine"))
    recorded = store.recorded()
    assert (recorded.namespaces["shop"].network, recorded.namespaces["shop"].source) == ("n1", "mine")
    found = recorded.services[WEB]
    assert (found.remnant, found.source, [c.id for c in found.containers]) == (True, "mine", ["c1"])
    assert (recorded.removed_lately, recorded.held_services) == ({"mine": 1}, {"mine": 1})
    store.forget_service(WEB, "mine")
    assert (store.recorded().services, store.recorded().removed_lately) == ({}, {"mine": 1})


def test_containers_that_are_gone_are_forgotten(store: Store) -> None:
    revision = promoted(store, service())
    for name, number in (("c1", 1), ("c2", 2)):
        container(store, revision, name, number)
    store.forget_containers(["c1", "unknown"])
    assert [c.id for c in store.recorded().services[WEB].containers] == ["c2"]


def test_a_row_that_can_not_be_read_is_said_with_the_way_out(store: Store) -> None:
    promoted(store, service())
    with closing(sqlite3.connect(store.directory / "state.db")) as db:
        db.execute("update revisions set digests = '{torn'")
        db.commit()
    with pytest.raises(StateError, match="can't be used") as caught:
        store.recorded()
    assert caught.value.hint


def test_an_intent_ends_once(store: Store) -> None:
    revision = promoted(store, service())
    intent = store.begin("create", WEB, "", 0, revision.id)
    store.end(intent.nonce, Effect())
    store.end(intent.nonce, Effect("container", "late", "late"))
    assert store.recorded().services[WEB].containers == ()


def test_networks_and_volumes(store: Store) -> None:
    store.record_namespace(SHOP, "src")
    for effect, network in ((Effect("network", "n1"), "n1"), (Effect("network-gone", "n1"), "")):
        store.end(store.begin("network", SHOP.ref, "", 0, "").nonce, effect)
        assert store.recorded().namespaces["shop"].network == network
    store.adopt_network("shop", "n2")
    store.record_namespace(SHOP, "src")
    assert store.recorded().namespaces["shop"].network == "n2"

    nonce = store.begin("volume", WEB, "", 0, "").nonce
    store.end(nonce, Effect("volume", "x", "lb.shop.data", created="then"))
    store.adopt_volume(RecordedVolume("lb.shop.old", "shop", "before"))
    store.forget_service(WEB, "src")
    store.forget_namespace("shop")
    assert store.recorded().namespaces == {}
    assert store.recorded().volumes == {
        "lb.shop.data": RecordedVolume("lb.shop.data", "shop", "then", nonce=nonce),
        "lb.shop.old": RecordedVolume("lb.shop.old", "shop", "before"),
    }


# --- revisions


def test_a_pending_revision_is_not_current(store: Store, clock: Time) -> None:
    wanted = service(memory=1 << 30, replicas=2)
    revision = open_revision(store, wanted)
    assert (revision.number, revision.parent, revision.base, revision.status) == (0, "", revision.id, "pending")
    assert (revision.created, revision.image, revision.replicas, revision.memory) == (clock(), "nginx:1", 2, 1 << 30)
    known = store.recorded().services[WEB]
    assert (known.current, known.pending, known.failed) == (None, revision, None)
    assert (known.source, known.place, known.description, known.labels, known.depends_on) == (
        "src", Place("web.yaml", 7), "Pages", {"tier": "front"}, (Dependency(DB, "healthy"),),
    )  # fmt: skip


def test_an_interrupted_rollout_is_carried_on(store: Store) -> None:
    first = open_revision(store, service(env=(("KEY", "a"),)))
    assert open_revision(store, service(env=(("KEY", "a"),))).id == first.id
    assert open_revision(store, service(env=(("KEY", "a"),)), image_id="").id == first.id


Change = Callable[[Store], Revision]
CHANGES: Mapping[str, Change] = {
    "a value": lambda store: open_revision(store, service(env=(("KEY", "b"),))),
    "the image": lambda store: open_revision(store, service(), image_id="sha256:2"),
    "in place before, replaced now": lambda store: open_revision(store, service(), base="another"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_the_same_is_a_new_revision(store: Store, change: str) -> None:
    first = open_revision(store, service())
    second = CHANGES[change](store)
    assert (second.number, store.recorded().services[WEB].pending) == (1, second)
    assert second.id != first.id


def test_an_update_refused_in_place_is_not_carried_on_by_its_replacement(store: Store) -> None:
    current = promoted(store, service())
    in_place = open_revision(store, service(memory=1 << 30), current, current.base)
    replacement = open_revision(store, service(memory=1 << 30), current)
    assert in_place.base == current.base
    assert replacement.base == replacement.id


def test_another_version_of_the_fingerprint_is_not_carried_on(store: Store) -> None:
    first = open_revision(store, service())
    second = store.open_revision(
        service(), source="src", fingerprint="h2:0", digests_of=lambda salt: fingerprint.digests(service(), salt),
        parent=None, base=None, image_id="sha256:1",
    )  # fmt: skip
    assert second.id != first.id


def test_promotion(store: Store, clock: Time) -> None:
    first = promoted(store, service())
    store.fail(open_revision(store, service(cpus=1), first).id, "crashed", ["last", "words"])
    clock.at += 1
    changed = replace(service(cpus=2), description="New", place=Place("moved.yaml", 1), labels={})
    second = promoted(store, changed, first)
    known = store.recorded().services[WEB]
    assert known.current == replace(second, status="current", promoted=clock())
    assert (known.pending, known.failed) == (None, None)
    assert (second.number, second.parent) == (2, first.id)
    assert (known.description, known.place.file, known.labels) == ("New", "moved.yaml", {})
    assert known.updated == clock() > known.created


def test_a_service_keeps_its_words_until_its_revision_is_good(store: Store) -> None:
    first = promoted(store, service())
    open_revision(store, replace(service(cpus=2), description="New"), first)
    assert store.recorded().services[WEB].description == "Pages"


def test_promotion_in_place_takes_the_containers_along(store: Store) -> None:
    first = promoted(store, service())
    container(store, first, "same")
    other = promoted(store, service(DB))
    container(store, other, "other")
    second = promoted(store, service(memory=1 << 30), first, first.base)
    (same,) = store.recorded().services[WEB].containers
    assert (same.revision, same.base) == (second.id, first.id)
    (untouched,) = store.recorded().services[DB].containers
    assert untouched.revision == other.id

    third = open_revision(store, service(image="other"), second)
    store.promote(third.id, service(image="other"), "src")
    (left,) = store.recorded().services[WEB].containers
    assert left.revision == second.id


def test_a_failure_is_remembered_beside_the_current_revision(store: Store, clock: Time) -> None:
    good = promoted(store, service())
    store.fail(open_revision(store, service(cpus=1), good).id, "first", [])
    clock.at += 1
    bad = open_revision(store, service(cpus=2), good)
    store.fail(bad.id, "crashed", ["last", "words"])
    known = store.recorded().services[WEB]
    assert known.current is not None
    assert known.current.id == good.id
    assert known.failed == replace(bad, status="failed", cause="crashed", logs=("last", "words"), updated=clock())


def test_the_image_is_known_later(store: Store) -> None:
    revision = open_revision(store, service(), image_id="")
    store.set_image(revision.id, "sha256:9", "sha256:d")
    assert store.recorded().services[WEB].pending == replace(revision, image_id="sha256:9", digest="sha256:d")


def test_an_interrupted_rollout_of_another_digest_is_another(store: Store) -> None:
    first = open_revision(store, service(), image_id="", digest="sha256:a")
    store.set_image(first.id, "sha256:1", "sha256:a")
    assert open_revision(store, service(), image_id="", digest="sha256:a").id == first.id
    assert open_revision(store, service(), image_id="sha256:1", digest="sha256:b").id == first.id, "the very image"
    other = open_revision(store, service(), image_id="", digest="sha256:b")
    assert other.id != first.id and other.digest == "sha256:b"


def test_a_state_without_digests_becomes_one_with(tmp_path: Path) -> None:
    before = next(n for n, script in enumerate(MIGRATIONS) if "column digest" in script)
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        for script in MIGRATIONS[:before]:
            db.executescript(script)
        names = [row[1] for row in db.execute("pragma table_info(revisions)")]
        texts = {"namespace": "shop", "service": "web", "status": "current", "image_id": "sha256:1", "logs": "[]"}
        values = [texts.get(name, "{}" if name in ("written", "shown", "digests") else "") for name in names]
        values = [0 if name in ("number", "replicas", "memory") else v for name, v in zip(names, values, strict=True)]
        db.execute(f"insert into revisions values ({','.join('?' * len(values))})", values)
        db.execute("insert into services values ('shop','web','src','f',1,'','{}','[]','','')")
        db.execute(f"pragma user_version = {before}")
        db.commit()
    with closing(Store.open(tmp_path)) as store:
        current = store.recorded().services[WEB].current
    assert current and (current.image_id, current.digest) == ("sha256:1", "")


def test_record_only_changes_keep_id_and_number(store: Store, clock: Time) -> None:
    first, since = promoted(store, service()), clock()
    store.fail(open_revision(store, service(cpus=1), first).id, "crashed", [])
    clock.at += 1
    changed = replace(service(), description="New", shown={"image": "nginx:one"}, written={"image": "nginx:one"})
    digests = fingerprint.digests(changed, first.id)
    store.record_service(changed, "other", digests)
    known = store.recorded().services[WEB]
    assert known.current == replace(
        first, status="current", written=changed.written, shown=changed.shown, digests=digests, updated=clock(),
        promoted=since,
    )  # fmt: skip
    assert (known.failed, known.description, known.source) == (None, "New", "other")


def test_no_resolved_value_reaches_the_disk(tmp_path: Path, store: Store) -> None:
    secret = "correct-horse-battery"
    wanted = service(env=(("KEY", secret),), command=("--password", secret))
    container(store, promoted(store, wanted), "c")
    store.fail(open_revision(store, replace(wanted, spec=replace(wanted.spec, cpus=1))).id, "crashed", [])
    plain = hashlib.sha256(secret.encode()).hexdigest()
    for file in (tmp_path / "state").iterdir():
        assert secret.encode() not in file.read_bytes()
        assert plain.encode() not in file.read_bytes()


# --- whole objects


def test_a_namespace(store: Store, clock: Time) -> None:
    store.record_namespace(SHOP, "src")
    first = clock()
    clock.at += 1
    store.record_namespace(replace(SHOP, place=Place("moved.yaml", 1)), "src")
    known = store.recorded().namespaces["shop"]
    assert (known.source, known.description, known.labels) == ("src", "The shop", {"team": "a"})
    assert (known.place.file, known.created, known.updated) == ("moved.yaml", first, first)
    store.record_namespace(replace(SHOP, description="Changed"), "src")
    assert store.recorded().namespaces["shop"].updated == clock()


def test_a_namespace_with_a_spec(store: Store, clock: Time) -> None:
    store.record_namespace(SHOP, "src")
    clock.at += 1
    spec = {"share_with": ["other"], "volumes": {"data": {"driver_opts": {"o": "${OPTIONS}"}}}}
    store.record_namespace(replace(SHOP, share_with=("other",), protect=True, written=spec), "src")
    known = store.recorded().namespaces["shop"]
    assert (known.share_with, known.protect, known.written) == (("other",), True, spec)
    assert known.updated == clock() != known.created


def test_protection_is_recorded_with_a_good_revision(store: Store) -> None:
    promoted(store, service())
    assert not store.recorded().services[WEB].protect
    store.record_service(replace(service(), protect=True), "src", {})
    assert store.recorded().services[WEB].protect


def test_how_a_volume_was_made_is_kept(store: Store) -> None:
    nonce = store.begin("volume", WEB, "v", 0, "").nonce
    store.end(nonce, Effect("volume", "v", "v", created="c", definition="s:h"))
    assert store.recorded().volumes["v"] == RecordedVolume("v", "shop", "c", "s:h", nonce)


def test_removals_count_for_ten_minutes(store: Store, clock: Time) -> None:
    for name in "abc":
        container(store, promoted(store, service(Ref("shop", name))), name)
    store.forget_service(Ref("shop", "a"), "src")
    clock.at += 300
    store.forget_service(Ref("shop", "b"), "src")
    recorded = store.recorded()
    assert list(recorded.services) == [Ref("shop", "c")]
    assert (recorded.removed_lately, recorded.held_services) == ({"src": 2}, {"src": 3})
    clock.at += 301
    assert (store.recorded().removed_lately, store.recorded().held_services) == ({"src": 1}, {"src": 2})
    clock.at += 300
    assert (store.recorded().removed_lately, store.recorded().held_services) == ({}, {"src": 1})


def test_a_service_that_comes_back_starts_anew(store: Store) -> None:
    container(store, promoted(store, service()), "c")
    store.forget_service(WEB, "src")
    assert open_revision(store, service()).number == 0
    assert store.recorded().services[WEB].containers == ()


def test_adoption(store: Store) -> None:
    revision = open_revision(store, service())
    row = RecordedContainer("found", WEB, 2, 7, "shop.web.2-7", revision.id, revision.base, {"memory": 0})
    store.adopt([row])
    store.adopt([row])
    assert store.recorded().services[WEB].containers == (row,)


# --- activity


def test_repeats_are_counted(store: Store) -> None:
    store.add_activity(WEB, "normal", "create", "new")
    store.add_activity(WEB, "warning", "failed", "crashed", "r1", "c0ffee")
    store.add_activity(DB, "normal", "create", "new")
    store.add_activity(WEB, "warning", "failed", "crashed", "r1", "c0ffee")
    store.add_activity(WEB, "warning", "failed", "crashed", "r2")
    assert [(a.message, a.revision, a.commit, a.count) for a in store.activity("shop", "web")] == [
        ("crashed", "r2", "", 1),
        ("crashed", "r1", "c0ffee", 2),
        ("new", "", "", 1),
    ]
    assert [a.service for a in store.activity("shop")] == ["web", "db", "web", "web"]
    assert store.activity("other") == []


def test_the_oldest_activity_goes(store: Store) -> None:
    store._db.execute("pragma synchronous = off")
    store.add_activity(DB, "normal", "create", "new")
    for n in range(ACTIVITY_KEPT + 5):
        store.add_activity(WEB, "normal", "heal", str(n))
    kept = store.activity("shop", "web")
    assert (len(kept), kept[0].message, kept[-1].message) == (ACTIVITY_KEPT, str(ACTIVITY_KEPT + 4), "5")
    assert len(store.activity("shop", "db")) == 1


# --- trouble

CRASH = """
import os, signal, sys
from pathlib import Path
from reconciler.model import Ref
from reconciler.store import Store
store = Store.open(Path(sys.argv[1]))
print(store.begin("create", Ref("shop", "web"), "", 0, "rev").nonce, flush=True)
store._db.execute("begin immediate")
store._db.execute("delete from intents")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_crash_loses_nothing_that_was_written_ahead(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path)], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(Store.open(tmp_path)) as store:
        (intent,) = store.recorded().intents
        assert (intent.nonce, intent.attempt) == (done.stdout.strip(), 1)
        assert store.begin("create", WEB, "", 0, "rev").attempt == 2


def test_a_full_disk_stops_writing_but_not_reading(store: Store) -> None:
    promoted(store, service())
    pages = store._db.execute("pragma page_count").fetchone()[0]
    store._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(StateError, match="full") as raised:
        for _ in range(1000):
            store.begin("start", WEB, "x" * 500, 0, "")
    assert str(store.directory) in raised.value.message
    assert raised.value.hint
    written = len(store.recorded().intents)
    store._db.execute(f"pragma max_page_count = {pages + 100}")
    store.begin("start", WEB, "x" * 500, 0, "")
    assert len(store.recorded().intents) == written + 1


class FailingCommit:
    """A connection whose disk fails at the very end, once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db, self.failed = db, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    def execute(self, text: str, *values: Any) -> Any:
        if text == "commit" and not self.failed:
            self.failed = True
            raise sqlite3.OperationalError("disk I/O error")
        return self.db.execute(text, *values)


def test_a_commit_that_fails_leaves_nothing_behind(store: Store) -> None:
    store._db = FailingCommit(store._db)  # type: ignore[assignment]
    with pytest.raises(StateError, match="disk I/O error"):
        store.begin("start", WEB, "", 0, "")
    assert store.recorded().intents == ()
    store.begin("start", WEB, "", 0, "")


def test_an_effect_that_cannot_be_recorded_leaves_its_intent_open(store: Store) -> None:
    intent = store.begin("create", WEB, "", 0, "")
    with pytest.raises(StateError):
        store.end(intent.nonce, Effect("container", "c", "c", number=1 << 70))
    assert [i.nonce for i in store.recorded().intents] == [intent.nonce]


@pytest.mark.parametrize("wanted", [service(memory=1 << 70), replace(service(), place=Place("\udcff.yaml"))])
def test_values_that_cannot_be_kept(store: Store, wanted: Service) -> None:
    with pytest.raises(StateError):
        open_revision(store, wanted)
    assert WEB not in store.recorded().services


def test_reading_goes_on_while_another_process_writes(tmp_path: Path, store: Store) -> None:
    store.record_namespace(SHOP, "src")
    with closing(sqlite3.connect(tmp_path / "state" / "state.db", isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute("delete from namespaces")
        store._db.execute("pragma busy_timeout = 0")
        assert list(store.recorded().namespaces) == ["shop"]
        with pytest.raises(StateError, match="locked"):
            store.record_namespace(SHOP, "src")


def test_after_close(store: Store) -> None:
    store.close()
    with pytest.raises(StateError):
        store.recorded()


def test_threads_share_one_store(store: Store) -> None:
    revision = promoted(store, service())

    def work(n: int) -> int:
        made = container(store, revision, f"c{n}", n)
        store.add_activity(WEB, "normal", "create", f"replica {n}")
        return made.attempt

    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(work, range(40)))
    assert sorted(attempts) == list(range(1, 41))
    assert len(store.recorded().services[WEB].containers) == len(store.activity("shop", "web")) == 40
    assert store.recorded().intents == ()


def test_the_clock_and_its_inverse() -> None:
    assert seconds("2026-01-02T03:04:05.5Z") == seconds("2026-01-02T03:04:05Z") + 0.5
    assert seconds("2026-01-02T05:04:05+02:00") == seconds("2026-01-02T03:04:05Z")
    assert rfc3339(int(seconds("2026-01-02T03:04:05.500000000Z") * 1e9)) == "2026-01-02T03:04:05.500000000Z"
    assert len(now()) == len("2026-01-02T03:04:05.123456789Z")


def test_an_intent_grows_stale(store: Store, clock: Time) -> None:
    store.begin("create", WEB, "", 1, "")
    assert [intent.stale for intent in store.recorded().intents] == [False]
    clock.at += INTENT_AGE + 1
    assert [intent.stale for intent in store.recorded().intents] == [True]


def test_notes_are_replaced_as_a_whole(store: Store) -> None:
    open_revision(store, service())
    store.set_notes("src", {WEB: "web.yaml:1:1: broken", Ref(""): "no manifests"})
    store.set_notes("other", {DB: "elsewhere"})
    assert store.recorded().services[WEB].note == "web.yaml:1:1: broken"
    store.set_notes("src", {})
    assert store.recorded().notes == {DB: "elsewhere"} and store.recorded().services[WEB].note == ""


# --- what was removed


def test_what_was_removed_is_kept_apart_with_its_last_revisions(store: Store, clock: Time) -> None:
    store.record_namespace(SHOP, "src")
    current = promoted(store, service())
    for i in range(12):
        current = promoted(store, service(cpus=i + 1), current)
    store.fail(open_revision(store, service(cpus=99), current).id, "crashed", [])
    assert store.removed(WEB) is None
    store.forget_service(WEB, "src")
    store.forget_namespace("shop")
    gone, revisions = store.removed(WEB) or pytest.fail("nothing is kept")
    assert (gone.source, gone.file, gone.at) == ("src", "web.yaml", clock())
    assert gone.meta == {"description": "Pages", "labels": {"tier": "front"}}
    assert [r.number for r in revisions] == list(range(4, 14))
    assert [r.status for r in revisions][-2:] == ["current", "failed"]
    assert revisions[-2].written == service().written and list(revisions[-2].written) == ["image", "env"]
    space, none = store.removed(SHOP.ref) or pytest.fail("nothing is kept")
    assert (space.file, space.meta["labels"], none) == ("shop.yaml", {"team": "a"}, [])
    recorded = store.recorded()
    assert not recorded.services and not recorded.namespaces and store.revisions(WEB) == []
    assert promoted(store, service()).number == 0  # what comes anew begins anew


def test_the_last_good_revision_is_among_those_kept(store: Store) -> None:
    good = promoted(store, service())
    for i in range(12):
        store.fail(open_revision(store, service(cpus=i + 1), good).id, "crashed", [])
    store.forget_service(WEB, "src")
    _, revisions = store.removed(WEB) or pytest.fail("nothing is kept")
    assert len(revisions) == 10 and revisions[0].id == good.id


def test_the_oldest_that_were_removed_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removed, "KEPT", 3)
    for name in "abcde":
        store.record_namespace(Namespace(Ref(name), place=Place(f"{name}.yaml")), "src")
        promoted(store, service(Ref("shop", name)))
        store.forget_service(Ref("shop", name), "src")
        store.forget_namespace(name)
    assert [name for name in "abcde" if store.removed(Ref("shop", name))] == ["c", "d", "e"]
    assert [name for name in "abcde" if store.removed(Ref(name))] == ["c", "d", "e"]
    count = store._db.execute("select count(*) from removed_revisions").fetchone()[0]
    assert count == 3


def test_what_is_kept_of_a_revision_is_all_of_it(store: Store) -> None:
    def columns(table: str) -> list[tuple[str, str]]:
        return [(row["name"], row["type"]) for row in store._db.execute(f"pragma table_info({table})")]

    assert columns("removed_revisions") == columns("revisions")


def test_a_revision_that_took_over_and_failed_gives_way(store: Store, clock: Time) -> None:
    first = promoted(store, service())
    assert store.recorded().services[WEB].trial is None, "it took over from none"
    clock.at += 1
    second, since = promoted(store, service(image="other"), first), clock()
    clock.at += 1
    third = promoted(store, service(image="other", memory=1 << 30), second, second.base)
    trial = store.recorded().services[WEB].trial
    assert trial and (trial.since, trial.former.id) == (since, first.id), "its containers took over then"
    store.fall_back(third.id, first.id, "it died", ["last words"])
    known = store.recorded().services[WEB]
    assert known.current and known.failed
    assert (known.current.id, known.failed.id, known.failed.cause) == (first.id, third.id, "it died")
    assert known.failed.logs == ("last words",) and known.trial is None
