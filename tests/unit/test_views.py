"""The JSON of the API reference. What is expected here was written by hand from the document, not made by the code."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler import status, views
from reconciler.model import (
    Activity,
    Container,
    Observed,
    Place,
    Port,
    Recorded,
    RecordedContainer,
    RecordedNamespace,
    RecordedService,
    Ref,
    Revision,
)
from reconciler.views import Picture
from tests.support.build import ENGINE, make_recorded, make_revision, make_service, steady

LOOK = "2017-05-20T22:50:00.000000000Z"
CONTAINER = "9f1d" * 16
SPEC_ID = "e2864bc8-3970-4a81-ab0e-6d6e40811c1b"

# The examples of the document, key by key; labels, observed and pods are ours, after its keys. The counters are not
# the document's: there one replica runs of none that exist.
NAMESPACE = """
{
  "meta": {
    "name": "test-ns",
    "description": "this description info about this namespace",
    "created": "2017-01-20T22:13:04.596267094+03:00",
    "updated": "2017-03-11T10:10:04.506267142+03:00",
    "labels": {}
  }
}
"""
SERVICE = """
{
  "meta": {
    "name": "redis",
    "description": "demo description",
    "replicas": 1,
    "namespace": "demo",
    "created": "2017-05-20T22:43:33.101059484+03:00",
    "updated": "2017-05-20T22:43:33.101059607+03:00",
    "labels": {"tier": "cache"}
  },
  "state": {
    "state": "started",
    "status": "",
    "resources": {
      "memory": 64
    },
    "replicas": {
      "total": 1,
      "provision": 0,
      "ready": 1,
      "running": 1,
      "created": 0,
      "stopped": 0,
      "errored": 0
    },
    "observed": "2017-05-20T22:50:00.000000000Z"
  },
  "spec": [
    {
      "meta": {
        "id": "e2864bc8-3970-4a81-ab0e-6d6e40811c1b",
        "parent": "",
        "revision": 0,
        "labels": {},
        "created": "2017-05-20T22:43:33.101063214+03:00",
        "updated": "2017-05-20T22:43:33.101063261+03:00"
      },
      "memory": 64,
      "command": "",
      "image": "redis",
      "env": null,
      "ports": []
    }
  ],
  "pods": [
    {
      "meta": {
        "name": "demo.redis.1-1",
        "labels": {
          "lb.namespace": "demo",
          "lb.service": "redis",
          "lb.replica": "1",
          "lb.revision": "e2864bc8-3970-4a81-ab0e-6d6e40811c1b",
          "lb.source": "demo"
        },
        "created": "2017-05-20T19:43:34.000000000Z",
        "updated": "2017-05-20T19:43:35.000000000Z"
      },
      "state": {
        "state": "started",
        "status": "",
        "provision": false,
        "ready": true
      },
      "containers": [
        {
          "id": "9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d9f1d",
          "spec": "e2864bc8-3970-4a81-ab0e-6d6e40811c1b",
          "image": "redis",
          "state": "started",
          "status": "running",
          "ports": {"6379/tcp": 6379},
          "created": "2017-05-20T19:43:34.000000000Z",
          "started": "2017-05-20T19:43:35.000000000Z"
        }
      ]
    }
  ]
}
"""


def reference() -> tuple[Recorded, Observed]:
    """The document's namespace and its service, as they would be recorded and observed."""
    ref = Ref("demo", "redis")
    revision = Revision(
        id=SPEC_ID,
        ref=ref,
        number=0,
        parent="",
        base=SPEC_ID,
        status="current",
        created="2017-05-20T22:43:33.101063214+03:00",
        updated="2017-05-20T22:43:33.101063261+03:00",
        fingerprint="h1:0",
        image="redis",
        image_id="sha256:1",
        replicas=1,
        memory=67108864,
        written={"image": "redis", "memory": 64},
    )
    row = RecordedContainer(CONTAINER, ref, 1, 1, "demo.redis.1-1", SPEC_ID, SPEC_ID, {"memory": 67108864})
    service = RecordedService(
        ref=ref,
        source="demo",
        place=Place("redis.yaml"),
        description="demo description",
        labels={"tier": "cache"},
        created="2017-05-20T22:43:33.101059484+03:00",
        updated="2017-05-20T22:43:33.101059607+03:00",
        current=revision,
        containers=(row,),
    )
    namespace = RecordedNamespace(
        Ref("test-ns"),
        "demo",
        Place("namespace.yaml"),
        "this description info about this namespace",
        {},
        "2017-01-20T22:13:04.596267094+03:00",
        "2017-03-11T10:10:04.506267142+03:00",
    )
    labels = {
        "maintainer": "the image's own",
        "lb.namespace": "demo",
        "lb.service": "redis",
        "lb.replica": "1",
        "lb.revision": SPEC_ID,
        "lb.fingerprint": "h1:0",
        "lb.source": "demo",
        "lb.intent": "nonce",
    }
    seen = Container(
        id=CONTAINER,
        name="demo.redis.1-1",
        labels=labels,
        state="running",
        image="docker.io/library/redis:latest",
        image_id="sha256:1",
        created="2017-05-20T19:43:34.000000000Z",
        started="2017-05-20T19:43:35.000000000Z",
        ports=(Port(6379, "tcp", 6379),),
    )
    demo = replace(namespace, ref=Ref("demo"))
    recorded = Recorded({"test-ns": namespace, "demo": demo}, {ref: service})
    return recorded, Observed(ENGINE, LOOK, (seen,))


