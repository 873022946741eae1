"""The text of an env file becomes names and values, as Docker Compose reads one. Pure.

A line is `NAME=value` or `NAME: value`, with or without `export` before it. A value in single quotes is what stands
there; one in double quotes knows \\n, \\r, \\t, \\", \\$ and \\\\; one without quotes ends at ` #`. `$NAME`, `${NAME}`,
`${NAME:-default}` and `${NAME-default}` stand for variables, or for what an earlier line set; `$$` is a dollar. Where
Compose takes an empty text for what nobody defined, or a value from its own environment, it is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_KEY = re.compile(r"(?:export[ \t]+)?(?P<name>[\w.\-\[\]]+)[ \t]*(?P<cut>[=:])?[ \t]*")
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_AFTER = re.compile(r"[ \t]*(#[^\n]*)?(?=\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<how>:?-)(?P<default>[^}]*))?\}|(?P<odd>\{[^}]*\}?))",
)
_NONE: Mapping[str, str] = {}
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_PLAIN_DOLLAR = "\0"  # an escaped one, while variables are looked for; no file holds a NUL


def parse(text: str, variables: Mapping[str, str], defaults: Mapping[str, str] = _NONE) -> dict[str, str]:
    """`variables` go before what an earlier line set, `defaults` after it. Raises ValueError with the line and what to
    write; it never repeats a value."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if _PLAIN_DOLLAR in text:
        raise ValueError(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a NUL; remove it")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        line = text[at:line_end].strip()
        if not line or line.startswith("#"):
            at = line_end + 1
            continue
        number = text.count("\n", 0, at) + 1
        start = at + (len(text[at:line_end]) - len(text[at:line_end].lstrip()))
        key = _KEY.match(text, start)
        if not key or (key["cut"] is None and key.end() < line_end):
            raise ValueError(f"line {number} is no NAME=value; correct it, or put # before it")
        if key["cut"] is None:
            raise ValueError(
                f"line {number} gives no value; write NAME=value (lb takes nothing from its own environment)"
            )
        value, at = _value(text, key.end(), line_end, number, {**defaults, **found, **variables})
        found[key["name"]] = value
    return found


def _value(text: str, start: int, line_end: int, number: int, known: Mapping[str, str]) -> tuple[str, int]:
    """The value that begins at `start`, and where the next line does."""
    quote = text[start : start + 1]
    if quote not in ("'", '"'):
        plain = re.split(r"(?:^|[ \t])#", text[start:line_end], maxsplit=1)[0].strip()
        return _expand(plain, number, known), line_end + 1
    match = (_SINGLE if quote == "'" else _DOUBLE).match(text, start)
    if not match:
        raise ValueError(f"line {number} opens a {quote} that is never closed")
    after = _AFTER.match(text, match.end())
    if not after:
        raise ValueError(f"line {number} goes on after the closing {quote}; put all of the value into the quotes")
    if quote == "'":
        return match[1].replace("\\'", "'"), after.end() + 1
    unescaped = _ESCAPE.sub(_unescape, match[1])
    return _expand(unescaped, number, known).replace(_PLAIN_DOLLAR, "$"), after.end() + 1


def _unescape(match: re.Match[str]) -> str:
    if match[1] == "$":
        return _PLAIN_DOLLAR
    return _ESCAPED.get(match[1], match[1] if match[1] in "\"'\\" else match[0])


def _expand(text: str, number: int, known: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["odd"]:
            raise ValueError(f"line {number} holds a ${{...}} that is no variable; write ${{NAME}}, or $$ for a dollar")
        name, default = match["bare"] or match["braced"], match["default"]
        value = known.get(name)
        if value is not None and (value or match["how"] != ":-"):
            return value
        if default is not None:
            return default
        # Unnamed: it may be part of a password with a dollar in it.
        raise ValueError(f"line {number} uses a variable that is not defined; write $$ for a dollar, or single quotes")

    return _VARIABLE.sub(replace, text)
