"""Exit codes, and which of several to leave with."""

from __future__ import annotations

import itertools

import pytest

from reconciler import errors
from reconciler.errors import LbError, worst

IN_ORDER = [130, 73, 75, 69, 64, 77, 65, 1, 2, 0]


@pytest.mark.parametrize(("more", "less"), list(itertools.combinations(IN_ORDER, 2)))
def test_the_more_serious_of_two(more: int, less: int) -> None:
    assert worst([less, more]) == worst([more, less, more]) == more


def test_none_is_success() -> None:
    assert worst([]) == worst([0, 0]) == 0


def subclasses(kind: type[LbError]) -> list[type[LbError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in subclasses(sub))]


@pytest.mark.parametrize("kind", subclasses(LbError))
def test_every_error_has_a_code_that_counts(kind: type[LbError]) -> None:
    assert worst([kind.exit_code]) == kind.exit_code != 0
    found = kind("what", hint="way out")
    assert (str(found), found.message, found.hint) == ("what", "what", "way out")


def test_only_what_may_pass_by_itself_is_temporary() -> None:
    assert {kind for kind in subclasses(LbError) if kind.temporary} == {errors.LockedError, errors.EngineUnreachable}
