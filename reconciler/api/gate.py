"""Who is answered at all: a name of this server, the token where one is asked for, and only GET and HEAD.

A page in a browser can point a name of its own at this address and read what it likes from here, unless the name that
it asks for is checked (DNS rebinding). So the Host must be a name of this server.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..model import Ref
from ..views import Picture
from .answers import Refusal, not_found
from .sources import Sources

READS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Access:
    """`listen` is the host listened on; `token` "" asks for none."""

    listen: str
    token: str = ""

    def check(self, headers: Headers) -> None:
        """Raises Refusal."""
        host = _name(headers.get("host", ""))
        if not self._is_ours(host):
            raise Refusal(403, "FORBIDDEN", "This host name is not served here; use localhost or the listen address")
        if self.token and not _bears(headers.get("authorization", ""), self.token):
            wanted = {"WWW-Authenticate": "Bearer"}
            raise Refusal(401, "UNAUTHORIZED", "A token is needed: Authorization: Bearer TOKEN", wanted)

    def _is_ours(self, host: str) -> bool:
        if host in ("localhost", "127.0.0.1", "::1", _plain(self.listen)):
            return True
        # On all addresses, any of them is ours; a rebound name is never an address.
        everywhere = self.listen in ("0.0.0.0", "::", "")
        return everywhere and (_is_address(host) or host == socket.gethostname().lower())


class Gate:
    """Stands before the routes."""

    def __init__(self, app: ASGIApp, access: Access, sources: Sources) -> None:
        self.app, self.access, self.sources = app, access, sources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan, which needs nothing
            await self.app(scope, receive, send)
            return
        try:
            self.access.check(Headers(scope=scope))
            if scope["method"] not in READS:
                raise _written(scope["path"], self.sources.picture())
            if b"%2f" in scope["raw_path"].lower():  # decoded, it would name another object
                raise not_found()
        except Refusal as refusal:
            await refusal.answer()(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _written(path: str, picture: Picture) -> Refusal:
    file = _file(path.split("/"), picture)
    way = f"change {file} and apply it" if file else "change a manifest and apply it"
    return Refusal(405, "METHOD_NOT_ALLOWED", f"This API only reads: {way} (lb apply)", {"Allow": ", ".join(READS)})


def _file(parts: list[str], picture: Picture) -> str:
    """Where the object that a path names is written, "" when it is not known."""
    match parts:
        case ["", "namespace", namespace, "service", service, *_] if Ref(namespace, service) in picture.services:
            return picture.services[Ref(namespace, service)].file
        case ["", "namespace", namespace, *rest] if namespace in picture.namespaces and rest[:1] != ["service"]:
            return picture.namespaces[namespace].file
    return ""


def _name(host: str) -> str:
    """Without its port: localhost:2967, [::1]:2967."""
    if host.startswith("["):
        return _plain(host.partition("]")[0])
    return _plain(host.partition(":")[0])


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bears(given: str, token: str) -> bool:
    scheme, _, found = given.partition(" ")
    same = hmac.compare_digest(found.strip().encode(), token.encode())
    return same and scheme.lower() == "bearer"
