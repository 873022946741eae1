"""Values for tests of the rooms that decide: services, what is recorded of them, what an engine shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from reconciler import fingerprint, plan, render
from reconciler.model import (
    Action,
    Container,
    Dependency,
    Desired,
    EngineInfo,
    Namespace,
    Network,
    Observed,
    Place,
    Plan,
    Recorded,
    RecordedContainer,
    RecordedNamespace,
    RecordedService,
    Ref,
    Replica,
    Revision,
    Service,
    Spec,
)
from reconciler.runtime import container_name

SOURCE = "test"
AT = "2026-01-02T03:04:05.000000000Z"
ENGINE = EngineInfo("engine", "/var/lib/docker", "unix:///var/run/docker.sock", "1.43")
MIB = 1024 * 1024
SPEC_FIELDS = [f.name for f in fields(Spec)]


def make_service(name: str = "web", namespace: str = "shop", **given: Any) -> Service:
    """`given` are fields of Spec and of Service; `env` is a map, `depends_on` names. Each field has its own line."""
    file = given.pop("file", f"{name}.yaml")
    env: Mapping[str, str] = given.pop("env", {})
    depends_on = given.pop("depends_on", ())
    own = {key: given.pop(key) for key in ("description", "labels", "protect", "volumes") if key in given}
    spec = {"image": "docker.io/library/nginx:1", **given}
    if "container_labels" in spec:  # `labels` are the service's own
        spec["labels"] = spec.pop("container_labels")
    shown = {key: _shown(value) for key, value in spec.items()}
    shown |= {f"env.{key}": value for key, value in env.items()}
    shown |= {f"meta.{key}": _shown(value) for key, value in own.items()}
    places = {path: Place(file, line) for line, path in enumerate(sorted({*shown, "depends_on"}), 2)}
    return Service(
        ref=Ref(namespace, name),
        spec=Spec(
            env=tuple(sorted(env.items())) if env else None,
            depends_on=tuple(Dependency(Ref(namespace, other)) for other in depends_on),
            **spec,
        ),
        place=Place(file),
        written={"image": spec["image"]},
        shown=shown,
        places=places,
        **own,
    )


def make_namespace(name: str = "shop", description: str = "", labels: Mapping[str, str] | None = None) -> Namespace:
    return Namespace(Ref(name), description, labels or {}, Place(f"{name}.yaml"))


def make_revision(service: Service, number: int = 0, **given: Any) -> Revision:
    """The revision of this spec; its id is r<number>."""
    name = f"r{number}"
    values: dict[str, Any] = {
        "id": name,
        "ref": service.ref,
        "number": number,
        "parent": "",
        "base": name,
        "status": "current",
        "created": AT,
        "updated": AT,
        "fingerprint": fingerprint.fingerprint(service),
        "image": service.shown.get("image", ""),
        "image_id": "sha256:old",
        "replicas": service.spec.replicas,
        "memory": service.spec.memory,
        "shown": service.shown,
        **given,
    }
    return Revision(digests=fingerprint.digests(service, values["id"]), **values)


def make_row(service: Service, number: int = 1, attempt: int = 0, revision: str = "r0", base: str = "") -> Any:
    """One recorded container; its id is <service>-<number>, and -<attempt> where that is not the number's own."""
    attempt = attempt or number
    name = f"{service.ref.name}-{number}" + (f"-{attempt}" if attempt != number else "")
    return RecordedContainer(
        name, service.ref, number, attempt, container_name(service.ref, number, attempt), revision, base or revision,
        projection(service),
    )  # fmt: skip


def projection(service: Service) -> dict[str, Any]:
    spec = service.spec
    return {
        "memory": spec.memory or 0,
        "mem_reservation": spec.limits.mem_reservation or 0,
        "cpus": spec.cpus or 0,
        "pids_limit": spec.limits.pids_limit or 0,
        "restart": spec.restart,
    }


def make_recorded(service: Service, **given: Any) -> RecordedService:
    """The service as recorded after a good apply, unless `given` says otherwise."""
    values: dict[str, Any] = {
        "source": SOURCE,
        "current": make_revision(service),
        "containers": tuple(make_row(service, n) for n in range(1, service.spec.replicas + 1)),
        **given,
    }
    return RecordedService(
        ref=service.ref,
        place=service.place,
        description=service.description,
        labels=service.labels,
        created=AT,
        updated=AT,
        depends_on=service.spec.depends_on,
        **values,
    )


