"""`depends_on`: each condition waits for what it says, no longer and no shorter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import ENDS, THIRD, Sandbox

pytestmark = pytest.mark.xdist_group(THIRD)


def started(container: dict[str, Any]) -> str:
    found: str = container["State"]["StartedAt"]
    return found


def test_a_migration_completes_before_its_dependent_starts(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("migrate", command=["sh", "-c", "sleep 1.5"], restart="no")
    sandbox.service("web", depends_on={"migrate": {"condition": "completed"}})
    sandbox.service("other")
    sandbox.apply()
    done = sandbox.one("migrate")["State"]
    assert done["ExitCode"] == 0 and started(sandbox.one("web")) > done["FinishedAt"] > started(sandbox.one("other"))
    assert sandbox.apply().out == "no changes\n"


def test_a_failed_migration_keeps_its_dependent_as_it_is(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("migrate", command=["true"], restart="no")
    sandbox.service("web", depends_on={"migrate": {"condition": "completed"}})
    sandbox.apply()
    before = sandbox.one("web")["Id"]
    sandbox.service("migrate", command=["sh", "-c", "exit 4"], **ENDS)
    sandbox.service("web", depends_on={"migrate": {"condition": "completed"}}, env={"A": "b"})
    result = sandbox.apply(code=1)
    assert "blocked: replace t/web: waits for t/migrate" in result.out and "exit 4" in result.out
    assert sandbox.one("web")["Id"] == before


def test_started_does_not_wait_for_health_and_healthy_does(sandbox: Sandbox) -> None:
    sandbox.namespace()
    check = {"test": "test -e /ready", "interval": "100ms", "retries": 100}
    sandbox.service("db", command=["sh", "-c", "sleep 2; touch /ready; sleep 1000"], healthcheck=check)
    sandbox.service("early", depends_on={"db": {"condition": "started"}})
    sandbox.service("late", depends_on={"db": {"condition": "healthy"}})
    said = sandbox.apply().err
    assert "t/late waiting for t/db: healthy" in said and "t/db waiting for health: replica 1" in said
    healthy = next(entry["Start"] for entry in sandbox.one("db")["State"]["Health"]["Log"] if entry["ExitCode"] == 0)
    assert started(sandbox.one("db")) < started(sandbox.one("early")) < healthy < started(sandbox.one("late"))
    sandbox.service("late", depends_on={"db": {"condition": "healthy"}}, env={"A": "b"})
    assert "waiting for" not in sandbox.apply().err, "it is so already"


def test_what_needs_a_refused_service_is_not_made_and_goes_on_once_it_serves(sandbox: Sandbox) -> None:
    sandbox.namespace()
    check = {"test": "true", "interval": "100ms"}
    sandbox.service("db", healthcheck=check, privileged=True)
    sandbox.service("table", command=["true"], restart="no", depends_on={"db": {"condition": "healthy"}})
    sandbox.service("worker", depends_on={"table": {"condition": "completed"}})
    sandbox.service("other")
    waits = "t/worker waits for t/table, which waits for t/db, which policy refuses"
    assert waits in sandbox.lb("plan", code=77).out
    result = sandbox.apply(code=77)
    assert waits in result.err and "blocked" not in result.out
    assert sandbox.containers("other") and not sandbox.containers("table") and not sandbox.containers("worker")
    sandbox.service("db", healthcheck=check)
    sandbox.apply()
    before = sandbox.one("db")["Id"], sandbox.one("table")["Id"]
    sandbox.service("db", healthcheck=check, privileged=True)
    sandbox.service("worker", depends_on={"table": {"condition": "completed"}}, env={"A": "b"})
    sandbox.apply(code=77)
    assert "A=b" in sandbox.one("worker")["Config"]["Env"], "the job that it needs is done"
    assert (sandbox.one("db")["Id"], sandbox.one("table")["Id"]) == before
