"""Docker Engine as a Runtime: replicas are containers, and we roll them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from threading import BoundedSemaphore, Event

from ..errors import NotFound
from ..model import Action, Container, Dependency, EngineInfo, NamedVolume, Observed, Outcome, Ref, Volume
from ..policy import Closed, Warden
from ..runtime import MARKER, Journal, LogStream, Progress, Report
from . import gate, performer
from .calls import Calls
from .pulls import Pulls, asked
from .subnets import Pool
from .work import SLOTS, Shared


class Engine:
    """`files` is the folder of content snapshots that binds are mounted from. The clock gives RFC 3339. Without a
    `warden`, this host allows nothing that needs its policy. `pool` is asked for each
    new network. `slots` is how many engine calls may be made at once."""

    def __init__(
        self,
        calls: Calls,
        files: str,
        clock: Callable[[], str],
        warden: Warden | None = None,
        pool: Callable[[], Pool] = Pool,
        slots: int = SLOTS,
    ) -> None:
        self._calls, self._clock = calls, clock
        self._shared = Shared(files, BoundedSemaphore(slots), Pulls(calls.pull), warden or Closed(), pool)
        self._digests: dict[str, str] = {}

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
            digests=dict(self._digests),
        )

    def _inspected(self, container: str) -> Container | None:
        try:
            found = self._calls.inspect(container)
        except NotFound:
            return None
        return found if found.id == container else None  # somebody may have named another one so

    def refresh(self, image: str, cancel: Event) -> None:
        """What the registry says is part of every later look; when it can't be asked, the last answer does not hold."""
        self._digests.pop(image, None)
        self._digests[image] = asked(lambda: self._calls.ask(image), cancel, f"the registry is asked for {image}")

    def marker(self) -> Mapping[str, str] | None:
        found = self._calls.volume(MARKER)
        return found.labels if found else None

    def mark(self, labels: Mapping[str, str] | None) -> None:
        self._calls.remove_volume(MARKER)
        if labels:
            self._calls.create_volume(NamedVolume(MARKER), labels)

    def volume(self, name: str) -> Volume | None:
        return self._calls.volume(name)

    def mounted(self) -> Mapping[str, tuple[str, ...]]:
        return self._calls.mounted()

    def remove_volume(self, name: str) -> None:
        self._calls.remove_volume(name)

    def perform(self, action: Action, journal: Journal, report: Report, cancel: Event) -> Outcome:
        return performer.perform(self._calls, self._shared, action, journal, report, cancel)

    def wait(self, ref: Ref, dependency: Dependency, containers: Sequence[str], report: Report, cancel: Event) -> None:
        news = Progress(ref, f"waiting for {dependency.ref}", dependency.condition)
        gate.dependency(self._calls, dependency, containers, cancel, lambda: report(news))

    def changes(self) -> Iterator[None]:
        return self._calls.changes()

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> LogStream:
        return self._calls.logs(container, follow=follow, tail=tail, since=since, timestamps=timestamps)

    def close(self) -> None:
        self._calls.close()
