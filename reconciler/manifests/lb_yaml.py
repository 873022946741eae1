"""lb.yaml: what a source says of itself, and what its manifests may use. Pure.

With a problem in it nothing of the source may be acted on, only looked at: whose objects these are, and with which
values, is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import schema
from ..model import DeleteBudget, DriftPolicy, Place, Problem
from . import foreign, templates
from .configuration import dotted
from .env import as_text
from .reading import Document, Path, read

FILE = "lb.yaml"


class Settings:
    """`name` "" when it gives none. Variables as text. `hosts` are those that it lists, with the variables of each;
    `templates` are as they are written."""

    def __init__(self, value: Mapping[str, Any], document: Document | None = None) -> None:
        self._document = document or Document(FILE, value)
        self.templates = templates.of(self._document) if isinstance(value.get("templates"), dict) else {}
        self.name: str = value.get("name", "")
        self.namespace: str = value.get("namespace", "")
        self.variables = self._texts(("variables",), value.get("variables", {}))
        self.hosts = {
            name: self._texts(("hosts", name, "variables"), (said or {}).get("variables", {}))
            for name, said in value.get("hosts", {}).items()
        }
        self.budget = DeleteBudget(**value.get("delete_budget", {}))
        self.drift = drift(value.get("drift", {}), DriftPolicy())
        self.drift_at = self._document.at(("drift",))

    def _texts(self, at: Path, values: Mapping[str, Any]) -> dict[str, str]:
        """As they are written: `1.10` is no `1.1`."""
        return {name: self._document.texts.get((*at, name), as_text(value)) for name, value in values.items()}


def drift(said: Mapping[str, Any], under: DriftPolicy) -> DriftPolicy:
    """What a `drift:` says, over another; what either ignores is ignored."""
    return DriftPolicy(said.get("mode", under.mode), tuple(sorted({*under.ignore, *said.get("ignore", ())})))


def settings(file: str, content: bytes) -> tuple[Settings, list[Problem]]:
    """What can be read of it, and every problem."""
    documents, problems = read(file, content)
    if problems or not documents:
        return Settings({}), problems
    document = documents[0]
    complaints = schema.validate("source", document.value)
    found = [_problem(document, complaint) for complaint in complaints]
    if len(documents) > 1:
        message = "lb.yaml is one document; remove what follows ---"
        found.append(Problem(documents[1].at(()), "", message, "INCORRECT_YAML"))
    if any(not c.path and not c.unknown for c in complaints):
        return Settings({}), found
    bad = {c.path[0] for c in complaints if c.path}
    bad -= {"templates"} if isinstance(document.value.get("templates"), dict) else set()  # each is looked at where used
    sound = Settings({key: value for key, value in document.value.items() if key not in bad}, document)
    return sound, found


def _problem(document: Document, complaint: schema.Complaint) -> Problem:
    if not complaint.unknown:
        message = document.in_its_words(complaint.path, complaint.message)
        return Problem(document.at(complaint.path), dotted(complaint.path), message)
    path = (*complaint.path, complaint.unknown)
    names = [step for step in complaint.path if isinstance(step, str)]
    parent = names[-1] if names else FILE
    message = complaint.message or foreign.advice(parent, complaint.unknown, complaint.known)
    template = complaint.message and complaint.path == ("templates",)
    code = "BAD_PARAMETER_TEMPLATE_NAME" if template else foreign.code(complaint.unknown)
    return Problem(_key(document, path), dotted(path), message, code)


def _key(document: Document, path: Path) -> Place:
    return document.keys.get(path, document.at(path[:-1]))
