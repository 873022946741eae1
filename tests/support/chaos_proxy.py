"""A proxy on the engine's socket that speaks HTTP/1.1 properly and does harm where it is told to.

It counts the calls that change something (`trace`), and at the so-manyeth of them makes one fault: before the engine
gets the call, after it acted, or in its answer. The marker of a state is kept here, apart for each proxy, so that
several states can use one engine at a time.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from tests.support.listener import Listener

Wire = Literal[
    "delay", "drop before", "answer lost", "time-out", "late effect", "500", "500 after", "409", "truncated",
    "reset mid-answer", "stale list",
]  # fmt: skip
WIRE: tuple[Wire, ...] = Wire.__args__  # type: ignore[attr-defined]
DELAY = 0.3  # seconds
_MARKER = "lb.state"
_VERBS = (
    ("create", re.compile(r"POST /containers/create")),
    ("remove", re.compile(r"DELETE /containers/[^/]+$")),
    ("connect", re.compile(r"POST /networks/[^/]+/connect$")),
    ("create_network", re.compile(r"POST /networks/create$")),
    ("remove_network", re.compile(r"DELETE /networks/[^/]+$")),
    ("create_volume", re.compile(r"POST /volumes/create$")),
    ("remove_volume", re.compile(r"DELETE /volumes/[^/]+$")),
    ("pull", re.compile(r"POST /images/create$")),
)
_OF_A_CONTAINER = re.compile(r"POST /containers/[^/]+/(start|stop|update|rename|unpause|restart|kill|pause)$")


class Head(NamedTuple):
    """The first line of a message and its headers; names are lower case."""

    start: str
    headers: dict[str, str]

    @property
    def chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def length(self) -> int | None:
        text = self.headers.get("content-length")
        return None if text is None else int(text)

    @property
    def status(self) -> int:
        return int(self.start.split()[1])

    def bytes(self, *without: str) -> bytes:
        lines = [self.start, *(f"{k}: {v}" for k, v in self.headers.items() if k not in without)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(frozen=True)
class Request:
    head: Head
    body: bytes

    @property
    def line(self) -> str:
        """POST /containers/create, without version and query."""
        method, target, _ = self.head.start.split(" ")
        return f"{method} {re.sub(r'^/v[0-9.]+', '', urllib.parse.urlsplit(target).path)}"

    @property
    def verb(self) -> str:
        """What it changes; "" when nothing."""
        found = next((verb for verb, pattern in _VERBS if pattern.match(self.line)), "")
        inside = _OF_A_CONTAINER.match(self.line)
        return found or (inside[1] if inside else "")

    @property
    def marks(self) -> bool:
        named = self.line == "POST /volumes/create" and json.loads(self.body)["Name"] == _MARKER
        return named or self.line.endswith(f"/volumes/{_MARKER}")

    def bytes(self) -> bytes:
        """To an upstream connection of its own."""
        head = self.head.bytes("connection", "transfer-encoding", "content-length", "expect")
        extra = f"connection: close\r\ncontent-length: {len(self.body)}\r\n\r\n"
        return head[:-2] + extra.encode() + self.body


@dataclass(frozen=True)
class Call:
    """One call that changes something: who made it, and when the engine had it."""

    pid: int
    verb: str
    begun: float
    ended: float


@dataclass
class ChaosProxy:
    engine: str
    path: Path
    calls: list[Call] = field(default_factory=list)
    hit: bool = False

    def __post_init__(self) -> None:
        self._armed: tuple[int, Wire] | None = None
        self._count = 0
        self._late: list[Request] = []
        self._lists: list[bytes] = []  # answers to come to the question who is there
        self._seen: bytes | None = None
        self._marker: dict[str, str] | None = None
        self._lock = threading.RLock()
        self._listener = Listener(self.path, self._serve)
        self.close = self._listener.close

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    @property
    def trace(self) -> list[str]:
        return [call.verb for call in self.calls]

    def arm(self, nth: int, fault: Wire) -> None:
        """The fault happens once, at the nth call from here on that changes something."""
        self.disarm()
        self._armed, self.hit = (nth, fault), False

    def disarm(self) -> None:
        with self._lock:
            self._armed, self._count = None, 0
            self.calls.clear()

    @property
    def owes(self) -> bool:
        """Whether something is still to come: a late effect, an old list."""
        return bool(self._late or self._lists)

    # --- connections

    def _serve(self, client: socket.socket) -> None:
        pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        with contextlib.suppress(OSError), client, client.makefile("rb") as incoming:
            while request := _request(incoming, client):
                if not self._answer(request, client, pid):
                    break
            client.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: Request, client: socket.socket, pid: int) -> bool:
        """Whether the connection lives on."""
        if request.marks:
            client.sendall(self._mark(request))
            return True
        begun = time.monotonic()
        try:
            return self._harm(request, client, self._due(request))
        finally:
            if request.verb:
                self.calls.append(Call(pid, request.verb, begun, time.monotonic()))

    def _due(self, request: Request) -> Wire | None:
        with self._lock:
            if not request.verb or self._armed is None:
                return None
            self._count += 1
            nth, fault = self._armed
            if self._count != nth:
                return None
            self._armed, self.hit = None, True
            return fault

    def _harm(self, request: Request, client: socket.socket, fault: Wire | None) -> bool:
        match fault:
            case None:
                return self._forward(request, client)
            case "stale list":
                if self._seen is not None:
                    self._lists.append(self._seen)
                return self._forward(request, client)
            case "delay":
                time.sleep(DELAY)
                return self._forward(request, client)
            case "drop before":
                return False
            case "late effect":
                self._late.append(request)
                return False
            case "500" | "409":
                client.sendall(_answered(int(fault), "made by the chaos proxy"))
                return True
            case _:
                return self._after(request, client, fault)

    def _after(self, request: Request, client: socket.socket, fault: Wire) -> bool:
        """The engine has acted; its answer does not arrive as it should."""
        answer = self._ask(request)
        match fault:
            case "500 after":
                client.sendall(_answered(500, "made by the chaos proxy, afterwards"))
                return True
            case "time-out":
                with contextlib.suppress(OSError):
                    client.recv(1, socket.MSG_PEEK)  # until the client has had enough
                return False
            case "truncated":
                head, _, body = answer.partition(b"\r\n\r\n")
                client.sendall(head + b"\r\n\r\n" + body[: len(body) // 2] if body else head[:-4])
            case "reset mid-answer":
                client.sendall(answer[:8])
        return False

    # --- the engine

    def _forward(self, request: Request, client: socket.socket) -> bool:
        if request.line == "GET /containers/json" and self._lists:
            client.sendall(self._lists.pop(0))
            return True
        with self._upstream(request) as engine:
            head = _head(engine)
            if head is None:
                return False
            client.sendall(head.bytes("connection"))
            kept = bytearray(head.bytes("connection"))
            keeps = request.line == "GET /containers/json"
            for part in _body(engine, head, request):
                client.sendall(part)
                if keeps:
                    kept += part
        if keeps:
            self._seen = bytes(kept)
        if request.line == "GET /images/json":  # the last part of a look
            self._land()
        return head.chunked or head.length is not None or head.status in (204, 304)

    def _ask(self, request: Request) -> bytes:
        with self._upstream(request) as engine:
            head = _head(engine)
            return b"" if head is None else head.bytes("connection") + b"".join(_body(engine, head, request))

    def _land(self) -> None:
        late, self._late = self._late, []
        for request in late:
            self._ask(request)

    @contextlib.contextmanager
    def _upstream(self, request: Request) -> Iterator[BinaryIO]:
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.engine)
            upstream.sendall(request.bytes())
            with upstream.makefile("rb") as answers:
                yield answers

    def _mark(self, request: Request) -> bytes:
        with self._lock:
            if request.line.startswith("POST"):
                self._marker = json.loads(request.body)["Labels"]
            if request.line.startswith("DELETE"):
                self._marker = None
                return b"HTTP/1.1 204 No Content\r\n\r\n"
            if self._marker is None:
                return _answered(404, f"get {_MARKER}: no such volume")
            volume = {"Name": _MARKER, "Labels": self._marker, "CreatedAt": "2026-01-01T00:00:00Z"}
            return _framed("201 Created" if request.line.startswith("POST") else "200 OK", volume)


# --- HTTP/1.1


def _head(stream: BinaryIO) -> Head | None:
    """None at the end of the connection."""
    start = stream.readline()
    if not start.endswith(b"\r\n"):
        return None
    headers: dict[str, str] = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Head(start.decode("latin-1").rstrip("\r\n"), headers)


def _request(stream: BinaryIO, client: socket.socket) -> Request | None:
    head = _head(stream)
    if head is None:
        return None
    if head.headers.get("expect", "").lower() == "100-continue":
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if head.chunked:
        return Request(head, b"".join(_unchunked(stream)))
    return Request(head, stream.read(head.length or 0))


def _body(stream: BinaryIO, head: Head, request: Request) -> Iterator[bytes]:
    """In the parts in which it comes, framed as the head says: a stream of events must not wait for its end."""
    if request.line.startswith("HEAD") or head.status in (204, 304) or head.status < 200:
        return
    if head.chunked:
        for chunk in _unchunked(stream):
            yield b"%x\r\n%s\r\n" % (len(chunk), chunk)
        yield b"0\r\n\r\n"
    elif head.length is not None:
        yield stream.read(head.length)
    else:
        while part := stream.read1(65536):  # type: ignore[attr-defined]
            yield part


def _unchunked(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(stream.readline().split(b";")[0] or b"0", 16):
        yield stream.read(size)
        stream.readline()
    while stream.readline() not in (b"\r\n", b""):  # trailers
        continue


def _answered(status: int, message: str) -> bytes:
    reasons = {404: "Not Found", 409: "Conflict", 500: "Internal Server Error"}
    return _framed(f"{status} {reasons[status]}", {"message": message})


def _framed(status: str, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextlib.contextmanager
def chaos_proxy(engine: str, path: Path) -> Iterator[ChaosProxy]:
    proxy = ChaosProxy(engine, path)
    try:
        yield proxy
    finally:
        proxy.close()
