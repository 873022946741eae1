"""What counts as a death soon after a revision took over, and what is done about it."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

import pytest

from reconciler import rollout
from reconciler.clock import rfc3339, seconds
from reconciler.model import Ref, Service, Trial, Update
from tests.support.build import AT, World, make_container, make_recorded, make_revision, make_row, make_service, steady

WEB = Ref("shop", "web")
OLD = make_service(env={"A": "1"}, replicas=2)
NOW = seconds(AT)


def at(offset: float) -> str:
    """Seconds after it took over, which was a minute before the look."""
    return rfc3339(int((NOW - 60 + offset) * 1e9))


def took_over(new: Service | None = None, *, look: float = 60, **given: Any) -> World:
    """Revision 1 took over from revision 0; `look` is when the engine was looked at."""
    new = new or make_service(env={"A": "2"}, replicas=2)
    former = make_revision(OLD, 0, status="superseded")
    current = make_revision(new, 1, parent="r0", promoted=at(0))
    rows = tuple(make_row(new, n, revision="r1") for n in (1, 2))
    known = make_recorded(new, current=current, containers=rows, trial=Trial(at(0), former), **given)
    world = steady(new).remembers(known).answering(formers={"r0": OLD})
    return replace(world, observed=replace(world.observed, at=at(look)))


def died(world: World, **how: Any) -> World:
    return world.sees("web-1", **{"state": "restarting", "restarts": 1, "exit_code": 1, "finished": at(2), **how})


def verbs(world: World) -> list[str]:
    return [action.verb for action in world.plan().actions]


def test_it_is_taken_back() -> None:
    assert died(took_over()).text() == textwrap.dedent("""\
        ↩ take-back service shop/web (rolling)
            revision 1 failed: replica 1 ended with exit 1 2 s after it took over
            revision 0 is made again
        1 to take-back""")
    (action,) = died(took_over()).plan().actions
    assert action.verdict and (action.verdict.revision.id, action.verdict.former.id) == ("r1", "r0")
    assert action.service == OLD and action.base == "r0" and action.origin == "failure"
    assert action.recorded and action.recorded.current and action.recorded.current.id == "r0"


ITSELF: list[dict[str, Any]] = [
    {},
    {"state": "restarting", "exit_code": 0},
    {"state": "running", "exit_code": 0},
    {"state": "running", "finished": at(29)},
    {"state": "restarting", "finished": at(-1)},  # since its gate, which it passed running
    {"state": "exited", "restarts": 0, "restart_policy": "no"},
    {"state": "exited", "restarts": 3, "restart_policy": "on-failure:3"},
]
NOT_ITSELF: list[dict[str, Any]] = [
    {"state": "exited", "restarts": 0, "exit_code": 137},
    {"state": "exited", "restarts": 1},  # stopped by hand, whatever was before
    {"state": "exited", "restarts": 0, "restart_policy": "always"},
    {"state": "exited", "restarts": 1, "restart_policy": "on-failure:3"},
    {"state": "exited", "restarts": 1, "restart_policy": "on-failure"},
    *({"state": "exited", "restarts": 0, "restart_policy": "no", "exit_code": code} for code in (0, 137, 143, 255)),
    {"state": "running", "restarts": 0},  # by hand, or dockerd was started again
    {"state": "running", "restarts": 2, "finished": at(-1)},  # the gate let it pass
    {"state": "paused"},
    {"state": "running", "finished": at(31)},
    {"state": "restarting", "finished": at(31)},
    {"state": "exited", "restarts": 0, "restart_policy": "no", "finished": at(31)},
    {"state": "created", "finished": "", "restarts": 0},
    {"state": "dead"},
]


@pytest.mark.parametrize("how", ITSELF, ids=str)
def test_what_ended_by_itself(how: dict[str, Any]) -> None:
    assert verbs(died(took_over(), **how)) == ["take-back"]


@pytest.mark.parametrize("how", NOT_ITSELF, ids=str)
def test_what_somebody_else_did_or_what_came_late(how: dict[str, Any]) -> None:
    assert not {"take-back", "held"}.intersection(verbs(died(took_over(), **how)))


def test_what_is_gone_is_drift() -> None:
    assert verbs(took_over().misses("web-1")) == ["heal"]


def test_an_unhealthy_replica_counts_while_it_is_watched() -> None:
    assert verbs(took_over(look=29).sees("web-1", health="unhealthy")) == ["take-back"]
    assert verbs(took_over(look=31).sees("web-1", health="unhealthy")) == []


def test_it_is_watched_as_long_as_the_manifest_says() -> None:
    hour = make_service(env={"A": "2"}, replicas=2, update=Update(monitor=3600 * 10**9))
    never = make_service(env={"A": "2"}, replicas=2, update=Update(monitor=0))
    assert verbs(died(took_over(hour), finished=at(59))) == ["take-back"]
    assert verbs(died(took_over(never))) == []


def test_a_first_revision_and_a_restart_have_nothing_to_go_back_to() -> None:
    world = died(took_over())
    assert verbs(world.remembers(replace(world.recorded.services[WEB], trial=None))) == []
    same = took_over(OLD)
    assert verbs(died(same)) == []
    known = replace(world.recorded.services[WEB], restart=AT)
    assert verbs(world.remembers(known)) == ["replace"], "a person wants new ones of it"


def test_another_image_of_the_same_spec_can_be_taken_back() -> None:
    world = took_over(OLD)
    known = world.recorded.services[WEB]
    assert known.trial
    other = replace(known.trial, former=replace(known.trial.former, image_id="sha256:older"))
    assert verbs(died(world.remembers(replace(known, trial=other)))) == ["take-back"]


def test_what_its_author_has_changed_by_now_is_rolled_out() -> None:
    assert verbs(died(took_over()).wants(make_service(env={"A": "3"}, replicas=2))) == ["replace"]


def test_stop_holds_it_and_takes_nothing_back() -> None:
    stop = make_service(env={"A": "2"}, replicas=2, update=Update(on_failure="stop"))
    world = died(took_over(stop))
    (action,) = world.plan().actions
    assert (action.verb, action.idle, action.replicas, action.origin) == ("held", False, (), "failure")
    assert action.verdict and world.plan().changes


def test_what_can_not_be_made_again_is_held_and_serves_on() -> None:
    world = died(took_over()).answering(formers={"r0": make_service(env={"A": "other"}, replicas=2)})
    (action,) = world.plan().actions
    assert (action.verb, action.replicas) == ("held", ()) and action.verdict
    assert str(action.causes[-1]) == "revision 0 stays away: env.A had another value, which is kept nowhere"
    (action,) = died(took_over()).answering(formers={}).plan().actions
    assert "can't be read" in str(action.causes[-1])


def test_the_image_is_the_one_of_then() -> None:
    moved = make_service(image="docker.io/library/nginx:9", env={"A": "1"}, replicas=2)
    world = died(took_over()).answering(formers={"r0": moved})
    (action,) = world.plan().actions
    assert action.verb == "take-back" and action.service and action.service.spec.image == "docker.io/library/nginx:1"
    assert action.image_id == "sha256:old"


def test_one_that_was_cut_off_is_carried_on() -> None:
    """The failure is recorded, and of the good revision's replicas there is one."""
    world = took_over()
    known = world.recorded.services[WEB]
    assert known.current and known.trial
    failed = replace(known.current, status="failed", cause="replica 1 died")
    rows = (*known.containers, make_row(OLD, 1, 5, "r0"))
    known = replace(known, current=known.trial.former, failed=failed, trial=None, containers=rows)
    world = world.remembers(known)
    (action,) = world.plan().actions
    assert (action.verb, action.verdict) == ("take-back", None)
    assert [str(cause) for cause in action.causes] == [
        "revision 1 failed: replica 1 died",
        "revision 0 is made again",
    ]


def test_until_what_took_over_has_given_way_it_is_carried_on_behind_the_gate() -> None:
    """All good replicas are there, and may not be ready; the failed ones run on meanwhile."""
    world = took_over()
    known = world.recorded.services[WEB]
    assert known.current and known.trial
    failed = replace(known.current, status="failed", cause="replica 1 died")
    rows = (*known.containers, *(make_row(OLD, n, n + 5, "r0") for n in (1, 2)))
    known = replace(known, current=known.trial.former, failed=failed, trial=None, containers=rows)
    world = world.remembers(known).sees_also(*(make_container(row) for row in rows[2:]))
    (action,) = world.plan().actions
    assert action.verb == "take-back"
    assert str(rollout.steps(action)) == textwrap.dedent("""\
        await 1 web-1-6; stop 1 web-1
        await 2 web-2-7; stop 2 web-2
        finally pin 2 web-2 no
        finally remove 1 web-1""")
    rest = world.misses("web-1").sees("web-2", state="exited", exit_code=1, restart_policy="no")
    assert [(a.verb, a.idle) for a in rest.plan().actions] == [("held", True)]
