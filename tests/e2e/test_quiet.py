"""A daemon that has nothing to do does nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.conftest import SECOND, Sandbox
from tests.support.daemon import running_daemon
from tests.support.eventually import eventually
from tests.support.proxy import proxied

pytestmark = pytest.mark.xdist_group(SECOND)


def test_quiet_cycles_change_nothing_and_say_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """50 running services, 3 that fail in their own ways, 200 cycles: nothing is called, nothing is said."""
    sandbox.namespace()
    for i in range(5):
        sandbox.service(f"s{i}", replicas=10)
    sandbox.service("crashes", command=["sh", "-c", "sleep 0.5; exit 1"])  # ready, then again and again
    sandbox.service("ends", command=["sh", "-c", "exit 2"], restart="no", update={"min_ready": "1s"})
    sandbox.service("sick", healthcheck={"test": "false", "interval": "100ms", "retries": 1, "start_period": "0s"})
    with proxied(sandbox.socket, tmp_path) as proxy:
        sandbox.env["DOCKER_HOST"] = f"unix://{proxy.path}"
        with running_daemon(sandbox) as daemon:
            eventually(lambda: sum(len(sandbox.live(f"s{i}")) for i in range(5)) == 50, 120)
            eventually(lambda: daemon.log.count("create failed") == 2 and "t/crashes: create" in daemon.log, 60)
            rested = proxy.looks
            eventually(lambda: proxy.looks >= rested + 3)
            said, called = daemon.log, len(proxy.mutating)
            for turn in range(200):
                before = proxy.looks
                daemon.process.send_signal(signal.SIGHUP)
                eventually(lambda b=before: proxy.looks > b)  # type: ignore[misc]
                assert len(proxy.mutating) == called, f"turn {turn}: {proxy.mutating[called:]}"
            assert daemon.log == said
