"""A proxy on the engine's socket that writes down every request line."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.listener import Listener

_REQUEST = re.compile(rb"(?:^|\r\n|\n|\})((?:GET|HEAD|POST|PUT|DELETE) /[^ ]* HTTP/1\.1)\r\n")


class Proxy:
    def __init__(self, engine: str, path: Path) -> None:
        self.engine, self.path = engine, path
        self.requests: list[str] = []
        self._clients: list[socket.socket] = []
        self._listener = Listener(path, self._serve)
        self.close = self._listener.close

    @property
    def mutating(self) -> list[str]:
        return [line for line in self.requests if not line.startswith(("GET", "HEAD"))]

    @property
    def looks(self) -> int:
        """How often the containers were listed."""
        return sum("/containers/json" in line for line in self.requests)

    def cut(self) -> None:
        """The engine is gone: what was open breaks off, and nobody answers."""
        self.path.unlink()
        self.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        self._clients.append(client)
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(self.engine)
        except OSError:  # the engine is away, and so it seems to the client
            client.close()
            return
        threading.Thread(target=self._pump, args=(upstream, client, False), daemon=True).start()
        self._pump(client, upstream, True)

    def _pump(self, source: socket.socket, target: socket.socket, requests: bool) -> None:
        with contextlib.suppress(OSError):  # either side went away
            while data := source.recv(65536):
                if requests:
                    self.requests += [line.decode() for line in _REQUEST.findall(data)]
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxied(engine: str, folder: Path) -> Iterator[Proxy]:
    proxy = Proxy(engine, folder / "engine.sock")
    try:
        yield proxy
    finally:
        proxy.close()
