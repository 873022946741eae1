"""One valid document becomes a Namespace or a Service in canonical form. Pure but for the digest of bind content.

What is wrong beyond the schema (units, references, mounts) is complained of by path, all of it, not only the first.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..model import Dependency, Healthcheck, Mount, Namespace, Place, Ref, Service, Spec, Update
from . import units
from .reading import Document, Path
from .variables import Complaint, uses_variables

# Digest of the content at a path of the source, or why there is none.
Trees = Callable[[str], tuple[str, str]]
T = TypeVar("T")
HIDDEN = "***"
HIDDEN_ADVICE = "*** stands for a value that is hidden; write the value, or ${NAME}"
NEEDS_POLICY = "need the host's policy, not yet supported"
INSIDE = "copy it into the source and write ./NAME"
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def namespace(document: Document, value: Mapping[str, Any]) -> Namespace:
    meta = document.value["meta"]  # as written: it is stored and shown
    places = {f"meta.{key}": document.at(("meta", key)) for key in meta}
    return Namespace(
        Ref(value["meta"]["name"]), meta.get("description", ""), meta.get("labels", {}), document.at(()), places
    )


def service(
    document: Document, value: Mapping[str, Any], ref: Ref, trees: Trees
) -> tuple[Service | None, list[Complaint]]:
    maker = _Maker(document, value["spec"], trees, ref)
    spec = maker.spec()
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
    )
    return found, []


class _Maker:
    def __init__(self, document: Document, spec: Mapping[str, Any], trees: Trees, ref: Ref) -> None:
        self.document, self.raw, self.trees, self.ref = document, spec, trees, ref
        self.complaints: list[Complaint] = []
        self.files: dict[str, str] = {}
        self.digests: dict[str, str] = {}  # canonical field of a bind → digest of its content
        self.paths: dict[str, Path] = {}  # canonical field → path in the document

    def spec(self) -> Spec | None:
        raw = self.raw
        image = self._try(("spec", "image"), units.image, raw["image"])
        spec = Spec(
            image=image or "",
            pull_policy=raw.get("pull_policy", "missing"),
            replicas=raw.get("replicas", 1),
            memory=self._opt("memory", units.memory),
            cpus=self._opt("cpus", units.cpus),
            entrypoint=self._opt("entrypoint", _words),
            command=self._opt("command", _words),
            env=self._env(),
            ports=self._ports(),
            mounts=self._mounts(),
            healthcheck=self._healthcheck(),
            depends_on=self._depends_on(),
            restart=raw.get("restart", "unless-stopped"),
            stop_signal=raw.get("stop_signal"),
            stop_grace_period=self._opt("stop_grace_period", units.duration) or _zero_or(raw, 10_000_000_000),
            update=self._update(),
        )
        return spec if image else None

    def _env(self) -> tuple[tuple[str, str], ...] | None:
        raw = self.raw.get("env")
        if raw is None:
            return None
        found: dict[str, str] = {}
        items: Iterable[tuple[Any, Any]] = raw.items() if isinstance(raw, Mapping) else enumerate(raw)
        for key, value in items:
            path: Path = ("spec", "env", key)
            if isinstance(raw, Mapping):
                name, text = key, self.document.texts.get(path) or as_text(value)
            else:
                name, equals, text = value.partition("=")
                if not equals:
                    end = "; lb takes nothing from its own environment"
                    self._complain(path, f"write {name}=value, or {name}=${{{name}}}{end}", f"write NAME=value{end}")
                    continue
            if name in found:
                self._complain(path, f"{name} is set twice; remove one", "this name is set twice; remove one")
            if not name or "=" in name or "$" in name:
                end = "is no name of a variable; write something like LOG_LEVEL"
                self._complain(path, f"{name!r} {end}", f"what stands before = {end}")
            if text == HIDDEN and not isinstance(raw, Mapping):
                self.complaints.append((path, HIDDEN_ADVICE))
            found[name] = text
            self.paths[f"env.{name}"] = path
        return tuple(sorted(found.items()))

    def _ports(self) -> tuple[Any, ...]:
        found = []
        for i, raw in enumerate(self.raw.get("ports", ())):
            port = self._try(("spec", "ports", i), units.port, raw)
            if port is None:
                continue
            if port.external and self.raw.get("replicas", 1) > 1:
                count = self.raw["replicas"]
                message = f"{count} replicas can't share host port {port.external}; write {port.internal} alone"
                self._complain(
                    ("spec", "ports", i), message, "replicas can't share a host port; write the internal alone"
                )
            if port in found:
                self.complaints.append((("spec", "ports", i), "this port is published twice; remove one"))
            found.append(port)
        return tuple(sorted(found, key=lambda p: (p.internal, p.protocol, p.external or 0, p.host_ip)))

    def _mounts(self) -> tuple[Mount, ...]:
        found: dict[str, Mount] = {}
        for i, raw in enumerate(self.raw.get("volumes", ())):
            path: Path = ("spec", "volumes", i)
            parts = self._try(path, units.mount, raw)
            if parts is None:
                continue
            kind, source, target, read_only = parts
            if target in found:
                self._complain(
                    path, f"{target} is mounted twice; remove one", "its target is mounted twice; remove one"
                )
            if kind == "bind":
                digest = self._bind(path, source, read_only)
                if digest:
                    self.digests[f"volumes.{target}"] = digest
                    found[target] = Mount(target, "bind", digest, True)
            else:
                found[target] = Mount(target, "volume", source, read_only)
            self.paths[f"volumes.{target}"] = path
        return tuple(sorted(found.values()))

    def _bind(self, path: Path, source: str, read_only: bool) -> str:
        folder = posixpath.dirname(self.document.at(path).file)  # a template's paths count from lb.yaml
        relative = posixpath.normpath(posixpath.join(folder, source))
        if source.startswith(("/", "~")) or relative.startswith(("/", "../")) or relative == "..":
            message = f"binds from outside the source {NEEDS_POLICY}; {INSIDE}"
            self._complain(path, f"{source}: {message}", message)
            return ""
        if not read_only:
            message = "files of the source are mounted read-only"
            self._complain(path, f"{message}; {self._read_only(path, source)}", f"{message}; write SOURCE:TARGET:ro")
            return ""
        digest, error = self.trees(relative)
        if error:
            self._complain(path, error, "its source can't be read: it is missing, or leads outside the source")
            return ""
        self.files[digest] = relative
        return digest

    def _read_only(self, path: Path, source: str) -> str:
        raw = self.raw["volumes"][path[-1]]
        return f"write {source}:{units.mount(raw)[2]}:ro" if isinstance(raw, str) else "add read_only: true"

    def _healthcheck(self) -> Healthcheck | None:
        raw = self.raw.get("healthcheck")
        if raw is None:
            return None
        at: Path = ("spec", "healthcheck")
        test = raw.get("test")
        if raw.get("disable"):
            return Healthcheck(("NONE",))
        if isinstance(test, str):
            test = ["CMD-SHELL", test]
        if test is not None and (not test or test[0] not in ("CMD", "CMD-SHELL", "NONE")):
            self.complaints.append(((*at, "test"), 'must begin with CMD, CMD-SHELL or NONE, like ["CMD", "true"]'))
        elif test and test[0] != "NONE" and not any(word.strip() for word in test[1:]):
            self.complaints.append(((*at, "test"), 'names nothing to run; write something like ["CMD", "true"]'))
        times = {
            key: self._try((*at, key), units.duration, raw[key])
            for key in ("interval", "timeout", "start_period")
            if key in raw
        }
        return Healthcheck(tuple(test) if test else None, retries=raw.get("retries"), **times)

    def _depends_on(self) -> tuple[Dependency, ...]:
        raw = self.raw.get("depends_on", ())
        found: list[Dependency] = []
        for i, name in enumerate(raw):
            key: Path = ("spec", "depends_on", name if isinstance(raw, Mapping) else i)
            namespace, slash, service = name.rpartition("/")
            if not (_LABEL.fullmatch(service) and _LABEL.fullmatch(namespace or "x")) or (slash and not namespace):
                self._complain(
                    key, f"{name!r} is no service; write NAME, or NAMESPACE/NAME", "write NAME, or NAMESPACE/NAME"
                )
                continue
            ref = Ref(namespace if slash else self.ref.namespace, service)
            if ref in (d.ref for d in found):
                self._complain(key, f"{ref} is named twice; remove one", "this service is named twice; remove one")
            condition: Any = raw[name].get("condition", "started") if isinstance(raw, Mapping) else "started"
            found.append(Dependency(ref, condition))
            self.paths[f"depends_on.{ref}"] = key
        return tuple(sorted(found))

    def _update(self) -> Update:
        raw = self.raw.get("update", {})
        times: dict[str, Any] = {
            key: self._try(("spec", "update", key), units.duration, raw[key])
            for key in ("min_ready", "timeout")
            if key in raw
        }
        rest = {key: raw[key] for key in ("order", "parallelism", "on_failure") if key in raw}
        if rest.get("order") == "start-first" and any(_fixed(p) for p in self.raw.get("ports", ())):
            message = (
                "start-first can't be had with a fixed host port: two copies can't share it; write order: stop-first"
            )
            self.complaints.append((("spec", "update", "order"), message))
        return Update(**times, **rest)

    def _opt(self, key: str, convert: Callable[[Any], T]) -> T | None:
        return self._try(("spec", key), convert, self.raw[key]) if key in self.raw else None

    def _try(self, path: Path, convert: Callable[[Any], T], value: Any) -> T | None:
        try:
            return convert(value)
        except ValueError as error:
            self._complain(path, str(error.args[0]), str(error.args[-1]))
            return None

    def _complain(self, path: Path, message: str, hidden: str) -> None:
        """`hidden` repeats no value: it is said where a variable stands in the field (for ports, or in `replicas`)."""
        fields = [path, ("spec", "replicas")] if path[1] == "ports" else [path]
        variable = any(uses_variables(_at(self.document.value, field)) for field in fields)
        self.complaints.append((path, hidden if variable else message))


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else value[step]
    return value


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


def as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _shown(root: Mapping[str, Any], maker: _Maker) -> dict[str, str]:
    spec, meta = root["spec"], root["meta"]
    shown = {key: _line(value) for key, value in spec.items() if key not in ("env", "volumes")}
    shown |= {f"meta.{key}": _line(meta[key]) for key in ("description", "labels", "hosts") if key in meta}
    for field, path in maker.paths.items():
        value: Any = root
        for step in path:
            value = value[step]
        if field.startswith("env."):
            shown[field] = _line(value) if path[-1] == field[4:] else str(value).partition("=")[2]
        elif field.startswith("volumes."):
            digest = maker.digests.get(field)
            shown[field] = f"{_line(value)} (content {digest[:8]})" if digest else _line(value)
        elif field.startswith("depends_on.") and uses_variables(value):
            shown[field] = _line(value)
    return shown


def _places(document: Document, maker: _Maker) -> dict[str, Place]:
    value = document.value
    found = {key: document.at(("spec", key)) for key in value["spec"]}
    found |= {f"meta.{key}": document.at(("meta", key)) for key in value["meta"]}
    return found | {field: document.at(path) for field, path in maker.paths.items()}


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
