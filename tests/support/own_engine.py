"""An engine of the test's own, to be stopped and started: a second dockerd, in a network namespace of its own.

In the namespace of the first, the two would pull each other's bridges and firewall rules apart.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import requests

from tests.support.eventually import eventually

# Holds the namespace open, with its loopback up (SIOCSIFFLAGS, IFF_UP): ports are published there.
_HOLD = """
import fcntl, signal, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 1))
signal.pause()
"""


class OwnEngine:
    def __init__(self, folder: Path, namespace: int) -> None:
        self._folder, self._namespace = folder, namespace
        self._daemon: subprocess.Popen[bytes] | None = None
        self.socket = str(folder / "docker.sock")

    @property
    def api(self) -> docker.APIClient:
        return docker.APIClient(f"unix://{self.socket}", version="auto", timeout=60)

    def start(self, *flags: str) -> None:
        """Returns when it answers."""
        paths = [f"--{name}={self._folder / name}" for name in ("data-root", "exec-root")]
        command = ["nsenter", "-t", str(self._namespace), "--net", "dockerd", *paths, f"--host=unix://{self.socket}"]
        with (self._folder / "dockerd.log").open("ab") as log:
            command += [f"--pidfile={self._folder / 'docker.pid'}", *flags]
            self._daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        eventually(self._answers, 60)

    def stop(self) -> None:
        """Its containers end with it, as they do when a host's engine is restarted."""
        if self._daemon:
            self._daemon.terminate()
            self._daemon.wait(timeout=60)
            self._daemon = None

    def kill(self) -> None:
        """As a machine that runs out of memory does: its containers and their shims are left behind."""
        assert self._daemon
        self._daemon.kill()
        self._daemon.wait()
        self._daemon = None
        pid = self._folder / "exec-root" / "containerd" / "containerd.pid"  # it dies with its parent
        if pid.exists():
            eventually(lambda: not _lives(int(pid.read_text())))
            pid.unlink()  # where nobody reaps it, the next dockerd would take it for alive

    def leave(self, container: str) -> None:
        """What a killed dockerd can leave of a start: from then on containerd refuses to start this container."""
        (self._folder / "exec-root/containerd/daemon/io.containerd.runtime.v2.task/moby" / container).mkdir()

    def _answers(self) -> bool:
        assert self._daemon and self._daemon.poll() is None, (self._folder / "dockerd.log").read_text()[-2000:]
        try:
            with contextlib.closing(self.api) as api:
                return bool(api.ping())
        except (docker.errors.DockerException, requests.exceptions.RequestException):
            return False


@contextlib.contextmanager
def own_engine(images: list[str], *flags: str) -> Iterator[OwnEngine]:
    """Running, with these images of the first engine. Everything of it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="lbtest-"))  # short: a socket's path has 108 bytes at most
    holder = subprocess.Popen(["unshare", "--net", sys.executable, "-c", _HOLD])
    outside = Path("/proc/self/ns/net").readlink()
    eventually(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != outside)
    engine = OwnEngine(folder, holder.pid)
    try:
        engine.start(*flags)
        saved = _docker(["save", *images])
        _docker(["-H", f"unix://{engine.socket}", "load"], saved)
        yield engine
        with contextlib.closing(engine.api) as api:
            for row in api.containers(all=True):
                api.remove_container(row["Id"], force=True, v=True)
    finally:
        engine.stop()
        _end_all(folder)
        holder.terminate()
        holder.wait()
        shutil.rmtree(folder)


def _docker(arguments: list[str], given: bytes = b"") -> bytes:
    done = subprocess.run(["docker", *arguments], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _end_all(folder: Path) -> None:
    """What a killed dockerd left behind: shims and what runs in them, mounts."""
    left = {pid for pid in _pids() if str(folder) in _text(pid, "cmdline")}
    children = {pid for pid in _pids() if _parent(pid) in left}
    for pid in left | children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(map(_lives, left | children)))
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if (place := line.split()[4]).startswith(str(folder)):
            subprocess.run(["umount", "--lazy", place], check=True)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    fields = _text(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _lives(pid: int) -> bool:
    fields = _text(pid, "stat").rpartition(")")[2].split()
    return bool(fields) and fields[0] not in "ZX"


def _text(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:  # it has ended
        return ""
