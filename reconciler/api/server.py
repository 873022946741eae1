"""uvicorn in a thread of its own, on sockets that were bound before it began."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from threading import Event, Thread
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import LbError, UsageError
from .answers import Refusal
from .gate import Access
from .logs import Desk
from .routes import application
from .sources import Limits, Sources

GRACE = 2  # seconds that answers have to end in, when the server stops
HEADERS = 65_536  # bytes of one request before its body


class Server:
    """Listens on `host`; port 0 is any free one. Without a token, `host` must be a loopback address (UsageError)."""

    def __init__(
        self, host: str, port: int, sources: Sources, *, token: str = "", limits: Limits | None = None
    ) -> None:
        self.host, self.port = host, port
        self._limits = limits or Limits()
        self._addresses = _resolve(host, port)
        if not token and not all(ipaddress.ip_address(where[1][0]).is_loopback for where in self._addresses):
            raise UsageError(
                f"{host} is not a loopback address, and everybody who reaches it could read this API",
                hint="listen on 127.0.0.1, or give --token-file, or token_file: in host.yaml",
            )
        self._desk = Desk(self._limits)
        self._app = application(sources, Access(host, token), self._desk)
        self._thread: Thread | None = None
        self._uvicorn: _Uvicorn | None = None

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def start(self) -> None:
        """Returns when it listens. Raises LbError when it can't."""
        sockets = self._bind()
        config = uvicorn.Config(
            self._app,
            http=_protocol(self._limits),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # faults are told by the routes; what clients do wrong, to them
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        self._uvicorn = _Uvicorn(config)
        self._thread = Thread(target=self._uvicorn.run, args=(sockets,), name="lb api", daemon=True)
        self._thread.start()
        while not self._uvicorn.ready.wait(0.1):
            if not self._thread.is_alive():
                raise LbError(f"the API at {self.url} did not start")

    def stop(self) -> None:
        """Ends every answer, then returns."""
        if self._uvicorn is None or self._thread is None:
            return
        self._uvicorn.leave(self._desk)
        self._thread.join(GRACE + 5)

    def _bind(self) -> list[socket.socket]:
        """A name may stand for several addresses, such as localhost; those that this host lacks are passed over."""
        sockets: list[socket.socket] = []
        try:
            for family, where in self._addresses:
                with contextlib.suppress(_Lacking):
                    sockets.append(_listen(family, (where[0], self.port, *where[2:])))
                    self.port = sockets[0].getsockname()[1]
        except OSError as error:
            for bound in sockets:
                bound.close()
            if error.errno == errno.EADDRINUSE:
                raise LbError(
                    f"port {self.port} of {self.host} is taken by another process",
                    hint="stop that, or choose another with --listen",
                ) from error
            raise LbError(f"can't listen on {self.host}:{self.port}: {error.strerror}") from error
        if not sockets:
            raise LbError(f"can't listen on {self.host}:{self.port}: this host has no such address")
        return sockets


class _Lacking(Exception):
    """This host has no such address."""


def _resolve(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"{host} is no address to listen on: {error.strerror}") from error
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _listen(family: int, where: tuple[Any, ...]) -> socket.socket:
    try:
        bound = socket.create_server(where, family=family, backlog=512)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it; else a body waits 40 ms
        return bound
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _Lacking from error
        raise


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.ready.set()

    def leave(self, desk: Desk) -> None:
        self.should_exit = True
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(desk.close)


def _protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """HTTP as uvicorn speaks it, with our limits, and errors as JSON too where no route is reached."""

    class Protocol(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.size = 0
            self.asking = self.loop.call_later(limits.patience, transport.abort)
            if len(self.connections) > limits.connections:
                self._refuse(
                    Refusal(503, "SERVICE_UNAVAILABLE", "Too many connections; try again", {"Retry-After": "5"})
                )

        def connection_lost(self, exc: Exception | None) -> None:
            self.asking.cancel()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.size = 0
            self.asking.cancel()
            self.asking = self.loop.call_later(limits.patience, self.transport.abort)
            self.scope["state"]["abort"] = self.transport.abort

        def on_url(self, url: bytes) -> None:
            self._count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(len(name) + len(value))
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self.asking.cancel()
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(Refusal(400, "BAD_REQUEST", "This is no HTTP request that can be understood"))

        def _count(self, size: int) -> None:
            self.size += size
            if self.size > HEADERS:
                raise ValueError("more than a request may have before its body")

        def _refuse(self, refusal: Refusal) -> None:
            head = f"HTTP/1.1 {refusal.code} \r\n"
            headers = {**refusal.headers, "Content-Type": "application/json", "Content-Length": str(len(refusal.body))}
            lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Connection": "close"}.items())
            self.transport.write(head.encode() + lines.encode() + b"\r\n" + refusal.body)
            self.transport.close()

    return Protocol
