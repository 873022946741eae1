"""What belongs to an apply that was handed over, and when it is told what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from queue import Empty
from threading import Event

from reconciler.apply import Job
from reconciler.daemon.errands import Errand
from reconciler.errors import LbError
from reconciler.model import Outcome, Plan
from reconciler.plan import Answers
from reconciler.reconcile import Cycle
from reconciler.runtime import Cancel
from tests.support.build import make_action, make_service

NOTHING_LEFT = Plan("src")


def asked() -> Errand:
    return Errand(Answers(), lambda desired: None)


def job(name: str = "web") -> Job:
    return Job(make_action("create", make_service(name)), Cancel(Event()))


def outcome(of: Job, result: str = "done") -> Outcome:
    return Outcome(of.action.ref, of.action.verb, result)  # type: ignore[arg-type]


def told(errand: Errand) -> Iterable[object]:
    errand.conclude()
    while True:
        try:
            yield errand.news.get_nowait()
        except Empty:
            return


def test_what_the_daemon_had_begun_already_belongs_to_it() -> None:
    """The plan is empty, because what is asked for is under way; the apply waits for it all the same, and says so."""
    errand, begun = asked(), job()
    errand.planned(NOTHING_LEFT, [begun], ())
    assert list(told(errand)) == []
    errand.ended(begun, outcome(begun, "failed"))
    (cycle,) = told(errand)
    assert isinstance(cycle, Cycle) and [o.result for o in cycle.outcomes] == ["failed"]
    assert list(told(errand)) == [], "once"


def test_what_is_superseded_counts_for_nothing_and_what_follows_it_counts() -> None:
    errand, old, new, other = asked(), job(), job(), job("other")
    errand.planned(NOTHING_LEFT, [old], [old.action.ref])
    errand.ended(old, outcome(old, "interrupted"))
    assert list(told(errand)) == [], "the next is still to come"
    errand.follow([other, new], ())
    errand.ended(other, outcome(other, "failed"))
    assert list(told(errand)) == []
    errand.ended(new, outcome(new))
    (cycle,) = told(errand)
    assert isinstance(cycle, Cycle) and cycle.outcomes == (outcome(new),)


def test_what_is_not_coming_is_not_waited_for() -> None:
    errand, old = asked(), job()
    errand.planned(NOTHING_LEFT, [old], [old.action.ref])
    errand.ended(old, outcome(old, "interrupted"))
    errand.follow([], ())
    (cycle,) = told(errand)
    assert isinstance(cycle, Cycle) and cycle.outcomes == ()


def test_after_a_refusal_in_place_the_replacement_is_waited_for() -> None:
    errand, update, replacement = asked(), job(), job()
    errand.planned(NOTHING_LEFT, [update], ())
    errand.ended(update, outcome(update, "refused-in-place"))
    assert list(told(errand)) == []
    errand.follow([replacement], ())
    errand.ended(replacement, outcome(replacement))
    (cycle,) = told(errand)
    assert isinstance(cycle, Cycle) and cycle.outcomes == (outcome(replacement),)


def test_an_error_is_told_once_and_ends_it() -> None:
    errand, begun = asked(), job()
    errand.planned(NOTHING_LEFT, [begun], ())
    error = LbError("the daemon ends")
    errand.fail(error)
    errand.fail(LbError("another"))
    errand.ended(begun, outcome(begun))
    assert list(told(errand)) == [error] and errand.over
