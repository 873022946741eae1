"""What can only be seen over all objects of a source: names, ports, dependencies and their cycles. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..model import Namespace, Problem, Ref, Service


def undeclared(services: Mapping[Ref, Service], mentioned: Iterable[Ref], away: Mapping[Ref, str]) -> list[Problem]:
    """`away` says of objects for other hosts which ones they are."""
    known = set(mentioned)
    found = []
    for ref, service in services.items():
        space = Ref(ref.namespace)
        if space in known:
            continue
        place = service.places.get("meta.namespace", service.place)
        message = f"there is no namespace {space} in this source; add a document with kind: Namespace"
        if space in away:
            message = f"namespace {away[space]}; add the host to its hosts, or take it from those of this service"
        found.append(Problem(place, "meta.namespace", message, "BAD_PARAMETER_NAMESPACE", ref))
    return found


def ports(services: Mapping[Ref, Service]) -> list[Problem]:
    """Two services that want one host port; the later one is told."""
    holders: dict[tuple[int, str], list[tuple[str, Service]]] = {}
    found = []
    for ref, service in services.items():
        for port in service.spec.ports:
            if port.external is None:
                continue
            for address, other in holders.get((port.external, port.protocol), []):
                if _overlap(address, port.host_ip):
                    at = other.places.get("ports", other.place)
                    where = "twice here" if other.ref == ref else f"by {other.ref} too ({at.file}:{at.line})"
                    which = "this host port" if "${" in service.shown.get("ports", "") else f"host port {port.external}"
                    message = f"{which} is published {where}; publish another one"
                    found.append(Problem(service.places["ports"], "spec.ports", message, ref=ref))
                    break
            holders.setdefault((port.external, port.protocol), []).append((port.host_ip, service))
    return found


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses of a host can't both listen on one port; "" is every address."""
    every = {"": "", "0.0.0.0": "", "::": ""}
    return "" in (every.get(one, one), every.get(other, other)) or one == other


def networks(services: Mapping[Ref, Service], namespaces: Mapping[str, Namespace]) -> list[Problem]:
    """Networks of namespaces of this source that do not share them; what other sources share, the plan knows."""
    found = []
    for ref, service in services.items():
        for name in service.spec.links.networks:
            other = namespaces.get(name)
            if other and ref.namespace not in other.share_with:
                at = f"{other.place.file}:{other.place.line}"
                place = service.places.get("networks", service.place)
                wanted = f"write share_with: [{ref.namespace}] under its spec: ({at})"
                message = f"namespace {name} does not share its network; {wanted}"
                found.append(Problem(place, "spec.networks", message, ref=ref))
    return found


def dependencies(
    services: Mapping[Ref, Service], mentioned: Iterable[Ref], complete: bool, away: Mapping[Ref, str]
) -> list[Problem]:
    """Dependencies that nobody declares, and cycles, each printed once, from its smallest name.

    Unless `complete`, one may be declared where nothing can be read: it is not complained of. `away` says of objects
    for other hosts which ones they are.
    """
    known = {ref for ref in mentioned if ref.name}
    found = []
    for ref, service in services.items():
        for dependency in service.spec.depends_on:
            if dependency.ref not in known and complete:
                place = service.places.get(f"depends_on.{dependency.ref}", service.place)
                name = service.shown.get(f"depends_on.{dependency.ref}", dependency.ref)
                message = f"there is no service {name} in this source; correct the name, or remove it"
                if dependency.ref in away and name == dependency.ref:
                    message = f"service {away[dependency.ref]}; add the host to its hosts, or remove it here"
                found.append(Problem(place, "spec.depends_on", message, ref=ref))
            elif dependency.ref == ref:
                place = service.places.get(f"depends_on.{ref}", service.place)
                found.append(Problem(place, "spec.depends_on", f"{ref} depends on itself; remove it", ref=ref))
    for cycle in _cycles(services):
        text = " → ".join(str(ref) for ref in [*cycle, cycle[0]])
        for ref in cycle:
            service = services[ref]
            place = service.places.get("depends_on", service.place)
            found.append(Problem(place, "spec.depends_on", f"a cycle: {text}; remove one of them", ref=ref))
    return found


def _cycles(services: Mapping[Ref, Service]) -> list[list[Ref]]:
    done: set[Ref] = set()
    found: list[list[Ref]] = []
    for start in sorted(services):
        trail: list[tuple[Ref, list[Ref]]] = [(start, _next(services, start))]
        on_trail = [start]
        if start in done:
            continue
        while trail:
            ref, left = trail[-1]
            if not left:
                trail.pop()
                on_trail.pop()
                done.add(ref)
                continue
            following = left.pop()
            if following in on_trail:
                cycle = on_trail[on_trail.index(following) :]
                if len(cycle) > 1:
                    at = cycle.index(min(cycle))
                    found.append(cycle[at:] + cycle[:at])
            elif following not in done:
                trail.append((following, _next(services, following)))
                on_trail.append(following)
    return found


def _next(services: Mapping[Ref, Service], ref: Ref) -> list[Ref]:
    return sorted((d.ref for d in services[ref].spec.depends_on if d.ref in services), reverse=True)
