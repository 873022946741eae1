"""What one service needs, and why. Pure.

Only here is a change given its class: record, scale, in place, replace. Everything else follows from it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from .. import drift, fingerprint, rollout
from ..model import (
    RESTART,
    Action,
    Cause,
    Container,
    DriftPolicy,
    Guard,
    Impact,
    NamedVolume,
    Observed,
    Place,
    Recorded,
    RecordedService,
    Ref,
    Replica,
    Revision,
    Service,
)
from ..runtime import LABEL_FINGERPRINT, LABEL_SOURCE, by_digest, named_volume, repository
from . import drifting, held


@dataclass(frozen=True, slots=True)
class Look:
    """All that bears on one service: what is wanted, recorded, observed, containers that only look like its, and which
    recorded volumes are gone."""

    service: Service
    recorded: Recorded
    observed: Observed
    strangers: tuple[Container, ...] = ()
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action | None = None
    guard: Guard | None = None


@dataclass(frozen=True, slots=True)
class _Change:
    """The author's change: the causes of each class."""

    record: tuple[Cause, ...] = ()
    scale: tuple[Cause, ...] = ()
    in_place: tuple[Cause, ...] = ()
    replace: tuple[Cause, ...] = ()
    moved: bool = False  # the image's digest is all there is to replace for

    @property
    def causes(self) -> tuple[Cause, ...]:
        return self.replace + self.in_place + self.scale + self.record


def decide(look: Look, refused: str, adopt: bool) -> Decision:
    """The action for one service, None when nothing is to be done. `refused` is why it can't be changed in place."""
    return with_volumes(_decide(look, refused, adopt), look, adopt)


def base(look: Look) -> Action:
    """All that any action on the service needs to know, whatever it is to be."""
    service = look.service
    known = look.recorded.services.get(service.ref)
    image_id, digest = _image(service, known, look.observed)
    return Action(
        "create",
        service.ref,
        service=service,
        recorded=known,
        replicas=replicas_of(known, look.observed, service.drift) if known else (),
        networks=_networks(look),
        volumes=volumes_of(service),
        fingerprint=fingerprint.fingerprint(service),
        image_id=image_id,
        digest=digest,
    )


def _decide(look: Look, refused: str, adopt: bool) -> Decision:
    service, action = look.service, base(look)
    known = action.recorded
    begun = known is not None and (known.current is not None or bool(action.replicas))
    if look.strangers and not begun:
        return _adoption(action, look, adopt)
    if known and known.failed and again(action, known.failed):
        return Decision(held.failed(action, known, known.failed))
    if known is None or known.current is None:
        causes = (Cause("new service", at=service.place),)
        return Decision(_resumed(replace(action, causes=causes, impact="none"), known))
    return Decision(_change(action, look, known, refused))


def with_volumes(decided: Decision, look: Look, adopt: bool) -> Decision:
    """A volume that exists and is not the recorded one is used only when a person says so: it holds somebody's data."""
    action = decided.action
    if action is None or action.verb in ("record", "held"):
        return decided
    known = look.recorded.volumes
    ours = {volume.name for volume in action.volumes if not volume.external}
    claims = tuple(
        v for v in look.observed.volumes if v.name in ours and not (v.name in known and known[v.name].is_(v))
    )
    if not claims:
        return decided
    action = replace(action, claims=claims)
    if adopt or decided.guard:
        return Decision(action, decided.guard)
    names = ", ".join(v.name for v in claims)
    message = f"{names} exists and is not recorded as ours: use its data with --adopt, or remove or rename the volume"
    return Decision(action, Guard("adoption", message, (action.ref,)))


def replicas_of(known: RecordedService, observed: Observed, policy: DriftPolicy) -> tuple[Replica, ...]:
    """The live containers of a recorded service, without the drift that does not count. Ours by recorded id: a renamed
    one stays ours, a copy is not."""
    seen = observed.by_id
    return tuple(drift.overlooked(Replica(seen[c.id], c), policy.ignore) for c in known.containers if c.id in seen)


def volumes_of(service: Service) -> tuple[NamedVolume, ...]:
    """Those that it mounts."""
    return tuple(named_volume(service, mount.source) for mount in service.spec.mounts if mount.kind == "volume")


def in_order(services: Mapping[Ref, Service]) -> list[Ref]:
    """Dependencies before their dependents, otherwise by name. Cycles were refused by validation."""
    done: dict[Ref, None] = {}

    def visit(ref: Ref) -> None:
        if ref in done or ref not in services:
            return
        for dependency in services[ref].spec.depends_on:
            visit(dependency.ref)
        done[ref] = None

    for ref in sorted(services):
        visit(ref)
    return list(done)


