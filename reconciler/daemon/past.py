"""Services as they were wanted before, in memory alone: with values that are kept nowhere else.

What took over from one of them and dies soon after can be taken back to it, though its variables and files have other
values in the source by now. Copies of its files stay meanwhile; those of secrets don't, which are taken out of use by
being changed. What is not remembered is read from what was written, as `lb apply` does it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import fingerprint, snapshots
from ..model import Desired, Ref, Revision, Service

KEPT = 4  # of one service, the one that is wanted now among them
LONGEST = 3600.0  # seconds since it was no longer wanted


@dataclass(frozen=True, slots=True)
class _Former:
    service: Service
    left: float  # when it was no longer wanted


class Past:
    def __init__(self, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._state, self._clock = state, clock
        self._now: dict[Ref, Service] = {}
        self._formers: dict[Ref, tuple[_Former, ...]] = {}

    def behind(self, desired: Desired) -> Desired:
        """The same, with what was wanted before at hand."""
        self._note(desired)
        files = frozenset(d for formers in self._formers.values() for f in formers for d in f.service.files)
        return replace(desired, remake=functools.partial(self._remake, desired), spared=files)

    def _note(self, desired: Desired) -> None:
        now = self._clock()
        for ref, service in desired.services.items():
            before = self._now.get(ref)
            if before is not None and before is not service and before.spec != service.spec:
                formers = (*self._formers.get(ref, ()), _Former(before, now))
                self._formers[ref] = formers[1 - KEPT :]
            self._now[ref] = service
        for ref in self._now.keys() - desired.mentioned:
            del self._now[ref]
        alive = {ref: tuple(f for f in fs if now - f.left < LONGEST) for ref, fs in self._formers.items()}
        self._formers = {ref: formers for ref, formers in alive.items() if formers and ref in self._now}

    def _remake(self, desired: Desired, revision: Revision) -> Service | None:
        for former in reversed(self._formers.get(revision.ref, ())):
            if not fingerprint.differing(former.service, revision) and self._there(former.service):
                return former.service
        return desired.remake(revision)

    def _there(self, service: Service) -> bool:
        """Whether all that it mounts can be had as it was."""
        return not service.secrets and all(snapshots.path(self._state, digest).exists() for digest in service.files)