def ordered(text: str | bytes) -> Any:
    """With the order of keys, and each number as it is written, so that 64 is not 64.0."""
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs), parse_float=lambda x: ("float", x))


def of(recorded: Recorded, observed: Observed, ref: Ref) -> dict[str, Any]:
    state = status.each(recorded, observed)[ref]
    return views.service_json(recorded.services[ref], state, observed.at)


def test_the_references_namespace() -> None:
    recorded, _ = reference()
    found = views.namespace_json(recorded.namespaces["test-ns"])
    assert ordered(json.dumps(found)) == ordered(NAMESPACE)


def test_the_references_service() -> None:
    recorded, observed = reference()
    assert ordered(json.dumps(of(recorded, observed, Ref("demo", "redis")))) == ordered(SERVICE)


def test_the_picture_says_the_same() -> None:
    picture = views.picture(*reference())
    assert ordered(picture.services[Ref("demo", "redis")].body.at(picture.observed)) == ordered(SERVICE)
    assert ordered(picture.namespaces["test-ns"].body.at(picture.observed)) == ordered(NAMESPACE)
    assert ordered(picture.namespaces["demo"].services.at(picture.observed)) == ordered(f"[{SERVICE}]")
    assert ordered(picture.namespaces["test-ns"].services.at(picture.observed)) == []
    demo = NAMESPACE.replace('"test-ns"', '"demo"')
    assert ordered(picture.all_namespaces.at(picture.observed)) == ordered(f"[{demo},{NAMESPACE}]")


def test_nothing_is_recorded() -> None:
    picture = views.picture(Recorded(), None)
    assert picture.all_namespaces.at(picture.observed) == b"[]"
    assert (picture.namespaces, picture.services, picture.observed) == ({}, {}, "")


def test_an_engine_that_never_answered() -> None:
    recorded, _ = reference()
    found = views.picture(recorded, None).services[Ref("demo", "redis")].body.at("")
    state = json.loads(found)["state"]
    assert (state["state"], state["observed"]) == ("warning", "")
    assert "pods" not in json.loads(found)


def test_pods_are_left_out_when_there_are_none() -> None:
    recorded, observed = reference()
    found = of(recorded, replace(observed, containers=()), Ref("demo", "redis"))
    assert list(found) == ["meta", "state", "spec"]


