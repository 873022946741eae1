"""Where each value of one document stands in the text of its file. Pure.

Out: a tree of nodes with offsets into the text, made from the parser's events. Raises Unable for a document with
anchors or aliases, where a change in one place is one in others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from .reading import Path, loses_words, scalar
from .written import NAMES, is_text, unset

Kind = Literal["scalar", "map", "list"]


class Unable(Exception):
    """`line` is where, counted from 1; `what` is why the document can't be edited."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


@dataclass(slots=True)
class Node:
    """`start` and `end` are offsets; a collection in block style ends where its last value does. `value` is a scalar's,
    `names` is True for a map whose keys are the author's."""

    kind: Kind
    start: int
    end: int
    line: int
    column: int
    flow: bool = False
    inside_flow: bool = False
    style: str = ""
    names: bool = False
    value: Any = None
    entries: list[Entry] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    def said(self, *, nulls: bool) -> Any:
        """`nulls`: a field that nothing follows counts; else it is as if it were not there."""
        if self.kind == "scalar":
            return self.value
        if self.kind == "list":
            return [item.said(nulls=nulls) for item in self.items]
        said = {entry.name: entry.value.said(nulls=nulls) for entry in self.entries}
        return {key: value for key, value in said.items() if nulls or not unset(key, value, self.names)}


@dataclass(slots=True)
class Entry:
    """`colon` is the offset after it."""

    name: str
    key: Node
    value: Node
    colon: int

    @property
    def end(self) -> int:
        return max(self.colon, self.value.end)


def layout(text: str, index: int) -> Node:
    """Of the document with this index among those that say anything."""
    import yaml

    events = yaml.parse(text, Loader=yaml.CSafeLoader)
    count = -1
    for event in events:
        if not isinstance(event, yaml.DocumentStartEvent):
            continue
        builder = _Builder(text, events)
        root = builder.node(next(events), (), inside_flow=False)
        count += (root.kind, root.value) != ("scalar", None)
        if count == index:
            if builder.anchored:
                raise Unable(builder.anchored, "the document uses anchors (&) or aliases (*)")
            if root.kind != "map":
                break
            return root
    raise Unable(1, "the document is not there")


class _Builder:
    """`anchored` is the line of the first anchor or alias, 0 where there is none."""

    def __init__(self, text: str, events: Iterator[Any]) -> None:
        self.text, self.events, self.anchored = text, events, 0

    def node(self, event: Any, path: Path, *, inside_flow: bool) -> Node:
        import yaml

        mark = event.start_mark
        if event.anchor:
            self.anchored = self.anchored or mark.line + 1
        node = Node("scalar", mark.index, event.end_mark.index, mark.line + 1, mark.column, inside_flow=inside_flow)
        if isinstance(event, yaml.MappingStartEvent):
            node.kind, node.flow = "map", bool(event.flow_style)
            node.names = bool(path) and path[-1] in NAMES
            self._entries(node, path, yaml.MappingEndEvent)
        elif isinstance(event, yaml.SequenceStartEvent):
            node.kind, node.flow = "list", bool(event.flow_style)
            self._items(node, path, yaml.SequenceEndEvent)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(node, event, path)
        return node

    def _entries(self, node: Node, path: Path, ending: Any) -> None:
        inside = node.flow or node.inside_flow
        while not isinstance(event := next(self.events), ending):
            name = getattr(event, "value", "")  # an alias, which has none, was noted
            key = self.node(event, (*path, name), inside_flow=inside)
            value = self.node(next(self.events), (*path, name), inside_flow=inside)
            colon = value.start if inside else self.text.index(":", key.end) + 1
            node.entries.append(Entry(name, key, value, colon))
        node.end = event.end_mark.index if node.flow else max([node.start, *(e.end for e in node.entries)])

    def _items(self, node: Node, path: Path, ending: Any) -> None:
        inside = node.flow or node.inside_flow
        while not isinstance(event := next(self.events), ending):
            node.items.append(self.node(event, (*path, len(node.items)), inside_flow=inside))
        node.end = event.end_mark.index if node.flow else max([node.start, *(item.end for item in node.items)])

    def _scalar(self, node: Node, event: Any, path: Path) -> None:
        node.style = event.style or ""
        node.value = event.value if node.style else scalar(event.value)
        if not node.style and loses_words(node.value, event.value) and is_text(path):
            node.value = event.value
        if node.style in ("|", ">"):
            head, _, _ = self.text[node.start : node.end].partition("\n")
            if "+" not in head:  # else the empty lines at its end belong to it
                node.end = node.start + len(self.text[node.start : node.end].rstrip())
