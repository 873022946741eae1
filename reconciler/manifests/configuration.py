"""A file of settings that is no manifest: one document, checked against a schema by name."""

from __future__ import annotations

from typing import Any

from .. import schema
from ..model import Problem
from . import foreign
from .reading import Document, Path, read


def configuration(name: str, file: str, content: bytes) -> tuple[Document, list[Problem]]:
    """An empty file holds no settings. With a problem, nothing of it may be used."""
    documents, problems = read(file, content)
    document = documents[0] if documents else Document(file, {})
    if problems:
        return document, problems
    if len(documents) > 1:
        return document, [Problem(documents[1].at(()), "", f"{name}.yaml is one document; remove what follows ---")]
    return document, [_problem(document, complaint) for complaint in schema.validate(name, document.value)]


def _problem(document: Document, complaint: schema.Complaint) -> Problem:
    path = (*complaint.path, complaint.unknown) if complaint.unknown else complaint.path
    place = document.keys.get(path, document.at(complaint.path)) if complaint.unknown else document.at(path)
    message = foreign.advice("", complaint.unknown, complaint.known) if complaint.unknown else complaint.message
    message = document.in_its_words(path, message)
    return Problem(place, dotted(path), message)


def dotted(path: Path) -> str:
    """`policy.allow[0].binds`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def complain(document: Document, path: Path, message: str) -> Problem:
    return Problem(document.at(path), dotted(path), message)


def section(document: Document, key: str) -> Any:
    return document.value.get(key)
