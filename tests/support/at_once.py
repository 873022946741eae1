"""Several `lb` at the same instant: a process that has everything loaded forks them, and opens one gate for all.

Their start-up would otherwise take longer than what is measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.answering import ROOT, Answering


@dataclass(frozen=True)
class Ended:
    pid: int
    code: int
    seconds: float  # from the gate to its end
    said: str


class AtOnce:
    """Used by one thread. The environment is that of this call."""

    def __init__(self, env: dict[str, str], cwd: Path) -> None:
        self._process = Answering(__name__, {**env, "PYTHONPATH": str(ROOT)}, cwd)
        self.close = self._process.close

    def run(self, count: int, *arguments: str) -> list[Ended]:
        answer = self._process.ask(json.dumps([count, arguments]).encode())
        return [Ended(*row) for row in json.loads(answer)]


def main() -> None:
    import docker  # noqa: F401 - loaded here, once

    from reconciler.cli import lb  # noqa: F401
    from reconciler.runtimes import client  # noqa: F401

    for line in sys.stdin:
        count, arguments = json.loads(line)
        gate, opener = os.pipe()
        children = [_fork(gate, opener, arguments) for _ in range(count)]
        os.close(gate)
        os.close(opener)
        ended = []
        for pid, pipe in children:
            with os.fdopen(pipe) as stream:
                said, _, seconds = stream.read().rpartition("\n")
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            ended.append((pid, code, float(seconds or 0), said))
        print(json.dumps(ended), flush=True)  # noqa: T201 - the answer


def _fork(gate: int, opener: int, arguments: list[str]) -> tuple[int, int]:
    source, target = os.pipe()
    pid = os.fork()
    if pid:
        os.close(target)
        return pid, source
    os.close(source)
    os.close(opener)
    os.read(gate, 1)  # until the last writer has closed it
    begun = time.monotonic()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(target, 2)
    from reconciler.cli import run

    code = run(arguments)
    sys.stderr.flush()
    os.write(target, f"\n{time.monotonic() - begun}".encode())
    os._exit(code)
