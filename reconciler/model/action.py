"""What is to be done and why: causes, actions, the plan, and what came of each action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .cause import Cause
from .desired import Dependency, Namespace, Problem, Ref, Service
from .observed import Container, Volume
from .parts import NamedVolume
from .recorded import RecordedContainer, RecordedNamespace, RecordedService, Revision

Verb = Literal["create", "update", "replace", "scale", "remove", "adopt", "heal", "record", "held", "take-back"]
Origin = Literal["author", "drift", "adoption", "failure"]
GuardKind = Literal[
    "mass-delete", "adoption", "conflict", "incomplete", "owner", "protected", "restored", "checkout", "dependency"
]
Impact = Literal["none", "in-place", "rolling", "downtime", "removal"]


@dataclass(frozen=True, slots=True)
class Replica:
    """A container of ours as observed, beside what we recorded of it."""

    seen: Container
    recorded: RecordedContainer


@dataclass(frozen=True, slots=True)
class Verdict:
    """The current revision failed soon after it took over: which one comes back, what is wrong, and the container that
    shows it."""

    revision: Revision
    former: Revision
    cause: str
    container: str


@dataclass(frozen=True, slots=True)
class Action:
    """One object, one verb, and every fact needed to carry it out without asking again.

    `after` are the objects whose actions must have succeeded before this one may start, `needs` the services that
    must be in the state that their condition asks for. `resizes` says that live replicas are to be updated in
    place; `base` is the generation (see Revision.base) that a replica must have to be kept, "" when none may be.
    `networks` has the id of each namespace's network that the replicas are joined to, "" before it exists; of an action
    on a namespace, its own.
    """

    verb: Verb
    ref: Ref
    origin: Origin = "author"
    causes: tuple[Cause, ...] = ()
    impact: Impact = "none"
    after: tuple[Ref, ...] = ()
    needs: tuple[Dependency, ...] = ()
    service: Service | None = None
    namespace: Namespace | None = None
    recorded: RecordedService | None = None
    recorded_namespace: RecordedNamespace | None = None
    replicas: tuple[Replica, ...] = ()
    candidates: tuple[Container, ...] = ()  # to be adopted
    networks: Mapping[str, str] = field(default_factory=dict)
    surplus: tuple[str, ...] = ()  # ids of networks that were made beside the namespace's own, to be removed
    claims: tuple[Volume, ...] = ()  # volumes to be adopted
    volumes: tuple[NamedVolume, ...] = ()  # to be there
    fingerprint: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    resizes: bool = False
    unattended: bool = False  # --no-wait: a replica that replaces none need not pass the gate
    image_id: str = ""  # "" when the image is not here yet
    digest: str = ""  # the image's, where it is known before it is pulled
    tidies: bool = False  # only what is left over is removed
    verdict: Verdict | None = None  # to be recorded first; `recorded` is as it is then
    instead: Service | None = None  # what the manifest says, where `service` is of the revision that is taken back
    moved: bool = False  # only the digest is new; if that is the very image that runs, nothing is replaced

    @property
    def network(self) -> str:
        """The network of the object's own namespace."""
        return self.networks.get(self.ref.namespace, "")

    @property
    def idle(self) -> bool:
        """Nothing is to be done for it, but to say why it is held."""
        return self.verb == "held" and not self.replicas and self.verdict is None


@dataclass(frozen=True, slots=True)
class Drifted:
    """What of an object is not as it was recorded, and why it is only told of."""

    ref: Ref
    causes: tuple[Cause, ...]
    why: str

    def __str__(self) -> str:
        return f"{'; '.join(map(str, self.causes))} ({self.why})"


@dataclass(frozen=True, slots=True)
class Guard:
    """Why part of the plan may not be carried out as it is, and the way out."""

    kind: GuardKind
    message: str
    refs: tuple[Ref, ...] = ()
    confirm: str = ""  # the hash that confirms exactly this list


@dataclass(frozen=True, slots=True)
class Advice:
    """What its author may want to know of an object; nothing is done because of it, and nothing is held back."""

    ref: Ref
    text: str

    def __str__(self) -> str:
        return f"{self.ref}: {self.text}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to be done for one source, in an order that respects `Action.after`."""

    source: str
    actions: tuple[Action, ...] = ()
    problems: tuple[Problem, ...] = ()
    guards: tuple[Guard, ...] = ()
    drifted: tuple[Drifted, ...] = ()
    advice: tuple[Advice, ...] = ()
    objects: int = 0  # objects in the source
    selected: int = 0  # objects that this plan was asked to act on
    host: str = ""  # this host's name, "" where it has none
    commit: str = ""  # of the source's checkout, "-dirty" where it holds more than that; "" where none is known

    @property
    def changes(self) -> bool:
        return any(not action.idle for action in self.actions)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one action. `code` is the exit code it stands for, 0 when it succeeded."""

    ref: Ref
    verb: Verb
    # refused-in-place: a container that is there can't be brought to it, and is to be replaced at once
    result: Literal["done", "failed", "blocked", "deferred", "interrupted", "refused-in-place", "held"]
    message: str = ""
    code: int = 0
    logs: tuple[str, ...] = field(default=())
    seconds: float = 0.0
    condemns: bool = False  # the revision itself is at fault: it is not tried again until something changes
