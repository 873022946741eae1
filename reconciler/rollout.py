"""One action on a service's replicas becomes ordered steps. Pure.

A step is one engine call (or the wait at the health gate). A `Change` brings one replica to where the action
wants it and knows how to take itself back; changes of one batch may run side by side, batches run in turn.
Old replicas are stopped, not removed, until the whole rollout is through: taking a rollout back is starting them.
Killed half-way, the next plan sees both generations, and the same function gives the steps that are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from . import drift
from .model import Action, RecordedService, Replica, Service, Spec
from .runtime import StepVerb

NEW = ""  # stands for the container that the change itself creates


@dataclass(frozen=True, slots=True)
class Step:
    """`container` is an id, or NEW. `value` is the argument: a name, a restart policy, the namespace of a network."""

    verb: StepVerb | Literal["await"]
    number: int
    container: str = NEW
    value: str = ""

    def __str__(self) -> str:
        words = [self.verb, str(self.number), self.container[:12] or "new", self.value]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Change:
    """`steps` do it; `undo` takes it back. `trial` is True where a failure condemns the revision: then the new
    container is stopped and kept, or removed; otherwise a replica that is not ready is left running."""

    number: int
    steps: tuple[Step, ...]
    undo: tuple[Step, ...] = ()
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    batches: tuple[tuple[Change, ...], ...] = ()
    finish: tuple[Step, ...] = ()

    def __str__(self) -> str:
        lines = [f"{' | '.join('; '.join(map(str, c.steps)) for c in batch)}" for batch in self.batches]
        return "\n".join([*lines, *(f"finally {step}" for step in self.finish)])


def order(service: Service) -> Literal["start-first", "stop-first"]:
    """`auto` is stop-first where two copies can't live side by side: on one host port, or writing to one place."""
    spec = service.spec
    if spec.update.order != "auto":
        return spec.update.order
    fixed_port = any(port.external for port in spec.ports) or spec.links.network_mode == "host"
    sole_writer = spec.replicas == 1 and any(m.kind in ("volume", "host") and not m.read_only for m in spec.mounts)
    return "stop-first" if fixed_port or sole_writer else "start-first"


def is_trial(action: Action) -> bool:
    """Whether a failure condemns the revision. To scale or to heal a good one is tried again, less and less often."""
    return action.verb in ("create", "replace", "update")


def steps(action: Action) -> Rollout:
    """The steps of any action on a service but `record`, which needs none."""
    if action.verb == "remove":
        return removal(action.replicas)
    if action.verb == "held":
        return _tending(action)
    service = action.service
    if service is None:
        raise ValueError(f"{action.verb} {action.ref} carries no service")
    if action.tidies:
        return Rollout(finish=_retire(_left_over(action, service.spec.replicas), stopped=set()))
    kept, old = _generations(action)
    wanted = range(1, service.spec.replicas + 1)
    fixes = [_fix(action, kept[n]) for n in wanted if n in kept and n not in old]
    fresh = [n for n in wanted if n not in kept and n not in old]
    swaps = [_swap(action, service, kept.get(n), old[n]) for n in wanted if n in old]
    batches: list[tuple[Change, ...]] = []
    if fresh:
        batches.append(tuple(_create(action, n) for n in fresh))
    if any(fix.steps for fix in fixes):
        batches.append(tuple(fix for fix in fixes if fix.steps))
    width = service.spec.update.parallelism
    batches += [tuple(swaps[i : i + width]) for i in range(0, len(swaps), width)]
    staying = {kept[n].seen.id for n in wanted if n in kept}
    leaving = [r for r in action.replicas if r.seen.id not in staying]
    swapped = {r.seen.id for n in wanted for r in old.get(n, ())}
    if action.verb == "take-back":
        return Rollout(tuple(batches), _retire_failed(action, leaving, swapped))
    return Rollout(tuple(batches), _retire(leaving, stopped=swapped))


def _tending(action: Action) -> Rollout:
    """Beside a failed revision: good replicas are mended as far as that needs no spec, and what the failed one left
    over is removed, but for one that is kept, stopped."""
    good = [r for r in action.replicas if r.recorded.base == action.base]
    tried = _by_worth(action, [r for r in action.replicas if r.recorded.base != action.base])
    stays = action.service is not None and action.service.spec.update.on_failure == "stop"
    if stays or (not good and _took_over(action)):  # those that were finished serve on, as those do that alone serve
        taken = {r.recorded.number for r in tried if _runs(r)}
        good = [r for r in good if r.recorded.number not in taken]
        tried = [r for r in tried if not _runs(r)]
    good, extra = _needed(good, action.recorded)
    own = {action.ref.namespace: action.network}  # of other networks only the failed spec is at hand
    fixes = tuple(Change(r.recorded.number, found) for r in good if (found := _tend(r, own)))
    return Rollout((fixes,) if fixes else (), (*_keep(tried[-1:], set()), *_retire([*tried[:-1], *extra], set())))


