"""`lb serve` as a process of its own, and what it costs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import LB, Sandbox
from tests.support.http import Answer, fetch


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int

    def get(self, path: str, **headers: str) -> Answer:
        return fetch(self.port, path, **headers)

    def json(self, path: str) -> Any:
        found = self.get(path)
        assert found.code == 200, found
        return found.json

    @property
    def load(self) -> tuple[int, int]:
        """Threads and open files: what a stream that was not closed would leave."""
        home = Path(f"/proc/{self.process.pid}")
        return len(list((home / "task").iterdir())), len(list((home / "fd").iterdir()))

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what it said after it began to serve."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


@contextlib.contextmanager
def served(sandbox: Sandbox, *options: str, **env: str) -> Iterator[Served]:
    """On a free port of 127.0.0.1; returns when it listens."""
    command = [LB, "serve", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**sandbox.environ(), **env})
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    line = next((line for line in lines if "answers from the state in" in line), "")
    assert line, f"it did not serve: exit {process.wait(5)}"
    try:
        yield Served(process, int(line.split()[1].rpartition(":")[2]))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
