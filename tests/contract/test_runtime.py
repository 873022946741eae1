"""What every runtime must do, on the engine in memory and on the real one: the same cycles, judged by what is there."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from docker.errors import APIError

from reconciler import clock, errors, reconcile
from reconciler.apply import Tools
from reconciler.errors import EngineUnreachable, NotFound
from reconciler.model import (
    Container,
    Dependency,
    Desired,
    Healthcheck,
    Links,
    Mount,
    NamedVolume,
    Namespace,
    Network,
    Outcome,
    Port,
    Powers,
    Ref,
    Service,
    Spec,
    Update,
)
from reconciler.plan import Answers
from reconciler.runtimes import translate
from reconciler.runtimes.calls import Calls
from reconciler.runtimes.engine import Engine
from reconciler.store import Store
from tests.conftest import BUSYBOX, IMAGES, PREFIX, SECOND, Sandbox
from tests.support.memory import Memory

NS = Ref("t")
ENDING = 500_000_000  # ns to be ready in: a replica that ends at once may yet be seen running


@dataclass
class World:
    """One source on one engine, with a state of its own. `harm` are the things people do by hand."""

    calls: Calls
    store: Store
    image: str
    harm: dict[str, Callable[[str], Any]]
    command: Callable[[int | None], tuple[str, ...]]
    move_tag: Callable[[], None]  # of `image`, to another image; the second time, back
    name: str = field(default_factory=lambda: PREFIX + uuid.uuid4().hex[:8])

    def service(self, name: str = "a", exits: int | None = None, **spec: Any) -> Service:
        quick: dict[str, Any] = {"image": self.image, "command": self.command(exits), "stop_signal": "SIGKILL"}
        quick["update"] = Update(min_ready=ENDING if exits else 0)
        return Service(Ref("t", name), Spec(**{**quick, **spec}), shown={"image": self.image})

    def apply(
        self,
        *services: Service,
        answers: Answers | None = None,
        spaces: Mapping[str, Namespace] = {"t": Namespace(NS)},
    ) -> tuple[Outcome, ...]:
        wanted = {service.ref: service for service in services}
        mentioned = frozenset([*wanted, *(space.ref for space in spaces.values())])
        desired = Desired(self.name, "/", spaces, wanted, mentioned=mentioned)
        runtime = Engine(self.calls, "/nowhere", clock.now)
        tools = Tools(runtime, self.store, lambda: None, lambda progress: None, Event())
        return reconcile.carry_out(desired, answers or Answers(), tools).outcomes

    def seen(self) -> dict[str, Container]:
        found = [c for c in self.calls.containers() if c.labels["lb.source"] == self.name]
        return {c.name: c for c in sorted(found, key=lambda c: c.name)}

    def networks(self) -> list[Network]:
        return [network for network in self.calls.networks() if network.name == "lb.t"]

    def ids(self) -> set[str]:
        return {c.id for c in self.seen().values() if c.state == "running"}


@pytest.fixture
def memory(tmp_path: Path) -> World:
    calls = Memory()
    harm: dict[str, Callable[[str], Any]] = {
        "stop": lambda c: calls.stop(c, 0),
        "remove": lambda c: (calls.stop(c, 0), calls.remove(c)),
        "pause": calls.pause,
        "rename": lambda c: calls.rename(c, "lbtest-renamed"),
        "update": lambda c: calls.update(c, {"Memory": 64 * 1048576}),
        "disconnect": calls.disconnect,
        "network again": lambda nonce: calls.late_network("lb.t", {"lb.intent": nonce}),
    }

    def command(exits: int | None) -> tuple[str, ...]:
        return ("sleep", "1000") if exits is None else ("exit", str(exits))

    images = itertools.cycle(["sha256:2", "sha256:1"])
    calls.images_here["docker.io/library/other:1"] = "sha256:2"
    calls.images_here["docker.io/library/first:1"] = "sha256:1"

    def move_tag() -> None:
        calls.images_here["docker.io/library/app:1"] = next(images)

    return World(calls, Store.open(tmp_path), "docker.io/library/app:1", harm, command, move_tag)


@pytest.fixture
def real(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from reconciler.runtimes.client import connect

    engine = sandbox.api
    monkeypatch.setenv("DOCKER_HOST", sandbox.env["DOCKER_HOST"])
    calls = connect()
    harm: dict[str, Callable[[str], Any]] = {
        "stop": lambda c: engine.stop(c, timeout=0),
        "remove": lambda c: engine.remove_container(c, force=True),
        "pause": engine.pause,
        "rename": lambda c: engine.rename(c, "lbtest-renamed"),
        "update": lambda c: engine.update_container(c, mem_limit=64 * 1048576, memswap_limit=128 * 1048576),
        "disconnect": lambda c: engine.disconnect_container_from_network(c, "lb.t"),
        "network again": lambda nonce: engine.create_network(
            "lb.t", labels={"lb.intent": nonce}, check_duplicate=False
        ),
    }

    def command(exits: int | None) -> tuple[str, ...]:
        return ("sleep", "1000") if exits is None else ("sh", "-c", f"exit {exits}")

    tag = f"{PREFIX}image:1"
    engine.tag(BUSYBOX, f"{PREFIX}image", "1")
    others = itertools.cycle([f"{IMAGES}redis:7.0", BUSYBOX])

    def move_tag() -> None:
        engine.tag(next(others), f"{PREFIX}image", "1")

    yield World(calls, Store.open(tmp_path), translate.full_reference(tag), harm, command, move_tag)
    calls.close()
    engine.remove_image(tag, force=True)


@pytest.fixture(params=["memory", pytest.param("real", marks=[pytest.mark.engine, pytest.mark.xdist_group(SECOND)])])
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


def results(outcomes: tuple[Outcome, ...]) -> list[str]:
    return [f"{o.verb} {o.ref} {o.result}" for o in outcomes]


def test_create_then_nothing(world: World) -> None:
    service = world.service(replicas=2, memory=32 * 1048576)
    assert results(world.apply(service)) == ["create t done", "create t/a done"]
    assert [c.number for c in world.seen().values()] == [1, 2]
    assert all(c.state == "running" and c.projection["memory"] == 32 * 1048576 for c in world.seen().values())
    assert world.apply(service) == ()


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_replace(world: World, order: Any) -> None:
    update = Update(order=order, min_ready=0)
    world.apply(world.service(replicas=2, update=update))
    old = world.ids()
    assert results(world.apply(world.service(replicas=2, update=update, env=(("A", "b"),)))) == ["replace t/a done"]
    assert len(world.ids()) == len(world.seen()) == 2 and not old & world.ids()


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_a_failed_revision_leaves_the_old_replicas_and_is_held(world: World, order: Any) -> None:
    update = Update(order=order, min_ready=ENDING)
    good = world.service(replicas=2, update=update)
    world.apply(good)
    old = world.ids()
    bad = world.service(exits=3, replicas=2, update=update, restart="no")
    (outcome,) = world.apply(bad)
    assert outcome.result == "failed" and outcome.condemns and "exit 3" in outcome.message
    assert world.ids() == old and len(world.seen()) == 3
    assert results(world.apply(bad)) == ["held t/a held"]
    assert results(world.apply(good)) == ["heal t/a done"]
    assert world.ids() == old and len(world.seen()) == 2
    assert world.apply(good) == ()


def test_beside_a_failed_revision_the_good_replicas_are_mended(world: World) -> None:
    good = world.service(replicas=2)
    world.apply(good)
    old = world.ids()
    bad = world.service(exits=3, replicas=2, restart="no")
    world.apply(bad)
    world.harm["stop"](sorted(old)[0])
    assert results(world.apply(bad)) == ["held t/a held"]
    assert world.ids() == old and len(world.seen()) == 3
    calls = list(getattr(world.calls, "calls", ()))
    assert results(world.apply(bad)) == ["held t/a held"]
    assert list(getattr(world.calls, "calls", ())) == calls


def test_unhealthy_is_not_ready(world: World) -> None:
    check = Healthcheck(("CMD", "false"), interval=10**8, timeout=10**9, retries=1)
    good = world.service(healthcheck=replace(check, test=("CMD", "true")))
    world.apply(good)
    old = world.ids()
    (outcome,) = world.apply(world.service(healthcheck=check))
    assert "is unhealthy" in outcome.message and world.ids() == old


def test_scale_up_and_down(world: World) -> None:
    world.apply(world.service(replicas=1))
    first = world.ids()
    assert results(world.apply(world.service(replicas=3))) == ["scale t/a done"]
    assert first < world.ids() and len(world.ids()) == 3
    world.apply(world.service(replicas=1))
    assert world.ids() == first and len(world.seen()) == 1


def test_change_in_place(world: World) -> None:
    world.apply(world.service(memory=32 * 1048576))
    before = world.ids()
    assert results(world.apply(world.service(memory=48 * 1048576))) == ["update t/a done"]
    assert world.ids() == before
    assert [c.projection["memory"] for c in world.seen().values()] == [48 * 1048576]


@pytest.mark.parametrize("harm", ["stop", "remove", "pause", "rename", "update", "disconnect"])
def test_drift_is_mended(world: World, harm: str) -> None:
    service = world.service(replicas=2, memory=32 * 1048576)
    world.apply(service)
    victim = next(iter(world.seen().values())).id
    world.harm[harm](victim)
    assert results(world.apply(service)) == ["heal t/a done"]
    assert len(world.ids()) == 2 and (victim in world.ids()) == (harm != "remove")
    assert {c.projection["memory"] for c in world.seen().values()} == {32 * 1048576}
    assert world.apply(service) == ()


def test_a_service_joins_several_networks(world: World) -> None:
    spaces = {"t": Namespace(NS), "u": Namespace(Ref("u"), share_with=("t",))}
    joined = world.service(links=Links(networks=("u",)), replicas=2)
    assert results(world.apply(joined, spaces=spaces)) == ["create t done", "create u done", "create t/a done"]
    before = world.ids()
    assert all(len(c.networks) == 2 for c in world.seen().values())
    assert world.apply(joined, spaces=spaces) == ()
    victim = next(iter(world.seen().values())).id
    world.harm["disconnect"](victim)
    assert results(world.apply(joined, spaces=spaces)) == ["heal t/a done"]
    assert all(len(c.networks) == 2 for c in world.seen().values()) and world.ids() == before
    world.apply(world.service(replicas=2), spaces=spaces)
    assert all(len(c.networks) == 1 for c in world.seen().values())


def test_a_container_that_was_not_connected_everywhere_is_carried_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends between the calls: the next one connects what is there, and starts it."""
    spaces = {"t": Namespace(NS), "u": Namespace(Ref("u"), share_with=("t",))}
    joined = world.service(links=Links(networks=("u",)))

    def gone(*_: Any) -> None:
        raise EngineUnreachable("the engine went away")

    with monkeypatch.context() as cut:
        cut.setattr(world.calls, "connect", gone)
        with pytest.raises(EngineUnreachable):
            world.apply(joined, spaces=spaces)
    (left,) = world.seen().values()
    assert left.state == "created" and len(left.networks) < 2  # the real engine shows them once it started
    assert [o.result for o in world.apply(joined, spaces=spaces)] == ["done"]
    (found,) = world.seen().values()
    assert (found.id, found.state, len(found.networks)) == (left.id, "running", 2)
    assert world.apply(joined, spaces=spaces) == ()


