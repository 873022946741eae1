"""How long the same thing waits: failures grow apart, a repair that is undone again and again is a fight."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.backoff import Backoff
from reconciler.model import Action, Cause, Outcome, Ref

WEB = Ref("shop", "web")


def heal(text: str = "replica 1 was stopped (exit 137)", ref: Ref = WEB) -> Action:
    return Action("heal", ref, "drift", (Cause(text),))


def create(fingerprint: str = "h1:a") -> Action:
    return Action("create", WEB, fingerprint=fingerprint)


def came(action: Action, result: Any, **given: Any) -> Outcome:
    return Outcome(action.ref, action.verb, result, **given)


def test_failures_wait_longer_and_longer() -> None:
    backoff, now, waited = Backoff(), 100.0, []
    for _ in range(12):
        backoff = backoff.after(create(), came(create(), "failed"), now)
        until = backoff.next(now)
        assert until is not None and backoff.waits(create(), until - 0.1) and not backoff.waits(create(), until)
        waited.append(until - now)
        now = until
    assert waited == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_another_spec_does_not_wait_and_success_forgets() -> None:
    backoff = Backoff().after(create(), came(create(), "failed"), 0.0)
    assert backoff.waits(create(), 0.5) and not backoff.waits(create("h1:b"), 0.5)
    assert not backoff.after(create(), came(create(), "done"), 0.5).waits(create(), 0.6)


def test_what_condemns_a_revision_is_not_ours_to_delay() -> None:
    assert not Backoff().after(create(), came(create(), "failed", condemns=True), 0.0).waits(create(), 0.1)


def test_the_same_repair_three_times_in_ten_minutes_is_a_fight() -> None:
    backoff, now = Backoff(), 0.0
    for _ in range(2):
        backoff = backoff.after(heal(), came(heal(), "done"), now)
        assert not backoff.waits(heal(), now)
        now += 60
    backoff = backoff.after(heal(), came(heal(), "done"), now)
    assert backoff.fights(heal(), now) and backoff.waits(heal(), now + 59) and not backoff.waits(heal(), now + 60)
    assert not backoff.waits(heal("replica 2 was removed"), now)
    assert not backoff.waits(heal(ref=Ref("shop", "db")), now)
    backoff = backoff.after(heal(), came(heal(), "done"), now + 60)
    assert backoff.waits(heal(), now + 60 + 119)


def test_repairs_that_are_far_apart_are_no_fight() -> None:
    backoff = Backoff()
    for at in (0.0, 400.0, 800.0, 1200.0):
        backoff = backoff.after(heal(), came(heal(), "done"), at)
        assert not backoff.waits(heal(), at)


def test_what_is_long_past_is_forgotten() -> None:
    backoff = Backoff().after(heal(), came(heal(), "done"), 0.0)
    assert len(backoff.after(create(), came(create(), "done"), 700.0).pasts) == 0


@pytest.mark.parametrize("result", ["interrupted", "held", "refused-in-place"])
def test_what_is_no_failure_does_not_wait(result: Any) -> None:
    assert not Backoff().after(create(), came(create(), result), 0.0).waits(create(), 0.0)
