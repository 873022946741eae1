"""A Python process that answers a line with a line: what it loads once is there for every question."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Answering:
    """Runs `main` of this module; used by one thread."""

    def __init__(self, module: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        # Not as __main__, whose classes the other end would not know.
        command = [sys.executable, "-c", f"from {module} import main; main()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=cwd)

    def ask(self, line: bytes) -> bytes:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that answers is gone"
        return answer

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
