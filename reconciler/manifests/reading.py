"""Bytes become documents with a place for every key and value. The only door to `yaml`.

YAML 1.2 core scalars on PyYAML's C parser: only true and false are booleans, `2222:22` and `017` are strings, there
are no dates. Duplicate keys, unknown tags and recursive aliases are problems; so is anything over the limits, which
keep a small file from growing into a large one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..model import Place, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_ALIASES = 100
MAX_DOCUMENTS = 200

Path = tuple[str | int, ...]
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
MAX_DIGITS = 18  # of a number; anything longer fits no field, and converting it would take quadratic time
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "True": True, "TRUE": True,
          "false": False, "False": False, "FALSE": False}  # fmt: skip
_TEXT = "must be text; write "
_PREFIX = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Document:
    """`places` has the place of each value, `keys` that of each key, by path from the document's root.

    `texts` has the words of plain numbers and truths, where they are others than those of their value, for fields that
    want text: `1.10` is no `1.1` there, and `True` no `true`.
    """

    file: str
    value: Any
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)

    def at(self, path: Path) -> Place:
        """The place of the value at this path, or of the nearest thing around it that is written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(self.file))

    def in_its_words(self, path: Path, message: str) -> str:
        """What is complained of a number where text is wanted, with the number as it is written."""
        text = self.texts.get(path)
        return f"{_TEXT}{json.dumps(text)}" if text and message.startswith(_TEXT) else message


class _Bad(Exception):
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(place, "", message, "INCORRECT_YAML")


