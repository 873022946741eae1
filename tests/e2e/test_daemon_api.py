"""What the HTTP API of a running daemon shows: every moment of a rollout, what the host did, and a bad manifest."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from typing import Any

import pytest

from tests.conftest import THIRD, Sandbox
from tests.support.daemon import RunningDaemon, running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)

PATH = "/namespace/t/service"


def answers(daemon: RunningDaemon, until: threading.Event) -> list[list[dict[str, Any]]]:
    """All services, twenty times a second, over one connection."""
    found = []
    connection = http.client.HTTPConnection(daemon.url.removeprefix("http://"), timeout=10)
    while not until.wait(0.05):
        connection.request("GET", PATH)
        found.append(json.loads(connection.getresponse().read()))
    return found


def test_the_counters_hold_in_every_answer_of_a_rollout(sandbox: Sandbox) -> None:
    sandbox.namespace()
    check = {"test": "true", "interval": "200ms"}
    sandbox.service("a", replicas=3, healthcheck=check)
    sandbox.service("b")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: daemon.log.count("create: new service") == 2)
        ended, taken = threading.Event(), []
        reader = threading.Thread(target=lambda: taken.extend(answers(daemon, ended)))
        reader.start()
        sandbox.service("a", replicas=3, healthcheck=check, env={"A": "1"})
        eventually(lambda: "t/a: replace" in daemon.log, 60)
        ended.set()
        reader.join()
    words = set()
    for services in taken:
        assert [s["meta"]["name"] for s in services] == ["a", "b"]
        assert len({s["state"]["observed"] for s in services}) == 1  # one look, whole
        for state in (s["state"] for s in services):
            n = state["replicas"]
            assert n["running"] + n["created"] + n["stopped"] + n["errored"] <= n["total"]
            assert n["ready"] <= n["running"] and n["provision"] <= n["total"]
        words.add(services[0]["state"]["state"])
        assert services[1]["state"]["state"] == "started"
        assert services[0]["state"]["replicas"]["ready"] >= 3  # start-first
    assert len(taken) > 10 and "provision" in words and words <= {"started", "provision"}, words


def test_what_the_host_kills_is_shown_within_seconds(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", restart="no", init=True)
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "t/a: create" in daemon.log)
        eventually(lambda: daemon.get(f"{PATH}/a")["state"]["state"] == "started")
        begun = time.monotonic()
        os.kill(sandbox.one("a")["State"]["Pid"], signal.SIGKILL)
        eventually(lambda: daemon.get(f"{PATH}/a")["state"]["state"] != "started", 5)
        assert time.monotonic() - begun < 5


def test_a_problem_is_shown_until_it_is_mended(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    with running_daemon(sandbox) as daemon:
        eventually(lambda: "t/a: create" in daemon.log)
        good = (sandbox.source / "t.a.yaml").read_text()
        sandbox.write("t.a.yaml", good.replace('"image"', '"imge"'))
        eventually(lambda: "spec.image: is missing" in daemon.get(f"{PATH}/a")["state"]["status"])
        reasons = [entry["reason"] for entry in daemon.get(f"{PATH}/a/activity")]
        assert reasons == ["Invalid", "create"]
        sandbox.write("t.a.yaml", good)
        eventually(lambda: daemon.get(f"{PATH}/a")["state"]["status"] == "")
        assert [entry["reason"] for entry in daemon.get(f"{PATH}/a/activity")] == ["Mended", "Invalid", "create"]
