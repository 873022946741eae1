"""`lb serve` without an engine: what it answers from, and its options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler import errors
from reconciler.cli import doors, lookout, serving
from reconciler.cli.lookout import Lookout
from reconciler.errors import EngineUnreachable, LbError, UsageError
from reconciler.model import Ref
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from reconciler.store.connection import stamp
from tests.support.build import AT, make_namespace, make_service
from tests.support.eventually import eventually
from tests.support.memory import Memory


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("127.0.0.1:2967", ("127.0.0.1", 2967)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_addresses(listen: str, found: tuple[str, int]) -> None:
    assert serving.address(listen) == found


@pytest.mark.parametrize(
    "listen", ["", "2967", ":2967", "localhost", "localhost:", "a:65536", "::1:80", "[a]:80", "a:-1"]
)
def test_what_is_no_address(listen: str) -> None:
    with pytest.raises(UsageError, match="write HOST:PORT"):
        serving.address(listen)


def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  abc\n")
    assert (serving.token(file), serving.token(None)) == ("abc", "")
    for bad in ("", "\n", "two words", "é"):
        file.write_text(bad)
        with pytest.raises(UsageError, match="must hold one word"):
            serving.token(file)
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="can't be read"):
        serving.token(file)
    with pytest.raises(UsageError, match="can't be read"):
        serving.token(tmp_path / "nope")


def test_the_stamp_of_a_state(tmp_path: Path) -> None:
    assert stamp(tmp_path / "nope") == ()
    store = Store.open(tmp_path)
    before = stamp(tmp_path)
    store.recorded()
    assert before and stamp(tmp_path) == before
    store.record_namespace(make_namespace(), "test")
    assert stamp(tmp_path) != before
    store.close()


class Flaky:
    """Stands instead of the way to the engine; the engine behind it is in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers, self.clock = True, AT
        monkeypatch.setattr(doors, "engine", lambda state: self.connect())
        monkeypatch.setattr(lookout, "PERIOD", 0.02)
        monkeypatch.setattr(lookout, "TICK", 0.01)

    def connect(self) -> Engine:
        if not self.answers:
            raise EngineUnreachable("no Docker Engine answers: refused")
        return Looked(Memory(), "", lambda: self.clock, self)


class Looked(Engine):
    def __init__(self, calls: Memory, files: str, clock: object, way: Flaky) -> None:
        super().__init__(calls, files, clock)  # type: ignore[arg-type]
        self.way = way

    def observe(self):  # type: ignore[no-untyped-def]
        if not self.way.answers:
            raise EngineUnreachable("no Docker Engine answers: refused")
        return super().observe()


def state_of(lookout: Lookout) -> dict[str, object]:
    picture = lookout.picture()
    found: dict[str, object] = json.loads(picture.services[Ref("shop", "web")].body.at(picture.observed))["state"]
    return found


def record(state: Path, name: str = "web") -> None:
    store = Store.open(state)
    service = make_service(name)
    store.record_namespace(make_namespace(), "test")
    revision = store.open_revision(
        service, source="test", fingerprint="h1:0", digests_of=lambda salt: {}, parent=None, base=None, image_id=""
    )
    store.promote(revision.id, service, "test")
    store.add_activity(service.ref, "normal", "create", "new service", revision.id)
    store.close()


def test_a_dead_engine_leaves_what_was_seen_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path)
    way = Flaky(monkeypatch)
    way.answers = False
    found = Lookout(tmp_path)
    found.start()
    assert (state_of(found)["state"], state_of(found)["observed"]) == ("warning", "")
    with pytest.raises(EngineUnreachable):
        found.logs("c", follow=False, tail=None, since=None, timestamps=False)

    way.answers = True
    assert eventually(lambda: state_of(found)["observed"] == AT)
    assert state_of(found)["status"] == "0 of 1 replicas are ready"

    way.answers = False
    way.clock = "2026-01-02T04:00:00.000000000Z"
    record(tmp_path, "late")  # the state is read on
    assert eventually(lambda: Ref("shop", "late") in found.picture().services)
    assert state_of(found)["observed"] == AT

    way.answers = True
    assert eventually(lambda: state_of(found)["observed"] == way.clock)
    found.stop()
    said = capsys.readouterr().err.splitlines()
    assert (
        said
        == [
            "lb: no Docker Engine answers: refused; answering from what was seen before",
            "lb: the engine can be read again",
        ]
        * 2
    )  # once, not at every look


def test_a_state_that_can_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path)
    Flaky(monkeypatch)
    found = Lookout(tmp_path)
    found.start()
    kept = (tmp_path / "state.db").read_bytes()
    (tmp_path / "state.db").write_bytes(b"this is no database")
    assert eventually(lambda: "can't be used" in capsys.readouterr().err)
    assert Ref("shop", "web") in found.picture().services
    with pytest.raises(LbError) as error:
        found.activity(Ref("shop"))
    assert error.value.exit_code == errors.EXIT_STATE
    (tmp_path / "state.db").write_bytes(kept)
    assert eventually(lambda: "the state can be read again" in capsys.readouterr().err)
    found.stop()


def test_a_state_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Flaky(monkeypatch)
    state = tmp_path / "state"
    found = Lookout(state)
    found.start()
    assert found.picture().all_namespaces.at("") == b"[]" and found.activity(Ref("shop")) == []
    assert not state.exists()
    record(state)
    assert eventually(lambda: Ref("shop", "web") in found.picture().services)
    assert [entry.message for entry in found.activity(Ref("shop", "web"))] == ["new service"]
    assert [entry.message for entry in found.activity(Ref("shop"))] == ["new service"]
    found.stop()
