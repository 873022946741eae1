"""Several log streams as one."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from reconciler.errors import EngineError, NotFound
from reconciler.runtime import LogStream
from reconciler.streams import LONGEST, Merged, Piece, chunks, lines, without
from tests.support.eventually import eventually
from tests.support.taps import Flood, Tap


def cut(*data: tuple[str, str]) -> list[tuple[str, bytes]]:
    return list(lines((source, text.encode()) for source, text in data))


def test_lines_are_whole() -> None:
    assert cut(("stdout", "a\nb"), ("stderr", "x"), ("stdout", "c\n"), ("stderr", "y")) == [
        ("stdout", b"a\n"),
        ("stdout", b"bc\n"),
        ("stderr", b"xy\n"),
    ]
    assert cut(("stdout", "a\r\n\n")) == [("stdout", b"a\r\n"), ("stdout", b"\n")]
    assert cut() == []


def test_a_line_that_never_ends_is_cut() -> None:
    found = cut(*[("stdout", "x" * 1000)] * 200)
    assert len(found) > 2 and all(len(data) <= LONGEST + 1001 for _, data in found)
    assert sum(data.count(b"x") for _, data in found) == 200_000


def everything(merged: Merged) -> list[Piece]:
    found: list[Piece] = []
    while merged.wait():
        found += merged.take()
    return found


def attached(*streams: LogStream, **given: int) -> Merged:
    merged = Merged(lines, **given)
    for number, stream in enumerate(streams, 1):
        merged.attach(f"r{number}", stream)
    return merged


def test_all_streams_are_read_to_their_end() -> None:
    one, two = Tap("a\n", "b\n"), Tap()
    two.write("x\n", "stderr")
    for tap in (one, two):
        tap.end()
    merged = attached(one, two)
    assert sorted(everything(merged)) == [
        Piece("r1", "stdout", b"a\n"),
        Piece("r1", "stdout", b"b\n"),
        Piece("r2", "stderr", b"x\n"),
    ]
    assert merged.over and one.closed and two.closed


def test_chunks_come_as_they_are() -> None:
    tap = Tap("50 %\r", "100 %")
    tap.end()
    merged = Merged(chunks)
    merged.attach("r", tap)
    assert [piece.data for piece in everything(merged)] == [b"50 %\r", b"100 %"]


def test_the_reader_is_woken() -> None:
    woken = threading.Event()
    tap, merged = Tap(), Merged(lines, woken.set)
    merged.attach("r", tap)
    assert not woken.is_set() and merged.take() == []
    tap.write("a\n")
    assert woken.wait(5)
    woken.clear()
    tap.end()
    assert woken.wait(5)


def test_closing_ends_threads_and_streams() -> None:
    before = threading.active_count()
    waiting, full = Tap(), Flood()
    merged = attached(waiting, full)
    assert threading.active_count() == before + 2
    merged.close()
    assert eventually(lambda: threading.active_count() == before)
    assert waiting.closed and full.closed
    late = Tap()
    merged.attach("late", late)
    assert late.closed and threading.active_count() == before


def test_a_slow_reader_holds_the_engine_back() -> None:
    flood = Flood()
    merged = attached(flood, limit=200_000)
    assert eventually(lambda: flood.given >= 4 * 65536)
    given = flood.given
    assert not threading.Event().wait(0.2) and flood.given == given
    assert sum(len(piece.data) for piece in merged.take()) <= 200_000 + 65536
    assert eventually(lambda: flood.given > given)
    merged.close()


def test_an_error_comes_after_what_was_read() -> None:
    tap = Tap("a\n")
    tap.end(EngineError("broke off"))
    merged = attached(tap)
    assert merged.wait() and eventually(lambda: not merged._open)
    assert [piece.data for piece in merged.take()] == [b"a\n"]
    with pytest.raises(EngineError, match="broke off"):
        merged.take()


def test_a_removed_replica_just_ends() -> None:
    tap = Tap("a\n")
    tap.end(NotFound("no such container"))
    assert [piece.data for piece in everything(attached(tap))] == [b"a\n"]


def test_the_end_of_each_is_told() -> None:
    tap, ended = Tap(), threading.Event()
    merged = Merged(lines)
    merged.attach("r", tap, ended.set)
    assert not ended.is_set()
    tap.end()
    assert ended.wait(5)


def names(pieces: Iterable[Piece]) -> set[str]:
    return {piece.name for piece in pieces}


def test_streams_join_later() -> None:
    one, two = Tap("a\n"), Tap("b\n")
    merged = attached(one)
    assert eventually(lambda: names(merged.take())) == {"r1"}
    merged.attach("r2", two)
    assert eventually(lambda: names(merged.take())) == {"r2"}
    merged.close()


def test_values_that_must_not_be_seen_are_hidden_in_what_was_said() -> None:
    hidden = ["hunter2", "hunter2-longer", "abc", "first\n  second line \n", "a.c*"]
    said = ["with hunter2-longer!", "hunter2hunter2", "abc", "first of it", "x second line", "a.c* aXc*", ""]
    shown = ["with ***!", "******", "abc", "*** of it", "x ***", "*** aXc*", ""]
    assert without(hidden, said) == tuple(shown)
    assert without([], said) == tuple(said) and without(["", "\n"], ["x"]) == ("x",)
