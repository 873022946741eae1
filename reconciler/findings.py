"""Problems in the forms that code hosts show beside the lines: GitHub's workflow commands, and SARIF 2.1.0. Pure.

In: problems, and the folder of the source as the repository calls it ("" when it is its root). Out: lines of text, or a
JSON-able value.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from . import __version__
from .model import Problem

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def github(problems: Sequence[Problem], folder: str) -> list[str]:
    """https://docs.github.com/actions/reference/workflow-commands-for-github-actions: an error with its place."""
    return [_command(problem, posixpath.join(folder, problem.place.file)) for problem in problems]


def sarif(problems: Sequence[Problem], folder: str) -> dict[str, Any]:
    """https://docs.oasis-open.org/sarif/sarif/v2.1.0: one run, a rule for each code, a result for each problem."""
    codes = sorted({problem.code for problem in problems})
    driver = {
        "name": "lb",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": _words(code)}} for code in codes],
    }
    results = [
        {
            "ruleId": problem.code,
            "ruleIndex": codes.index(problem.code),
            "level": "error",
            "message": {"text": _text(problem)},
            "locations": [_location(problem, posixpath.join(folder, problem.place.file))],
        }
        for problem in problems
    ]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF, "version": "2.1.0", "runs": [run]}


def _command(problem: Problem, file: str) -> str:
    place = problem.place
    fields = {"file": file, "line": str(place.line), "col": str(place.col), "title": problem.code}
    written = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in fields.items())
    return f"::error {written}::{_escaped(_text(problem), '')}"


def _escaped(text: str, also: str) -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _location(problem: Problem, file: str) -> dict[str, Any]:
    artifact = {"uri": quote(file), "uriBaseId": "%SRCROOT%"}
    if problem.place.file.startswith("<"):  # standard input
        artifact = {"uri": quote(problem.place.file)}
    elif file.startswith("/"):  # a file from elsewhere
        artifact = {"uri": f"file://{quote(file)}"}
    region = {"startLine": problem.place.line, "startColumn": problem.place.col}
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}}


def _text(problem: Problem) -> str:
    return f"{problem.path}: {problem.message}" if problem.path else problem.message


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()