def test_a_network_that_an_interrupted_run_made_once_more_goes(world: World) -> None:
    """An engine from 25 on refuses the second one; until 24, no container could be started in either by name."""
    service = world.service(replicas=2)
    world.apply(service)
    before = world.ids()
    intent = world.store.begin("network", NS, "lb.t", 0, "")
    try:
        world.harm["network again"](intent.nonce)
    except APIError as refused:
        assert "already exists" in str(refused)
        return
    assert len(world.networks()) == 2
    assert results(world.apply(service)) == ["heal t done"]
    assert len(world.networks()) == 1 and world.ids() == before
    assert results(world.apply(world.service(replicas=3))) == ["scale t/a done"]
    assert world.apply(world.service(replicas=3)) == ()


def test_a_network_of_our_name_that_is_not_ours_stays(world: World) -> None:
    service = world.service()
    world.apply(service)
    try:
        world.harm["network again"]("of somebody else")
    except APIError as refused:
        assert "already exists" in str(refused)
        return
    assert world.apply(service) == () and len(world.networks()) == 2
    (outcome,) = world.apply(world.service(replicas=2))
    assert (outcome.result, outcome.condemns) == ("failed", False) and "lb.t is ambiguous" in outcome.message
    assert len(world.networks()) == 2
    (network,) = [found.id for found in world.networks() if found.labels == {"lb.intent": "of somebody else"}]
    world.calls.remove_network(network)


