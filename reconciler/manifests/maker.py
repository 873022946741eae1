"""What the fields of one service are made with: its document, what it may refer to, and where complaints go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..model import Ref
from .reading import Document, Path
from .variables import Complaint, uses_variables

# What is at a path of the source (the digest of the content; the text of a file), or why there is nothing.
Trees = Callable[[str], tuple[str, str]]
Texts = Callable[[str], tuple[str, str]]
T = TypeVar("T")
HIDDEN = "***"
HIDDEN_ADVICE = "*** stands for a value that is hidden; write the value, or ${NAME}"


def no_texts(path: str) -> tuple[str, str]:
    return "", f"{path} can't be read here"


@dataclass(frozen=True, slots=True)
class Around:
    """What a manifest may refer to."""

    trees: Trees
    texts: Texts = no_texts
    variables: Mapping[str, str] = field(default_factory=dict)


class Maker:
    def __init__(self, document: Document, spec: Mapping[str, Any], around: Around, ref: Ref) -> None:
        self.document, self.raw, self.around, self.ref = document, spec, around, ref
        self.complaints: list[Complaint] = []
        self.files: dict[str, str] = {}
        self.digests: dict[str, str] = {}  # canonical field of a bind or an env file → digest of its content
        self.paths: dict[str, Path] = {}  # canonical field → path in the document
        self.told: dict[str, str] = {}  # canonical field → how it is shown, where not as it is written

    def opt(self, key: str, convert: Callable[[Any], T]) -> T | None:
        return self.attempt(("spec", key), convert, self.raw[key]) if key in self.raw else None

    def each(self, key: str, convert: Callable[[Any], T]) -> list[T]:
        """Of a list, or of one value that stands for a list of one."""
        raw = self.raw.get(key, ())
        if isinstance(raw, str):
            alone = self.opt(key, convert)
            return [] if alone is None else [alone]
        found = [self.attempt(("spec", key, i), convert, item) for i, item in enumerate(raw)]
        return [item for item in found if item is not None]

    def pairs(self, key: str) -> list[tuple[Path, str, Any]]:
        """(place, name, value) of a map, or of a list of `name=value`; a name alone has no value (None)."""
        raw = self.raw.get(key, ())
        if isinstance(raw, Mapping):
            return [(("spec", key, name), name, value) for name, value in raw.items()]
        found: list[tuple[Path, str, Any]] = []
        for i, item in enumerate(raw):
            name, equals, value = item.partition("=")
            found.append((("spec", key, i), name, value if equals else None))
        return found

    def attempt(self, path: Path, convert: Callable[[Any], T], value: Any) -> T | None:
        try:
            return convert(value)
        except ValueError as error:
            self.complain(path, str(error.args[0]), str(error.args[-1]))
            return None

    def complain(self, path: Path, message: str, hidden: str = "") -> None:
        """`hidden` repeats no value: it is said where a variable stands in the field (for ports, or in `replicas`)."""
        fields = [path, ("spec", "replicas")] if path[1] == "ports" else [path]
        variable = any(uses_variables(at(self.document.value, field)) for field in fields)
        self.complaints.append((path, hidden if variable and hidden else message))


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else value[step]
    return value
