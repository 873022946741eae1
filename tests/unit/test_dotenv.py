"""`.env` files as Docker Compose reads them, and what is an error here where Compose guesses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifests.dotenv import parse


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=b", {"A": "b"}), ("A=b\r\nC=d\r\n", {"A": "b", "C": "d"}), ("\ufeffA=b", {"A": "b"}), ("", {}),
        ("# A=b\n\n  # x\nA=b", {"A": "b"}), ("export A=b", {"A": "b"}), ("A: b", {"A": "b"}), ("A = b ", {"A": "b"}),
        ("A=", {"A": ""}), ("A=b # c", {"A": "b"}), ("A=b#c", {"A": "b#c"}), ("A=#c", {"A": ""}),
        ("A=b=c", {"A": "b=c"}),
        ("A='b # c'", {"A": "b # c"}), ("A='$B ${C}'", {"A": "$B ${C}"}), ("A='it\\'s'", {"A": "it's"}),
        ('A="b\\nc\\t\\"d\\" \\$E"', {"A": 'b\nc\t"d" $E'}), ('A="b\nc"\nD=e', {"A": "b\nc", "D": "e"}),
        ("A='b\nc'", {"A": "b\nc"}), ('A="b" # c', {"A": "b"}), ("A=b\nC=$A-${A}x", {"A": "b", "C": "b-bx"}),
        ("A=${V}", {"A": "v"}), ("A=${X:-d}", {"A": "d"}), ("A=${E:-d}${E-d}", {"A": "d"}), ("A=$$B", {"A": "$B"}),
        ("A=b\nA=c", {"A": "c"}), ("a.b-c=d", {"a.b-c": "d"}), ("V=own\nA=$V", {"V": "own", "A": "v"}),
        ("L=own\nA=$L", {"L": "own", "A": "own"}), ("A=$L", {"A": "last"}), ("A=100$", {"A": "100$"}),
    ],
)  # fmt: skip
def test_what_a_line_says(text: str, found: dict[str, str]) -> None:
    assert parse(text, {"V": "v", "E": ""}, {"L": "last"}) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nhunter2\n", "line 2 gives no value; write NAME=value (lb takes nothing from its own environment)"),
        ("hunter 2", "line 1 is no NAME=value; correct it, or put # before it"),
        ("=hunter2", "line 1 is no NAME=value; correct it, or put # before it"),
        ("A='hunter2", "line 1 opens a ' that is never closed"),
        ('A="hunter2\nB=1', 'line 1 opens a " that is never closed'),
        ("A='hunter2'x", "line 1 goes on after the closing '; put all of the value into the quotes"),
        ("A=hunter$2a", None),
        ("\nA=$hunter2", "line 2 uses a variable that is not defined; write $$ for a dollar, or single quotes"),
        ("A=${hunter2:?x}", "line 1 holds a ${...} that is no variable; write ${NAME}, or $$ for a dollar"),
        ("A=1\nB=\0", "line 2 holds a NUL; remove it"),
    ],
)
def test_what_is_none_is_told_without_its_value(text: str, message: str | None) -> None:
    if message is None:
        assert parse(text, {}) == {"A": "hunter$2a"}
        return
    with pytest.raises(ValueError) as caught:
        parse(text, {})
    assert str(caught.value) == message and "hunter" not in str(caught.value)


@given(st.text(alphabet="AB=:'\"$\\{}# \n\t-exporta1", max_size=60))
def test_no_text_ends_it_otherwise(text: str) -> None:
    try:
        found = parse(text, {"A": "1"})
    except ValueError as error:
        assert str(error).startswith("line ")
    else:
        assert all(isinstance(value, str) for value in found.values())


@given(st.dictionaries(st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,5}\Z"), st.text(alphabet="ab\"# $\\\n'", max_size=12)))
def test_what_is_quoted_comes_back(values: dict[str, str]) -> None:
    escaped = {
        k: v.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n")
        for k, v in values.items()
    }
    assert parse("".join(f'{name}="{value}"\n' for name, value in escaped.items()), {}) == values
