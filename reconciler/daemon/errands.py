"""What a person asked the daemon to do: one apply, handed over, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from ..apply import Job
from ..errors import LbError
from ..model import Desired, Outcome, Plan, Ref
from ..plan import Answers
from ..reconcile import Cycle
from ..runtime import Progress


@dataclass(slots=True, eq=False)
class Errand:
    """`accepts` says whether the source as the daemon reads it is the one that was meant, else why not. `news` has
    the progress, and at the end what came of it or the error that ended it. `only_check`: nothing is to be done.

    `open` are the jobs that belong to it; `expect` are objects whose next job will, because the one that was under
    way is superseded.
    """

    answers: Answers
    accepts: Callable[[Desired], LbError | None]
    only_check: bool = False
    refreshed: bool = False  # the registry was asked for what is always to be pulled
    news: SimpleQueue[Progress | Cycle | LbError] = field(default_factory=SimpleQueue)
    plan: Plan | None = None
    open: list[Job] = field(default_factory=list)
    expect: set[Ref] = field(default_factory=set)
    outcomes: list[Outcome] = field(default_factory=list)
    unasked: tuple[str, ...] = ()  # images that a registry could not be asked for
    over: bool = False

    def accepted(self) -> None:
        """There was only to be checked whether it would be."""
        self.over = True
        self.news.put(Cycle(Plan("")))

    def planned(self, plan: Plan, jobs: Sequence[Job], superseded: Collection[Ref]) -> None:
        self.plan = plan
        self.open += jobs
        self.expect |= set(superseded)

    def follow(self, jobs: Sequence[Job], busy: Collection[Ref]) -> None:
        """A later cycle took on these jobs: those that are expected belong to it, what is not coming is forgotten."""
        for job in jobs:
            if job.action.ref in self.expect:
                self.open.append(job)
                self.expect.discard(job.action.ref)
        self.expect &= set(busy)

    def ended(self, job: Job, outcome: Outcome) -> None:
        if job not in self.open:
            return
        self.open.remove(job)
        if outcome.result == "refused-in-place":
            self.expect.add(outcome.ref)
        elif outcome.ref not in self.expect:
            self.outcomes.append(outcome)

    def conclude(self) -> None:
        """Says what came of it once nothing of it is left to do."""
        if self.plan and not self.open and not self.expect and not self.over:
            self.over = True
            self.news.put(Cycle(self.plan, tuple(self.outcomes), self.unasked))

    def fail(self, error: LbError) -> None:
        if not self.over:
            self.over = True
            self.news.put(error)
