"""What goes back: JSON bodies with an ETag, and errors in the one shape that the reference has for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..views import Body, Picture

RETRY = {"Retry-After": "5"}
_PLAIN = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


class Refusal(Exception):
    """An answer that is an error: the HTTP status, the reference's name for it, and a sentence for people."""

    def __init__(self, code: int, status: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.message, self.headers = code, status, message, dict(headers or {})

    @property
    def body(self) -> bytes:
        return json.dumps({"code": self.code, "status": self.status, "message": self.message}).encode()

    def answer(self) -> Response:
        return Response(self.body, self.code, {**_PLAIN, **self.headers}, "application/json")


def namespace_not_found() -> Refusal:
    return Refusal(404, "NAMESPACE_NOT_FOUND", "Namespace not found")


def service_not_found(message: str = "Service not found") -> Refusal:
    return Refusal(404, "SERVICE_NOT_FOUND", message)


def not_found() -> Refusal:
    return Refusal(404, "NOT_FOUND", "Not found; the routes are /namespace and what is below it")


def fault() -> Refusal:
    return Refusal(500, "INTERNAL_SERVER_ERROR", "Internal server error")


def unavailable(message: str) -> Refusal:
    return Refusal(503, "SERVICE_UNAVAILABLE", message, RETRY)


def view(request: Request, picture: Picture, body: Body) -> Response:
    """`Lb-Observed` is when the engine was looked at last; a 304 carries it too."""
    return _tagged(request, body.at(picture.observed), body.etag, {"Lb-Observed": picture.observed})


def value(request: Request, found: Any) -> Response:
    data = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return _tagged(request, data, f'W/"{hashlib.blake2b(data, digest_size=12).hexdigest()}"', {})


def _tagged(request: Request, data: bytes, etag: str, headers: Mapping[str, str]) -> Response:
    headers = {**_PLAIN, **headers, "ETag": etag}
    if _known(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(data, 200, headers, "application/json")


def _known(given: list[str], etag: str) -> bool:
    """If-None-Match compares weakly: W/ does not count."""
    tags = [tag.strip() for line in given for tag in line.split(",")]
    return "*" in tags or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
