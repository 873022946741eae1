"""`lb daemon` on a sandbox, as a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import LB, Sandbox
from tests.support.eventually import eventually


class RunningDaemon:
    def __init__(self, sandbox: Sandbox, *arguments: str) -> None:
        self._sandbox, self._arguments = sandbox, arguments
        self.log_file = sandbox.folder / "daemon.log"
        self.start()

    def start(self) -> None:
        """Returns when it watches."""
        before = self.log.count("watches ")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [LB, "daemon", "--listen", "127.0.0.1:0", *self._arguments], cwd=self._sandbox.source,
                env=self._sandbox.environ(), stdout=log, stderr=log, preexec_fn=_die_with_the_tests,
            )  # fmt: skip
        eventually(lambda: self.log.count("watches ") > before or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    @property
    def log(self) -> str:
        return Path(self.log_file).read_text() if self.log_file.exists() else ""

    @property
    def url(self) -> str:
        return re.findall(r"answers at (\S+?)[\s\"]", self.log)[-1]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def _die_with_the_tests() -> None:
    """Else one whose tests were killed would go on healing what the next tests break (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@contextlib.contextmanager
def running_daemon(sandbox: Sandbox, *arguments: str) -> Iterator[RunningDaemon]:
    daemon = RunningDaemon(sandbox, *arguments)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
