"""Files become Desired: read safely, resolve variables, validate, fill defaults, normalise.

In: the content of every manifest of a source. Out: what can be acted on, and every problem with its place. One bad
object never stops the others: it is left out, and stays among the mentioned, so that nobody takes it for removed.

`page` is what one file says, and needs no other file; `assemble` puts pages together and looks over all objects. A page
may be kept and assembled again until something changes that it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .. import schema
from ..model import Desired, DriftPolicy, NamedVolume, Namespace, Place, Problem, Ref, Service
from . import checks, foreign, hosts, maker, normalise, templates
from .configuration import dotted
from .editing import Unable, appended, edited
from .hosts import variables as host_variables
from .lb_yaml import Settings, drift, settings
from .maker import Around, Texts, Trees, no_texts
from .reading import MAX_BYTES, Document, Path, read, write
from .variables import names, resolve, used
from .written import again, authored, documents, templated, written

__all__ = ["MAX_BYTES", "Page", "Settings", "Texts", "Trees", "Unable", "again", "appended", "assemble", "documents",
           "edited", "host_variables", "load", "page", "settings", "stand", "write"]  # fmt: skip
_CODES = {
    "meta.name": "BAD_PARAMETER_NAME",
    "meta.namespace": "BAD_PARAMETER_NAMESPACE",
    "spec.template": "BAD_PARAMETER_TEMPLATE_NAME",
}
_HOSTS: Path = ("meta", "hosts")
_NAMING: set[Path] = {("kind",), ("meta", "name"), ("meta", "namespace")}


@dataclass(frozen=True, slots=True)
class Statement:
    """What one document says. `object` is None where it has a problem, `ref` where not even that can be told; where it
    is not `clear`, it may be about one that we know. `hosts` are those that its own `meta` names, `variables` the names
    of those that it uses."""

    ref: Ref | None
    named_at: Place
    object: Namespace | Service | None
    problems: tuple[Problem, ...]
    clear: bool = True
    hosts: tuple[str, ...] | None = None
    variables: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Page:
    """What one file says. `looked` has each path of the source that was looked at, and what was found there.

    It stays true while the file's content, lb.yaml, the variables and what is found at those paths stay the same."""

    statements: tuple[Statement, ...]
    problems: tuple[Problem, ...]
    complete: bool
    looked: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def load(
    files: Mapping[str, bytes],
    *,
    source: str,
    root: str,
    settings: Settings,
    variables: Mapping[str, str],
    trees: Trees,
    texts: Texts = no_texts,
    host: str = "",
) -> Desired:
    """`files` maps paths relative to the source to content; `variables` go before those of lb.yaml."""
    values = {**host_variables(settings.hosts, host), **variables}
    pages = {file: page(file, text, settings, values, trees, texts) for file, text in files.items()}
    return assemble(pages, source=source, root=root, settings=settings, host=host)


def page(
    file: str,
    content: bytes,
    settings: Settings,
    variables: Mapping[str, str],
    trees: Trees,
    texts: Texts = no_texts,
) -> Page:
    """`file` is the path relative to the source; `variables` go before those of lb.yaml. A text is asked for after the
    digest at its path, so that the page holds for that content."""
    looked: dict[str, tuple[str, str]] = {}

    def look(path: str) -> tuple[str, str]:
        looked[path] = trees(path)
        return looked[path]

    documents, problems = read(file, content)
    reader = _Reader(settings, Around(look, texts, {**settings.variables, **variables}))
    statements = tuple(reader.document(document) for document in documents)
    return Page(statements, tuple(problems), not problems, looked)


def assemble(
    pages: Mapping[str, Page], *, source: str, root: str, settings: Settings, host: str | None = ""
) -> Desired:
    """Everything that the files of a source say together, for this host; `pages` by path relative to the source.

    With `host` None, hosts are not looked at: nothing of it may be acted on. Raises SourceError where one is needed."""
    said = [statement for file in sorted(pages) for statement in pages[file].statements]
    here = said if host is None else hosts.Here(said, host, settings.hosts)
    whole = _Whole()
    for file in sorted(pages):
        whole.problems += pages[file].problems
        whole.complete &= pages[file].complete
    for statement in said:
        if statement in here:
            whole.add(statement)
        else:
            whole.leave(statement)
    whole.check(host or "")
    return Desired(
        source=source,
        root=root,
        namespaces=whole.namespaces,
        services=whole.services,
        problems=tuple(sorted(whole.problems, key=lambda p: p.place)),
        mentioned=frozenset(whole.mentioned),
        complete=whole.complete,
        budget=settings.budget,
        host=host or "",
        elsewhere=frozenset(whole.elsewhere.keys() - whole.mentioned.keys()),
        drift=settings.drift,
        variables=frozenset().union(*(statement.variables for statement in said)),
    )