def test_a_volume_is_made_with_its_options(world: World) -> None:
    wanted = NamedVolume("lb.t.small", "local", (("device", "tmpfs"), ("o", "size=1m"), ("type", "tmpfs")))
    mounts = (Mount("/small", "volume", "small"),)
    world.apply(replace(world.service(mounts=mounts), volumes={"small": wanted}))
    made = world.calls.volume("lb.t.small")
    assert made and (made.driver, made.options) == (wanted.driver, wanted.driver_opts)
    assert world.apply(replace(world.service(mounts=mounts), volumes={"small": wanted})) == ()
    other = replace(wanted, driver_opts=(("device", "tmpfs"), ("type", "tmpfs")))
    assert world.apply(replace(world.service(mounts=mounts, env=(("A", "b"),)), volumes={"small": other})) == ()


def test_what_the_host_does_not_allow_is_not_made(world: World) -> None:
    world.apply(world.service())
    before = world.ids()
    (outcome,) = world.apply(world.service(powers=Powers(privileged=True)))
    assert (outcome.result, outcome.code, outcome.condemns) == ("failed", 77, False)
    assert "a privileged container is denied by this host's policy" in outcome.message
    assert world.ids() == before and len(world.seen()) == 1


def test_removal_stops_and_removes_but_keeps_volumes(world: World) -> None:
    a = world.service("a", mounts=(Mount("/data", "volume", "data"),))
    b, c, d = (world.service(name) for name in "bcd")
    world.apply(a, b, c, d)
    world.apply(b, c, d)
    assert {seen.ref.name for seen in world.seen().values()} == {"b", "c", "d"}
    assert world.calls.volume("lb.t.data")