def _took_over(action: Action) -> bool:
    failed = action.recorded.failed if action.recorded else None
    return failed is not None and bool(failed.promoted)


def _by_worth(action: Action, tried: Sequence[Replica]) -> list[Replica]:
    """The last one is worth the most to whoever looks into the failure."""
    failed = action.recorded.failed if action.recorded else None
    return sorted(tried, key=lambda r: (failed is not None and r.recorded.base == failed.base,
                                        r.seen.state != "created", not _runs(r), r.recorded.attempt))  # fmt: skip


def _retire_failed(action: Action, leaving: Sequence[Replica], stopped: set[str]) -> tuple[Step, ...]:
    """All but one of those that failed; what was made twice goes."""
    tried = _by_worth(action, [r for r in leaving if r.recorded.base != action.base])
    return (*_keep(tried[-1:], stopped), *_retire([r for r in leaving if r not in tried[-1:]], stopped))


def _keep(replicas: Sequence[Replica], stopped: set[str]) -> list[Step]:
    """For good: a restart of dockerd does not revive them."""
    kept = [Step("pin", r.recorded.number, r.seen.id, "no") for r in replicas if r.seen.restart_policy != "no"]
    return kept + [
        Step("stop", r.recorded.number, r.seen.id) for r in replicas if _runs(r) and r.seen.id not in stopped
    ]


def _needed(good: Sequence[Replica], known: RecordedService | None) -> tuple[list[Replica], list[Replica]]:
    """One a number, as many as are wanted; and the others."""
    wanted = known.current.replicas if known and known.current else 0
    one: dict[int, Replica] = {}
    for replica in sorted(good, key=lambda r: (r.seen.state != "running", r.recorded.attempt)):
        if replica.recorded.number <= wanted:
            one.setdefault(replica.recorded.number, replica)
    kept = list(one.values())
    return [r for r in good if r in kept], [r for r in good if r not in kept]


def _tend(replica: Replica, networks: Mapping[str, str]) -> tuple[Step, ...]:
    """Whether it gets ready is for the next look."""
    number, container, recorded = replica.recorded.number, replica.seen.id, replica.recorded
    found: list[Step] = []
    for kind in dict.fromkeys(fault.kind for fault in drift.faults(replica, networks)):
        match kind:
            case "paused":
                found.append(Step("unpause", number, container))
            case "renamed":
                found.append(Step("rename", number, container, recorded.name))
            case "resized" if (policy := recorded.projection.get("restart")) != replica.seen.projection.get("restart"):
                found.append(Step("pin", number, container, policy or "no"))
            case "disconnected":
                found += [Step("connect", number, container, name) for name in drift.missing(replica, networks)]
            case "stopped":
                found.append(Step("start", number, container))
    return tuple(found)


def _runs(replica: Replica) -> bool:
    return replica.seen.state in ("running", "restarting", "paused")


def _left_over(action: Action, wanted: int) -> list[Replica]:
    """All but one replica a number of the generation that is to stay, whatever is wrong with it."""
    staying: dict[int, Replica] = {}
    for replica in sorted(action.replicas, key=lambda r: (not _runs(r), r.recorded.attempt)):
        if replica.recorded.base == action.base and replica.recorded.number <= wanted:
            staying.setdefault(replica.recorded.number, replica)
    return [replica for replica in action.replicas if replica not in staying.values()]


def removal(replicas: Sequence[Replica]) -> Rollout:
    """Stop with the grace period, then remove; highest number first."""
    return Rollout(finish=_retire(replicas, stopped=set()))


def _generations(action: Action) -> tuple[dict[int, Replica], dict[int, list[Replica]]]:
    """By number: the replica to keep, and those that a new one replaces."""
    kept: dict[int, Replica] = {}
    old: dict[int, list[Replica]] = {}
    # A running copy is preferred to a stopped twin, an older attempt to a newer one.
    for replica in sorted(action.replicas, key=lambda r: (r.seen.state != "running", r.recorded.attempt)):
        number = replica.recorded.number
        ours = bool(action.base) and replica.recorded.base == action.base
        if ours and not _broken(action, replica) and number not in kept:
            kept[number] = replica
        else:
            old.setdefault(number, []).append(replica)
    return kept, old