def make_container(row: RecordedContainer, **given: Any) -> Container:
    """What the engine shows of a recorded container: running, on its network, unchanged."""
    restart = row.projection.get("restart", "unless-stopped")
    values: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "labels": {
            "lb.namespace": row.ref.namespace, "lb.service": row.ref.name, "lb.replica": str(row.number),
            "lb.source": SOURCE,
        },
        "state": "running",
        "restart_policy": restart,
        "image_id": "sha256:old",
        "networks": (f"net-{row.ref.namespace}",),
        "projection": row.projection,
        **given,
    }  # fmt: skip
    if "restart_policy" in given and "projection" not in given:
        values["projection"] = {**row.projection, "restart": given["restart_policy"]}
    return Container(**values)


def make_replica(row: RecordedContainer, **given: Any) -> Replica:
    return Replica(make_container(row, **given), row)


def make_action(verb: Any, service: Service, *replicas: Replica, **given: Any) -> Action:
    """An action on a service whose network is there; replicas of generation r0 are kept unless `base` differs."""
    own = service.ref.namespace
    networks = {name: f"net-{name}" for name in (own, *service.spec.links.networks)}
    values = {"networks": networks, "base": "r0", "recorded": make_recorded(service), **given}
    return Action(verb, service.ref, service=service, replicas=replicas, **values)


@dataclass(frozen=True)
class World:
    """Desired, recorded and observed; it begins with all three in agreement."""

    desired: Desired
    recorded: Recorded
    observed: Observed
    answers: plan.Answers = field(default_factory=plan.Answers)

    def plan(self) -> Plan:
        return plan.make(self.desired, self.recorded, self.observed, self.answers)

    def text(self) -> str:
        return render.plan_text(self.plan())

    def wants(self, *services: Service, **given: Any) -> World:
        """With these services among the desired."""
        merged = {**self.desired.services, **{s.ref: s for s in services}}
        mentioned = self.desired.mentioned | merged.keys()
        return replace(self, desired=replace(self.desired, services=merged, mentioned=mentioned, **given))

    def drops(self, *refs: Ref) -> World:
        """With these objects, namespaces or services, gone from the source."""
        desired = self.desired
        return replace(self, desired=replace(
            desired,
            namespaces={k: v for k, v in desired.namespaces.items() if v.ref not in refs},
            services={k: v for k, v in desired.services.items() if k not in refs},
            mentioned=desired.mentioned - set(refs),
        ))  # fmt: skip

    def remembers(self, service: RecordedService) -> World:
        services = {**self.recorded.services, service.ref: service}
        return replace(self, recorded=replace(self.recorded, services=services))

    def sees(self, container: str, /, **changes: Any) -> World:
        """With one live container changed."""
        found = tuple(replace(c, **changes) if c.id == container else c for c in self.observed.containers)
        return replace(self, observed=replace(self.observed, containers=found))

    def sees_also(self, *containers: Container) -> World:
        return replace(self, observed=replace(self.observed, containers=(*self.observed.containers, *containers)))

    def misses(self, *names: str) -> World:
        """With these containers or networks gone from the engine."""
        return replace(self, observed=replace(
            self.observed,
            containers=tuple(c for c in self.observed.containers if c.id not in names),
            networks=tuple(n for n in self.observed.networks if n.id not in names),
        ))  # fmt: skip

    def has_images(self, **images: str) -> World:
        """`nginx="sha256:…"` is docker.io/library/nginx:1."""
        found = {f"docker.io/library/{name}:1": image for name, image in images.items()}
        return replace(self, observed=replace(self.observed, images=found))

    def answering(self, **answers: Any) -> World:
        return replace(self, answers=replace(self.answers, **answers))


def empty(*services: Service, namespaces: tuple[str, ...] = ("shop",)) -> World:
    """A source that was never applied, and an engine without anything of ours."""
    spaces = {name: make_namespace(name) for name in namespaces}
    desired = Desired(
        SOURCE,
        namespaces=spaces,
        services={s.ref: s for s in services},
        mentioned=frozenset([*(s.ref for s in services), *(ns.ref for ns in spaces.values())]),
    )
    return World(desired, Recorded(), Observed(ENGINE, AT))


def steady(*services: Service, namespaces: tuple[str, ...] = ("shop",)) -> World:
    """A source that was applied, and an engine that shows just that."""
    world = empty(*services, namespaces=namespaces)
    known = {s.ref: make_recorded(s) for s in services}
    recorded = Recorded(
        {
            name: RecordedNamespace(ns.ref, SOURCE, ns.place, ns.description, ns.labels, AT, AT, f"net-{name}")
            for name, ns in world.desired.namespaces.items()
        },
        known,
        held_services={SOURCE: len(services)},
    )
    observed = Observed(
        ENGINE,
        AT,
        tuple(make_container(row) for service in known.values() for row in service.containers),
        tuple(Network(f"net-{name}", f"lb.{name}", {"lb.namespace": name}) for name in namespaces),
        images={s.spec.image: "sha256:old" for s in services},
    )
    return World(world.desired, recorded, observed)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(getattr(item, "internal", item)) for item in value)
    return ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
