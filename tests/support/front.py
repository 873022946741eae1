"""A front before a registry that makes it slow, or breaks its answers in ways that networks and registries do."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOB = r"/v2/.+/blobs/sha256:"
MANIFEST = r"/v2/.+/manifests/"
_PIECE = 16384


@dataclass
class Fault:
    """What becomes of requests whose "METHOD path" matches: another `status` with this body; or the answer held back
    until `gate` is set, handed on at `rate` bytes a second, cut off after `cut` bytes."""

    path: str
    status: int = 0
    body: bytes = b""
    rate: float = 0.0
    cut: int = -1
    gate: threading.Event | None = None


@dataclass
class Front:
    """`requests` are "METHOD path", in the order in which they came; `open` those that are being answered."""

    upstream: int
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def fault(self, line: str) -> Fault:
        return next((fault for fault in self.faults if re.search(fault.path, line)), Fault(""))

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, line)) for line in self.requests)


@contextlib.contextmanager
def front(upstream: int) -> Iterator[Front]:
    """Before the registry at this port of the loopback."""
    served = Front(upstream)
    server = _Server(("127.0.0.1", 0), _handler(served))
    served.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.ended.set()
        for fault in served.faults:
            if fault.gate:
                fault.gate.set()
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up in the midst; that is what these tests are about."""


def _handler(served: Front) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            line = f"{self.command} {self.path}"
            served.requests.append(line)
            served.open.append(line)
            try:
                self._answer(served.fault(line))
            finally:
                served.open.remove(line)

        do_HEAD = do_GET

        def _answer(self, fault: Fault) -> None:
            if fault.gate:
                fault.gate.wait()
            if fault.status:
                self._head(fault.status, {"Content-Length": str(len(fault.body)), "Content-Type": "application/json"})
                self.wfile.write(fault.body)
                return
            connection = http.client.HTTPConnection("127.0.0.1", served.upstream, timeout=60)
            with contextlib.closing(connection):
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():  # Accept comes more than once
                    connection.putheader(name, value)
                connection.endheaders()
                response = connection.getresponse()
                self._head(response.status, dict(response.getheaders()))
                if self.command != "HEAD":
                    self._hand_on(response.read, fault)

        def _hand_on(self, read: Callable[[int], bytes], fault: Fault) -> None:
            sent = 0
            piece = _PIECE if not fault.rate else max(1, min(_PIECE, int(fault.rate / 10)))
            while data := read(piece if fault.cut < 0 else min(piece, max(1, fault.cut - sent))):
                if 0 <= fault.cut <= sent:
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
                self.wfile.write(data)
                self.wfile.flush()
                sent += len(data)
                if fault.rate and served.ended.wait(len(data) / fault.rate):
                    return

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "date"):
                    self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: the test has `requests`."""

    return Handler
