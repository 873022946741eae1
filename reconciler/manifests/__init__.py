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
from ..model import DeleteBudget, Desired, Namespace, Place, Problem, Ref, Service
from . import checks, env, foreign, maker, normalise
from .maker import Around, Texts, Trees, no_texts
from .reading import MAX_BYTES, Document, Path, read, write
from .variables import resolve

__all__ = ["MAX_BYTES", "Page", "Settings", "Texts", "Trees", "assemble", "load", "page", "settings", "write"]
_CODES = {"meta.name": "BAD_PARAMETER_NAME", "meta.namespace": "BAD_PARAMETER_NAMESPACE"}
_NAMES = {
    "env",
    "labels",
    "depends_on",
    "volumes",
    "driver_opts",
    "sysctls",
    "ulimits",
    "extra_hosts",
    "options",
}  # maps whose keys are the author's
_NAMING: set[Path] = {("kind",), ("meta", "name"), ("meta", "namespace")}


class Settings:
    """lb.yaml: `name` "" when it gives none. Variables as text."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self.name: str = value.get("name", "")
        self.namespace: str = value.get("namespace", "")
        self.variables = {k: env.as_text(v) for k, v in value.get("variables", {}).items()}
        self.budget = DeleteBudget(**value.get("delete_budget", {}))


def settings(file: str, content: bytes) -> tuple[Settings, list[Problem]]:
    """What can be read of it: with a problem, nothing of the source may be acted on, only looked at."""
    documents, problems = read(file, content)
    if problems or not documents:
        return Settings({}), problems
    document = documents[0]
    complaints = schema.validate("source", document.value)
    found = [_problem(document, c, "lb.yaml" if not c.path else _parent(c.path), None) for c in complaints]
    if len(documents) > 1:
        message = "lb.yaml is one document; remove what follows ---"
        found.append(Problem(documents[1].at(()), "", message, "INCORRECT_YAML"))
    if any(not c.path and not c.unknown for c in complaints):
        return Settings({}), found
    bad = {c.path[0] for c in complaints if c.path}
    sound = {key: value for key, value in document.value.items() if key not in bad}
    if "variables" in sound:
        texts = document.texts
        sound["variables"] = {k: texts.get(("variables", k), v) for k, v in sound["variables"].items()}
    return Settings(sound), found


@dataclass(frozen=True, slots=True)
class Statement:
    """What one document says. `object` is None where it has a problem, `ref` where not even that can be told."""

    ref: Ref | None
    named_at: Place
    object: Namespace | Service | None
    problems: tuple[Problem, ...]


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
) -> Desired:
    """`files` maps paths relative to the source to content; `variables` go before those of lb.yaml."""
    pages = {file: page(file, text, settings, variables, trees, texts) for file, text in files.items()}
    return assemble(pages, source=source, root=root, settings=settings)


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
    return Page(statements, tuple(problems), reader.complete and not problems, looked)


def assemble(pages: Mapping[str, Page], *, source: str, root: str, settings: Settings) -> Desired:
    """Everything that the files of a source say together; `pages` by path relative to the source."""
    whole = _Whole()
    for file in sorted(pages):
        whole.add(pages[file])
    whole.check()
    return Desired(
        source=source,
        root=root,
        namespaces=whole.namespaces,
        services=whole.services,
        problems=tuple(sorted(whole.problems, key=lambda p: p.place)),
        mentioned=frozenset(whole.mentioned),
        complete=whole.complete,
        budget=settings.budget,
    )


class _Whole:
    """What can only be seen over all objects: of two with one name neither counts, and what `checks` finds."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self.services: dict[Ref, Service] = {}
        self.problems: list[Problem] = []
        self.mentioned: dict[Ref, Place] = {}
        self.complete = True

    def add(self, page: Page) -> None:
        self.problems += page.problems
        self.complete &= page.complete
        for statement in page.statements:
            self.problems += statement.problems
            ref, said = statement.ref, statement.object
            if ref and ref in self.mentioned:
                self._twice(ref, statement.named_at)
                continue
            if ref:
                self.mentioned[ref] = statement.named_at
            if isinstance(said, Namespace):
                self.namespaces[said.ref.namespace] = said
            elif said:
                self.services[said.ref] = said

    def _twice(self, ref: Ref, place: Place) -> None:
        message = f"{ref.kind} {ref} is declared twice (first at {self.mentioned[ref]}); remove one or rename it"
        self.problems.append(Problem(place, "meta.name", message, "NAME_NOT_UNIQUE", ref))
        self.services.pop(ref, None)
        if not ref.name:
            self.namespaces.pop(ref.namespace, None)

    def check(self) -> None:
        declared = [ref.namespace for ref in self.mentioned if not ref.name]
        found = checks.ports(self.services) + checks.dependencies(self.services, self.mentioned, self.complete)
        found += checks.networks(self.services, self.namespaces)
        if self.complete:  # else it may be declared where nothing can be read
            found += checks.undeclared(self.services, declared)
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
        self.complete = True

    def document(self, document: Document) -> Statement:
        document.value = _set_only(document.value)
        value, complaints = resolve(document, self.around.variables)
        unresolved = {path for path, _ in complaints}
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
        if ref is None or any(problem.path in _CODES for problem in found):
            self.complete = False  # it may be one that we know, misspelt
        said: Namespace | Service | None = None
        if not found and ref:
            said, found = self._object(document, value, ref)
        return Statement(ref, document.at(("meta", "name")), said, tuple(found))

    def _object(self, document: Document, value: Any, ref: Ref) -> tuple[Namespace | Service | None, list[Problem]]:
        said: Namespace | Service | None
        if ref.name:
            said, complaints = normalise.service(document, value, ref, self.around)
        else:
            said, complaints = normalise.namespace(document, value)
        return said, [_complain(document, path, text, ref) for path, text in complaints]

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


def _set_only(value: Any, names: bool = False) -> Any:
    """Without the fields that nothing follows: `env:` alone is like no env. Under `names` the keys are the author's."""
    if isinstance(value, list):
        return [_set_only(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _set_only(item, key in _NAMES)
        for key, item in value.items()
        if item is not None or names or key not in schema.fields("manifest")
    }


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
    message = foreign.value_advice(complaint.path, value) or complaint.message
    return _complain(document, complaint.path, message, ref)


def _problem(document: Document, complaint: schema.Complaint, parent: str, ref: Ref | None) -> Problem:
    if not complaint.unknown:
        return _complain(document, complaint.path, complaint.message, ref)
    path = (*complaint.path, complaint.unknown)
    place = document.keys.get(path, document.at(complaint.path))
    message = foreign.advice(parent, complaint.unknown, complaint.known)
    code = foreign.code(complaint.unknown)
    return Problem(place, _dotted(path), message, code, ref)


def _complain(document: Document, path: Path, message: str, ref: Ref | None) -> Problem:
    dotted = _dotted(path)
    return Problem(document.at(path), dotted, message, _CODES.get(dotted, "BAD_PARAMETER"), ref)


def _parent(path: Path) -> str:
    names = [step for step in path if isinstance(step, str)]
    return names[-1] if names else ""


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