def link(actions: Sequence[Action], busy: Collection[Ref]) -> list[Action]:
    """Each action with what must come before it: its namespace's action, and where new replicas are made, what the
    service depends on. Healing does not wait: what ran once may run again."""
    active = {a.ref for a in actions} | set(busy)
    linked: list[Action] = []
    for action in actions:
        namespaces = {Ref(action.ref.namespace), *(Ref(name) for name in action.networks)} if action.ref.name else set()
        after = tuple(sorted(namespaces & active))
        makes = action.service if action.verb in ("create", "replace", "scale") else None
        linked.append(replace(action, after=after, needs=makes.spec.depends_on if makes else ()))
    return linked


def _image(service: Service, known: RecordedService | None, observed: Observed) -> tuple[str, str]:
    """The id and the digest of what the reference stands for, "" where they are not known. Where it is always asked
    for, the registry's word counts, not what the tag here says; what runs, runs on while there is none."""
    image = service.spec.image
    if service.spec.pull_policy == "always":
        asked = observed.digests.get(image, "")
        if asked or (known and known.current):
            return observed.images.get(by_digest(image, asked), "") if asked else "", asked
    exact = image.partition("@")[2]  # of `redis:7@sha256:…`, what the engine goes by
    found = observed.images.get(by_digest(image, exact) if exact else image, "")
    prefix = f"{repository(image)}@"
    names = (name for name, here in observed.images.items() if found and here == found and name.startswith(prefix))
    return found, exact or next(names, "").removeprefix(prefix)


def _networks(look: Look) -> dict[str, str]:
    """Of every namespace whose network the service is in; none where it has a network mode of its own."""
    links, own = look.service.spec.links, look.service.ref.namespace
    names = () if links.network_mode else (own, *links.networks)
    return {name: network_of(name, look.recorded, look.observed) for name in names}


def network_of(name: str, recorded: Recorded, observed: Observed) -> str:
    """The id of the namespace's network, "" while it is not there."""
    namespace = recorded.namespaces.get(name)
    live = {network.id for network in observed.networks}
    return namespace.network if namespace and namespace.network in live else ""


def _adoption(base: Action, look: Look, adopt: bool) -> Decision:
    names = ", ".join(sorted(c.name for c in look.strangers))
    source = {c.labels.get(LABEL_SOURCE, "") for c in look.strangers}
    matching = all(c.labels.get(LABEL_FINGERPRINT) == base.fingerprint for c in look.strangers)
    numbers = [c.number for c in look.strangers]
    if not matching or len(set(numbers)) != len(numbers) or 0 in numbers:
        message = (
            f"{names} carry the labels of {base.ref} (source {', '.join(sorted(source))}), are not in the state and "
            f"do not match its manifest: apply the manifest that made them with --adopt, or remove them by hand"
        )
        return Decision(guard=Guard("conflict", message, (base.ref,)))
    causes = (Cause(f"{names} run what the manifest says and are not recorded"),)
    action = replace(base, verb="adopt", origin="adoption", causes=causes, candidates=look.strangers)
    if adopt:
        return Decision(action)
    message = f"{names} were made by lb under a state that is gone: take them over with --adopt"
    return Decision(action, Guard("adoption", message, (base.ref,)))


def _same(service: Service, revision: Revision) -> bool:
    changed = fingerprint.changed_fields(service, revision.digests, revision.id)
    return all(fingerprint.field_class(path) == "record" for path in changed)


def again(base: Action, revision: Revision) -> bool:
    """Whether this is that revision once more: only what the gate can't see is different. A longer time-out, say, is a
    new chance."""
    changed = fingerprint.changed_fields(base.service, revision.digests, revision.id) if base.service else ["all"]
    return all(path.startswith("meta.") for path in changed) and _runs(base, revision)


def _runs(base: Action, revision: Revision) -> bool:
    return revision.may_run(base.image_id, base.digest)


def _resumed(base: Action, known: RecordedService | None) -> Action:
    """With the generation of an interrupted rollout of this very spec, whose containers are to be kept; and its
    image."""
    pending, service = known.pending if known else None, base.service
    own = pending is not None and pending.base == pending.id  # one that was to change others' containers made none
    if pending and service and own and _same(service, pending) and _runs(base, pending):
        base = replace(base, base=pending.base)
        return base if base.image_id or not pending.digest else replace(base, digest=pending.digest)
    return base


