"""Pulls from a real registry: what is said, what waits for what, and how they end."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time

import pytest

from tests.conftest import BUSYBOX
from tests.e2e.registries import Shelf, shelf
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.front import BLOB, MANIFEST, Fault

__all__ = ["shelf"]


def test_a_missing_image_is_pulled_and_says_how_far_it_is(shelf: Shelf) -> None:
    image_id = shelf.push("app", megabytes=3.25)
    shelf.front.faults = [Fault(BLOB, rate=500_000)]
    shelf.sandbox.service("a", image=shelf.image("app"))
    result = shelf.sandbox.apply()
    assert f"t/a pulling: {shelf.image('app')}" in result.err
    ((done, total),) = re.findall(r"t/a pulling: ([0-9.]+) of ([0-9.]+) MB", result.err)  # a line each five seconds
    assert 2 < float(done) < float(total) and float(total) >= 3.3, "it may have to fetch busybox's layer too"
    assert shelf.sandbox.one("a")["Image"] == image_id
    assert shelf.sandbox.apply().out == "no changes\n"


def test_what_a_registry_lacks_refuses_or_breaks_is_said(shelf: Shelf) -> None:
    address = shelf.address
    absent, odd = f"{address}/app@sha256:{'a' * 64}", b'{"errors":[{"code":"TOOMANYREQUESTS","message":"Slow down"}]}'
    for name in ("app", "gone", "busy", "busier"):
        shelf.push(name, megabytes=0.1)
    shelf.front.faults = [
        Fault("HEAD /v2/limited/|GET /v2/limited/", 429, odd),
        Fault("/v2/ill/", 500, b"oh"),
        Fault("/v2/closed/", 403, b'{"errors":[{"code":"DENIED","message":"no"}]}'),
        Fault("/v2/gone/blobs", 404),
        Fault("/v2/busy/blobs", 429, odd),
        Fault("/v2/busier/blobs", 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}'),
    ]
    config = f"{shelf.sandbox.env['DOCKER_CONFIG']}/config.json has none for it:"
    login = f"docker login {address}"
    silent = "dial tcp 127.0.0.1:9: connect: connection refused"
    wanted = {
        shelf.image("none"): f"image {address}/none:1 is not in the registry: check the name and tag",
        shelf.image("app", "2"): f"image {address}/app:2 is not in the registry: check the name and tag",
        absent: f"image {absent} is not in the registry: check the name and digest; it may have been removed there",
        shelf.image("limited"): f"image {address}/limited:1 can't be pulled: registry {address} limits how often it is "
        f"asked (toomanyrequests: Slow down): wait, or `docker login {address}` for a higher limit",
        shelf.image("ill"): f"image {address}/ill:1 can't be pulled: registry {address} is in trouble "
        "(received unexpected HTTP status: 500 Internal Server Error)",
        shelf.image(
            "closed"
        ): f"image {address}/closed:1 can't be pulled: registry {address} has none of that name, or "
        f"wants credentials, and {config} check the name, or {login}",
        "127.0.0.1:9/none:1": "image 127.0.0.1:9/none:1 can't be pulled: registry 127.0.0.1:9 does not answer "
        f'(Get "http://127.0.0.1:9/v2/": {silent})',
        # From here on the error comes inside a stream that began well.
        shelf.image("gone"): f"image {address}/gone:1 can't be pulled: registry {address} lacks a part of it (error "
        "pulling image configuration: download failed after attempts=1: unknown blob): push it again",
        shelf.image("busy"): f"image {address}/busy:1 can't be pulled: registry {address} limits how often it is "
        "asked (error pulling image configuration: download failed after attempts=1: toomanyrequests: Slow down): "
        f"wait, or `docker login {address}` for a higher limit",
        shelf.image("busier"): f"image {address}/busier:1 can't be pulled: registry {address} wants credentials, and "
        f"{config} {login}",
    }
    for number, image in enumerate(wanted):
        shelf.sandbox.service(f"s{number}", image=image)
    outcomes = {o["object"]: o for o in shelf.sandbox.apply("-o", "json", code=1).json["outcomes"]}
    assert {image: outcomes[f"t/s{n}"]["message"] for n, image in enumerate(wanted)} == wanted
    assert not shelf.sandbox.containers()


def test_an_unknown_host_is_said_within_the_engines_own_limits(shelf: Shelf) -> None:
    shelf.sandbox.service("a", image="registry.invalid/app:1")
    (failed,) = [o for o in shelf.sandbox.apply("-o", "json", code=1).json["outcomes"] if o["object"] == "t/a"]
    assert failed["message"].startswith(
        "image registry.invalid/app:1 can't be pulled: registry registry.invalid does not answer (Get "
        '"https://registry.invalid/v2/": dial tcp: lookup registry.invalid'
    )


def test_a_download_that_is_cut_is_taken_up_again(shelf: Shelf) -> None:
    shelf.push("app", megabytes=0.5)
    cut = Fault(r"GET /v2/app/blobs/", cut=300_000)
    shelf.front.faults = [cut]
    shelf.sandbox.service("a", image=shelf.image("app"))
    applying = shelf.begin_apply()
    eventually(lambda: shelf.front.count(BLOB) > 2)  # config, layer, and the layer again after the engine's 5 seconds
    shelf.front.faults = []
    out, err = applying.communicate(timeout=60)
    assert applying.returncode == 0, out + err
    assert shelf.sandbox.live("a")


def test_a_slow_pull_holds_up_nobody_else(shelf: Shelf) -> None:
    shelf.push("slow", megabytes=1)
    shelf.push("quick")
    gate = threading.Event()
    shelf.front.faults = [Fault(r"/v2/slow/blobs/", gate=gate)]
    shelf.sandbox.service("slow", image=shelf.image("slow"))
    shelf.sandbox.service("after", depends_on=["slow"])
    shelf.sandbox.service("quick", image=shelf.image("quick"))
    for number in range(3):
        shelf.sandbox.service(f"other{number}")
    applying = shelf.begin_apply()
    try:
        eventually(lambda: len(shelf.sandbox.containers()) == 4 and all(_runs(c) for c in shelf.sandbox.containers()))
        assert applying.poll() is None and shelf.front.open, "the slow one is still being pulled"
    finally:
        gate.set()
    out, err = applying.communicate(timeout=60)
    assert applying.returncode == 0, out + err
    (slow,) = shelf.sandbox.live("slow")
    others = [
        c for c in shelf.sandbox.containers() if c["Name"].split(".")[1] in ("quick", "other0", "other1", "other2")
    ]
    assert len(others) == 4 and all(c["State"]["StartedAt"] < slow["Created"] for c in others)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_pull_and_the_engine_gives_it_up(shelf: Shelf, number: signal.Signals) -> None:
    shelf.push("app", megabytes=4)
    shelf.front.faults = [Fault(BLOB, rate=40_000)]
    shelf.sandbox.service("a", image=shelf.image("app"))
    shelf.sandbox.service("b")
    applying = shelf.begin_apply()
    eventually(lambda: any("blobs" in line for line in shelf.front.open))
    eventually(lambda: shelf.sandbox.live("b"))
    _ends(applying, number, shelf, f"while image {shelf.image('app')} is pulled")
    eventually(lambda: not shelf.front.open, 10)
    assert not shelf.sandbox.containers("a")
    shelf.front.faults = []
    shelf.sandbox.apply()
    assert shelf.sandbox.live("a")


def test_a_signal_ends_the_wait_for_a_registry_that_is_silent(shelf: Shelf) -> None:
    shelf.front.faults = [Fault(MANIFEST, gate=threading.Event())]
    shelf.sandbox.service("a", image=shelf.image("app"))
    applying = shelf.begin_apply()
    eventually(lambda: shelf.front.open)
    _ends(applying, signal.SIGINT, shelf, f"while image {shelf.image('app')} is pulled")


def test_services_that_want_the_same_image_pull_it_once(shelf: Shelf) -> None:
    shelf.push("app", megabytes=1)
    shelf.front.faults = [Fault(BLOB, rate=1_000_000)]
    names = [f"s{number}" for number in range(5)]
    for name in names:
        shelf.sandbox.service(name, image=shelf.image("app"), depends_on=["s0"] if name == "s4" else [])
    result = shelf.sandbox.apply()
    assert all(f"t/{name} pulling" in result.err for name in names[:4])
    assert "t/s4 pulling" not in result.err, "it comes when the image is there"
    assert shelf.front.count("HEAD .*/manifests/1$") == 1
    assert len(shelf.sandbox.containers()) == 5


def test_a_pull_that_fails_keeps_what_runs_and_is_tried_again(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    sandbox.service("a", replicas=2)
    sandbox.apply()
    before = sandbox.running()
    sandbox.service("a", replicas=2, image=shelf.image("app"))
    for _ in range(2):
        result = sandbox.apply(code=1)
        assert f"image {shelf.image('app')} is not in the registry: check the name and tag" in result.out
        assert sandbox.running() == before
    asked = shelf.front.count("HEAD .*/manifests/1$")
    assert asked == 2, "it is not condemned"
    image_id = shelf.push("app")
    sandbox.apply()
    assert {c["Image"] for c in sandbox.containers("a")} == {image_id}


def test_references_by_digest(shelf: Shelf) -> None:
    old = shelf.push("app", mark="old")
    shelf.push("app", mark="new")
    digest = shelf.digests["old"]
    shelf.sandbox.service("a", image=f"{shelf.address}/app@{digest}")
    shelf.sandbox.service("b", image=f"{shelf.address}/app:1@{digest}")
    shelf.sandbox.apply()
    assert {c["Image"] for c in shelf.sandbox.containers()} == {old}
    assert shelf.sandbox.apply().out == "no changes\n"
    shelf.sandbox.service("b", image=f"{shelf.address}/app:1@{digest}", replicas=2, pull_policy="never")
    shelf.sandbox.apply()
    assert [c["Image"] for c in shelf.sandbox.containers()] == [old] * 3


def test_never_asks_no_registry(shelf: Shelf) -> None:
    shelf.push("app")
    shelf.sandbox.service("a", image=shelf.image("app"), pull_policy="never")
    message = f"image {shelf.image('app')} is not on this engine and pull_policy is never"
    assert message in shelf.sandbox.apply(code=1).out
    shelf.sandbox.service("a", image=BUSYBOX, pull_policy="never")
    shelf.sandbox.apply()
    assert not shelf.front.requests


def test_a_daemon_leaves_a_pull_that_is_no_longer_wanted(shelf: Shelf) -> None:
    shelf.push("app", megabytes=4)
    shelf.front.faults = [Fault(BLOB, rate=40_000)]
    shelf.sandbox.service("a", image=shelf.image("app"))
    with running_daemon(shelf.sandbox) as daemon:
        eventually(lambda: any("blobs" in line for line in shelf.front.open))
        shelf.sandbox.service("a")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: shelf.sandbox.live("a"))
        eventually(lambda: not shelf.front.open, 10)
        assert daemon.end() == 0


def _ends(applying: subprocess.Popen[str], number: signal.Signals, shelf: Shelf, said: str) -> None:
    begun = time.monotonic()
    applying.send_signal(number)
    out, err = applying.communicate(timeout=20)
    assert applying.returncode == 130, out + err
    assert time.monotonic() - begun < 3
    assert f"{said}; the next apply carries on" in out


def _runs(container: dict[str, object]) -> bool:
    state = container["State"]
    assert isinstance(state, dict)
    return state["Status"] == "running"