def read(file: str, content: bytes) -> tuple[list[Document], list[Problem]]:
    """Every document that can be read, and at most one problem: after it nothing of the file is trusted."""
    import yaml

    if len(content) > MAX_BYTES:
        return [], [_problem(file, f"the file is larger than {MAX_BYTES // 1024} KiB; split it")]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        col = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        return [], [Problem(Place(file, line, col), "", "not UTF-8 text; save the file as UTF-8", "INCORRECT_YAML")]
    documents: list[Document] = []
    budget = _Budget()
    try:
        _check_depth(file, text)
        for node in _nodes(text):
            if len(documents) == MAX_DOCUMENTS:
                raise _Bad(_place(file, node), f"more than {MAX_DOCUMENTS} documents in one file; split it")
            document = Document(file, None)
            document.value = _Builder(document, budget).build(node, (), 0)
            if document.value is not None:
                documents.append(document)
    except _Bad as error:
        return documents, [error.problem]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        return documents, [Problem(place, "", _syntax_advice(text, place, error), "INCORRECT_YAML")]
    except yaml.YAMLError:  # the parser says where only in bytes, and only for characters it can't take
        at = next((i for i, c in enumerate(text) if c not in "\t\n\r" and not c.isprintable()), 0)
        place = Place(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        message = f"a control character (U+{ord(text[at]):04X}); remove it, or write it as an escape in quotes"
        return documents, [Problem(place, "", message, "INCORRECT_YAML")]
    return documents, []


def scalar(text: str) -> Any:
    """A plain scalar's value by the YAML 1.2 core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def loses_words(value: Any, text: str) -> bool:
    """Whether a plain scalar of this value was written otherwise than the value is."""
    if isinstance(value, bool):
        return text != json.dumps(value)
    return isinstance(value, float) or (isinstance(value, int) and text != str(value))


def write(values: Sequence[Any]) -> str:
    """Documents as YAML, for people: block style, keys in their order."""
    return _dumped(values, width=120)


def block(value: Any) -> str:
    """A value on lines of its own, two blanks a level."""
    return _dumped([value]).removesuffix("...\n")


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    return _dumped([value], default_flow_style=True).removesuffix("...\n").rstrip("\n")


def _dumped(values: Sequence[Any], **options: Any) -> str:
    """What is text stays text for any reader: for YAML 1.1 and 1.2, and for us."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
            return super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else "'" if not isinstance(scalar(value), str) else None
        return dumper.represent_scalar(f"{_PREFIX}str", value, style=style)

    Dumper.add_representer(str, text)
    given = {"sort_keys": False, "allow_unicode": True, "width": 1_000_000, **options}
    return str(yaml.dump_all(values, Dumper=Dumper, **given))


def _syntax_advice(text: str, place: Place, error: Any) -> str:
    lines = text.splitlines()
    rest = lines[place.line - 1][place.col - 1 :] if place.line <= len(lines) else ""
    advice = {"\t": "a tab can't indent; write spaces", "@": "quote text that begins with @",
              "*": "define it with &NAME, or quote text that begins with *",
              "`": "quote text that begins with `", "%": "quote text that begins with %"}.get(rest[:1])  # fmt: skip
    if not advice and "mapping values" in (error.problem or ""):
        advice = "text with ': ' in it must be quoted, and a nested key needs a line of its own"
    return f"not YAML: {error.problem or error.context}" + (f" ({advice})" if advice else "")


def _check_depth(file: str, text: str) -> None:
    """Before any node is built: the C composer calls itself for each level, and a deep file ends the process."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Bad(_place(file, event), f"nested more than {MAX_DEPTH} levels deep; write it flatter")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _nodes(text: str) -> Iterator[Any]:
    from yaml._yaml import CParser
    from yaml.resolver import BaseResolver

    class Loader(CParser, BaseResolver):
        """The C parser with no implicit types: they are ours, by YAML 1.2."""

        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            BaseResolver.__init__(self)

    loader = Loader(text)
    while loader.check_node():
        yield loader.get_node()


@dataclass(slots=True)
class _Budget:
    nodes: int = 0
    aliases: int = 0


class _Builder:
    def __init__(self, document: Document, budget: _Budget) -> None:
        self.document, self.budget = document, budget
        self.open: set[int] = set()
        self.seen: set[int] = set()

    def build(self, node: Any, path: Path, depth: int, inside_alias: bool = False) -> Any:
        place = _place(self.document.file, node)
        self.document.places.setdefault(path, place)
        again = self._count(node, place, depth, inside_alias)
        if id(node) in self.open:
            raise _Bad(place, "this alias contains itself; write the value out")
        kind = node.id
        tag = node.tag.removeprefix(_PREFIX)
        if tag not in ("str", "seq", "map"):
            raise _Bad(place, _tag_advice(node))
        self.open.add(id(node))
        try:
            if kind == "mapping":
                return self._mapping(node, path, depth, again)
            if kind == "sequence":
                return [self.build(item, (*path, i), depth + 1, again) for i, item in enumerate(node.value)]
        finally:
            self.open.discard(id(node))
        if node.style in ("'", '"', "|", ">"):
            return node.value
        value = scalar(node.value)
        if loses_words(value, node.value):
            self.document.texts[path] = node.value
        return value

    def _mapping(self, node: Any, path: Path, depth: int, again: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merges: list[Any] = []
        for key, value in node.value:
            place = _place(self.document.file, key)
            if key.id != "scalar":
                raise _Bad(place, "a key must be a word, not a list or a map")
            if key.tag != f"{_PREFIX}str":
                raise _Bad(place, _tag_advice(key))
            if key.value == "<<" and key.style not in ("'", '"'):
                if merges:
                    raise _Bad(place, "the key '<<' stands here twice; write <<: [*one, *other]")
                merges = value.value if value.id == "sequence" else [value]
                continue
            if key.value in found:
                first = self.document.keys[(*path, key.value)]
                raise _Bad(place, f"the key {key.value!r} stands here twice (first in line {first.line}); remove one")
            self.document.keys[(*path, key.value)] = place
            found[key.value] = self.build(value, (*path, key.value), depth + 1, again)
        for merged in merges:
            if merged.id != "mapping":
                raise _Bad(_place(self.document.file, merged), "<< takes an alias of a map, or a list of them")
            self._merge(merged, path, depth, found, again)
        return found

    def _merge(self, node: Any, path: Path, depth: int, into: dict[str, Any], again: bool) -> None:
        if id(node) in self.open:
            raise _Bad(_place(self.document.file, node), "this alias contains itself; write the value out")
        aside = Document(self.document.file, None)
        builder = _Builder(aside, self.budget)
        builder.open, builder.seen = self.open, self.seen
        for key, value in builder.build(node, path, depth, again).items():
            if key not in into:
                into[key] = value
                inside = (*path, key)
                for source, target in ((aside.places, self.document.places), (aside.keys, self.document.keys)):
                    target.update({p: q for p, q in source.items() if p[: len(inside)] == inside})
                texts = {p: t for p, t in aside.texts.items() if p[: len(inside)] == inside}
                self.document.texts.update(texts)

    def _count(self, node: Any, place: Place, depth: int, inside_alias: bool) -> bool:
        """Whether this is a repetition; what lies inside one is no alias of its own."""
        self.budget.nodes += 1
        if depth >= MAX_DEPTH:  # through aliases; without them the file itself is too deep
            raise _Bad(place, f"nested more than {MAX_DEPTH} levels deep; write it flatter")
        if self.budget.nodes > MAX_NODES:
            raise _Bad(place, f"more than {MAX_NODES} values in one file, aliases expanded; split it")
        again = id(node) in self.seen
        if again and not inside_alias:
            self.budget.aliases += 1
            if self.budget.aliases > MAX_ALIASES:
                raise _Bad(place, f"more than {MAX_ALIASES} aliases in one file; write the values out")
        self.seen.add(id(node))
        return again or inside_alias


def _tag_advice(node: Any) -> str:
    short = node.tag.removeprefix(_PREFIX)
    return f"the tag {node.tag if short == node.tag else '!!' + short} is not supported; remove it"


def _place(file: str, node: Any) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _problem(file: str, message: str) -> Problem:
    return Problem(Place(file), "", message, "INCORRECT_YAML")