def _change(base: Action, look: Look, known: RecordedService, refused: str) -> Action | None:
    service, current = look.service, known.current
    if current is None:
        raise ValueError("a change of what is not there")
    change = _author(base, current, refused)
    left = _left_behind(service, known, refused)
    if known.restart:
        if not change.replace:
            base = of_same_image(base, look, current)
        change = replace(change, replace=(*change.replace, Cause(RESTART)), moved=False)
    if change.replace or left.replace:
        change = replace(change, replace=change.replace + left.replace)
        impact: Impact = "downtime" if rollout.order(service) == "stop-first" and base.replicas else "rolling"
        base = replace(base, verb="replace", causes=change.causes, impact=impact, moved=change.moved)
        if drifting.found(replace(base, base=current.base), known).causes:
            base = replace(base, moved=False)
        return _resumed(base, known)
    base = of_same_image(replace(base, base=current.base, fingerprint=current.fingerprint), look, current)
    found = drifting.found(base, known)
    if change.in_place:
        return replace(base, verb="update", causes=change.causes + found.causes, impact="in-place", resizes=True)
    base = replace(base, resizes=bool(left.in_place), impact="in-place" if left.in_place else "none")
    if change.scale:
        return replace(base, verb="scale", causes=change.causes + left.in_place + found.causes)
    if left.in_place:
        return replace(base, verb="heal", causes=left.in_place + found.causes + change.record)
    told = service.drift.mode == "report"
    if found.left or (found.changed and not told):
        causes = found.left if told else found.causes
        return replace(base, verb="heal", origin="drift", causes=causes + change.record, tidies=told)
    causes = change.record + _given_up(known)
    return replace(base, verb="record", causes=causes) if causes else None


def of_same_image(base: Action, look: Look, current: Revision) -> Action:
    """Its replicas stay alike, wherever the tag points now; what was pruned is pulled again by its digest."""
    if current.image_id in look.observed.images.values():
        return replace(base, image_id=current.image_id, digest=current.digest)
    return replace(base, image_id="", digest=current.digest) if current.digest else base


def _given_up(known: RecordedService) -> tuple[Cause, ...]:
    """The author went back to the current revision, and what was to come after it left no container."""
    unfinished = [(known.failed, "failed"), (known.pending, "was not finished")]
    return tuple(Cause(f"revision {r.number} {word} and is no longer wanted") for r, word in unfinished if r)


def _left_behind(service: Service, known: RecordedService, refused: str) -> _Change:
    """What a revision that was not finished may have changed in place, on replicas of the current one."""
    found: dict[str, list[Cause]] = {"in-place": [], "replace": []}
    for revision in (known.failed, known.pending):
        if revision is None or known.current is None or revision.base != known.current.base:
            continue
        for path in fingerprint.changed_fields(service, revision.digests, revision.id):
            if fingerprint.field_class(path) == "in-place":
                kind, cause = _in_place(service, revision, path, refused)
                found[kind].append(replace(cause, rule=kind))
    return _Change(in_place=tuple(found["in-place"]), replace=tuple(found["replace"]))


def _author(base: Action, current: Revision, refused: str) -> _Change:
    service = base.service
    if service is None:
        raise ValueError("a change without a service")
    found: dict[str, list[Cause]] = {"record": [], "scale": [], "in-place": [], "replace": []}
    for path in fingerprint.changed_fields(service, current.digests, current.id):
        kind = fingerprint.field_class(path)
        cause = _cause(service, current, path)
        if kind == "in-place":
            kind, cause = _in_place(service, current, path, refused)
        found[kind].append(replace(cause, rule=kind))
    moved = not found["replace"] and service.spec.pull_policy == "always" and not _runs(base, current)
    if moved:
        shown = service.shown.get("image", current.image)
        at = service.places.get("image", service.place)
        new, old = (
            (base.digest, current.digest) if base.digest and current.digest else (base.image_id, current.image_id)
        )
        found["replace"].append(Cause("image digest of", "", f"{shown} is {new[:19]}, was {old[:19]}", at, "replace"))
    record, scale, in_place, replaced = (tuple(found[k]) for k in ("record", "scale", "in-place", "replace"))
    return _Change(record, scale, in_place, replaced, moved and not (scale or in_place))


def _in_place(service: Service, revision: Revision, path: str, refused: str) -> tuple[fingerprint.Class, Cause]:
    cause = _cause(service, revision, path)
    if path not in fingerprint.fields(service):
        return "replace", replace(cause, field=f"{path} (can't be unset on a live container)")
    if refused:
        return "replace", replace(cause, field=f"{path} (not in place: {refused})")
    return "in-place", cause


def _cause(service: Service, current: Revision, path: str) -> Cause:
    old, new = current.shown.get(path, ""), service.shown.get(path, "")
    if old and old == new:
        new = f"{new} (its value changed)"
    return Cause(path, old, new, _place(service, path))


def _place(service: Service, path: str) -> Place:
    """Where the field stands; a field that was taken away has the place of what held it."""
    while path and path not in service.places:
        path = path.rpartition(".")[0]
    return service.places.get(path, service.place)