def _broken(action: Action, replica: Replica) -> bool:
    """What no call can mend. To the engine 0 means "leave alone", so a limit set by hand can't be taken away again."""
    now, then = replica.seen.projection, replica.recorded.projection
    limits = _limits(action.service.spec) if action.service else {}
    limited = any(value is None and key in then and now.get(key) and not then[key] for key, value in limits.items())
    return limited or any(fault.kind == "rebuild" for fault in drift.faults(replica, action.networks))


def _limits(spec: Spec) -> dict[str, int | None]:
    """By their names in the projection."""
    return {
        "memory": spec.memory,
        "cpus": spec.cpus,
        "mem_reservation": spec.limits.mem_reservation,
        "pids_limit": spec.limits.pids_limit,
    }


def _born(action: Action, number: int) -> tuple[Step, ...]:
    """A container is created on one network and connected to the others before it starts."""
    others = sorted(namespace for namespace in action.networks if namespace != action.ref.namespace)
    return (Step("create", number), *(Step("connect", number, NEW, namespace) for namespace in others))


def _create(action: Action, number: int) -> Change:
    trial = is_trial(action)
    births: tuple[Step, ...] = (*_born(action, number), Step("start", number))
    if not action.unattended:
        births = (*births, Step("await", number))
    return Change(number, births, (Step("stop", number), Step("remove", number)), trial)


def _fix(action: Action, replica: Replica) -> Change:
    number, container = replica.recorded.number, replica.seen.id
    kinds = {fault.kind for fault in drift.faults(replica, action.networks)}
    found = _mend(action, replica)
    if "stopped" in kinds:
        found += [Step("start", number, container), Step("await", number, container)]
    elif action.verb in ("create", "replace"):
        # Left by a rollout that was interrupted: it must still pass the gate.
        found.append(Step("await", number, container))
    return Change(number, tuple(found))


def _mend(action: Action, replica: Replica) -> list[Step]:
    """All but starting it."""
    number, container = replica.recorded.number, replica.seen.id
    kinds = {fault.kind for fault in drift.faults(replica, action.networks)}
    found: list[Step] = []
    if "paused" in kinds:
        found.append(Step("unpause", number, container))
    if "renamed" in kinds:
        found.append(Step("rename", number, container, replica.recorded.name))
    if action.resizes or "resized" in kinds:
        found.append(Step("update", number, container))
    found += [Step("connect", number, container, name) for name in drift.missing(replica, action.networks)]
    return found


def _swap(action: Action, service: Service, new: Replica | None, old: Sequence[Replica]) -> Change:
    """`new` is there already when an earlier rollout of the same revision was cut off."""
    number = old[0].recorded.number
    stops: list[Step] = []
    revives: list[Step] = []
    for replica in old:
        seen, current = replica.seen, action.recorded.current if action.recorded else None
        runs = _runs(replica)
        if runs and seen.restart_policy == "always":  # or a restart of dockerd would revive it
            stops.append(Step("pin", number, seen.id, "no"))
        if runs:
            stops.append(Step("stop", number, seen.id))
        if runs or (current and replica.recorded.base == current.base):  # or stopped by us, then cut off
            if replica.recorded.projection.get("restart", seen.restart_policy) == "always":
                revives.append(Step("pin", number, seen.id, "always"))
            revives += [Step("start", number, seen.id), Step("await", number, seen.id)]
    trial = is_trial(action)
    container = new.seen.id if new else NEW
    create = () if new else _born(action, number)
    started = new and new.seen.state in ("running", "paused")
    start = (*(_mend(action, new) if new else ()), *(() if started else (Step("start", number, container),)))
    gate = Step("await", number, container)
    leave = (Step("stop", number, container), Step("remove", number, container))
    if order(service) == "start-first":
        return Change(number, (*create, *start, gate, *stops), (*revives, *leave), trial)
    return Change(number, (*create, *stops, *start, gate), (*leave, *revives), trial)


def _retire(replicas: Sequence[Replica], stopped: set[str]) -> tuple[Step, ...]:
    found: list[Step] = []
    for replica in sorted(replicas, key=lambda r: (-r.recorded.number, r.recorded.attempt)):
        number, seen = replica.recorded.number, replica.seen
        if _runs(replica) and seen.id not in stopped:
            found.append(Step("stop", number, seen.id))
        found.append(Step("remove", number, seen.id))
    return tuple(found)