def stand(pages: Mapping[str, Page], settings: Settings, host: str) -> dict[Ref, list[tuple[str, int]]]:
    """Where each object stands that is said to this host: the file, and which of its documents; more than once where it
    is declared twice. Raises SourceError where a host's name is needed."""
    here = hosts.Here((said for page in pages.values() for said in page.statements), host, settings.hosts)
    found: dict[Ref, list[tuple[str, int]]] = {}
    for file, page in sorted(pages.items()):
        for index, statement in enumerate(page.statements):
            if statement.ref and statement in here:
                found.setdefault(statement.ref, []).append((file, index))
    return found


class _Whole:
    """What can only be seen over all objects: of two with one name neither counts, and what `checks` finds."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self.services: dict[Ref, Service] = {}
        self.problems: list[Problem] = []
        self.mentioned: dict[Ref, Place] = {}
        self.elsewhere: dict[Ref, Place] = {}
        self.complete = True

    def add(self, statement: Statement) -> None:
        self.problems += statement.problems
        self.complete &= statement.clear
        ref, said = statement.ref, statement.object
        if ref and ref in self.mentioned:
            return self._twice(ref, statement.named_at)
        if ref:
            self.mentioned[ref] = statement.named_at
        if isinstance(said, Namespace):
            self.namespaces[said.ref.namespace] = said
        elif said:
            self.services[said.ref] = said

    def leave(self, statement: Statement) -> None:
        """It is for other hosts."""
        if statement.ref:
            self.elsewhere[statement.ref] = statement.named_at

    def _twice(self, ref: Ref, place: Place) -> None:
        message = f"{ref.kind} {ref} is declared twice (first at {self.mentioned[ref]}); remove one or rename it"
        self.problems.append(Problem(place, "meta.name", message, "NAME_NOT_UNIQUE", ref))
        self.services.pop(ref, None)
        if not ref.name:
            self.namespaces.pop(ref.namespace, None)

    def check(self, host: str) -> None:
        away = {ref: f"{ref} is not for host {host} ({at})" for ref, at in self.elsewhere.items()}
        found = checks.ports(self.services) + checks.networks(self.services, self.namespaces)
        found += checks.dependencies(self.services, self.mentioned, self.complete, away)
        if self.complete:  # else it may be declared where nothing can be read
            found += checks.undeclared(self.services, self.mentioned, away)
        found = [templates.told(p, self.services[p.ref].authored) if p.ref else p for p in found]
        for problem in found:
            if problem.ref:
                self.services.pop(problem.ref, None)
        for ref in [r for r in self.services if r.namespace not in self.namespaces]:
            del self.services[ref]  # its namespace has a problem of its own
        for ref, service in self.services.items():
            declared_volumes = self.namespaces[ref.namespace].volumes
            if declared_volumes:
                self.services[ref] = replace(service, volumes=declared_volumes)
        self.problems += found


class _Reader:
    """Of one file."""

    def __init__(self, settings: Settings, around: Around) -> None:
        self.settings, self.around = settings, around

    def document(self, document: Document) -> Statement:
        own = document
        document, wrong = templates.merged(own, self.settings.templates, self.around.variables)
        document.value = written(document)
        value, complaints = resolve(document, self.around.variables)
        named = hosts.read(value)
        unresolved = {path for path, _ in complaints}
        if not any(path[:2] == _HOSTS for path in unresolved):
            complaints += hosts.unknown(named or (), document.value, self.settings.hosts)
        complaints += wrong
        ref = None if unresolved & _NAMING else self._identity(value)
        complaints += _unwritable(value, ())
        refused = {path for path, _ in complaints}
        found = [_complain(document, path, text, ref) for path, text in complaints]
        for complaint in schema.validate("manifest", value):
            if complaint.path not in refused:
                found.append(_advised(document, complaint, ref))
        if ref and ref.name and not ref.namespace:
            message = "is missing; write namespace: NAME, or give lb.yaml a namespace: for all"
            found.append(Problem(document.at(("meta",)), "meta.namespace", message, "BAD_PARAMETER_NAMESPACE"))
            ref = None
        clear = ref is not None and not any(problem.path in ("meta.name", "meta.namespace") for problem in found)
        said: Namespace | Service | None = None
        if not found and ref:
            said, found = self._object(document, value, ref)
        spec = own.value.get("spec") if isinstance(own.value, dict) else None
        spec = spec if isinstance(spec, dict) else {}
        if isinstance(said, Service) and templated(own.value):
            said = replace(said, authored=authored(own)["spec"])
        if said and named:
            said = replace(said, hosts=tuple(document.value["meta"]["hosts"]))
        if any(problem.path.startswith(dotted(_HOSTS)) for problem in found):
            named = hosts.EVERY
        found = [templates.told(problem, spec) for problem in found]
        return Statement(ref, document.at(("meta", "name")), said, tuple(found), clear, named, names(document.value))

    def _object(self, document: Document, value: Any, ref: Ref) -> tuple[Namespace | Service | None, list[Problem]]:
        said: Namespace | Service | None
        if ref.name:
            said, complaints = normalise.service(document, value, ref, self.around)
            said = said and self._with_drift(said, value["spec"].get("drift", {}))
            said = said and replace(said, hidden=self._hidden(document, said))
        else:
            said, complaints = normalise.namespace(document, value)
            said = said and replace(said, volumes=self._with_hidden(document, said.volumes))
        return said, [_complain(document, path, text, ref) for path, text in complaints]

    def _with_drift(self, said: Service, own: Mapping[str, Any]) -> Service:
        policy = drift(own, self.settings.drift)
        if policy == DriftPolicy():
            return said
        shown = f"{policy.mode}, ignore {', '.join(policy.ignore)}" if policy.ignore else policy.mode
        places = {"drift": self.settings.drift_at, **said.places}
        return replace(said, drift=policy, shown={**said.shown, "drift": shown}, places=places)

    def _hidden(self, document: Document, said: Service) -> frozenset[str]:
        of_files = {value for name, value in said.spec.env or () if said.shown.get(f"env.{name}") != value}
        return used(document.value["spec"], self.around.variables) | of_files

    def _with_hidden(self, document: Document, volumes: Mapping[str, NamedVolume]) -> Mapping[str, NamedVolume]:
        written = document.value.get("spec", {}).get("volumes", {})
        return {name: replace(v, hidden=used(written[name], self.around.variables)) for name, v in volumes.items()}

    def _identity(self, value: Any) -> Ref | None:
        """Which object the document is about, as far as that can be read."""
        meta = value.get("meta") if isinstance(value, dict) else None
        name = meta.get("name") if isinstance(meta, dict) else None
        if not isinstance(name, str) or not name or not isinstance(meta, dict):
            return None
        if value.get("kind") == "Namespace":
            return Ref(name)
        namespace = meta.get("namespace", self.settings.namespace)
        if value.get("kind") != "Service" or not isinstance(namespace, str):
            return None
        return Ref(namespace, name)


def _unwritable(value: Any, path: Path) -> list[tuple[Path, str]]:
    """Values that no field takes: the stand-in for hidden ones, and text that no process can be given."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _unwritable(item, (*path, key))]
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in _unwritable(item, (*path, i))]
    if value == maker.HIDDEN:
        return [(path, maker.HIDDEN_ADVICE)]
    if isinstance(value, str) and "\0" in value:
        return [(path, "holds a NUL, which no process can be given; remove it")]
    return []


