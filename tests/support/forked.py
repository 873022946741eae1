"""`lb` without its start: a process that has it loaded forks a child for each call, with the caller's arguments,
folder, environment and open files. What it does and how it ends is the child's own; only the loading is shared.

The start itself, signals and terminals are tested with the script that is installed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LONGEST = 120  # seconds that a call may take
_REQUEST = 1 << 18  # bytes; in one message


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Forked:
    """Any number of calls at once, from any thread. The process ends with the one that began it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-c", f"from {__name__} import serve; serve({theirs.fileno()})"]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL)
        theirs.close()
        self._asked = ours

    def run(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str = "") -> Result:
        """TimeoutError when it takes too long: the child is killed then."""
        request = json.dumps([list(arguments), str(cwd), dict(env)]).encode()
        answer, theirs = socket.socketpair()
        with answer, contextlib.ExitStack() as files:
            given, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            given.write(stdin.encode())
            given.seek(0)
            with theirs:
                fds = [given.fileno(), out.fileno(), err.fileno(), theirs.fileno()]
                socket.send_fds(self._asked, [request], fds)
            answer.settimeout(LONGEST)
            code = answer.recv(64)
            assert code, "the process that forks is gone"
            out.seek(0)
            err.seek(0)
            return Result(int(code), out.read().decode(), err.read().decode())


@functools.cache
def forked() -> Forked:
    """One for the whole run."""
    return Forked()


# --- the process that has everything loaded


def serve(asked: int) -> None:
    """Returns only in a child that is to run `lb`, and when nobody can ask any more."""
    from reconciler import cli

    for file in set(cli.COMMANDS.values()):
        importlib.import_module(f"reconciler.cli.{file}")
    from reconciler.runtimes import client, engine  # noqa: F401 - what a command would load when it needs it

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that see to the children are nobody's to wait for
    with socket.socket(fileno=asked) as questions:
        while True:
            request, fds, _, _ = socket.recv_fds(questions, _REQUEST, 4)
            if not request:
                return
            if os.fork() == 0:
                break
            for fd in fds:
                os.close(fd)
    arguments, cwd, env = json.loads(request)
    if not _is_the_child(fds.pop()):
        return
    for fd, mine in zip(fds, (0, 1, 2), strict=True):
        os.dup2(fd, mine)
        os.close(fd)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.exit(cli.run(arguments))


def _is_the_child(answer: int) -> bool:
    """Forks once more. The one that stays says how the other ended, and kills it when nobody wants to know."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.close(answer)
        return True
    with socket.socket(fileno=answer) as caller:
        ended = os.pidfd_open(child)
        if ended in select.select([ended, caller], [], [])[0]:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            caller.sendall(str(code).encode())
        else:
            os.kill(child, signal.SIGKILL)
    return False
