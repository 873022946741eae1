"""`lb doctor`: each thing that can be wrong is seen, with the way out, and nothing else is reported with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler import cli, doctor
from reconciler.doctor import Facts, Folder
from reconciler.errors import EngineUnreachable, LbError, RefusedError, StateError
from reconciler.lock import Holder, Lock, key
from reconciler.model import NamedVolume, Network, OpenIntent, Recorded, RecordedVolume, Ref, Volume
from reconciler.store.backup import Contents
from reconciler.store.schema import MIGRATIONS
from tests.support.build import AT, ENGINE, make_container, make_row, make_service, steady
from tests.support.desk import Desk

WORLD = steady(make_service("web", replicas=2))
NOW = "2026-01-02T03:04:05Z"
WELL = Facts(
    now=NOW,
    endpoint="unix:///run/docker.sock",
    socket="ok",
    look=WORLD.observed,
    folder=Folder("/var/lib/lb", exists=True, writable=True, free=10**10),
    contents=Contents("s", len(MIGRATIONS), "0.1.0", ENGINE, 1),
    recorded=WORLD.recorded,
    holder=None,
    marked=True,
    refusal=None,
    watches=65536,
    instances=128,
)


def seen(**changes: Any) -> Any:
    return replace(WORLD.observed, **changes)


def known(**changes: Any) -> Recorded:
    return replace(WORLD.recorded, **changes)


def test_all_is_well() -> None:
    found = doctor.checks(WELL)
    assert {check.result for check in found} == {"ok"} and not [check for check in found if check.hint]
    assert [check.name for check in found] == [
        "socket", "engine", "api", "limits", "folder", "disk", "state", "lock", "marker", "inotify", "containers",
        "networks", "volumes",
    ]  # fmt: skip


CONTAINERS, NETWORKS = WORLD.observed.containers, WORLD.observed.networks
STRANGER = make_container(make_row(make_service("web"), 9))
NEWBORN = replace(STRANGER, labels={**STRANGER.labels, "lb.intent": "n"})
STOP = OpenIntent("n", "stop", Ref("shop", "web"), 1, 1, "r0", "c")
LEFTOVER = Network("n2", "lb.old", {"lb.namespace": "old"})
THEIRS = Volume("lb.shop.data", {"lb.namespace": "shop"}, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("changes", "name", "result", "message", "hint"),
    [
        ({"socket": "forbidden"}, "socket", "fail", "no right to use /run/docker.sock", "usermod -aG docker"),
        ({"socket": "missing"}, "socket", "fail", "/run/docker.sock is not there", "systemctl start docker"),
        ({"look": seen(engine=replace(ENGINE, api_version="1.40"))}, "api", "fail", "1.41 is needed", "20.10"),
        ({"look": seen(engine=replace(ENGINE, lacks=("memory", "swap")))}, "limits", "warn", "memory, swap", "cgroup"),
        ({"look": seen(engine=replace(ENGINE, local=False))}, "local", "warn", "not on this host", "--remote-engine"),
        ({"look": seen(engine=replace(ENGINE, id="x"))}, "bound", "warn", "this is another one", "DOCKER_HOST"),
        ({"folder": replace(WELL.folder, writable=False)}, "folder", "fail", "can't be written", "--state"),
        ({"folder": replace(WELL.folder, open_files=("state.db",))}, "privacy", "warn", "by others", "chmod 600 /"),
        ({"folder": replace(WELL.folder, free=10**8)}, "disk", "warn", "95 MiB free", "make room"),
        ({"folder": replace(WELL.folder, free=10**6)}, "disk", "fail", "nothing is changed", "make room"),
        ({"folder": replace(WELL.folder, inodes=0)}, "disk", "fail", "no inode free", "make room"),
        ({"contents": StateError("bad"), "recorded": None}, "state", "fail", "bad", "lb state restore"),
        ({"contents": StateError("bad", hint="so"), "recorded": None}, "state", "fail", "bad", "so"),
        ({"holder": StateError("no", hint="go")}, "lock", "fail", "no", "go"),
        ({"holder": Holder(7, "lb apply", "2026-01-02T01:00:00Z")}, "lock", "warn", "pid 7 (`lb apply`)", "kill 7"),
        ({"refusal": RefusedError("another", hint="go")}, "marker", "fail", "another", "go"),
        ({"marked": False}, "marker", "warn", "lost the mark", "lb apply"),
        ({"watches": 100}, "inotify", "warn", "max_user_watches is 100", "sysctl -w fs.inotify.max_user_watches=8192"),
        ({"instances": 9}, "inotify", "warn", "max_user_instances is 9", "fs.inotify.max_user_instances=128"),
        ({"look": seen(containers=(*CONTAINERS, STRANGER))}, "containers", "warn", "shop.web.9-9", "--adopt"),
        ({"look": seen(networks=(*NETWORKS, LEFTOVER))}, "networks", "warn", "lb.old", "docker network rm"),
        ({"look": seen(volumes=(THEIRS,))}, "volumes", "warn", "lb.shop.data", "docker volume rm"),
        ({"recorded": known(intents=(STOP,))}, "steps", "warn", "stop shop/web", "lb apply"),
        ({"recorded": known(restored_at={"test": AT})}, "restored", "warn", "test", "lb plan"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_seen_alone(
    changes: Mapping[str, Any], name: str, result: str, message: str, hint: str
) -> None:
    wrong = [check for check in doctor.checks(replace(WELL, **changes)) if check.result != "ok"]
    assert [(check.name, check.result) for check in wrong] == [(name, result)]
    assert message in wrong[0].message and hint in wrong[0].hint


@pytest.mark.parametrize(
    "changes",
    [
        {"socket": "remote"},
        {"contents": None, "recorded": Recorded(), "marked": False, "look": seen(containers=(), networks=())},
        {"folder": replace(WELL.folder, exists=False)},
        {"holder": Holder(7, "lb apply", NOW), "recorded": known(intents=(STOP,))},  # just being done
        {"watches": None, "instances": None},
        {"look": seen(volumes=(THEIRS,)),
         "recorded": known(volumes={"lb.shop.data": RecordedVolume("lb.shop.data", "shop", THEIRS.created)})},
        {"look": seen(networks=(*NETWORKS, Network("n2", "bridge")))},
        {"contents": replace(WELL.contents, version=0), "recorded": None},  # type: ignore[type-var]
        {"look": seen(containers=(*CONTAINERS, NEWBORN)), "holder": Holder(7, "lb apply", NOW),
         "recorded": known(intents=(replace(STOP, step="create", number=9, attempt=9, target=""),))},
    ],
)  # fmt: skip
def test_what_is_in_order(changes: Mapping[str, Any]) -> None:
    assert not [check for check in doctor.checks(replace(WELL, **changes)) if check.result != "ok"]


def test_without_an_engine_its_checks_are_left_out() -> None:
    found = doctor.checks(replace(WELL, look=EngineUnreachable("gone", hint="start it"), marked=False))
    assert [(c.name, c.result) for c in found if c.result != "ok"] == [("engine", "fail")]
    assert not {c.name for c in found} & {"api", "limits", "marker", "containers", "networks", "volumes"}


def test_many_names_are_counted() -> None:
    strangers = tuple(make_container(make_row(make_service("web"), n)) for n in range(11, 19))
    (found,) = (c for c in doctor.checks(replace(WELL, look=seen(containers=strangers))) if c.name == "containers")
    assert found.message.endswith(" and 3 more")


# --- the facts, and how they are shown


@pytest.fixture
def lived(desk: Desk) -> Desk:
    desk.namespace()
    desk.service("a", volumes=["data:/data"])
    desk.apply()
    return desk


def wrong(desk: Desk, code: int = 0) -> dict[str, str]:
    """Name → result of what is not ok; the disk and inotify are this machine's own."""
    found = desk.lb("doctor", "-o", "json", code=code).json
    return {
        c["name"]: c["result"] for c in found["checks"] if c["result"] != "ok" and c["name"] not in ("disk", "inotify")
    }