def spec(**given: Any) -> dict[str, Any]:
    """`spec[0]` of a service whose manifest says this; `live` are the ports that its replica publishes."""
    live = given.pop("live", ())
    service = make_service()
    world = steady(service).remembers(make_recorded(service, current=make_revision(service, written=given)))
    world = world.sees("web-1", ports=live)
    found: dict[str, Any] = of(world.recorded, world.observed, service.ref)["spec"][0]
    return found


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({}, None),
        ({"env": {}}, []),
        ({"env": {"A": "b", "N": 1, "T": True, "P": "${P}"}}, ["A=b", "N=1", "T=true", "P=${P}"]),
        ({"env": ["A=b", "C=${D:-e}"]}, ["A=b", "C=${D:-e}"]),
    ],
)  # fmt: skip
def test_env_is_null_when_it_was_never_given(written: dict[str, Any], shown: Any) -> None:
    assert spec(**written)["env"] == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({}, ""),
        ({"command": "redis-server --save ''"}, "redis-server --save ''"),
        ({"command": ["sh", "-c", "echo a b", 1]}, "sh -c echo a b 1"),
        ({"command": []}, ""),
    ],
)
def test_command_is_one_string(written: dict[str, Any], shown: str) -> None:
    assert spec(**written)["command"] == shown


@pytest.mark.parametrize(
    ("written", "live", "shown"),
    [
        ([80], (), [("tcp", 0, 80)]),
        (["80"], (Port(80, external=32768),), [("tcp", 0, 80)]),  # any free port: each pod has its own
        (["8080:80"], (), [("tcp", 8080, 80)]),
        (["127.0.0.1:8080:80"], (), [("tcp", 8080, 80)]),
        (["[::1]:8080:80/tcp"], (), [("tcp", 8080, 80)]),
        (["127.0.0.1::80"], (), [("tcp", 0, 80)]),
        (["53:53/udp"], (), [("udp", 53, 53)]),
        ([{"internal": 80}], (), [("tcp", 0, 80)]),
        ([{"internal": 53, "external": 5353, "protocol": "udp", "host_ip": "::1"}], (), [("udp", 5353, 53)]),
        (["9090:90", "8080:80"], (), [("tcp", 9090, 90), ("tcp", 8080, 80)]),
        # A variable: what is published now says the number, where that leaves one answer.
        (["${PORT:-8080}:80"], (Port(80, external=8081),), [("tcp", 8081, 80)]),
        (["${PORT:-8080}:80"], (Port(80, external=8081), Port(80, external=8081, host_ip="::1")), [("tcp", 8081, 80)]),
        (["${PORT:-8080}:80"], (), [("tcp", 0, 80)]),
        (["${A}:80", "${B}:81"], (Port(80, external=1), Port(81, external=2)), [("tcp", 1, 80), ("tcp", 2, 81)]),
        (["8080:80", "${B}:80"], (Port(80, external=8080), Port(80, external=2)), [("tcp", 8080, 80), ("tcp", 2, 80)]),
        (["${A}:80", "${B}:80"], (Port(80, external=1), Port(80, external=2)), [("tcp", 0, 80), ("tcp", 0, 80)]),
        (["${ALL}"], (Port(53, "udp", 53),), [("udp", 53, 53)]),
        (["${ALL}"], (), [("tcp", 0, 0)]),
        ([{"internal": "${IN}", "external": "${OUT}"}], (Port(80, external=8080),), [("tcp", 8080, 80)]),
        ([{"internal": "${IN}", "external": 8080}], (), [("tcp", 8080, 0)]),
        (["80${X}:80"], (Port(80, external=8088),), [("tcp", 8088, 80)]),
    ],
)
def test_ports_are_whole_numbers(written: list[Any], live: tuple[Port, ...], shown: list[tuple[str, int, int]]) -> None:
    found = spec(ports=written, live=live)["ports"]
    assert found == [{"protocol": p, "external": e, "internal": i, "published": True} for p, e, i in shown]
    assert all(list(port) == ["protocol", "external", "internal", "published"] for port in found)
    assert all(type(port["external"]) is int and type(port["internal"]) is int for port in found)


