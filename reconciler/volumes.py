"""Removing volumes, the only way in which `lb` does: a command that names them, under the lock, written ahead.

`check` says which of them may go: recorded as ours, still the ones that we made, mounted by no container, running or
not, ours or not. `remove` then removes one. Nothing here asks a person; the CLI does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .errors import EngineError, RefusedError
from .model import Recorded, RecordedVolume, Ref, UnnamedVolume, Volume
from .runtime import LABEL_NAMESPACE, Effect, Runtime, volume_name
from .store import Store


def engine_name(given: str) -> str:
    """`shop/data`, or the engine's own name `lb.shop.data`."""
    namespace, slash, volume = given.partition("/")
    return volume_name(namespace, volume) if slash else given


Ours = RecordedVolume | UnnamedVolume


def check(names: Sequence[str], recorded: Recorded, runtime: Runtime) -> tuple[Ours, ...]:
    """Raises RefusedError for the first that may not be removed, saying why. Changes nothing."""
    mounted = runtime.mounted()
    return tuple(_removable(name, recorded, runtime, mounted.get(name, ())) for name in dict.fromkeys(names))


def remove(volume: Ours, store: Store, runtime: Runtime, guard: Callable[[], None]) -> None:
    """Raises EngineError when the engine refuses; LockedError and StateError before anything is done."""
    ref = Ref(volume.namespace) if isinstance(volume, RecordedVolume) else volume.ref
    guard()
    intent = store.begin("remove-volume", ref, volume.name, 0, "")
    try:
        runtime.remove_volume(volume.name)
    except EngineError as error:
        store.end(intent.nonce, Effect())
        store.add_activity(ref, "warning", "remove-volume-failed", error.message)
        raise
    store.end(intent.nonce, Effect("volume-gone", id=volume.name))
    store.add_activity(ref, "normal", "remove-volume", f"volume {volume.name} was named to be removed")


def _removable(name: str, recorded: Recorded, runtime: Runtime, users: tuple[str, ...]) -> Ours:
    known, live = recorded.volumes.get(name) or recorded.unnamed.get(name), runtime.volume(name)
    if known is None:
        raise RefusedError(
            f"volume {name} is not recorded as ours; lb removes only what it made",
            hint="`lb volume ls` lists ours, `docker volume rm` removes any",
        )
    if live and isinstance(known, RecordedVolume) and not _same(known, live):
        raise RefusedError(
            f"volume {name} is not the one that lb made, but a later one of the same name",
            hint="`docker volume rm` removes it, or use its data with `lb apply --adopt`",
        )
    if users:
        raise RefusedError(
            f"volume {name} is in use by {', '.join(users)}",
            hint="take the service out of the source and apply, or remove those containers",
        )
    return known


def _same(known: RecordedVolume, live: Volume) -> bool:
    return known.is_(live) and live.labels.get(LABEL_NAMESPACE) == known.namespace
