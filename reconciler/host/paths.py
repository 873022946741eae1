"""What a path of this host really is: links and `..` resolved one by one, and whether a container engine's socket lies
there. Looks, changes nothing.

A socket is known by its device and inode, so neither a hard link nor a second mount of its folder hides it. Nothing is
said of what lies in /proc: there, links lead elsewhere for each process that follows them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ..policy import Found

_OCTAL = re.compile(r"\\([0-7]{3})")  # a blank in a path, in the kernel's own table
_LINKS = 40  # as many as the kernel follows
_SOCKETS = (
    "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
    "/run/crio/crio.sock", "/var/run/cri-dockerd.sock", "/run/docker/containerd/containerd.sock",
)  # fmt: skip
_PROC = "it leads through /proc, where it may mean something else to the engine"


def look(path: str, endpoint: str = "") -> Found:
    """`endpoint` is DOCKER_HOST, "" where it is not set."""
    try:
        real = _resolved(path)
    except OSError as error:
        return Found(path, unclear=f"which can't be looked at ({error.strerror})")
    if real is None:
        return Found(path, unclear=_PROC)
    if not real.exists():
        return Found(str(real))
    return Found(str(real), exists=True, socket=_socket(str(real), endpoint))


def _resolved(path: str) -> Path | None:
    """Without links; None when it leads into /proc. Parts that are not there are kept. Raises OSError."""
    waiting = list(reversed(path.split("/")))
    current, links = Path("/"), 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            current = current.parent
            continue
        beside = current / part
        try:
            status = beside.lstat()
        except (FileNotFoundError, NotADirectoryError):
            current = beside
            continue
        if _in_proc(status):
            return None
        if not stat.S_ISLNK(status.st_mode):
            current = beside
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = str(beside.readlink())
        waiting += reversed(target.split("/"))
        current = Path("/") if target.startswith("/") else current
    return current


def _in_proc(status: os.stat_result) -> bool:
    """Whether it is something in a proc file system, wherever that is mounted; its root is not."""
    proc = Path("/proc").stat()
    return status.st_dev == proc.st_dev and status.st_ino != proc.st_ino


def _socket(real: str, endpoint: str) -> str:
    """The socket that this path is, or that can be reached from it: "" when there is none."""
    here = _identity(real)
    inside = {here, *(_identity(point) for point in _mounted_under(real))}
    for socket in _sockets(endpoint):
        around = {_identity(str(folder)) for folder in Path(socket).parents}
        if _identity(socket) in inside or inside & around:
            return socket
    return ""


def _sockets(endpoint: str) -> Iterator[str]:
    """Those that are there, by their real paths."""
    users = Path("/run/user")
    named = [*_SOCKETS, *([endpoint.removeprefix("unix://")] if endpoint.startswith("unix://") else [])]
    with contextlib.suppress(OSError):  # nobody is logged in
        named += [str(f / name) for f in users.iterdir() for name in ("docker.sock", "podman/podman.sock")]
    seen = set()
    for path in named:
        real = str(Path(path).resolve())
        if real not in seen and _identity(real) != (0, 0):
            seen.add(real)
            yield real


def _identity(path: str) -> tuple[int, int]:
    """Device and inode, (0, 0) when it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _mounted_under(real: str) -> list[str]:
    """A bind of a folder takes along what is mounted in it."""
    if not stat.S_ISDIR(Path(real).stat().st_mode):
        return []
    prefix = real.rstrip("/") + "/"
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="surrogateescape") as lines:
        points = [_OCTAL.sub(lambda match: chr(int(match[1], 8)), line.split()[4]) for line in lines]
    return [point for point in points if point.startswith(prefix)]