def test_memory_counts_megabytes_of_all_wanted_replicas() -> None:
    service = make_service(memory=64 * 1024 * 1024, replicas=3)
    world = steady(service).misses("web-1", "web-2", "web-3")
    found = of(world.recorded, world.observed, service.ref)
    assert (found["state"]["resources"], found["spec"][0]["memory"]) == ({"memory": 192}, 64)


def test_a_replica_shows_what_it_runs() -> None:
    """During a rollout each container names its own revision, with the image as that wrote it."""
    service = make_service()
    world = steady(service)
    old, new = make_revision(service), make_revision(service, 1, status="pending", image="${IMAGE}", parent="r0")
    rows = (*world.recorded.services[service.ref].containers,)
    rows += (replace(rows[0], id="web-1-2", attempt=2, name="shop.web.1-2", revision="r1", base="r1"),)
    stray = replace(rows[0], id="web-1-3", revision="r9", base="r9")
    world = world.remembers(make_recorded(service, current=old, pending=new, containers=(*rows, stray)))
    seen = world.observed.containers[0]
    world = world.sees_also(replace(seen, id="web-1-2", state="created"), replace(seen, id="web-1-3", state="exited"))
    found = of(world.recorded, world.observed, service.ref)
    assert [(c["spec"], c["image"]) for pod in found["pods"] for c in pod["containers"]] == [
        ("r0", "docker.io/library/nginx:1"),
        ("r1", "${IMAGE}"),
        ("r9", "sha256:old"),
    ]
    assert [pod["state"]["provision"] for pod in found["pods"]] == [False, True, False]
    assert found["spec"][0]["meta"]["id"] == "r0"


@pytest.mark.parametrize(
    ("given", "state", "words"),
    [
        ({}, "started", "running"),
        ({"health": "healthy"}, "started", "running (healthy)"),
        ({"state": "paused"}, "started", "paused"),
        ({"state": "created"}, "created", "created"),
        ({"state": "exited", "exit_code": 3}, "error", "exited (3)"),
        ({"state": "exited", "exit_code": 137}, "stopped", "exited (137)"),
        ({"state": "restarting", "exit_code": 1}, "error", "restarting (1)"),
        ({"state": "removing"}, "destroyed", "removing"),
    ],
)
def test_the_state_of_a_container(given: dict[str, Any], state: str, words: str) -> None:
    world = steady(make_service()).sees("web-1", **given)
    pod = of(world.recorded, world.observed, Ref("shop", "web"))["pods"][0]
    assert (pod["state"]["state"], pod["containers"][0]["state"], pod["containers"][0]["status"]) == (
        state,
        state,
        words,
    )


def test_published_ports_of_a_container() -> None:
    ports = (Port(53, "udp", 5353), Port(80, "tcp", 8081), Port(80, "tcp", 8080), Port(81, "tcp", None))
    world = steady(make_service()).sees("web-1", ports=ports)
    container = of(world.recorded, world.observed, Ref("shop", "web"))["pods"][0]["containers"][0]
    assert container["ports"] == {"53/udp": 5353, "80/tcp": 8080}


def test_an_activity_entry() -> None:
    entry = Activity("i", LOOK, "demo", "redis", "warning", "replace-failed", "exit 3", "r1", "abc", 2)
    assert ordered(json.dumps(views.activity_json(entry))) == ordered(
        '{"id": "i", "created": "2017-05-20T22:50:00.000000000Z", "namespace": "demo", "service": "redis", '
        '"type": "warning", "reason": "replace-failed", "message": "exit 3", "revision": "r1", "commit": "abc", '
        '"count": 2}'
    )