def test_a_volume_is_removed_once_no_container_mounts_it(world: World) -> None:
    a = world.service("a", mounts=(Mount("/data", "volume", "data"),))
    b, c, d = (world.service(name) for name in "bcd")
    world.apply(a, b, c, d)
    runtime = Engine(world.calls, "/nowhere", clock.now)
    (name,) = (seen.name for seen in world.seen().values() if seen.ref.name == "a")
    assert runtime.mounted()["lb.t.data"] == (name,)
    world.calls.stop(next(c.id for c in world.seen().values() if c.name == name), 0)
    assert runtime.mounted()["lb.t.data"] == (name,)
    with pytest.raises(errors.EngineError, match="in use"):
        runtime.remove_volume("lb.t.data")
    world.apply(b, c, d)
    assert "lb.t.data" not in runtime.mounted() and runtime.volume("lb.t.data")
    runtime.remove_volume("lb.t.data")
    assert runtime.volume("lb.t.data") is None
    runtime.remove_volume("lb.t.data")


def test_a_taken_port_names_its_holder_and_is_tried_again(world: World) -> None:
    port = Port(80, "tcp", 18096, "127.0.0.1")
    world.apply(world.service("a", ports=(port,)))
    (outcome,) = world.apply(world.service("a", ports=(port,)), world.service("b", ports=(port,)))
    assert "is taken by container t.a.1-1" in outcome.message and not outcome.condemns
    world.apply(world.service("b", ports=(port,)), world.service("c"), world.service("d"))


def test_stop_first_with_a_port_keeps_the_port_on_failure(world: World) -> None:
    port = Port(80, "tcp", 18095, "127.0.0.1")
    world.apply(world.service(ports=(port,)))
    old = world.ids()
    (outcome,) = world.apply(world.service(exits=5, ports=(port,), restart="no"))
    assert outcome.result == "failed" and world.ids() == old


