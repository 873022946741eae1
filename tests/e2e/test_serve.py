"""`lb serve` beside `lb apply`, on a real engine: the reference's example, logs, rollouts, and engines that fail."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import NotFound
from tests.conftest import BUSYBOX, IMAGES, SOCKET, Sandbox
from tests.support.eventually import eventually
from tests.support.http import Answer
from tests.support.proxy import proxied
from tests.support.serving import Served, served

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
ID = re.compile(r"[0-9a-f]{64}")
DEMO = "lbtest-demo"  # the document's demo; the quickstart's may be running on this engine
REDIS = f"/namespace/{DEMO}/service/redis"

# The document's example, with what it can't know in advance by name. Ours, after its keys: labels, observed, pods.
SERVICE = """
{
  "meta": {
    "name": "redis",
    "description": "demo description",
    "replicas": 1,
    "namespace": "demo",
    "created": "TIME",
    "updated": "TIME",
    "labels": {}
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
    "observed": "TIME"
  },
  "spec": [
    {
      "meta": {
        "id": "UUID",
        "parent": "",
        "revision": 0,
        "labels": {},
        "created": "TIME",
        "updated": "TIME"
      },
      "memory": 64,
      "command": "",
      "image": "IMAGE",
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
          "lb.revision": "UUID",
          "lb.source": "SOURCE"
        },
        "created": "TIME",
        "updated": "TIME"
      },
      "state": {"state": "started", "status": "", "provision": false, "ready": true},
      "containers": [
        {
          "id": "ID",
          "spec": "UUID",
          "image": "IMAGE",
          "state": "started",
          "status": "running",
          "ports": {},
          "created": "TIME",
          "started": "TIME"
        }
      ]
    }
  ]
}
"""
NAMESPACE = '{"meta": {"name": "demo", "description": "demo", "created": "TIME", "updated": "TIME", "labels": {}}}'
ENTRY = """{"id": "UUID", "created": "TIME", "namespace": "demo", "service": "redis", "type": "normal",
            "reason": "create", "message": "new service", "revision": "UUID", "commit": "", "count": 1}"""


def ordered(text: str | bytes) -> Any:
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs), parse_float=lambda x: ("float", x))


def said(answer: Answer, sandbox: Sandbox) -> Any:
    """The answer in the order of its keys, times and ids by name."""
    assert (answer.code, answer.headers["content-type"]) == (200, "application/json")
    text = answer.body.decode().replace(DEMO, "demo")
    for name, pattern in (("TIME", TIME), ("UUID", UUID), ("ID", ID)):
        text = pattern.sub(name, text)
    return ordered(text.replace(f"{IMAGES}redis:7.0", "IMAGE").replace(sandbox.name, "SOURCE"))


def redis(sandbox: Sandbox, **spec: Any) -> None:
    sandbox.namespace(DEMO, description="demo")
    meta = {"description": "demo description"}
    sandbox.service("redis", DEMO, meta, image=f"{IMAGES}redis:7.0", command=None, memory=64, **spec)
    sandbox.apply()


def test_every_route_of_the_references_example(sandbox: Sandbox) -> None:
    redis(sandbox)
    with served(sandbox) as api:
        assert said(api.get("/namespace"), sandbox) == ordered(f"[{NAMESPACE}]")
        assert said(api.get(f"/namespace/{DEMO}"), sandbox) == ordered(NAMESPACE)
        assert said(api.get(f"/namespace/{DEMO}/service"), sandbox) == ordered(f"[{SERVICE}]")
        assert said(api.get(REDIS), sandbox) == ordered(SERVICE)
        assert said(api.get(f"{REDIS}/activity"), sandbox) == ordered(f"[{ENTRY}]")
        newest, oldest = api.json(f"/namespace/{DEMO}/activity")
        assert (newest["service"], newest["created"] > oldest["created"]) == ("redis", True)
        assert (oldest["service"], oldest["message"]) == ("", "new namespace")
        found = api.json(REDIS)
        assert found["pods"][0]["containers"][0]["id"] == sandbox.one("redis")["Id"]
        assert found["pods"][0]["containers"][0]["spec"] == found["spec"][0]["meta"]["id"]
        logs = api.get(f"{REDIS}/logs").body.decode()
        assert "Ready to accept connections" in logs
        assert all(line.startswith(f"{DEMO}.redis.1-1 | ") for line in logs.splitlines())
        cli = sandbox.lb("get", "service", f"{DEMO}/redis", "-o", "json").out
        assert [key for key, _ in ordered(cli)[1]] == ["meta", "state", "spec", "pods"]
        observed = re.compile(r'"observed": ?"[^"]*"')
        same = [observed.sub("", json.dumps(json.loads(text))) for text in (cli, api.get(REDIS).body)]
        assert same[0] == same[1]  # the command line and the API say the same, to the byte


def test_a_change_is_seen_and_has_a_parent(sandbox: Sandbox) -> None:
    redis(sandbox)
    with served(sandbox) as api:
        first = api.json(REDIS)["spec"][0]
        etag = api.get(REDIS).headers["etag"]
        assert api.get(REDIS, if_none_match=etag).code == 304
        redis(sandbox, env={"A": "${B:-c}"}, ports=["${PORT:-18097}:6379"])
        spec = eventually(lambda: next((s for s in api.json(REDIS)["spec"] if s["meta"]["revision"] == 1), None))
        assert spec["meta"]["parent"] == first["meta"]["id"] and spec["meta"]["id"] != first["meta"]["id"]
        assert spec["env"] == ["A=${B:-c}"]
        assert eventually(lambda: api.json(REDIS)["spec"][0]["ports"] == [
            {"protocol": "tcp", "external": 18097, "internal": 6379, "published": True}
        ])  # fmt: skip
        assert api.json(REDIS)["pods"][0]["containers"][0]["ports"] == {"6379/tcp": 18097}
        assert api.get(REDIS, if_none_match=etag).code == 200

        sandbox.remove(f"{DEMO}.redis.yaml")
        sandbox.apply()
        assert eventually(lambda: api.get(REDIS).code == 404) and api.get(REDIS).json["status"] == "SERVICE_NOT_FOUND"
        assert api.json(f"/namespace/{DEMO}/service") == []


def test_the_counters_hold_throughout_a_rollout(sandbox: Sandbox) -> None:
    """Twenty times a second; what is written by the apply beside it is seen while it goes on."""
    sandbox.namespace()
    sandbox.service("web", replicas=3, update={"min_ready": "500ms"})
    sandbox.apply()
    samples: list[dict[str, Any]] = []
    over = threading.Event()

    def sample(api: Served) -> None:
        while not over.wait(0.05):
            samples.append(api.json("/namespace/t/service")[0])

    with served(sandbox) as api:
        sampler = threading.Thread(target=sample, args=(api,))
        sampler.start()
        sandbox.service("web", replicas=3, update={"min_ready": "500ms"}, env={"A": "b"})
        sandbox.apply()
        eventually(
            lambda: samples[-1]["spec"][0]["meta"]["revision"] == 1 and samples[-1]["state"]["state"] == "started"
        )
        over.set()
        sampler.join()
    assert len(samples) > 20
    for found in samples:
        counters = found["state"]["replicas"]
        assert all(type(count) is int and count >= 0 for count in counters.values())
        parts = [counters[name] for name in ("running", "created", "stopped", "errored")]
        assert sum(parts) <= counters["total"] == len(found.get("pods", []))
        assert counters["ready"] <= counters["running"] and counters["provision"] <= counters["total"]
        assert found["spec"][0]["meta"]["revision"] in (0, 1) and found["meta"]["replicas"] == 3
    words = {found["state"]["state"] for found in samples}
    assert "provision" in words and "started" in words and "error" not in words
    assert any(found["state"]["replicas"]["provision"] for found in samples)
    assert {found["spec"][0]["meta"]["revision"] for found in samples} == {0, 1}


def test_a_service_that_is_being_removed_is_destroyed(sandbox: Sandbox) -> None:
    sandbox.namespace()
    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]  # it takes its whole grace period to stop
    sandbox.service("a", command=deaf, stop_signal="SIGTERM", stop_grace_period="4s")
    sandbox.apply()
    sandbox.remove("t.a.yaml")
    with served(sandbox) as api:
        removing = threading.Thread(target=sandbox.apply)
        removing.start()
        found = eventually(lambda: next((s for s in services(api) if s["state"]["state"] == "destroyed"), None))
        assert found["state"]["status"] == "is being removed"
        assert (found["state"]["replicas"]["running"], found["state"]["replicas"]["provision"]) == (1, 1)
        removing.join()
        assert eventually(lambda: services(api) == [])


def services(api: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.json("/namespace/t/service")
    return found


# --- logs


TALKS = ["sh", "-c", 'echo "out of $HOSTNAME"; echo err >&2; exec sleep 100000']


def test_logs_of_a_container_a_pod_and_all(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2, command=TALKS)
    sandbox.service("b", command=TALKS)
    stranger = sandbox.api.create_container(BUSYBOX, ["true"], labels={"lb.source": sandbox.name, "lb.service": "a"})[
        "Id"
    ]
    sandbox.apply()
    one, two = (
        sandbox.containers("a")[:2] if stranger != sandbox.containers("a")[0]["Id"] else sandbox.containers("a")[1:]
    )
    with served(sandbox) as api:
        logs = "/namespace/t/service/a/logs"
        mine = [f"out of {one['Id'][:12]}", "err"]
        assert sorted(api.get(f"{logs}?container={one['Id']}").body.decode().split("\n")[:-1]) == sorted(mine)
        name = one["Name"].lstrip("/")
        assert sorted(api.get(f"{logs}?pod={name}").body.decode().split("\n")[:-1]) == sorted(mine)
        both = api.get(logs).body.decode().splitlines()
        other = two["Name"].lstrip("/")
        lines = {name: mine, other: [f"out of {two['Id'][:12]}", "err"]}
        assert sorted(both) == sorted(f"{pod} | {line}" for pod, found in lines.items() for line in found)
        (stamped,) = api.get(f"{logs}?container={one['Id']}&timestamps=true&tail=1").body.decode().splitlines()
        assert TIME.match(stamped)
        assert api.get(f"{logs}?since=1s&container={one['Id']}").code == 200
        assert api.get(f"{logs}?since=2199-01-01T00:00:00Z").body == b""
        for foreign in (sandbox.one("b")["Id"], stranger, one["Id"][:12], "0" * 64):
            found = api.get(f"{logs}?container={foreign}")
            assert (found.code, found.json["status"]) == (404, "SERVICE_NOT_FOUND"), foreign


class Following:
    """Reads a followed stream in a thread; `lines` are what came so far."""

    def __init__(self, api: Served, path: str) -> None:
        self.lines: list[str] = []
        self.ended = threading.Event()
        self.connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
        self.connection.request("GET", path)
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while line := self.response.readline():
            self.lines.append(line.decode().rstrip("\n"))
        self.ended.set()

    def leave(self) -> None:
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        assert self.ended.wait(10)
        self.response.close()
        self.connection.close()


def test_following_goes_on_across_a_rollout_and_a_restart(sandbox: Sandbox) -> None:
    command = ["sh", "-c", "echo version $V; i=0; while sleep 0.2; do i=$((i+1)); echo $V-$i; done"]
    sandbox.namespace()
    sandbox.service("a", command=command, env={"V": "one"}, restart="always")
    sandbox.service("other")
    sandbox.apply()
    with served(sandbox) as api:
        following = Following(api, "/namespace/t/service/a/logs?follow=true")
        assert eventually(lambda: "t.a.1-1 | one-2" in following.lines)
        sandbox.service("a", command=command, env={"V": "two"}, restart="always")
        sandbox.apply()
        assert eventually(lambda: "t.a.1-2 | two-3" in following.lines)
        new = [line.removeprefix("t.a.1-2 | ") for line in following.lines if line.startswith("t.a.1-2 | ")]
        assert new[:4] == ["version two", "two-1", "two-2", "two-3"]  # from its first line on, none twice

        os.kill(sandbox.one("a")["State"]["Pid"], signal.SIGKILL)  # its restart policy starts it again
        assert eventually(lambda: following.lines.count("t.a.1-2 | version two") == 2, 30)
        assert eventually(lambda: following.lines.count("t.a.1-2 | two-2") == 2)
        assert not following.ended.is_set()

        sandbox.remove("t.a.yaml")
        sandbox.apply()
        assert following.ended.wait(20)
        following.leave()


@pytest.mark.parametrize("query", ["follow=true", "follow=true&container="])
def test_a_client_that_leaves_closes_the_engines_stream(sandbox: Sandbox, query: str) -> None:
    sandbox.namespace()
    sandbox.service("a", replicas=2, command=TALKS)
    sandbox.apply()
    if query.endswith("="):
        query += sandbox.containers("a")[0]["Id"]
    with served(sandbox) as api:
        Following(api, f"/namespace/t/service/a/logs?{query}").leave()  # threads that are kept for later exist now
        threads, files = eventually(lambda: steady_load(api))
        followed = [Following(api, f"/namespace/t/service/a/logs?{query}") for _ in range(5)]
        assert eventually(lambda: all(f.lines for f in followed))
        assert api.load[0] >= threads + 5 and api.load[1] >= files + 10  # a client's and the engine's socket each
        for one in followed:
            one.leave()
        assert eventually(lambda: api.load <= (threads + 1, files))  # one thread more may be kept by the pool


def steady_load(api: Served) -> tuple[int, int] | None:
    """The load, once it is the same a moment later."""
    first = api.load
    threading.Event().wait(0.3)
    return first if api.load == first else None


@pytest.mark.parametrize("tty", [False, True])
def test_a_stream_can_be_closed_while_it_is_waited_for(sandbox: Sandbox, tty: bool) -> None:
    from reconciler.runtimes.client import connect

    calls = connect()
    found = sandbox.api.create_container(BUSYBOX, TALKS, tty=tty, labels={"lb.source": sandbox.name})["Id"]
    sandbox.api.start(found)
    stream = calls.logs(found, follow=True, tail=None, since=None, timestamps=False)
    got: list[tuple[str, bytes]] = []
    reader = threading.Thread(target=lambda: got.extend(stream))
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    begun = time.monotonic()
    stream.close()
    reader.join(5)
    assert not reader.is_alive() and time.monotonic() - begun < 1
    text = b"".join(data for _, data in calls.logs(found, follow=False, tail=None, since=None, timestamps=False))
    assert sorted(text.decode().split()) == sorted(f"out of {found[:12]} err".split())
    assert {source for source, _ in got} <= {"stdout", "stderr"}
    with pytest.raises(NotFound):
        calls.logs("0" * 64, follow=True, tail=None, since=None, timestamps=False)
    calls.close()


# --- engines and states that are not there


def test_without_an_engine_it_answers_from_what_is_recorded(sandbox: Sandbox) -> None:
    redis(sandbox)
    with served(sandbox, DOCKER_HOST="unix:///nonexistent/docker.sock") as api:
        found = api.json(REDIS)
        assert (found["state"]["state"], found["state"]["observed"]) == ("warning", "")
        assert found["state"]["status"] == "not observed yet: no engine has answered"
        assert found["spec"][0]["memory"] == 64 and "pods" not in found
        assert [entry["message"] for entry in api.json(f"{REDIS}/activity")] == ["new service"]
        assert api.get(f"{REDIS}/logs").code == 200  # no pods, no logs
        assert api.end()[0] == 0


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Path]:
    """An engine that takes calls and never answers."""
    path = tmp_path / "hanging.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    yield path
    listener.close()


def test_an_engine_that_hangs_holds_nothing_up(sandbox: Sandbox, hanging: Path) -> None:
    redis(sandbox)
    with served(sandbox, DOCKER_HOST=f"unix://{hanging}") as api:
        begun = time.monotonic()
        assert api.json(REDIS)["spec"][0]["memory"] == 64 and time.monotonic() - begun < 1
        assert api.end()[0] == 0


def test_an_engine_that_goes_away_leaves_its_last_look(sandbox: Sandbox, tmp_path: Path) -> None:
    redis(sandbox)
    with proxied(SOCKET, tmp_path) as proxy, served(sandbox, DOCKER_HOST=f"unix://{proxy.path}") as api:
        before = api.json(REDIS)
        assert before["state"]["state"] == "started"
        proxy.cut()
        sandbox.service("late", DEMO)
        sandbox.apply()  # past the proxy
        eventually(lambda: len(api.json(f"/namespace/{DEMO}/service")) == 2)
        after = api.json(REDIS)
        assert after["pods"] == before["pods"]
        assert api.get(REDIS).headers["lb-observed"] == after["state"]["observed"]
        found = api.get(f"{REDIS}/logs")
        assert (found.code, found.json["status"], "retry-after" in found.headers) == (503, "SERVICE_UNAVAILABLE", True)


def test_a_state_that_comes_later(sandbox: Sandbox) -> None:
    with served(sandbox) as api:
        assert api.get("/namespace").body == b"[]" and not sandbox.state.exists()
        redis(sandbox)
        assert eventually(lambda: [ns["meta"]["name"] for ns in api.json("/namespace")] == [DEMO])


# --- ending, and refusing to begin


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(sandbox: Sandbox, number: signal.Signals) -> None:
    redis(sandbox)
    with served(sandbox) as api:
        following = Following(api, f"{REDIS}/logs?follow=true")
        assert eventually(lambda: following.lines)
        begun = time.monotonic()
        assert api.end(number) == (0, "")
        assert time.monotonic() - begun < 5 and following.ended.wait(5)
        following.leave()


def test_a_token_and_other_addresses(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    with served(sandbox, "--token-file", str(tmp_path / "token")) as api:
        assert api.get("/namespace").code == 401
        assert api.get("/namespace", authorization="Bearer secret").body == b"[]"
    refused = sandbox.lb("serve", "--listen", "0.0.0.0:0", code=64)
    assert "0.0.0.0 is not a loopback address" in refused.err and "--token-file" in refused.err


def test_a_taken_port(sandbox: Sandbox) -> None:
    with served(sandbox) as api:
        refused = sandbox.lb("serve", "--listen", f"127.0.0.1:{api.port}", code=1)
        assert f"port {api.port} of 127.0.0.1 is taken" in refused.err
