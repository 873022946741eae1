"""HTTP for tests: an answer of the API, asked for over a real socket; raw bytes where a client would not send them."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)


def fetch(port: int, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """Header names are written with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        return read(connection.getresponse())
    finally:
        connection.close()


def read(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


class Raw:
    """A connection that says exactly what it is told."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def ask(self, request: bytes) -> Answer:
        """One answer that has a Content-Length."""
        self.socket.sendall(request)
        return self.answer(b"" if request.startswith(b"HEAD") else None)

    def answer(self, body: bytes | None = None) -> Answer:
        code = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return Answer(code, headers, self.file.read(int(headers["content-length"])) if body is None else body)

    @property
    def ended(self) -> bool:
        """Waits for the other side to hang up."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()
