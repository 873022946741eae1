"""What is told of, and not put right: drift where no more is wanted, volumes that are gone, tags that moved. Pure.

A volume that is gone took its data with it. Made again, it would be empty, and a service that ran on it would go on as
if nothing had happened: so nothing that mounts it is started until a person says so.
"""

from __future__ import annotations

from dataclasses import replace

from .. import rollout
from ..model import Action, Advice, Cause, Drifted, Guard, Namespace, RecordedVolume, Service
from . import drifting, services
from .services import Look

ONLY_TOLD = "only told of: drift.mode is report"
_GONE = "it is made again, empty, only when a person says so: `lb volume rm` forgets it"
_UNNAMED = (
    "its image has a volume at {target} that has no name in the manifest: each new container begins with an empty one, "
    "and the old one stays (`lb volume ls`); to keep the data, write volumes: [data:{target}]"
)
_EMPTY = "it is made again, empty"
_MOVED = "what runs stays; pull_policy: always takes what the registry has"


def of_service(look: Look, action: Action | None) -> list[Drifted]:
    """`action` is what is to be done for it."""
    found = [_changed(look, action), _gone(look), _moved(look, action)]
    return [each for each in found if each and each.causes]


def of_namespace(namespace: Namespace, action: Action) -> Drifted:
    return Drifted(namespace.ref, action.causes, ONLY_TOLD)


def untouched(look: Look, action: Action) -> Action:
    """What is held, without the care for what runs beside it, where drift is only told of."""
    cared = action.verb == "held" and look.service.drift.mode == "report"
    return replace(action, replicas=()) if cared else action


def unnamed(look: Look) -> list[Advice]:
    """Volumes of its image that the manifest does not name, as its replicas show them."""
    known = look.recorded.services.get(look.service.ref)
    replicas = services.replicas_of(known, look.observed, look.service.drift) if known else ()
    named = {mount.target for mount in look.service.spec.mounts}
    found = sorted({target for replica in replicas for _, target in replica.seen.unnamed} - named)
    return [Advice(look.service.ref, _UNNAMED.format(target=target)) for target in found]


def without_data(look: Look, action: Action | None) -> Guard | None:
    """Holds back what would start a container on a volume that is gone."""
    gone = _gone_volumes(look)
    known = look.recorded.services.get(look.service.ref)
    if action is None or not gone or known is None or known.current is None:
        return None
    if not any(step.verb in ("create", "start") for step in _steps(action)):
        return None
    names = [volume.name for volume in gone]
    message = (
        f"{action.ref} ran on {', '.join(names)}, which is gone with its data: `lb volume rm {' '.join(names)}` "
        f"forgets it, and the next apply makes an empty one, into which a backup can be put"
    )
    return Guard("conflict", message, (action.ref,))


def _steps(action: Action) -> list[rollout.Step]:
    if action.verb in ("record", "adopt"):
        return []
    plan = rollout.steps(action)
    return [*(step for batch in plan.batches for change in batch for step in change.steps), *plan.finish]


def _changed(look: Look, action: Action | None) -> Drifted | None:
    known = look.recorded.services.get(look.service.ref)
    if known is None or known.current is None or look.service.drift.mode != "report":
        return None
    if action and action.verb not in ("record", "heal", "held"):
        return None  # its author's change puts right what it touches, and says so
    found = drifting.found(replace(services.base(look), base=known.current.base), known)
    return Drifted(look.service.ref, found.changed, ONLY_TOLD)


def _gone(look: Look) -> Drifted:
    known = look.recorded.services.get(look.service.ref)
    causes = tuple(Cause(f"volume {v.name} of {v.created[:19]}Z is gone") for v in _gone_volumes(look))
    return Drifted(look.service.ref, causes, _GONE if known and known.current else _EMPTY)


def _gone_volumes(look: Look) -> list[RecordedVolume]:
    if not look.gone or "volumes" in look.service.drift.ignore:
        return []
    mounted = [volume.name for volume in services.volumes_of(look.service) if not volume.external]
    return [look.recorded.volumes[name] for name in mounted if name in look.gone]


def _moved(look: Look, action: Action | None) -> Drifted | None:
    """The image's tag stands for another image here by now. Where the registry is always asked, that is a change."""
    service, known = look.service, look.recorded.services.get(look.service.ref)
    current = known.current if known else None
    here = look.observed.images.get(service.spec.image, "")
    if current is None or not current.image_id or here in ("", current.image_id) or _pinned(service):
        return None
    if action and action.verb not in ("record", "heal"):
        return None
    shown = service.shown.get("image", current.image)
    cause = Cause("image digest of", "", f"{shown} is {here[:19]} here, the replicas run {current.image_id[:19]}")
    return Drifted(service.ref, (cause,), _MOVED)


def _pinned(service: Service) -> bool:
    return service.spec.pull_policy == "always" or "@" in service.spec.image or "image" in service.drift.ignore