def test_as_text_and_as_json(lived: Desk) -> None:
    found = lived.lb("doctor", "-o", "json").json
    assert found["summary"]["fail"] == 0 and set(found["checks"][0]) == {"name", "result", "message", "hint"}
    lines = lived.lb("doctor").out.splitlines()
    assert lines[0] == "ok    engine      memory answers at memory://"
    assert wrong(lived) == {}
    lived.memory._volumes["lb.demo.x"] = THEIRS
    text = lived.lb("doctor").out.splitlines()
    (at,) = [number for number, line in enumerate(text) if line.startswith("warn  volumes")]
    assert text[at + 1].lstrip().startswith("→ `lb apply --adopt`") and "1 warn" in text[-1]


def test_before_the_first_apply_nothing_is_made(desk: Desk) -> None:
    assert wrong(desk) == {} and not desk.state.exists()


def test_an_engine_that_does_not_answer(lived: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{lived.folder}/none.sock")
    lived.memory.gone = True
    assert wrong(lived, code=1) == {"socket": "fail", "engine": "fail"}
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert wrong(lived, code=1) == {"engine": "fail"}


def test_a_damaged_state(lived: Desk) -> None:
    (lived.state / "state.db").write_bytes(b"no database" * 1000)
    assert wrong(lived, code=1) == {"state": "fail"}


def test_a_state_of_a_newer_lb_and_of_an_older_one_are_left_as_they_are(lived: Desk) -> None:
    for version, expected, code in ((len(MIGRATIONS) + 1, {"state": "fail"}, 1), (0, {}, 0)):
        with closing(sqlite3.connect(lived.state / "state.db")) as db:
            db.execute(f"pragma user_version = {version}")
        assert wrong(lived, code=code) == expected
        with closing(sqlite3.connect(lived.state / "state.db")) as db:
            assert db.execute("pragma user_version").fetchone() == (version,)


def test_a_state_that_others_can_read(lived: Desk) -> None:
    (lived.state / "state.db").chmod(0o644)
    assert wrong(lived) == {"privacy": "warn"}


def test_a_state_in_place_of_a_folder(lived: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = lived.lb("doctor", "-o", "json", "--state", str(tmp_path / "file"), code=1).json
    assert {c["name"] for c in found["checks"] if c["result"] == "fail"} == {"folder", "state"}


def test_another_state_manages_the_engine(lived: Desk, tmp_path: Path) -> None:
    found = lived.lb("doctor", "-o", "json", "--state", str(tmp_path / "other"), code=1).json
    (check,) = [c for c in found["checks"] if c["name"] == "marker"]
    assert check["result"] == "fail" and str(lived.state) in check["message"]
    assert not (tmp_path / "other").exists()


def test_what_was_left_over(lived: Desk) -> None:
    lived.memory.create_volume(NamedVolume("lb.x.y"), {"lb.namespace": "x"})
    lived.memory.create_network("lb.x", {"lb.namespace": "x"}, "10.0.0.0/22")
    with lived.store() as store:
        store.begin("stop", Ref("demo", "a"), "c", 1, "")
        store._db.execute("delete from containers")
    assert wrong(lived) == {"volumes": "warn", "networks": "warn", "containers": "warn", "steps": "warn"}


def test_who_holds_the_lock(lived: Desk) -> None:
    with Lock.acquire(key(lived.memory.info()), "lb apply x"):
        (check,) = [c for c in lived.lb("doctor", "-o", "json").json["checks"] if c["name"] == "lock"]
        assert check["result"] == "ok" and "`lb apply x`" in check["message"]


def test_a_client_that_can_not_be_made(lived: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(state: Path) -> None:
        raise LbError("the docker client's configuration can't be read", hint="mend it")

    monkeypatch.setattr(cli.doors, "engine", broken)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert wrong(lived, code=1) == {"engine": "fail"}
