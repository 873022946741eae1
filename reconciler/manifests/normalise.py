"""One valid document becomes a Namespace or a Service in canonical form. Pure but for what `Around` looks up.

What is wrong beyond the schema (units, references, mounts) is complained of by path, all of it, not only the first.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..model import Dependency, Healthcheck, NamedVolume, Namespace, Place, Port, Ref, Service, Spec, Update
from ..runtime import volume_name
from . import env, fields, mounts, units
from .maker import Around, Maker
from .reading import Document, Path
from .variables import Complaint, uses_variables

_LOCAL = ("type", "o", "device", "size")  # options of the driver local
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def namespace(document: Document, value: Mapping[str, Any]) -> tuple[Namespace | None, list[Complaint]]:
    meta, ref = document.value["meta"], Ref(value["meta"]["name"])  # meta as written: it is stored and shown
    spec = value.get("spec", {})
    complaints: list[Complaint] = []
    volumes = {}
    for name, raw in spec.get("volumes", {}).items():
        try:
            made = _volume(ref, name, raw or {}, document)
            volumes[name] = replace(made, varies=uses_variables(document.value["spec"]["volumes"][name]))
        except ValueError as error:
            complaints.append((("spec", "volumes", name), str(error)))
    if ref.namespace in spec.get("share_with", ()):
        at = ("spec", "share_with", spec["share_with"].index(ref.namespace))
        complaints.append((at, "its own services are in its network anyway; remove this one"))
    found = Namespace(
        ref=ref,
        description=meta.get("description", ""),
        labels=meta.get("labels", {}),
        place=document.at(()),
        places={f"meta.{key}": document.at(("meta", key)) for key in meta}
        | {f"volumes.{name}": document.at(("spec", "volumes", name)) for name in volumes}
        | {"share_with": document.at(("spec", "share_with"))},
        volumes=volumes,
        share_with=tuple(sorted(spec.get("share_with", ()))),
        protect=value["meta"].get("protect", False),
        written=document.value.get("spec", {}),
    )
    return (None if complaints else found), complaints


def _volume(ref: Ref, name: str, raw: Mapping[str, Any], document: Document) -> NamedVolume:
    """An external one goes by the engine's own name for it, which is its name here unless it is given."""
    external, options = raw.get("external", False), raw.get("driver_opts", {})
    if external and ("driver" in raw or "driver_opts" in raw):
        raise ValueError("an external volume is there already; remove driver and driver_opts")
    if external and raw.get("name", name).startswith("lb."):
        raise ValueError("this volume belongs to lb; mount it in the namespace that it was made for")
    if external:
        return NamedVolume(raw.get("name", name), external=True)
    if "name" in raw:
        raise ValueError(f"lb names it {volume_name(ref.namespace, name)}; remove name, or add external: true")
    at = ("spec", "volumes", name, "driver_opts")
    found = {key: document.texts.get((*at, key)) or env.as_text(option) for key, option in options.items()}
    if raw.get("driver", "local") == "local":
        _check_local(found)
    return NamedVolume(volume_name(ref.namespace, name), raw.get("driver", "local"), tuple(sorted(found.items())))


def _check_local(options: Mapping[str, str]) -> None:
    """What the engine's own driver refuses. Raises ValueError."""
    unknown = sorted(options.keys() - _LOCAL)
    if unknown:
        raise ValueError(f"the driver local has no option {unknown[0]}; there are {', '.join(_LOCAL)}")
    missing = [key for key in ("type", "device") if key not in options]
    if missing and options.keys() & {"type", "o", "device"}:
        raise ValueError(f"the driver local needs {missing[0]}: beside the other driver_opts; add it")


def service(
    document: Document, value: Mapping[str, Any], ref: Ref, around: Around
) -> tuple[Service | None, list[Complaint]]:
    maker = Maker(document, value["spec"], around, ref)
    spec = _spec(maker)
    if maker.complaints or spec is None:
        return None, maker.complaints
    meta, written = document.value["meta"], document.value["spec"]  # as written: they are stored and shown
    found = Service(
        ref=ref,
        spec=spec,
        description=meta.get("description", ""),
        labels=meta.get("labels", {}),
        place=document.at(()),
        written=written,
        shown=_shown(document.value, maker),
        places=_places(document, maker),
        files=maker.files,
        protect=value["meta"].get("protect", False),
    )
    return found, []


def _spec(maker: Maker) -> Spec | None:
    raw = maker.raw
    image = maker.attempt(("spec", "image"), units.image, raw["image"])
    memory = maker.opt("memory", units.memory)
    environment, env_files = env.make(maker)
    spec = Spec(
        image=image or "",
        pull_policy=raw.get("pull_policy", "missing"),
        replicas=raw.get("replicas", 1),
        memory=memory,
        cpus=maker.opt("cpus", units.cpus),
        entrypoint=maker.opt("entrypoint", _words),
        command=maker.opt("command", _words),
        env=environment,
        ports=_ports(maker),
        mounts=mounts.make(maker),
        healthcheck=_healthcheck(maker),
        depends_on=_depends_on(maker),
        restart=raw.get("restart", "unless-stopped"),
        stop_signal=maker.opt("stop_signal", units.signal),
        stop_grace_period=maker.opt("stop_grace_period", units.duration) or _zero_or(raw, 10_000_000_000),
        update=_update(maker),
        platform=fields.platform(maker),
        limits=fields.limits(maker, memory),
        process=fields.process(maker),
        links=fields.links(maker),
        powers=fields.powers(maker),
        logging=fields.logging(maker),
        labels=fields.labels(maker),
        env_files=env_files,
        secrets=fields.secrets(maker),
    )
    return spec if image else None


