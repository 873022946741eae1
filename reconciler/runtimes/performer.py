"""Carries out one action, step by step, through the calls of an engine. Decides nothing: `rollout` did.

Each mutating step is written ahead in the journal, made, and recorded with what `inspect` shows then. A step that
was cut off is made again by the next cycle. Waiting at the gate holds none of the bounded slots for engine calls.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Lock
from typing import Any, Literal

from .. import rollout
from ..errors import (
    Denied,
    EngineError,
    InterruptedByUser,
    LbError,
    NameConflict,
    NotFound,
    NotReady,
    Rejected,
    Stuck,
    UpdateRefused,
)
from ..model import Action, Container, Outcome, Service
from ..rollout import NEW, Change, Step
from ..runtime import (
    LABEL_FINGERPRINT,
    LABEL_INTENT,
    LABEL_NAMESPACE,
    LABEL_REPLICA,
    LABEL_REVISION,
    LABEL_SERVICE,
    LABEL_SOURCE,
    Effect,
    Journal,
    Report,
    aliases,
    container_name,
)
from . import body, gate, resizing, surroundings
from .calls import Calls
from .work import Shared, Work

Result = Literal["done", "failed", "deferred", "interrupted", "refused-in-place"]


def perform(calls: Calls, shared: Shared, action: Action, journal: Journal, report: Report, cancel: Event) -> Outcome:
    """One Outcome, whatever the engine did. StateError, LockedError and EngineUnreachable are raised."""
    begun = time.monotonic()
    run = _Run(Work(calls, shared, action, journal, report, cancel))
    try:
        message = run.all()
        result: Result = "deferred" if message else "done"
        return Outcome(action.ref, action.verb, result, message, seconds=time.monotonic() - begun)
    except (EngineError, InterruptedByUser) as error:
        return _failure(action, error, time.monotonic() - begun)


def _failure(action: Action, error: LbError, seconds: float) -> Outcome:
    result: Result = "failed"
    if isinstance(error, InterruptedByUser):
        result = "interrupted"
    elif isinstance(error, Stuck) or (isinstance(error, UpdateRefused) and action.resizes):
        result = "refused-in-place"
    logs = error.logs if isinstance(error, NotReady) else ()
    condemns = isinstance(error, NotReady | Rejected) and rollout.is_trial(action)
    return Outcome(action.ref, action.verb, result, error.line, error.exit_code, logs, seconds, condemns)


class _Run:
    def __init__(self, work: Work) -> None:
        self.work, self.calls, self.action, self.journal = work, work.calls, work.action, work.journal
        self.made: dict[int, str] = {}  # replica number → id of the container this run created
        self.image = ""  # id of the image that they are made from
        self.volumes = self.action.volumes  # that they mount; once they are there, as the engine has them
        self.unstarted = 0  # replicas of a new service that have not been started yet
        self.lock = Lock()

    def all(self) -> str:
        """Returns why something was put off to the next cycle, "" when nothing was."""
        action = self.action
        if action.verb == "record":
            return ""
        if not action.ref.name:
            return surroundings.of_namespace(self.work)
        if action.verb == "remove":
            self._finish(rollout.steps(action).finish)
        elif action.verb != "adopt":
            if action.verb != "held":
                self._prepare()
            current = action.recorded.current if action.recorded else None
            if not (action.moved and current and current.image_id == self.image):
                self._roll()
        return ""

    # --- what must be there before anything old is touched

    def _prepare(self) -> None:
        service = self._service
        self._admitted(body.create(service, {}, self.work.shared.files))
        self.image, digest = surroundings.image(self.work, service)
        self.journal.image(self.image, digest)
        self.volumes = tuple(surroundings.volume(self.work, volume) for volume in self.action.volumes)
        for namespace, network in self.action.networks.items():
            if not network and namespace not in self.work.shared.networks:
                raise NotFound(f"the network of namespace {namespace} is not there")

    # --- the replicas

    def _roll(self) -> None:
        plan = rollout.steps(self.action)
        if self.action.verb == "create":
            self.unstarted = sum(step.verb == "start" for batch in plan.batches for c in batch for step in c.steps)
        if not self.unstarted:
            self.journal.started()
        done: list[Change] = []
        for batch in plan.batches:
            errors = self._batch(batch)
            done += [change for change, error in zip(batch, errors, strict=True) if error is None]
            failed = [(c, e) for c, e in zip(batch, errors, strict=True) if e is not None]
            if failed:
                self._take_back(done, failed)
                raise failed[0][1]
        self._finish(plan.finish)

    def _batch(self, batch: Sequence[Change]) -> list[EngineError | None]:
        if len(batch) == 1:
            return [self._change(batch[0])]
        with ThreadPoolExecutor(max_workers=min(len(batch), 32)) as pool:
            return list(pool.map(self._change, batch))

    def _change(self, change: Change) -> EngineError | None:
        try:
            for step in change.steps:
                self._check_cancel()
                self._do(step)
        except EngineError as error:
            return error
        return None

    def _do(self, step: Step) -> None:
        """What is wrong with the spec shows when a container is made or started; a call about what it is already says
        nothing of the revision."""
        try:
            self._step(step)
        except Rejected as error:
            if step.verb in ("create", "start"):
                raise
            raise EngineError(error.message, hint=error.hint) from error

    def _take_back(self, done: Sequence[Change], failed: Sequence[tuple[Change, EngineError]]) -> None:
        """After a failed trial the old replicas serve again; one failed replica is kept for inspection. What can't be
        taken back is left to the next look: why the trial failed is what counts."""
        trials = [change for change, _ in failed if change.trial]
        if not trials:
            return
        self.work.say("taking back", f"replica {trials[0].number} failed")
        kept = next((c.number for c in trials if self._newcomer(c)), 0)
        for change in trials:
            self._undo(change, keep=change.number == kept)
        if self._service.spec.update.on_failure == "rollback":
            for change in reversed([c for c in done if c.trial]):
                self._undo(change, keep=False)

    def _undo(self, change: Change, *, keep: bool) -> None:
        """Ends at the first step that fails: what serves is not stopped where what served before can't be started."""
        newcomer = self._newcomer(change)
        try:
            for step in change.undo:
                if step.container or newcomer:
                    self._undo_step(step, keep=keep and (step.container or newcomer) == newcomer)
        except EngineError as error:
            self.work.say("taking back", f"replica {change.number}: {error.message}")

    def _undo_step(self, step: Step, *, keep: bool) -> None:
        """`keep`: the step is about a replica that stays, stopped for good."""
        if keep and step.verb == "remove":
            return
        if keep and step.verb == "stop":
            self._step(Step("pin", step.number, step.container, "no"))
        if step.verb in ("start", "await") and self._runs(step.container):
            return
        self._step(step)

    def _newcomer(self, change: Change) -> str:
        """What the change is to bring: made by this run, or by one that was cut off; "" where there is none yet."""
        brought = next((step.container for step in change.undo if step.verb == "remove"), NEW)
        return brought or self.made.get(change.number, "")

    def _runs(self, container: str) -> bool:
        return self._inspect(container).state in ("running", "restarting")

    def _finish(self, steps: Sequence[Step]) -> None:
        """Removals of different containers side by side, those of one container in turn."""
        by_container: dict[str, list[Step]] = {}
        for step in steps:
            by_container.setdefault(step.container, []).append(step)
        chains = list(by_container.values())
        if not chains:
            return
        with ThreadPoolExecutor(max_workers=min(len(chains), 32)) as pool:
            list(pool.map(lambda chain: self._chain(chain), chains))

    def _chain(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._step(step)

    def _step(self, step: Step) -> None:
        container = step.container or self.made.get(step.number, "")
        match step.verb:
            case "create":
                self._create(step.number)
            case "start":
                self.work.say("starting", f"replica {step.number}")
                self._mutate(step, container, lambda: self.calls.start(container))
                self._count_started()
            case "await":
                self._await(container, step.number)
            case "stop":
                self.work.say("stopping", f"replica {step.number}")
                self._stop(step, container)
            case "remove":
                self._remove(container, step.number)
            case "update":
                self._update(container, step.number)
            case "pin":
                policy = body.restart_policy(step.value)
                self._mutate(step, container, lambda: self.calls.update(container, policy))
            case "unpause":
                self._mutate(step, container, lambda: self.calls.unpause(container))
            case "rename":
                self._mutate(step, container, lambda: self.calls.rename(container, step.value))
            case "connect":
                names = aliases(self.action.ref)
                network = self.action.networks.get(step.value) or self.work.shared.networks[step.value]
                self._mutate(step, container, lambda: self.calls.connect(network, container, names))
            case _:
                raise ValueError(f"no such step: {step}")

    def _create(self, number: int) -> None:
        service, revision = self._service, self.journal.revision
        if revision is None:
            raise ValueError(f"{self.action.ref}: a container without a revision")
        self.work.say("creating", f"replica {number}")
        intent = self.work.begin("create", "", number)
        name = container_name(service.ref, number, intent.attempt)
        labels = {
            LABEL_NAMESPACE: service.ref.namespace,
            LABEL_SERVICE: service.ref.name,
            LABEL_REPLICA: str(number),
            LABEL_REVISION: revision.id,
            LABEL_FINGERPRINT: revision.fingerprint,
            LABEL_SOURCE: self.journal.source,
            LABEL_INTENT: intent.nonce,
        }
        wanted = dict(self._admitted(body.create(service, labels, self.work.shared.files)))
        if self.calls.image(service.spec.image) != self.image:  # the tag has moved: replicas of a revision stay alike
            wanted["Image"] = self.image
        with self.work.shared.slots:
            try:
                container = self.calls.create(name, wanted, service.spec.platform or "")
            except NameConflict:
                holder = self.calls.inspect(name)
                if holder.labels.get(LABEL_INTENT) != intent.nonce:
                    raise
                container = holder.id  # ours: an answer was lost on the way, not the call
            seen = self.calls.inspect(container)
        self.made[number] = container
        self.journal.end(intent, Effect.of(seen, name, number, intent.attempt))

    def _admitted(self, wanted: dict[str, Any]) -> Mapping[str, Any]:
        """The body as the host's policy lets it pass. Raises Denied."""
        shared, service = self.work.shared, self._service
        found, denials = shared.warden.admit(body.request(service, wanted, shared.files, self.volumes))
        if denials:
            raise Denied("; ".join(denial.text(service, shared.warden.file) for denial in denials))
        return found

    def _count_started(self) -> None:
        with self.lock:
            self.unstarted -= 1
            if self.unstarted == 0:
                self.journal.started()

    def _stop(self, step: Step, container: str) -> None:
        intent = self.work.begin("stop", container, step.number)
        with contextlib.suppress(NotFound):
            grace = self._inspect(container).stop_grace
            self.calls.stop(container, grace)  # waits for the grace period, so it holds no slot
        self.journal.end(intent, Effect())

    def _remove(self, container: str, number: int) -> None:
        intent = self.work.begin("remove", container, number)
        with contextlib.suppress(NotFound), self.work.shared.slots:
            self._inspect(container)
            self.calls.remove(container)
        self.journal.end(intent, Effect("container-gone", id=container))

    def _inspect(self, container: str) -> Container:
        """Of that very one. Where an id is gone, the engine takes it for a name, and somebody may have given it."""
        found = self.calls.inspect(container)
        if found.id != container:
            raise NotFound(f"container {container[:12]} is gone; {found.id[:12]} bears its id as a name")
        return found

    def _update(self, container: str, number: int) -> None:
        intent = self.work.begin("update", container, number)
        with self.work.shared.slots:
            self._inspect(container)
            seen = resizing.resize(self.calls, container, self._service.spec)
        self.journal.end(intent, Effect.of(seen, seen.name, number))

    def _mutate(self, step: Step, container: str, call: Callable[[], None]) -> None:
        """What is recorded of the container stays: if somebody changed it meanwhile, that is drift."""
        if step.verb == "await":
            raise ValueError("waiting changes nothing")
        intent = self.work.begin(step.verb, container, step.number)
        with self.work.shared.slots:
            if step.container:
                self._inspect(container)
            call()
        self.journal.end(intent, Effect())

    def _await(self, container: str, number: int) -> None:
        service = self._service
        replaces = any(r.seen.id != container for r in self.action.replicas)
        limits = gate.limits(service.spec, replaces=replaces)
        name = f"replica {number}"
        waits = partial(self.work.say, "waiting for health", name)
        gate.wait(self.calls, container, limits, self.work.cancel, f"{self.action.ref} {name}", waits)

    @property
    def _service(self) -> Service:
        if self.action.service is None:
            raise ValueError(f"{self.action.verb} {self.action.ref} carries no service")
        return self.action.service

    def _check_cancel(self) -> None:
        if self.work.cancel.is_set():
            raise InterruptedByUser("the next apply carries on")
