"""Going back: an earlier revision, a removed service and its data, on a real engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BUSYBOX, THIRD, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group(THIRD)

MANIFEST = """\
    # kept
    apiVersion: lb/v1
    kind: Service
    meta: {{name: a, namespace: t}}
    spec:
      image: {image}   # pinned
      command: [sleep, "100000"]
      stop_signal: SIGKILL
      update: {{min_ready: 0s}}
      env: {{A: "{value}"}}
"""


def env(container: dict[str, Any]) -> list[str]:
    return [each for each in container["Config"]["Env"] if each.startswith("A=")]


def test_a_bad_change_is_taken_back_in_the_file_and_then_in_the_engine(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.write("a.yaml", MANIFEST.format(image=BUSYBOX, value="1"))
    sandbox.apply()
    good = (sandbox.source / "a.yaml").read_text()
    sandbox.write("a.yaml", MANIFEST.format(image=BUSYBOX, value="2"))
    sandbox.apply()
    sandbox.write("a.yaml", MANIFEST.format(image=BUSYBOX, value="3").replace("[sleep", "[nosuch"))
    sandbox.apply(code=1)
    serving = sandbox.live("a")[0]
    assert env(serving) == ["A=2"]
    sandbox.lb("rollback", "t/a")
    sandbox.apply()
    assert sandbox.one("a")["Id"] == serving["Id"]
    sandbox.lb("rollback", "t/a")
    assert (sandbox.source / "a.yaml").read_text() == good
    sandbox.apply()
    assert env(sandbox.one("a")) == ["A=1"]


def test_a_daemon_applies_what_is_written_back(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", env={"A": "1"})
    with running_daemon(sandbox):
        eventually(lambda: [env(c) for c in sandbox.live("a")] == [["A=1"]])
        sandbox.service("a", env={"A": "2"})
        eventually(lambda: [env(c) for c in sandbox.containers("a")] == [["A=2"]])
        eventually(lambda: len(sandbox.lb("history", "t/a", "-o", "json").json) == 2)
        eventually(lambda: sandbox.lb("history", "t/a", "-o", "json").json[-1]["status"] == "current")
        assert "a daemon" in sandbox.lb("rollback", "t/a").err
        eventually(lambda: [env(c) for c in sandbox.containers("a")] == [["A=1"]])


def test_a_removed_service_comes_back_with_its_data(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", command=["sh", "-c", "[ -e /data/x ] || echo first > /data/x; cat /data/x; sleep 100000"],
                    volumes=["data:/data"])  # fmt: skip
    sandbox.apply()
    text = (sandbox.source / "t.a.yaml").read_text()
    sandbox.remove("t.a.yaml")
    sandbox.apply()
    assert not sandbox.containers()
    sandbox.lb("undelete", "t/a")
    assert "volumes:\n    - data:/data\n" in (sandbox.source / "t.a.yaml").read_text() != text
    sandbox.apply()
    assert eventually(lambda: sandbox.lb("logs", "t/a").out) == "first\n"
    volume = sandbox.one("a")["Mounts"][0]["Name"]
    assert volume == "lb.t.data"