def _advised(document: Document, complaint: schema.Complaint, ref: Ref | None) -> Problem:
    """The schema's complaint, or better words where what is written is another tool's."""
    if complaint.unknown:
        return _problem(document, complaint, _parent(complaint.path), ref)
    value = document.value
    for step in complaint.path:
        value = value.get(step) if isinstance(value, dict) else value[step]
    message = foreign.value_advice(complaint.path, value)
    message = message or document.in_its_words(complaint.path, complaint.message)
    return _complain(document, complaint.path, message, ref)


def _problem(document: Document, complaint: schema.Complaint, parent: str, ref: Ref | None) -> Problem:
    if not complaint.unknown:
        return _complain(document, complaint.path, complaint.message, ref)
    path = (*complaint.path, complaint.unknown)
    place = document.keys.get(path, document.at(complaint.path))
    message = complaint.message or foreign.advice(parent, complaint.unknown, complaint.known)
    code = foreign.code(complaint.unknown)
    return Problem(place, dotted(path), message, code, ref)


def _complain(document: Document, path: Path, message: str, ref: Ref | None) -> Problem:
    field = dotted(path)
    code = "TEMPLATE_NOT_FOUND" if message.startswith(templates.UNKNOWN) else _CODES.get(field, "BAD_PARAMETER")
    return Problem(document.at(path), field, message, code, ref)


def _parent(path: Path) -> str:
    names = [step for step in path if isinstance(step, str)]
    return names[-1] if names else ""