def _ports(maker: Maker) -> tuple[Port, ...]:
    found = []
    for i, raw in enumerate(maker.raw.get("ports", ())):
        port = maker.attempt(("spec", "ports", i), units.port, raw)
        if port is None:
            continue
        if port.external and maker.raw.get("replicas", 1) > 1:
            count = maker.raw["replicas"]
            message = f"{count} replicas can't share host port {port.external}; write {port.internal} alone"
            maker.complain(("spec", "ports", i), message, "replicas can't share a host port; write the internal alone")
        if port in found:
            maker.complaints.append((("spec", "ports", i), "this port is published twice; remove one"))
        found.append(port)
    return tuple(sorted(found, key=lambda p: (p.internal, p.protocol, p.external or 0, p.host_ip)))


def _healthcheck(maker: Maker) -> Healthcheck | None:
    raw = maker.raw.get("healthcheck")
    if raw is None:
        return None
    at: Path = ("spec", "healthcheck")
    test = raw.get("test")
    if raw.get("disable"):
        return Healthcheck(("NONE",))
    if isinstance(test, str):
        test = ["CMD-SHELL", test]
    if test is not None and (not test or test[0] not in ("CMD", "CMD-SHELL", "NONE")):
        maker.complaints.append(((*at, "test"), 'must begin with CMD, CMD-SHELL or NONE, like ["CMD", "true"]'))
    elif test and test[0] != "NONE" and not any(word.strip() for word in test[1:]):
        maker.complaints.append(((*at, "test"), 'names nothing to run; write something like ["CMD", "true"]'))
    elif test and test[0] == "CMD-SHELL" and len(test) > 2:
        message = "CMD-SHELL takes one text, and the rest would not be run; write CMD, or all of it as one text"
        maker.complaints.append(((*at, "test"), message))
    times = {
        key: maker.attempt((*at, key), units.check_time, raw[key])
        for key in ("interval", "timeout", "start_period")
        if key in raw
    }
    return Healthcheck(tuple(test) if test else None, retries=raw.get("retries"), **times)


def _depends_on(maker: Maker) -> tuple[Dependency, ...]:
    raw = maker.raw.get("depends_on", ())
    found: list[Dependency] = []
    for i, name in enumerate(raw):
        key: Path = ("spec", "depends_on", name if isinstance(raw, Mapping) else i)
        namespace, slash, service = name.rpartition("/")
        if not (_LABEL.fullmatch(service) and _LABEL.fullmatch(namespace or "x")) or (slash and not namespace):
            maker.complain(
                key, f"{name!r} is no service; write NAME, or NAMESPACE/NAME", "write NAME, or NAMESPACE/NAME"
            )
            continue
        ref = Ref(namespace if slash else maker.ref.namespace, service)
        if ref in (d.ref for d in found):
            maker.complain(key, f"{ref} is named twice; remove one", "this service is named twice; remove one")
        condition: Any = raw[name].get("condition", "started") if isinstance(raw, Mapping) else "started"
        found.append(Dependency(ref, condition))
        maker.paths[f"depends_on.{ref}"] = key
    return tuple(sorted(found))


def _update(maker: Maker) -> Update:
    raw = maker.raw.get("update", {})
    times: dict[str, Any] = {
        key: maker.attempt(("spec", "update", key), units.duration, raw[key])
        for key in ("min_ready", "timeout", "monitor")
        if key in raw
    }
    rest = {key: raw[key] for key in ("order", "parallelism", "on_failure") if key in raw}
    if rest.get("order") == "start-first" and maker.raw.get("network_mode") == "host":
        message = "start-first can't be had with the host's network: two copies can't share ports; write stop-first"
        maker.complaints.append((("spec", "update", "order"), message))
    if rest.get("order") == "start-first" and any(_fixed(p) for p in maker.raw.get("ports", ())):
        message = "start-first can't be had with a fixed host port: two copies can't share it; write order: stop-first"
        maker.complaints.append((("spec", "update", "order"), message))
    return Update(**times, **rest)


def _zero_or(raw: Mapping[str, Any], default: int) -> int:
    """A grace period of 0s is a value, not the lack of one."""
    return 0 if "stop_grace_period" in raw else default


def _fixed(raw: Any) -> bool:
    try:
        return units.port(raw).external is not None
    except ValueError:  # complained of where ports are read
        return False


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str):
        return tuple(value)
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"can't be split into words ({error}); write a list") from None


def _shown(root: Mapping[str, Any], maker: Maker) -> dict[str, str]:
    spec, meta = root["spec"], root["meta"]
    shown = {key: _line(value) for key, value in spec.items() if key not in ("env", "volumes", "secrets")}
    shown |= {f"meta.{key}": _line(meta[key]) for key in ("description", "labels", "hosts", "protect") if key in meta}
    for field, path in maker.paths.items():
        value: Any = root
        for step in path:
            value = value[step]
        if field in maker.told:
            shown[field] = maker.told[field]
        elif field.startswith("env."):
            shown[field] = _line(value) if path[-1] == field[4:] else str(value).partition("=")[2]
        elif field.startswith("volumes."):
            digest = maker.digests.get(field)
            shown[field] = f"{_line(value)} (content {digest[:8]})" if digest else _line(value)
        elif field.startswith("secrets.") or (field.startswith("depends_on.") and uses_variables(value)):
            shown[field] = _line(value)
    return shown


def _places(document: Document, maker: Maker) -> dict[str, Place]:
    value = document.value
    found = {key: document.at(("spec", key)) for key in value["spec"]}
    found |= {f"meta.{key}": document.at(("meta", key)) for key in value["meta"]}
    return found | {field: document.at(path) for field, path in maker.paths.items()}


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
