"""Whatever is done, and whatever comes of it, is an entry of the activity: why, for which revision, at which commit."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from reconciler.model import Activity, Ref
from reconciler.store import Store
from tests.support.desk import Desk
from tests.support.git import git
from tests.support.scenarios import SCENARIOS, Scenario, stage


def entries(state: Path) -> dict[Ref, list[Activity]]:
    with contextlib.closing(Store.open(state)) as store:
        found: dict[Ref, list[Activity]] = {}
        for entry in store.activity():
            found.setdefault(Ref(entry.namespace, entry.service), []).append(entry)
        return found


def revisions(state: Path, ref: Ref) -> set[str]:
    with contextlib.closing(Store.open(state)) as store:
        return {revision.id for revision in store.revisions(ref)}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_every_action_of_every_scenario(scenario: Scenario, tmp_path: Path) -> None:
    world = stage(scenario, tmp_path).clone(tmp_path)
    before = {ref: len(found) for ref, found in entries(world.state).items()}
    cycle = world.cycle(scenario.wanted)
    assert cycle.outcomes and len(cycle.outcomes) == len(cycle.plan.actions)
    after = entries(world.state)
    outcomes = {outcome.ref: outcome for outcome in cycle.outcomes}
    for action in cycle.plan.actions:
        new = after[action.ref][: len(after[action.ref]) - before.get(action.ref, 0)]
        (entry,) = (e for e in new if e.reason.startswith(action.verb))
        assert entry.causes == action.causes and all(str(cause) in entry.message for cause in action.causes)
        good = outcomes[action.ref].result in ("done", "held")
        assert (entry.reason == action.verb) == good == (entry.type == "normal")
        if action.ref.name and action.verb != "remove":
            assert entry.revision in revisions(world.state, action.ref)
        if action.verdict:
            (failed,) = (e for e in new if e.reason == "failed")
            assert (failed.type, failed.revision) == ("warning", action.verdict.revision.id)
            assert action.verdict.cause in failed.message
    assert {ref for ref in after if len(after[ref]) != before.get(ref, 0)} == outcomes.keys(), "nothing else was done"


def test_with_the_commit_where_the_source_is_under_git(desk: Desk) -> None:
    desk.namespace()
    desk.service("a")
    desk.service("b")
    git(desk.folder, "init", "-q")
    git(desk.folder, "add", ".")
    git(desk.folder, "commit", "-qm", "one")
    desk.apply()
    desk.service("a", env={"A": "1"})
    desk.service("b", replicas=2)
    desk.remove("demo.b.yaml")
    desk.service("c", command=["exit", "3"])
    git(desk.folder, "add", ".")
    git(desk.folder, "commit", "-qm", "two")
    desk.apply(code=1)
    found = [(e.namespace, e.service, e.reason, e.commit) for es in entries(desk.state).values() for e in es]
    assert {reason for _, _, reason, _ in found} == {"create", "replace", "remove", "create-failed"}
    assert all(len(commit) == 40 for *_, commit in found) and len({commit for *_, commit in found}) == 2
