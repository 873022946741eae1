"""One document of a file gets another value, and nothing else of the file changes. Pure.

In: the text of a file, which of its documents, and the value that it shall have. Out: the text, in which only what
differs is another: comments, order, quotes and the other documents stay as they are, byte by byte. A library that reads
YAML and writes it anew indents all of it in one way, and leaves comments before the wrong field. Raises Unable where
the document is written in a way that can't be followed. Whoever calls reads the result again before trusting it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from .layout import Entry, Node, Unable, layout
from .reading import block, flow, write
from .written import templated

__all__ = ["Unable", "appended", "edited"]
Edit = tuple[int, int, str]  # from, to, and what stands there instead
_STEP = 2


def edited(text: str, index: int, value: Mapping[str, Any]) -> str:
    """`index` counts the documents that say anything; `value` is to be the document's."""
    root = layout(text, index)
    nulls = templated(value) or templated(root.said(nulls=True))
    edits = sorted(_Editor(text, root, nulls).changed(root, value), key=lambda edit: edit[:2])
    newline = "\r\n" if "\r\n" in text else "\n"
    for start, end, new in reversed(edits):
        text = text[:start] + new.replace("\n", newline) + text[end:]
    return text


def appended(text: str, value: Mapping[str, Any]) -> str:
    """With one document more at its end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    new = write([value]).replace("\n", newline)
    if not text.strip():
        return new
    return text + ("" if text.endswith("\n") else newline) + f"---{newline}{new}"


class _Editor:
    def __init__(self, text: str, root: Node, nulls: bool) -> None:
        self.text, self.nulls = text, nulls
        self.json = root.flow and bool(root.entries) and root.entries[0].key.style == '"'  # which is YAML too
        nested = [e for e in root.entries if e.value.kind == "map" and not e.value.flow]
        self.step = next((e.value.column - e.key.column for e in nested), root.entries[0].key.column) or _STEP
        lists = [(e.key, e.value) for n in nested for e in n.value.entries if e.value.kind == "list"]
        self.dash = next((v.column - k.column for k, v in lists if not v.flow), self.step)

    def changed(self, node: Node, new: Any) -> Iterator[Edit]:
        """Of a value that stays of its kind, or that is written on one line then."""
        if self._says(node, new):
            return
        if node.kind == "map" and isinstance(new, Mapping) and new:
            yield from self._map(node, new)
        elif node.kind == "list" and isinstance(new, list) and new:
            yield from self._list(node, new)
        else:
            blank = " " if self.text[node.start - 1 : node.end] == ":" else ""  # nothing stood there
            yield node.start, node.end, blank + self._in_line(node, new)

    def _says(self, node: Node, value: Any) -> bool:
        return _exact(node.said(nulls=self.nulls)) == _exact(value)

    # --- maps

    def _map(self, node: Node, new: Mapping[str, Any]) -> Iterator[Edit]:
        said = node.said(nulls=self.nulls)
        kept = [entry for entry in node.entries if entry.name in new]
        gone = [entry for entry in node.entries if entry.name not in new and entry.name in said]
        names = [entry.name for entry in kept]
        added = [key for key in new if key not in names]
        if node.flow and (gone or added):
            yield node.start, node.end, self._in_line(node, new)
        elif (gone or added) and (not kept or any(self._shares_line(entry) for entry in gone)):
            yield node.start, node.end, _hanging(block(new), node.column)
        else:
            for entry in kept:
                yield from self._value(entry, new[entry.name])
            for entry in gone:
                yield self._line_start(entry.key.start), self._after_line(entry.end), ""
            for anchor, keys in _anchored(list(new), added, names).items():
                at = self._line_end(next(entry for entry in kept if entry.name == anchor).end)
                for key in keys:
                    yield at, at, "\n" + self._entry(key, new[key], node.column)

    def _value(self, entry: Entry, new: Any) -> Iterator[Edit]:
        value = entry.value
        nested = isinstance(new, Mapping | list) and bool(new)
        if self._says(value, new):
            return
        if value.inside_flow or (nested and _kind(new) == value.kind):
            yield from self.changed(value, new)
        elif value.kind != "scalar" and not value.flow:  # on the lines below the key
            below = "\n" + self._below(new, entry.key.column) if nested else ""
            if not nested:
                yield entry.colon, entry.colon, " " + self._in_line(value, new)
            yield self._line_end(entry.colon), value.end, below
        elif nested:
            yield entry.colon, value.end, ""
            at = self._line_end(value.end)
            yield at, at, "\n" + self._below(new, entry.key.column)
        elif self._takes_lines(value, new):
            yield entry.colon, value.end, _hanging(block({"x": new}), entry.key.column).removeprefix("x:")
        elif value.start == value.end:
            yield entry.colon, entry.colon, " " + self._in_line(value, new)
        else:
            yield value.start, value.end, self._in_line(value, new)

    def _entry(self, key: str, value: Any, column: int) -> str:
        if isinstance(value, Mapping | list) and value:
            return _indented(f"{flow(key)}:", column) + "\n" + self._below(value, column)
        return _indented(block({key: value}).rstrip("\n"), column)

    # --- lists

    def _list(self, node: Node, new: list[Any]) -> Iterator[Edit]:
        old = [_exact(item.said(nulls=self.nulls)) for item in node.items]
        codes = SequenceMatcher(None, old, [_exact(item) for item in new], autojunk=False).get_opcodes()
        resized = any(i2 - i1 != j2 - j1 for _, i1, i2, j1, j2 in codes)
        if resized and node.flow:
            yield node.start, node.end, self._in_line(node, new)
        elif resized and not all(self._on_own_line(item) for item in node.items):
            yield node.start, node.end, _hanging(block(new), node.column)
        else:
            for _, i1, i2, j1, j2 in codes:
                yield from self._run(node, i1, i2, new[j1:j2])

    def _run(self, node: Node, start: int, end: int, new: list[Any]) -> Iterator[Edit]:
        """These items become those."""
        both = min(end - start, len(new))
        for item, value in zip(node.items[start:end], new[:both], strict=False):
            yield from self._item(item, value)
        for item in node.items[start + both : end]:
            yield self._line_start(item.start), self._after_line(item.end), ""
        if new[both:]:
            lines = _indented(block(new[both:]).rstrip("\n"), node.column)
            if start + both:
                at = self._line_end(node.items[start + both - 1].end)
                yield at, at, "\n" + lines
            else:
                at = self._line_start(node.items[0].start)
                yield at, at, lines + "\n"

    def _item(self, item: Node, new: Any) -> Iterator[Edit]:
        nested = isinstance(new, Mapping | list) and bool(new)
        if item.inside_flow or item.flow or _kind(new) == item.kind:
            yield from self.changed(item, new)
        else:
            text = _hanging(block(new), item.column) if nested else self._in_line(item, new)
            yield item.start, item.end, text

    # --- text

    def _in_line(self, old: Node, new: Any) -> str:
        """In the style of what stood there."""
        if self.json:
            indent = self.step if "\n" in self.text[old.start : old.end] else None
            line = self.text[self._line_start(old.start) : old.start]
            return _hanging(json.dumps(new, ensure_ascii=False, indent=indent), len(line) - len(line.lstrip()))
        if isinstance(new, str) and old.style == '"':
            return json.dumps(new, ensure_ascii=False)
        if isinstance(new, str) and old.style == "'" and new.isprintable():
            return "'" + new.replace("'", "''") + "'"
        return flow(new)

    def _below(self, value: Any, column: int) -> str:
        return _indented(block(value).rstrip("\n"), column + (self.dash if isinstance(value, list) else self.step))

    def _takes_lines(self, old: Node, new: Any) -> bool:
        """Text of several lines, where no comment follows that would become a part of it."""
        return isinstance(new, str) and "\n" in new and not self.text[old.end : self._line_end(old.end)].strip()

    def _shares_line(self, entry: Entry) -> bool:
        return bool(self.text[self._line_start(entry.key.start) : entry.key.start].strip())

    def _on_own_line(self, item: Node) -> bool:
        return self.text[self._line_start(item.start) : item.start].strip() == "-"

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        """Before the line break."""
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        return end - 1 if self.text[at:end].endswith("\r") else end

    def _after_line(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1


def _anchored(order: Sequence[str], added: Sequence[str], kept: Sequence[str]) -> dict[str, list[str]]:
    """After which of the kept keys each added one goes: the nearest that comes before it, else the first."""
    found: dict[str, list[str]] = {}
    anchor = kept[0] if kept else ""
    for key in order:
        if key in added:
            found.setdefault(anchor, []).append(key)
        else:
            anchor = key
    return found


def _kind(value: Any) -> str:
    return "map" if isinstance(value, Mapping) else "list" if isinstance(value, list) else "scalar"


def _exact(value: Any) -> str:
    """Equal for equal values only: 1, 1.0 and true are three."""
    return json.dumps(value, sort_keys=True)


def _indented(lines: str, column: int) -> str:
    return "\n".join(" " * column + line if line else line for line in lines.split("\n"))


def _hanging(lines: str, column: int) -> str:
    """All but the first line indented: that goes where something stands already."""
    return _indented(lines.rstrip("\n"), column).lstrip(" ")
