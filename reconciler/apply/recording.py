"""One action between its records: what is written before it, and what came of it after.

Every mutating step passes `_Journal.begin`, which checks the lock and commits the intent before the engine is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event

from .. import fingerprint, secrets, snapshots, streams
from ..errors import EXIT_FAILED
from ..model import (
    Action,
    ActivityType,
    Outcome,
    Plan,
    RecordedContainer,
    RecordedVolume,
    Ref,
    Revision,
    Service,
    UnnamedVolume,
    Verdict,
)
from ..runtime import LABEL_FINGERPRINT, Effect, Intent, Progress, Report, Runtime, StepVerb
from ..store import Store


@dataclass(frozen=True, slots=True)
class Tools:
    """What applying needs from outside: the doors, and how to be told to stop. `guard` raises when the lock is lost."""

    runtime: Runtime
    store: Store
    guard: Callable[[], None]
    report: Report
    cancel: Event


class Recording:
    """`cancel` ends this action alone; `started` is set once all replicas of a new service have been started."""

    def __init__(self, action: Action, plan: Plan, tools: Tools, cancel: Event, started: Event) -> None:
        self.action, self.source, self.commit = action, plan.source, plan.commit
        self.tools, self.store = tools, tools.store
        self.cancel, self.started = cancel, started
        self.image = ("", "")  # id and digest, as far as it was resolved
        self._hidden: frozenset[str] | None = None

    def carry_out(self) -> Outcome:
        return self._service() if self.action.ref.name else self._namespace()

    def _namespace(self) -> Outcome:
        action, store = self.action, self.store
        name = action.ref.namespace
        if action.namespace:
            store.record_namespace(action.namespace, self.source)
        if action.verb == "adopt":
            store.adopt_network(name, action.network)
        outcome = self._perform(None)
        if action.verb == "remove" and outcome.result == "done":
            store.forget_namespace(name)
        self._note(outcome, "")
        return outcome

    def _service(self) -> Outcome:
        action, store = self.action, self.store
        if action.verb == "remove":
            outcome = self._perform(None)
            if outcome.result == "done":
                store.forget_service(action.ref, self.source)
            self._note(outcome, "")
            return outcome
        logs = self._condemn(action.verdict) if action.verdict else ()
        if action.verb in ("held", "take-back"):
            good = action.recorded.current if action.recorded and action.verb == "take-back" else None
            outcome = self._perform(good)
            if good or action.replicas:  # else there was nothing to be done beside telling it
                self._note(outcome, good.id if good else "")
            return held(action, logs) if outcome.result == "done" else outcome
        service = action.service
        if service is None:
            raise ValueError(f"{action.verb} {action.ref} carries no service")
        for volume in action.claims:
            definition = volume.labels.get(LABEL_FINGERPRINT, "")
            store.adopt_volume(
                RecordedVolume(volume.name, action.ref.namespace, volume.created, definition, volume.nonce)
            )
        revision = self._revision(service)
        if action.verb == "adopt":
            self._adopt(service, revision)
        outcome = self._perform(revision)
        if outcome.result == "done":
            self._good(service, revision)
        elif outcome.condemns:
            store.fail(revision.id, outcome.message, outcome.logs)
        self._note(outcome, revision.id)
        return outcome

    def _condemn(self, verdict: Verdict) -> tuple[str, ...]:
        """The revision that took over has failed, whatever becomes of the rest."""
        failed = verdict.revision
        self.tools.guard()
        logs = self._without_values(*streams.last_lines(self.tools.runtime, verdict.container))
        self.store.fall_back(failed.id, verdict.former.id, verdict.cause, logs)
        message = f"revision {failed.number} failed: {verdict.cause}"
        self.store.add_activity(self.action.ref, "warning", "failed", message, failed.id, self.commit)
        return logs

    def _without_values(self, *said: str) -> tuple[str, ...]:
        """What failed may have printed what it was given, and the engine repeats words of the spec in its errors; that
        is not written down, and not shown."""
        if self._hidden is None and any(said):
            self._hidden = self._values()
        return streams.without(self._hidden or (), said)

    def _values(self) -> frozenset[str]:
        files = self.store.directory / snapshots.FOLDER
        found: set[str] = set()
        for service in filter(None, (self.action.service, self.action.instead)):
            found |= service.hidden | secrets.contents(files, service.secrets)
            found |= {value for volume in service.volumes.values() for value in volume.hidden}
        return frozenset(found)

    def _report(self, progress: Progress) -> None:
        (detail,) = self._without_values(progress.detail)
        self.tools.report(replace(progress, detail=detail))

    def _revision(self, service: Service) -> Revision:
        """The revision that this action brings about; healing and recording keep the current one."""
        action = self.action
        current = action.recorded.current if action.recorded else None
        if action.verb in ("heal", "record") and current:
            return current
        in_place = action.verb in ("update", "scale") and current is not None
        return self.store.open_revision(
            service,
            source=self.source,
            fingerprint=action.fingerprint,
            digests_of=lambda salt: fingerprint.digests(service, salt),
            parent=current,
            base=action.base or None,
            image_id=current.image_id if in_place and current else action.image_id,
            digest=current.digest if in_place and current else action.digest,
        )

    def _adopt(self, service: Service, revision: Revision) -> None:
        rows = []
        for seen in self.action.candidates:
            attempt = int(seen.name.rpartition("-")[2]) if seen.name.rpartition("-")[2].isdigit() else 0
            rows.append(
                RecordedContainer(
                    seen.id, service.ref, seen.number, attempt, seen.name, revision.id, revision.base, seen.projection
                )
            )
        self.store.set_image(revision.id, self.action.candidates[0].image_id, self.action.digest)
        self.store.adopt(rows)
        unnamed = [(volume, seen) for seen in self.action.candidates for volume in seen.unnamed]
        if unnamed:
            found = [UnnamedVolume(name, service.ref, target, seen.created) for (name, target), seen in unnamed]
            self.store.settle_unnamed(found, ())
        self.store.raise_attempts(service.ref, max(row.attempt for row in rows))

    def _good(self, service: Service, revision: Revision) -> None:
        current = self.action.recorded.current if self.action.recorded else None
        image_id, digest = self.image
        if self.action.moved and current and current.image_id == image_id:  # the same, under another digest
            self.store.set_image(current.id, image_id, digest)
            revision = current
        elif self.action.verb not in ("heal", "record"):
            self.store.promote(revision.id, service, self.source)
            return
        self.store.record_service(service, self.source, fingerprint.digests(service, revision.id))

    def _perform(self, revision: Revision | None) -> Outcome:
        tools = self.tools
        journal = _Journal(self.store, self.source, revision, tools.guard, self.started)
        outcome = tools.runtime.perform(self.action, journal, self._report, self.cancel)
        self.image = journal.resolved
        (message,) = self._without_values(outcome.message)
        return replace(outcome, message=message, logs=self._without_values(*outcome.logs))

    def _note(self, outcome: Outcome, revision: str) -> None:
        action = self.action
        kind: ActivityType = "normal" if outcome.result == "done" else "warning"
        why = "; ".join(str(cause) for cause in action.causes)
        message = why if outcome.result == "done" else f"{outcome.message} ({why})"
        reason = f"{action.verb}-{outcome.result}" if outcome.result != "done" else action.verb
        self.store.add_activity(action.ref, kind, reason, message, revision, self.commit, action.causes)


def held(action: Action, logs: tuple[str, ...] = ()) -> Outcome:
    """What is said of a revision that failed, as long as nothing changes. `logs` are its last lines, where they are
    not recorded yet."""
    failed = action.recorded.failed if action.recorded else None
    causes = "; ".join(map(str, action.causes))
    return Outcome(action.ref, action.verb, "held", causes, EXIT_FAILED, logs or (failed.logs if failed else ()))


class _Journal:
    """Writes each step ahead, and its outcome after; see `reconciler.runtime.Journal`."""

    def __init__(
        self, store: Store, source: str, revision: Revision | None, guard: Callable[[], None], started: Event
    ) -> None:
        self.revision, self.source = revision, source
        self.resolved = ("", "")
        self._store, self._guard, self._started = store, guard, started

    def begin(self, verb: StepVerb, ref: Ref, target: str = "", number: int = 0) -> Intent:
        self._guard()
        return self._store.begin(verb, ref, target, number, self.revision.id if self.revision else "")

    def end(self, intent: Intent, effect: Effect) -> None:
        self._store.end(intent.nonce, effect)

    def image(self, image_id: str, digest: str) -> None:
        self.resolved = image_id, digest
        if self.revision and (self.revision.image_id, self.revision.digest) != self.resolved:
            self._store.set_image(self.revision.id, image_id, digest)

    def started(self) -> None:
        self._started.set()
