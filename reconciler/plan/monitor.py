"""A revision that took over from another and dies soon after: it failed too, and the other one is taken back. Pure.

A replica died within `update.monitor` after its revision took over, when the engine shows that the process ended by
itself, or that it is unhealthy. What the engine shows is all there is to go by, so the rules are these:

- With `always` and `unless-stopped`, the engine starts again what ended by itself, and counts that; what a person
  stopped or killed through the engine stays down and is not counted, and a start by hand, a restart of dockerd or of
  the host begin to count anew. So `exited` says nothing, `restarting` or a restart counted says it. Restarts that the
  gate let pass ended before the revision took over.
- `on-failure:N` gives up after N restarts: then `exited` says it too.
- With `no` there is the exit code alone. 137, 143 and 255 are what kills, stops, and a lost engine or host leave: they
  say nothing. 0 is completed.
- Removed, paused, renamed, disconnected: drift, which is healed.

The containers of the former revision are gone. It is made again as far as that can still be had (`Desired.remake`), and
only where each resolved value is the one that it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .. import clock, drift, fingerprint
from ..model import (
    Action,
    Cause,
    Container,
    Desired,
    Observed,
    Recorded,
    RecordedService,
    Replica,
    Revision,
    Service,
    Verdict,
)
from . import held, services
from .services import Decision, Look

SECOND = 1_000_000_000
MONITOR = 30 * SECOND  # where the manifest does not say
_NOT_ITS_OWN = (0, 137, 143, 255)

Formers = Mapping[str, Service]  # by revision


def wanted_again(desired: Desired, recorded: Recorded, observed: Observed) -> tuple[Revision, ...]:
    """Revisions of which the services may have to be made again."""
    found: list[Revision] = []
    for ref, service in desired.services.items():
        known = recorded.services.get(ref)
        if known is None or known.current is None or service.spec.update.on_failure == "stop":
            continue
        replicas = services.replicas_of(known, observed, known.drift)
        if known.failed and _unfinished(known, replicas):
            found.append(known.current)
        elif known.trial and _death(service, known, replicas, observed.at):
            found.append(known.trial.former)
    return tuple(found)


def decide(look: Look, formers: Formers, adopt: bool) -> Decision | None:
    """What becomes of a service whose revision failed after it took over; None where that is not so."""
    known = look.recorded.services.get(look.service.ref)
    if known is None or known.current is None or known.restart:
        return None
    asked = services.base(look)
    verdict = _verdict(asked, known, look.observed.at)
    if verdict:
        failed = replace(verdict.revision, status="failed", cause=verdict.cause)
        known = replace(known, current=verdict.former, failed=failed, pending=None, trial=None)
    if known.failed is None or not (verdict or services.again(asked, known.failed)):
        return None
    rolls_back = look.service.spec.update.on_failure == "rollback"
    if not verdict and not (rolls_back and _unfinished(known, asked.replicas)):
        return None
    action, why = _taken_back(look, known, formers) if rolls_back else (None, "")
    if action:
        again = replace(look, service=action.service or look.service)
        return services.with_volumes(Decision(replace(action, verdict=verdict)), again, adopt)
    action = held.failed(replace(asked, recorded=known), known, known.failed)
    if why and known.current:
        action = replace(action, causes=(*action.causes, Cause(f"revision {known.current.number} stays away: {why}")))
    return Decision(replace(action, verdict=verdict, origin="failure") if verdict else action)


def _verdict(asked: Action, known: RecordedService, now: str) -> Verdict | None:
    current, trial, service = known.current, known.trial, asked.service
    if current is None or trial is None or service is None or not services.again(asked, current):
        return None
    if (trial.former.fingerprint, trial.former.image_id) == (current.fingerprint, current.image_id):
        return None  # it was restarted: what came before was the same
    death = _death(service, known, asked.replicas, now)
    return death and Verdict(current, trial.former, death[1], death[0].seen.id)


def _death(
    service: Service, known: RecordedService, replicas: tuple[Replica, ...], now: str
) -> tuple[Replica, str] | None:
    """The replica that died within the time that it was watched, and how."""
    current, trial, monitor = known.current, known.trial, service.spec.update.monitor
    if current is None or trial is None:
        return None
    since = clock.seconds(trial.since)
    until = since + (MONITOR if monitor is None else monitor) / SECOND
    for replica in replicas:
        if replica.recorded.base == current.base:
            at, how = _end(replica.seen, since, clock.seconds(now))
            if how and at <= until:
                return (
                    replica,
                    f"replica {replica.recorded.number} {how} {max(0.0, at - since):.0f} s after it took over",
                )
    return None


def _end(seen: Container, since: float, now: float) -> tuple[float, str]:
    """When it ended by itself, or is seen to be unhealthy, and how; "" where it did not."""
    if seen.state == "running" and seen.health == "unhealthy":
        return now, "was unhealthy"
    if not seen.finished or drift.completed(seen):
        return 0.0, ""
    at, policy, ended = clock.seconds(seen.finished), seen.restart_policy, f"ended with exit {seen.exit_code}"
    if seen.state == "restarting":
        return at, ended
    if seen.state == "running" and seen.restarts and at > since:
        return at, "ended and was restarted"
    if seen.state == "exited" and policy == "no" and seen.exit_code not in _NOT_ITS_OWN:
        return at, ended
    limit = policy.removeprefix("on-failure:")
    if seen.state == "exited" and limit.isdigit() and seen.restarts >= int(limit):
        return at, f"{ended} (restarts: {seen.restarts})"
    return 0.0, ""


def _unfinished(known: RecordedService, replicas: tuple[Replica, ...]) -> bool:
    """Whether some of the good revision's replicas are missing, or what took over from it has not given way yet."""
    current, failed = known.current, known.failed
    if current is None or failed is None:
        return False
    there = {r.recorded.number for r in replicas if r.recorded.base == current.base}
    runs = any(r.recorded.base == failed.base and r.seen.state in ("running", "restarting", "paused") for r in replicas)
    missing = not there.issuperset(range(1, current.replicas + 1))
    return missing or (runs and bool(failed.promoted) and failed.base != current.base)


def _taken_back(look: Look, known: RecordedService, formers: Formers) -> tuple[Action | None, str]:
    """The good revision made again, or why that can't be."""
    good, failed = known.current, known.failed
    if good is None or failed is None:
        raise ValueError(f"{known.ref}: nothing failed")
    former = formers.get(good.id)
    if former is None:
        return None, "it can't be read with the variables and files of now"
    former = _with_its_image(former, good, look.observed)
    if lost := fingerprint.differing(former, good):
        return None, f"{', '.join(lost)} had another value, which is kept nowhere"
    again = replace(look, service=former)
    base = services.of_same_image(services.base(again), again, good)
    causes = (
        Cause(f"revision {failed.number} failed: {failed.cause}"),
        Cause(f"revision {good.number} is made again"),
    )
    return replace(
        base, verb="take-back", origin="failure", causes=causes, impact="rolling", recorded=known, base=good.base,
        fingerprint=good.fingerprint, instead=look.service,
    ), ""  # fmt: skip


def _with_its_image(former: Service, revision: Revision, observed: Observed) -> Service:
    """Where a variable in the reference has another value by now, the engine may still have the image under the
    reference of then."""
    recorded = revision.digests.get("image")
    for reference in (former.spec.image, *observed.images):
        if fingerprint.digest("image", reference, revision.id) == recorded:
            return replace(former, spec=replace(former.spec, image=reference))
    return former