def test_a_missing_image_keeps_what_runs(world: World) -> None:
    world.apply(world.service())
    old = world.ids()
    (outcome,) = world.apply(world.service(image="127.0.0.1:9/none:1"))
    assert "can't be pulled" in outcome.message and world.ids() == old and not outcome.condemns


def test_a_log_stream_is_read_and_closed(world: World) -> None:
    world.apply(world.service())
    (seen,) = world.seen().values()
    read = list(world.calls.logs(seen.id, follow=False, tail=None, since=None, timestamps=False))
    assert all(source in ("stdout", "stderr") and isinstance(data, bytes) for source, data in read)
    stream = world.calls.logs(seen.id, follow=True, tail=None, since=None, timestamps=False)
    stream.close()
    stream.close()
    assert b"".join(data for _, data in stream).strip() == b""
    with pytest.raises(NotFound):
        world.calls.logs("0" * 64, follow=False, tail=None, since=None, timestamps=False)


def test_a_dependency_that_can_not_be_met_blocks_its_dependents_only(world: World) -> None:
    job = world.service("job", exits=3, restart="no")
    after = world.service("after", depends_on=(Dependency(Ref("t", "job"), "completed"),))
    found = results(world.apply(job, after, world.service("other")))
    assert sorted(found) == [
        "create t done", "create t/after blocked", "create t/job failed", "create t/other done",
    ]  # fmt: skip
    assert {c.ref.name for c in world.seen().values()} == {"job", "other"}


def test_calls_that_find_it_done_or_impossible(world: World) -> None:
    """What the engine in memory says must be what the real one says: a rollout is built on it."""
    world.apply(world.service(replicas=2))
    calls, (first, second) = world.calls, sorted(world.seen())
    container, network = world.seen()[first].id, world.seen()[first].networks[0]
    started = calls.inspect(container).started
    calls.start(container)
    assert calls.inspect(container).started == started
    with pytest.raises(errors.EngineError, match="is not paused"):
        calls.unpause(container)
    with pytest.raises(errors.Rejected, match="already exists in network"):
        calls.connect(network, container, ("a",))
    with pytest.raises(errors.Rejected, match="same name"):
        calls.rename(container, first)
    with pytest.raises(errors.NameConflict):
        calls.rename(container, second)
    with pytest.raises(errors.EngineError, match="already exists"):
        calls.create_network("lb.t", {"lb.source": world.name}, "10.99.0.0/24")
    with pytest.raises(errors.EngineError, match="You cannot remove a running"):
        calls.remove(container)
    world.harm["pause"](container)
    with pytest.raises(errors.EngineError, match="cannot start a paused container"):
        calls.start(container)
    calls.stop(container, 0)
    calls.remove(container)
    calls.remove(container)
    calls.stop(container, 0)
    with pytest.raises(errors.NotFound):
        calls.start(container)


def test_a_service_that_never_completes_is_named(world: World) -> None:
    server = world.service("server")
    after = world.service("after", depends_on=(Dependency(Ref("t", "server"), "completed"),))
    blocked = next(o for o in world.apply(server, after) if o.ref.name == "after")
    assert "t/server to complete, which its restart policy prevents" in blocked.message


def test_a_dependency_without_an_action_is_looked_at(world: World) -> None:
    job = world.service("job", exits=0, restart="no")
    server = world.service("server")
    assert all(o.result == "done" for o in world.apply(job, server))
    needs = (Dependency(Ref("t", "job"), "completed"), Dependency(Ref("t", "server"), "healthy"))
    after = world.service("after", depends_on=needs)
    assert results(world.apply(job, server, after)) == ["create t/after done"]


def test_a_moved_tag_does_not_mix_images_within_a_revision(world: World) -> None:
    service = world.service(replicas=2)
    world.apply(service)
    (image,) = {c.image_id for c in world.seen().values()}
    victim = next(iter(world.seen().values())).id
    world.harm["remove"](victim)
    world.move_tag()
    try:
        assert results(world.apply(service)) == ["heal t/a done"]
        assert results(world.apply(replace(service, spec=replace(service.spec, replicas=3)))) == ["scale t/a done"]
    finally:
        world.move_tag()
    assert [c.image_id for c in world.seen().values()] == [image] * 3
