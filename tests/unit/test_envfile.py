"""Env files are read as Docker Compose reads them, but for what it takes from nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifests import envfile


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1\r\n\r\n  # comment\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=", {"A": ""}),
        ("A=1\nA=2", {"A": "2"}),
        ("export A=1\nexport\tB=2\nexportC=3\nexport_D=4", {"A": "1", "B": "2", "exportC": "3", "export_D": "4"}),
        ("A: 1\nB: x=y\nC=1:B", {"A": "1", "B": "x=y", "C": "1:B"}),
        ("A = 1\n\tB= 2 \n C =3", {"A": "1", "B": "2", "C": "3"}),
        ("a.b=1\na-b=2\na[1]=3", {"a.b": "1", "a-b": "2", "a[1]": "3"}),
        ("A=foobar=", {"A": "foobar="}),
        ("A=bar # comment\nB=bar#baz\nC= # nothing", {"A": "bar", "B": "bar#baz", "C": ""}),
        ("A='bar#baz' # comment\nB=\"bar#baz\"# comment", {"A": "bar#baz", "B": "bar#baz"}),
        ("A='$B ${C} \\n'", {"A": "$B ${C} \\n"}),
        ("A='Let\\'s go!'", {"A": "Let's go!"}),
        ('A="a\\tb\\nc\\rd"', {"A": "a\tb\nc\rd"}),
        ('A="{\\"hello\\": \\"json\\"}"', {"A": '{"hello": "json"}'}),
        ('A="back\\\\slash \\q"', {"A": "back\\slash \\q"}),
        ('A="first\nsecond"\nB=1', {"A": "first\nsecond", "B": "1"}),
        ("A='first\nsecond'", {"A": "first\nsecond"}),
        ('A=1\nB=$A\nC=${A}x\nD="$A ${A}"', {"A": "1", "B": "1", "C": "1x", "D": "1 1"}),
        ('A=1\nB="\\$A \\${A} $A"', {"A": "1", "B": "$A ${A} 1"}),
        ("A=pa$$word", {"A": "pa$word"}),
        ("A=${NONE:-x}\nB=${NONE-y}\nC=${EMPTY:-x}\nD=${EMPTY-y}", {"A": "x", "B": "y", "C": "x", "D": ""}),
        ("A=5 $ and 7$", {"A": "5 $ and 7$"}),
        ("HOST=file\nA=$HOST", {"HOST": "file", "A": "source"}),
        ("", {}),
        ("\n\n# nothing\n", {}),
    ],
)
def test_what_is_read(text: str, expected: dict[str, str]) -> None:
    assert envfile.parse(text, {"HOST": "source", "EMPTY": ""}) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nhunter2", "line 2 gives no value; write NAME=value (lb takes nothing from its own environment)"),
        ("A=1\n\nhunter 2", "line 3 is no NAME=value; correct it, or put # before it"),
        ("lol$wut", "line 1 is no NAME=value; correct it, or put # before it"),
        ("=hunter2", "line 1 is no NAME=value; correct it, or put # before it"),
        ("A=hunter$two", "line 1 uses a variable that is not defined; write $$ for a dollar, or single quotes"),
        ("A=${hunter two}", "line 1 holds a ${...} that is no variable; write ${NAME}, or $$ for a dollar"),
        ("A=${hunter", "line 1 holds a ${...} that is no variable; write ${NAME}, or $$ for a dollar"),
        ("A='hunter2\nB=1", "line 1 opens a ' that is never closed"),
        ('A=1\nB="x\ny"hunter', 'line 2 goes on after the closing "; put all of the value into the quotes'),
        ("A=1\0", "line 1 holds a NUL; remove it"),
    ],
)
def test_what_is_refused_and_never_repeated(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        envfile.parse(text, {})
    assert str(caught.value) == message


def test_what_goes_first_and_what_last() -> None:
    """Variables go before what an earlier line set, defaults after it."""
    text = "A=own\nB=own\nX=$A$B$C"
    assert envfile.parse(text, {"A": "first"}, {"B": "last", "C": "last"})["X"] == "firstownlast"


@given(st.text(alphabet="AB=:'\"$\\{}# \n\t-exporta1", max_size=60))
def test_no_text_ends_it_otherwise(text: str) -> None:
    try:
        found = envfile.parse(text, {"A": "1"})
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
    assert envfile.parse("".join(f'{name}="{value}"\n' for name, value in escaped.items()), {}) == values
