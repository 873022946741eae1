"""Several `lb` at the same instant: a process that has everything loaded forks them, and opens one gate for all.

Their start-up would otherwise take longer than what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    pid: int
    code: int
    seconds: float  # from the gate to its end
    said: str


class AtOnce:
    """Used by one thread. The environment is that of this call."""

    def __init__(self, env: dict[str, str], cwd: Path) -> None:
        command = [sys.executable, "-c", "from tests.support.at_once import main; main()"]
        root = str(Path(__file__).parents[2])
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd, env={**env, "PYTHONPATH": root}
        )

    def run(self, count: int, *arguments: str) -> list[Ended]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([count, arguments]) + "\n")
        self._process.stdin.flush()
        return [Ended(*row) for row in json.loads(self._process.stdout.readline())]

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


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
