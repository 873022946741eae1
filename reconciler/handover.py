"""An apply beside a running daemon is handed over to it: what was meant, and the confirmations, over a Unix socket.

Both ends stand here. One line of JSON asks; the answers are a line each: progress, then what came of it, or why not.
Only the daemon's own user may use the socket.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import fingerprint, remote, render
from .daemon.errands import Errand
from .errors import EXIT_REFUSED, LbError, RefusedError, StateError
from .lock import folder
from .model import Desired, Ref
from .plan import Answers
from .reconcile import Cycle
from .runtime import Progress

DIFFERENT = "different-source"  # the daemon is there, and looks after another source


@dataclass(frozen=True, slots=True)
class Request:
    """Which source, what it means (see `meaning`), and what the person has answered already."""

    source: str
    root: str
    meaning: str
    adopt: bool = False
    confirm: str = ""
    no_wait: bool = False
    take_over: bool = False
    only_check: bool = False  # whether it would be taken on


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of it: as text for people, with what is held back, as JSON for programs, and the exit code."""

    text: str
    held_back: list[str]
    value: dict[str, Any]
    code: int


def meaning(desired: Desired) -> str:
    """A hash that is equal where two readings of a source ask for the same, variables resolved. It is never stored."""
    wanted = {str(ref): fingerprint.fields(service) for ref, service in desired.services.items()}
    return hashlib.sha256(f"{desired.digest}{desired.host}\n{json.dumps(wanted, sort_keys=True)}".encode()).hexdigest()


def address(state: Path) -> Path:
    """Short and known to both ends: a socket's path has 108 bytes at most."""
    return folder() / f"{hashlib.sha256(str(state).encode()).hexdigest()[:16]}.sock"


# --- the side of the person


class AnotherSource(LbError):
    """The daemon looks after another source."""

    exit_code = EXIT_REFUSED


def check(state: Path, request: Request) -> None:
    """Asks whether the daemon would take this on. Raises AnotherSource; RefusedError when it reads it otherwise."""
    for answer in _said(state, replace(request, only_check=True)):
        if "error" in answer:
            raise _error(answer)


def offer(state: Path, request: Request, report: Callable[[Progress], None]) -> Reply:
    """Returns when all of it is done. Raises what the daemon says went wrong."""
    for answer in _said(state, request):
        if "progress" in answer:
            namespace, name, phase, detail = answer["progress"]
            report(Progress(Ref(namespace, name), phase, detail))
        elif "error" in answer:
            raise _error(answer)
        else:
            return Reply(answer["text"], answer["held_back"], answer["value"], answer["code"])
    raise LbError("the daemon ended before it was done", hint="the next daemon, or `lb apply`, carries on")


def _said(state: Path, request: Request) -> Iterator[dict[str, Any]]:
    with _connected(state) as stream:
        if stream:
            stream.write(json.dumps(asdict(request)).encode() + b"\n")
            stream.flush()
            yield from map(json.loads, stream)


def listens(state: Path) -> bool:
    with _connected(state) as stream:
        return stream is not None


@contextlib.contextmanager
def _connected(state: Path) -> Iterator[Any]:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(address(state)))
        except OSError:
            yield None
            return
        with client.makefile("rwb") as stream:
            yield stream


def _error(answer: dict[str, Any]) -> LbError:
    kind = AnotherSource if answer["error"] == DIFFERENT else LbError
    found = kind(answer["message"], hint=answer["hint"])
    found.exit_code = answer["code"]
    return found


# --- the side of the daemon


class Server:
    """Gives each request to `ask` as an errand, and tells the one who asked what becomes of it."""

    def __init__(self, state: Path, ask: Callable[[Errand], None]) -> None:
        """Raises StateError when the socket can't be made."""
        path = address(state)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the one who asked has left; what was begun goes on
                    _answer(self.rfile, self.wfile, ask)

        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
            finally:
                os.umask(before)
        except OSError as error:
            raise StateError(f"the socket {path} can't be made: {error}") from error
        self._server.daemon_threads = True
        self._path = path
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True, name="handover").start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


def _answer(asked: Any, answers: Any, ask: Callable[[Errand], None]) -> None:
    line = asked.readline()
    if not line:
        return  # only a look whether somebody listens
    request = Request(**json.loads(line))
    answers_given = Answers(request.adopt, request.confirm, request.no_wait, request.take_over)
    errand = Errand(answers_given, lambda desired: _refusal(request, desired), only_check=request.only_check)
    ask(errand)
    while True:
        news = errand.news.get()
        answers.write(json.dumps(_line(news), ensure_ascii=False).encode() + b"\n")
        answers.flush()
        if not isinstance(news, Progress):
            return


def _refusal(request: Request, desired: Desired) -> LbError | None:
    if request.source != desired.source or not _same(request.root, desired.root):
        return AnotherSource(
            f"a daemon looks after another source here: {desired.source} ({desired.root})",
            hint="it changes this engine too; wait for it, or stop it",
        )
    if request.meaning != meaning(desired):
        return RefusedError(
            "the daemon reads this source otherwise: it was started with other variables or another host, or a file "
            "just changed",
            hint="apply again; pass --set, --env-file, --allow-env and --host to `lb daemon` and to `lb apply` alike",
        )
    return None


def _same(one: str, other: str) -> bool:
    """Whether both are the root of one source: of what is fetched, each commit lies in a folder of its own."""
    beside = Path(one).parent == Path(other).parent
    return one == other or (beside and remote.name(Path(one)) == remote.name(Path(other)) != "")


def _line(news: Progress | Cycle | LbError) -> dict[str, Any]:
    if isinstance(news, Progress):
        return {"progress": [*news.ref, news.phase, news.detail]}
    if isinstance(news, LbError):
        kind = DIFFERENT if isinstance(news, AnotherSource) else "failed"
        return {"error": kind, "message": news.message, "hint": news.hint, "code": news.exit_code}
    return {
        "text": render.cycle_text(news), "held_back": [*render.held_back(news.plan), *news.unasked],
        "value": render.cycle_json(news), "code": news.code,
    }  # fmt: skip
