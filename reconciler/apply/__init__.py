"""Carries out plans: dependencies in order, independent actions side by side, one Outcome each, all of it recorded.

One failure stops only its dependents. Removals run last.
"""

from __future__ import annotations

from ..model import Outcome, Plan
from .crew import Crew, Job
from .recording import Tools

__all__ = ["Crew", "Job", "Tools", "run"]


def run(plan: Plan, tools: Tools) -> tuple[Outcome, ...]:
    """One plan from its begin to its end.

    Raises StateError, LockedError or EngineUnreachable after the actions under way have ended.
    """
    crew = Crew(tools)
    try:
        return tuple(job.future.result() for job in crew.take_on(plan))
    finally:
        crew.close()