# --- the picture


def many() -> tuple[Recorded, Observed]:
    world = steady(make_service("a"), make_service("b"), make_service("c", "other"), namespaces=("shop", "other"))
    return world.recorded, world.observed


def again(picture: Picture, recorded: Recorded, observed: Observed, at: str = LOOK) -> Picture:
    return views.picture(recorded, replace(observed, at=at), picture)


def test_what_did_not_change_is_not_made_anew() -> None:
    recorded, observed = many()
    first = views.picture(recorded, observed)
    second = again(first, *many())
    assert second is not first and second.observed == LOOK
    assert second.all_namespaces is first.all_namespaces
    assert all(second.services[ref] is view for ref, view in first.services.items())
    assert all(second.namespaces[name] is view for name, view in first.namespaces.items())
    body = second.services[Ref("shop", "a")].body
    assert json.loads(body.at(second.observed))["state"]["observed"] == LOOK
    assert json.loads(body.at(first.observed))["state"]["observed"] == observed.at


def test_a_change_makes_only_its_own_bodies_anew() -> None:
    recorded, observed = many()
    first = views.picture(recorded, observed)
    paused = tuple(replace(c, state="paused") if c.id == "a-1" else c for c in observed.containers)
    second = again(first, recorded, replace(observed, containers=paused))
    a, b, c = Ref("shop", "a"), Ref("shop", "b"), Ref("other", "c")
    assert second.services[a].body.etag != first.services[a].body.etag
    assert second.services[b] is first.services[b] and second.services[c] is first.services[c]
    assert second.namespaces["other"] is first.namespaces["other"]
    assert second.namespaces["shop"].body is first.namespaces["shop"].body
    assert second.namespaces["shop"].services.etag != first.namespaces["shop"].services.etag


def test_time_alone_may_change_a_service() -> None:
    """A replica is ready once it is past its min_ready, though the engine shows nothing new."""
    recorded, observed = many()
    young = tuple(replace(c, started="2026-01-02T03:04:05Z") for c in observed.containers)
    first = again(
        views.picture(recorded, None), recorded, replace(observed, containers=young), "2026-01-02T03:04:05.5Z"
    )
    second = again(first, recorded, replace(observed, containers=young), "2026-01-02T03:04:06Z")
    found = [json.loads(p.services[Ref("shop", "a")].body.at(""))["state"]["state"] for p in (first, second)]
    assert found == ["warning", "started"]


def test_a_service_that_is_gone_is_gone() -> None:
    recorded, observed = many()
    first = views.picture(recorded, observed)
    left = {ref: s for ref, s in recorded.services.items() if ref != Ref("shop", "a")}
    second = again(first, replace(recorded, services=left), observed)
    assert Ref("shop", "a") not in second.services
    assert [s["meta"]["name"] for s in json.loads(second.namespaces["shop"].services.at(""))] == ["b"]


def test_a_picture_knows_whose_logs_are_whose() -> None:
    recorded, observed = many()
    picture = views.picture(recorded, observed)
    assert [(s.container, s.pod) for s in picture.services[Ref("shop", "a")].logs] == [("a-1", "shop.a.1-1")]
    assert picture.services[Ref("shop", "a")].file == "a.yaml"


def test_odd_text_can_be_said() -> None:
    """What cannot be UTF-8, and what looks like a part of the body itself."""
    odd = 'a"}},"spec":[] \ud800 \0 é'
    recorded, observed = reference()
    service = recorded.services[Ref("demo", "redis")]
    recorded = replace(recorded, services={service.ref: replace(service, description=odd, labels={"observed": odd})})
    body = views.picture(recorded, observed).services[service.ref].body.at(LOOK)
    assert json.loads(body)["meta"]["description"] == odd.replace("\ud800", "?")
    assert json.loads(body)["state"]["observed"] == LOOK
