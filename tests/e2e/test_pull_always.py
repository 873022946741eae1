"""`pull_policy: always` asks the registry again; and what was pruned comes back as it was."""

from __future__ import annotations

import re
import signal
import threading

from reconciler.model import Ref, Revision
from reconciler.store import Store
from tests.conftest import BUSYBOX, ENDS, SOCKET, Sandbox
from tests.e2e.registries import Shelf, shelf
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.front import MANIFEST, Fault
from tests.support.proxy import proxied

__all__ = ["shelf"]


def current(sandbox: Sandbox, name: str = "a") -> Revision:
    store = Store.open(sandbox.state, create=False)
    try:
        found = store.recorded().services[Ref("t", name)].current
    finally:
        store.close()
    assert found is not None
    return found


def images(sandbox: Sandbox) -> list[str]:
    return [c["Image"] for c in sandbox.live("a")]


def test_a_new_digest_is_a_revision_and_the_same_is_no_change(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    old = shelf.push("app", mark="old")
    sandbox.service("a", image=shelf.image("app"), pull_policy="always", replicas=2)
    sandbox.apply()
    assert (current(sandbox).digest, current(sandbox).image_id) == (shelf.digests["old"], old)
    running = sandbox.running()
    assert sandbox.apply().out == "no changes\n"
    assert sandbox.running() == running

    new = shelf.push("app", mark="new")
    was, now = shelf.digests["old"][:19], shelf.digests["new"][:19]
    cause = f"image digest of {shelf.image('app')} is {now}, was {was}"
    planned = sandbox.lb("plan").out
    assert cause in planned and "replace service t/a (rolling)" in planned
    assert images(sandbox) == [old] * 2
    assert new not in {image["Id"] for image in sandbox.api.images(all=True)}, "a plan pulls nothing"
    assert cause in sandbox.apply().out
    assert images(sandbox) == [new] * 2
    assert (current(sandbox).number, current(sandbox).digest) == (1, shelf.digests["new"])
    assert sandbox.apply().out == "no changes\n"
    named = [image["RepoTags"] for image in sandbox.api.images() if image["Id"] == new]
    assert named == [[shelf.image("app")]], "the tag here moves with it"


def test_the_same_image_under_a_new_digest_replaces_nothing(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    image_id = shelf.push("app", megabytes=0.1)
    sandbox.service("a", image=shelf.image("app"), pull_policy="always")
    sandbox.apply()
    running, old = sandbox.running(), shelf.digests["app"]
    shelf.push_again("app")
    assert shelf.digests["app"] != old
    assert "image digest of" in sandbox.apply().out
    assert sandbox.running() == running
    assert (current(sandbox).number, current(sandbox).digest) == (0, shelf.digests["app"])
    assert current(sandbox).image_id == image_id
    assert sandbox.apply().out == "no changes\n"


def test_asking_calls_nothing_that_changes_the_engine(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    shelf.push("app")
    sandbox.service("a", image=shelf.image("app"), pull_policy="always")
    sandbox.apply()
    asked = shelf.front.count(MANIFEST)
    with proxied(SOCKET, sandbox.folder) as proxy:
        sandbox.env["DOCKER_HOST"] = f"unix://{proxy.path}"
        assert sandbox.apply().out == "no changes\n"
        assert proxy.mutating == []
    assert shelf.front.count(MANIFEST) > asked


def test_a_registry_that_is_down_keeps_what_runs_and_is_named(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    shelf.push("app")
    sandbox.service("a", image=shelf.image("app"), pull_policy="always")
    sandbox.apply()
    running = sandbox.running()
    shelf.registry.stop()
    shelf.front.faults = [Fault(".", 503)]
    sandbox.service("b")
    result = sandbox.apply(code=1)
    trouble = (
        f"t/a runs on as it is; image {shelf.image('app')} can't be pulled: registry {shelf.address} is in trouble"
    )
    assert trouble in result.err
    assert running.items() <= sandbox.running().items() and sandbox.live("b"), "the rest is done"
    assert trouble in sandbox.lb("plan", code=1).err
    shelf.registry.start()
    shelf.front.faults = []
    assert sandbox.apply().out == "no changes\n"


def test_an_image_that_is_gone_from_the_registry_runs_on(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    shelf.push("app")
    sandbox.service("a", image=shelf.image("app"), pull_policy="always")
    sandbox.apply()
    running = sandbox.running()
    shelf.registry.forget("app", shelf.digests["app"])
    gone = f"t/a runs on as it is; image {shelf.image('app')} is not in the registry: check the name and tag"
    assert gone in sandbox.apply(code=1).err
    assert sandbox.running() == running


def test_asking_a_slow_registry_ends_with_a_signal(shelf: Shelf) -> None:
    shelf.front.faults = [Fault(MANIFEST, gate=threading.Event())]
    shelf.sandbox.service("a", image=shelf.image("app"), pull_policy="always")
    applying = shelf.begin_apply()
    eventually(lambda: shelf.front.open)
    applying.send_signal(signal.SIGINT)
    _, err = applying.communicate(timeout=5)
    assert applying.returncode == 130
    assert f"while the registry is asked for {shelf.image('app')}; the next apply carries on" in err
    assert "the time limit of 0.5 s is up" in shelf.sandbox.apply("--timeout", "0.5", code=1).err


def test_a_new_digest_that_fails_is_held_until_there_is_another(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    good = shelf.push("app", mark="good")
    command = ["sh", "-c", "grep -q bad /mark && exit 3; exec sleep 100000"]
    sandbox.service("a", image=shelf.image("app"), pull_policy="always", command=command, **ENDS)
    sandbox.apply()
    shelf.push("app", mark="bad")
    assert "failed: replace t/a" in sandbox.apply(code=1).out
    assert images(sandbox) == [good]
    again = sandbox.apply(code=1)
    assert "held t/a: " in again.out and "pulling" not in again.err
    better = shelf.push("app", mark="better")
    sandbox.apply()
    assert images(sandbox) == [better]


def test_a_daemon_asks_when_the_source_changes(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    old = shelf.push("app", mark="old")
    sandbox.service("a", image=shelf.image("app"), pull_policy="always")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: images(sandbox) == [old])
        new = shelf.push("app", mark="new")
        assert "image digest of" in sandbox.apply().out + daemon.log
        eventually(lambda: images(sandbox) == [new])
        shelf.front.faults = [Fault(MANIFEST, 500)]
        result = sandbox.apply(code=1)
        assert "t/a runs on as it is" in result.err and "no changes" in result.out
        assert re.search(r"warning registry: t/a runs on as it is; image \S+ can't be pulled", daemon.log)
        shelf.front.faults = []
        sandbox.apply()
        assert "registry: in order again" in daemon.log
        assert daemon.end() == 0
    assert images(sandbox) == [new]


def test_what_was_pruned_comes_back_by_its_digest(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    first = shelf.push("app", mark="first")
    sandbox.service("a", image=shelf.image("app"))
    sandbox.apply()
    shelf.push("app", mark="second")  # the tag is another's now
    sandbox.api.remove_container(sandbox.one("a")["Id"], force=True)
    sandbox.api.remove_image(first, force=True)
    sandbox.apply()
    assert images(sandbox) == [first]
    sandbox.api.tag(BUSYBOX, shelf.image("app").rpartition(":")[0], "1")
    sandbox.service("a", image=shelf.image("app"), replicas=2)
    sandbox.apply()
    assert images(sandbox) == [first] * 2
    assert current(sandbox).digest == shelf.digests["first"]


def test_what_was_pruned_and_is_gone_from_the_registry_too_is_said(shelf: Shelf) -> None:
    sandbox = shelf.sandbox
    first = shelf.push("app", mark="first")
    sandbox.service("a", image=shelf.image("app"))
    sandbox.apply()
    shelf.push("app", mark="second")
    shelf.registry.forget("app", shelf.digests["first"])
    sandbox.api.remove_container(sandbox.one("a")["Id"], force=True)
    sandbox.api.remove_image(first, force=True)
    exact = f"{shelf.address}/app@{shelf.digests['first']}"
    assert f"image {exact} is not in the registry: check the name and digest" in sandbox.apply(code=1).out
    assert not sandbox.containers("a"), "rather none than another image under the same revision"


def test_an_image_that_came_from_no_registry_has_no_digest(shelf: Shelf) -> None:
    shelf.sandbox.service("a")
    shelf.sandbox.apply()
    assert (current(shelf.sandbox).digest, current(shelf.sandbox).image_id[:7]) == ("", "sha256:")
