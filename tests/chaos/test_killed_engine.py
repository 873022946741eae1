"""dockerd is killed in the middle of an apply and started again, with and without live-restore; then one more apply."""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.conftest import FULL
from tests.conftest import BUSYBOX, LB, SECOND, Sandbox, sandbox_on
from tests.support.eventually import eventually
from tests.support.own_engine import OwnEngine, own_engine

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group(SECOND)]

ROUNDS = 25 if FULL else 3
SERVICES = {"a": 2, "b": 1, "c": 2}


@pytest.fixture(params=[(), ("--live-restore",)], ids=["off", "live-restore"])
def engine_of_its_own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OwnEngine, Sandbox, list[str]]]:
    flags = list(request.param)
    with own_engine([BUSYBOX], *flags) as engine, contextlib.closing(engine.api) as api:
        yield engine, sandbox_on(engine, api, tmp_path), flags


def test_killed_in_the_middle(engine_of_its_own: tuple[OwnEngine, Sandbox, list[str]]) -> None:
    engine, sandbox, flags = engine_of_its_own
    rng = random.Random(5)
    sandbox.namespace()
    sandbox.service("still", replicas=2)
    sandbox.apply()
    still = [c["Id"] for c in sandbox.containers("still")]
    for i in range(ROUNDS):
        for name, replicas in SERVICES.items():
            sandbox.service(name, replicas=replicas, env={"ROUND": str(i)}, volumes=[f"{name}:/data"])
        apply = subprocess.Popen([LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(),
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            apply.wait(timeout=rng.uniform(0.35, 1.5))
        engine.kill()
        said, _ = apply.communicate(timeout=90)
        assert "Traceback" not in said and apply.returncode in (0, 1, 69), said
        engine.start(*flags)
        told: list[str] = []
        try:
            eventually(partial(converged, sandbox, f"ROUND={i}", still, told), 60)
        except AssertionError as error:
            raise AssertionError(f"round {i}: {error}; the last apply said:\n{told[-1]}") from error
    assert sandbox.apply().out == "no changes\n"


def test_what_can_not_be_started_any_more_is_made_anew(second_engine: OwnEngine, tmp_path: Path) -> None:
    with contextlib.closing(second_engine.api) as api:
        sandbox = sandbox_on(second_engine, api, tmp_path)
        sandbox.namespace()
        sandbox.service("a", replicas=2)
        sandbox.apply()
        lost, other = (c["Id"] for c in sandbox.containers("a"))
        api.stop(lost, timeout=0)
        second_engine.leave(lost)
        sandbox.apply()
        found = [c["Id"] for c in sandbox.containers("a") if c["State"]["Running"]]
        assert other in found and lost not in found and len(found) == len(sandbox.containers()) == 2
        assert sandbox.apply().out == "no changes\n"
        sandbox.lb("down", "--yes")


def converged(sandbox: Sandbox, env: str, still: list[str], told: list[str]) -> bool:
    """At the first apply, unless the engine is still busy bringing back what its death had ended."""
    applied = sandbox.apply(code=None)
    told.append(applied.out + applied.err)
    assert "Traceback" not in applied.err
    found = sandbox.containers()
    wanted = [("still", 1), ("still", 2), *((n, k + 1) for n, count in SERVICES.items() for k in range(count))]
    labels = [c["Config"]["Labels"] for c in found]
    assert sorted((row["lb.service"], int(row["lb.replica"])) for row in labels) == sorted(wanted) or applied.code
    assert [c["Id"] for c in found if c["Config"]["Labels"]["lb.service"] == "still"] == still
    rounds = {e for c in found for e in c["Config"]["Env"] if e.startswith("ROUND=")}
    return applied.code == 0 and rounds == {env} and all(c["State"]["Running"] for c in found)
