"""What we last applied and what came of it: the rows of the state, as values.

Nothing here holds a resolved variable: a revision remembers its spec as written, and a salted digest of each
resolved field, so that a change can be seen without the value being kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .cause import Cause
from .desired import Dependency, DriftPolicy, Place, Ref
from .observed import Volume

RevisionStatus = Literal["pending", "current", "superseded", "failed"]
ActivityType = Literal["normal", "warning"]


@dataclass(frozen=True, slots=True)
class Revision:
    """A numbered spec with its parent (`spec[].meta` of the API reference).

    `base` is the id of the revision whose containers this one can run on: its own when it replaced them, its
    parent's when it changed them in place. `digests` are keyed by field path; a field that is unset has none.
    Times are RFC 3339 with nanoseconds.
    """

    id: str
    ref: Ref
    number: int
    parent: str
    base: str
    status: RevisionStatus
    created: str
    updated: str
    fingerprint: str  # "h1:<64 hex>", over what forces replacement
    image: str  # as written
    image_id: str  # sha256:...
    replicas: int
    memory: int | None  # bytes
    written: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    authored: Mapping[str, Any] = field(default_factory=dict)  # what its manifest said, where a template says more
    restart: bool = False  # a person asked for new containers; nothing that is written need have changed
    cause: str = ""  # why it failed
    logs: tuple[str, ...] = ()  # last lines of the replica that failed
    digest: str = ""  # sha256:... of the image's manifest in its registry; "" for one that came from none
    promoted: str = ""  # when it became current; "" before, and where an older lb did it

    @property
    def said(self) -> Mapping[str, Any]:
        """The spec as it stood in its manifest, what a template says left out."""
        return self.authored or self.written

    def may_run(self, image_id: str, digest: str) -> bool:
        """Whether this is its image, as far as is known; "" is what is not."""
        if not self.image_id or not (image_id or digest):
            return True
        return image_id == self.image_id if image_id else digest == self.digest


@dataclass(frozen=True, slots=True)
class RecordedContainer:
    """A container that we created or adopted. `projection` is what `inspect` showed right after our last change."""

    id: str
    ref: Ref
    number: int
    attempt: int
    name: str
    revision: str  # id of the revision that it runs
    base: str  # that revision's base
    projection: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedNamespace:
    """`network` is the id of the namespace's network, "" before it exists."""

    ref: Ref
    source: str
    place: Place
    description: str
    labels: Mapping[str, str]
    created: str
    updated: str
    network: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    protect: bool = False
    share_with: tuple[str, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict)  # its spec
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """The containers of the current revision took over `since` (RFC 3339) from those of the revision `former`."""

    since: str
    former: Revision


@dataclass(frozen=True, slots=True)
class RecordedService:
    """`current` is the last good revision; `failed` the latest one when it failed; `pending` one being rolled out."""

    ref: Ref
    source: str
    place: Place
    description: str
    labels: Mapping[str, str]
    created: str
    updated: str
    depends_on: tuple[Dependency, ...] = ()
    current: Revision | None = None
    failed: Revision | None = None
    pending: Revision | None = None
    containers: tuple[RecordedContainer, ...] = ()
    protect: bool = False
    note: str = ""  # why it is held back, until that is mended
    hosts: tuple[str, ...] = ()
    restart: str = ""  # when it was asked for, until it is through
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    trial: Trial | None = None  # None where they took over from none

    @property
    def shown(self) -> Revision | None:
        """The last good one; before there is any, the one that is under way or failed."""
        return self.current or self.pending or self.failed

    @property
    def remnant(self) -> bool:
        """Nothing but what an engine finished late, after the service had been removed."""
        return not (self.current or self.failed or self.pending)


@dataclass(frozen=True, slots=True)
class Removed:
    """A service or namespace that is no longer recorded. `meta` is what its manifest said beside its name; `spec` is a
    namespace's, a service's revisions are kept beside this."""

    ref: Ref
    source: str
    file: str
    meta: Mapping[str, Any]
    spec: Mapping[str, Any]
    at: str  # when it was removed


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """Where a source was when a change of its author was last applied: its root, the root as it was named (through a
    link, perhaps), and the commit that was checked out ("" where none is known)."""

    root: str
    named: str
    commit: str
    at: str


@dataclass(frozen=True, slots=True)
class RecordedVolume:
    """A named volume of ours. Volumes outlive their services and namespaces."""

    name: str  # the engine's name: lb.<namespace>.<volume>
    namespace: str
    created: (
        str  # the engine's CreatedAt when it was made; engines before 23 move it on with every write into the volume
    )
    definition: str = ""  # a salted hash of the options that it was made with; "" for an ordinary one
    nonce: str = ""  # stamped on it when it was made; "" for one that bore none when it was adopted

    def is_(self, seen: Volume) -> bool:
        """Whether the engine's volume is this one, and not a later one of the same name."""
        return seen.nonce == self.nonce if self.nonce or seen.nonce else seen.created == self.created


@dataclass(frozen=True, slots=True)
class UnnamedVolume:
    """A volume that the engine made for a container of ours, because its image has one at `target` that the manifest
    does not name. It stays when the container goes, and no other container is given it."""

    name: str  # 64 hexadecimal digits
    ref: Ref
    target: str
    created: str  # when the container was


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A step that was begun and whose outcome is not known: the process died in between.

    `stale`: begun so long ago that the engine can't be about to carry it out any more.
    """

    nonce: str
    step: str  # the step's verb: create, start, network, volume, ...
    ref: Ref
    number: int
    attempt: int
    revision: str
    target: str  # the id or name that it was about
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that the state remembers of one engine, every source included."""

    namespaces: Mapping[str, RecordedNamespace] = field(default_factory=dict)
    services: Mapping[Ref, RecordedService] = field(default_factory=dict)
    volumes: Mapping[str, RecordedVolume] = field(default_factory=dict)
    unnamed: Mapping[str, UnnamedVolume] = field(default_factory=dict)
    sources: Mapping[str, RecordedSource] = field(default_factory=dict)
    intents: tuple[OpenIntent, ...] = ()
    restored_at: Mapping[str, str] = field(default_factory=dict)  # source -> when a backup was put back (RFC 3339)
    removed_lately: Mapping[str, int] = field(
        default_factory=dict
    )  # source -> services removed in the last ten minutes
    held_services: Mapping[str, int] = field(
        default_factory=dict
    )  # source -> services it had ten minutes ago (budget's base)
    notes: Mapping[Ref, str] = field(default_factory=dict)  # of all objects, and of a source as a whole (Ref(""))


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened, once: the entry of `activity` in the API. Repeats raise `count` and `updated`; `causes` are those
    that the message tells, where an action was carried out."""

    id: str
    created: str
    namespace: str
    service: str
    type: ActivityType
    reason: str
    message: str
    revision: str = ""
    commit: str = ""
    count: int = 1
    updated: str = ""
    causes: tuple[Cause, ...] = ()
