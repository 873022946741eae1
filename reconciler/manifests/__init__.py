"""Files become Desired: read safely, resolve variables, validate, fill defaults, normalise.

In: the content of every manifest of a source. Out: what can be acted on, and every problem with its place. One bad
object never stops the others: it is left out, and stays among the mentioned, so that nobody takes it for removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import schema
from ..model import DeleteBudget, Desired, Namespace, Problem, Ref, Service
from . import checks, foreign, normalise
from .normalise import Trees
from .reading import MAX_BYTES, Document, Path, read, write
from .variables import resolve

__all__ = ["MAX_BYTES", "Settings", "Trees", "load", "settings", "write"]
_CODES = {"meta.name": "BAD_PARAMETER_NAME", "meta.namespace": "BAD_PARAMETER_NAMESPACE"}


class Settings:
    """lb.yaml: `name` "" when it gives none. Variables as text."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self.name: str = value.get("name", "")
        self.namespace: str = value.get("namespace", "")
        self.variables = {k: _as_text(v) for k, v in value.get("variables", {}).items()}
        self.budget = DeleteBudget(**value.get("delete_budget", {}))


def settings(file: str, content: bytes) -> tuple[Settings, list[Problem]]:
    documents, problems = read(file, content)
    if problems or not documents:
        return Settings({}), problems
    found = [_problem(documents[0], c, "lb.yaml", None) for c in schema.validate("source", documents[0].value)]
    return Settings({} if found else documents[0].value), found


def load(
    files: Mapping[str, bytes],
    *,
    source: str,
    root: str,
    settings: Settings,
    variables: Mapping[str, str],
    trees: Trees,
) -> Desired:
    """`files` maps paths relative to the source to content; `variables` go before those of lb.yaml."""
    reader = _Reader(settings, {**settings.variables, **variables}, trees)
    for file in sorted(files):
        reader.file(file, files[file])
    reader.check()
    return Desired(
        source=source,
        root=root,
        namespaces=reader.namespaces,
        services=reader.services,
        problems=tuple(sorted(reader.problems, key=lambda p: p.place)),
        mentioned=frozenset(reader.mentioned),
        complete=reader.complete,
        budget=settings.budget,
    )


class _Reader:
    def __init__(self, settings: Settings, variables: Mapping[str, str], trees: Trees) -> None:
        self.settings, self.variables, self.trees = settings, variables, trees
        self.namespaces: dict[str, Namespace] = {}
        self.services: dict[Ref, Service] = {}
        self.problems: list[Problem] = []
        self.mentioned: dict[Ref, Any] = {}  # → the place of its name
        self.complete = True

    def file(self, file: str, content: bytes) -> None:
        documents, problems = read(file, content)
        self.problems += problems
        self.complete &= not problems
        for document in documents:
            self._document(document)

    def check(self) -> None:
        declared = [ref.namespace for ref in self.mentioned if not ref.name]
        found = checks.undeclared(self.services, declared) + checks.ports(self.services)
        found += checks.dependencies(self.services, self.mentioned)
        for problem in found:
            if problem.ref:
                self.services.pop(problem.ref, None)
        for ref in [r for r in self.services if r.namespace not in self.namespaces]:
            del self.services[ref]  # its namespace has a problem of its own
        self.problems += found

    def _document(self, document: Document) -> None:
        ref = self._identity(document)
        value, complaints = resolve(document, self.variables)
        unresolved = {path for path, _ in complaints}
        found = [_complain(document, path, text, ref) for path, text in complaints]
        for complaint in schema.validate("manifest", value):
            if complaint.path not in unresolved:
                found.append(_problem(document, complaint, _parent(complaint.path), ref))
        if ref and ref in self.mentioned:
            first = self.mentioned[ref]
            message = f"{ref.kind} {ref} is declared twice (first at {first}); remove one or rename it"
            found.append(Problem(document.at(("meta", "name")), "meta.name", message, "NAME_NOT_UNIQUE", ref))
            self.services.pop(ref, None)
            if not ref.name:
                self.namespaces.pop(ref.namespace, None)
        elif ref:
            self.mentioned[ref] = document.at(("meta", "name"))
        if ref is None:
            self.complete = False
        if not found and ref:
            found = self._object(document, value, ref)
        self.problems += found

    def _object(self, document: Document, value: Any, ref: Ref) -> list[Problem]:
        if not ref.name:
            self.namespaces[ref.namespace] = normalise.namespace(document, value)
            return []
        service, complaints = normalise.service(document, value, ref, self.trees)
        if service:
            self.services[ref] = service
        return [_complain(document, path, text, ref) for path, text in complaints]

    def _identity(self, document: Document) -> Ref | None:
        """Which object the document is about, as far as that can be read."""
        value = document.value
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


def _as_text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
