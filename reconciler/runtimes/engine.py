"""Docker Engine as a Runtime: replicas are containers, and we roll them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from threading import Event

from ..errors import NotFound
from ..model import Action, Container, Dependency, EngineInfo, Observed, Outcome, Ref
from ..runtime import MARKER, Journal, Progress, Report
from . import gate, performer
from .calls import Calls
from .work import Shared


class Engine:
    """`files` is the folder of content snapshots that binds are mounted from. The clock gives RFC 3339."""

    def __init__(self, calls: Calls, files: str, clock: Callable[[], str]) -> None:
        self._calls, self._clock = calls, clock
        self._shared = Shared(files)

    def info(self) -> EngineInfo:
        return self._calls.info()

    def observe(self, known: Collection[str] = ()) -> Observed:
        calls = self._calls
        info, listed = calls.info(), calls.containers()
        missing = sorted(set(known).difference(c.id for c in listed))
        return Observed(
            engine=info,
            at=self._clock(),
            containers=(*listed, *(found for key in missing if (found := self._inspected(key)))),
            networks=tuple(calls.networks()),
            volumes=tuple(calls.volumes()),
            images=calls.images(),
        )

    def _inspected(self, container: str) -> Container | None:
        try:
            found = self._calls.inspect(container)
        except NotFound:
            return None
        return found if found.id == container else None  # somebody may have named another one so

    def refresh(self, image: str, report: Callable[[str], None]) -> None:
        """Asks the registry again, for `pull_policy: always`."""
        self._calls.pull(image, report)

    def marker(self) -> Mapping[str, str] | None:
        found = self._calls.volume(MARKER)
        return found.labels if found else None

    def mark(self, labels: Mapping[str, str] | None) -> None:
        self._calls.remove_volume(MARKER)
        if labels:
            self._calls.create_volume(MARKER, labels)

    def perform(self, action: Action, journal: Journal, report: Report, cancel: Event) -> Outcome:
        return performer.perform(self._calls, self._shared, action, journal, report, cancel)

    def wait(self, ref: Ref, dependency: Dependency, containers: Sequence[str], report: Report, cancel: Event) -> None:
        report(Progress(ref, f"waiting for {dependency.ref}", dependency.condition))
        gate.dependency(self._calls, dependency, containers, cancel)

    def changes(self) -> Iterator[None]:
        return self._calls.changes()

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> Iterator[tuple[str, bytes]]:
        return self._calls.logs(container, follow=follow, tail=tail, since=since, timestamps=timestamps)

    def close(self) -> None:
        self._calls.close()
