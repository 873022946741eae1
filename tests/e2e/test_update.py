"""`update` and templates, on a real engine: what a failed revision leaves, how long it is waited for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import THIRD, Sandbox
from tests.e2e.test_more_fields import inside

pytestmark = pytest.mark.xdist_group(THIRD)

# Of two new replicas one can have it; the other ends with 3.
LOCK = "mkdir /lock/$A 2>/dev/null || exit 3; sleep 100000"


def env(sandbox: Sandbox) -> list[str]:
    """Of the replicas that run, by number."""
    return [entry for c in sandbox.live("a") for entry in c["Config"]["Env"] if entry.startswith("A=")]


@pytest.mark.parametrize(("on_failure", "left"), [("rollback", ["A=", "A="]), ("stop", ["A=new", "A="])])
def test_what_was_replaced_before_the_failure(sandbox: Sandbox, on_failure: str, left: list[str]) -> None:
    update = {"min_ready": "300ms", "on_failure": on_failure}

    def service(value: str) -> None:
        command = ["sh", "-c", LOCK if value else "sleep 100000"]
        sandbox.service("a", replicas=2, volumes=["lock:/lock"], command=command, env={"A": value}, update=update)

    sandbox.namespace()
    service("")
    sandbox.apply()
    service("new")
    assert "exit 3" in sandbox.apply(code=1).out
    assert sorted(env(sandbox)) == sorted(left)
    before = sandbox.running()
    assert "held" in sandbox.apply(code=1).out and sandbox.running() == before
    service("")
    sandbox.apply()
    assert env(sandbox) == ["A=", "A="] and len(sandbox.containers("a")) == 2
    assert sandbox.apply().out == "no changes\n"


def test_how_long_a_replica_may_take(sandbox: Sandbox) -> None:
    check = {"test": "false", "interval": "100ms", "retries": 10_000}
    sandbox.namespace()
    sandbox.service("a", healthcheck=check, update={"timeout": "1s"})
    assert "not ready within 1 s" in sandbox.apply(code=1).out
    sandbox.service("a", healthcheck={**check, "test": "true"}, update={"timeout": "1s"})
    sandbox.apply()


def test_a_template_lies_under_the_spec(sandbox: Sandbox) -> None:
    template: dict[str, Any] = {
        "memory": 64, "env": {"A": "template", "B": "template"}, "cap_drop": ["ALL"], "init": True,
    }  # fmt: skip
    sandbox.write("lb.yaml", json.dumps({"name": sandbox.name, "templates": {"web": template}}))
    sandbox.namespace()
    sandbox.service("a", template="web", memory=32, env={"A": "own"})
    manifest = sandbox.source / "t.a.yaml"
    manifest.write_text(manifest.read_text().replace('"template"', '"cap_drop": null, "template"'))
    sandbox.apply()
    made = sandbox.one("a")
    assert made["HostConfig"]["Memory"] == 32 << 20 and made["HostConfig"]["Init"] is True
    assert {"A=own", "B=template"} <= set(made["Config"]["Env"]) and not made["HostConfig"]["CapDrop"]
    assert "template: web" in sandbox.lb("get", "service", "t/a", "-o", "yaml").out
    template["env"]["B"] = "other"
    sandbox.write("lb.yaml", json.dumps({"name": sandbox.name, "templates": {"web": template}}))
    assert "env.B template → other  [lb.yaml:1]" in sandbox.apply().out
    assert inside(sandbox, "a", "sh", "-c", "echo $B") == "other\n"
    assert sandbox.apply().out == "no changes\n"
