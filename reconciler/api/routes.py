"""The routes of the API reference. Each handler looks at one picture, so that one answer never mixes two."""

from __future__ import annotations

import logging
import time

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import views
from ..model import Ref
from . import answers
from .answers import Refusal
from .gate import Access, Gate
from .logs import Desk, LogAnswer
from .queries import log_query
from .sources import Sources

SLOW = 64  # requests for activity at once; they wait for the state's disk
_log = logging.getLogger("lb.api")


def application(sources: Sources, access: Access, desk: Desk) -> Starlette:
    handlers = _Handlers(sources, desk)
    one = "/namespace/{namespace}/service/{service}"
    app = Starlette(
        routes=[
            Route("/namespace", handlers.namespaces),
            Route("/namespace/{namespace}", handlers.namespace),
            Route("/namespace/{namespace}/activity", handlers.namespace_activity),
            Route("/namespace/{namespace}/service", handlers.services),
            Route(one, handlers.service),
            Route(f"{one}/activity", handlers.service_activity),
            Route(f"{one}/logs", handlers.logs),
            Route("/healthz", handlers.healthz),
        ],
        middleware=[Middleware(Gate, access, sources)],
        exception_handlers={Refusal: _refused, HTTPException: _unknown, Exception: _fault},
    )
    app.router.redirect_slashes = False
    return app


class _Handlers:
    def __init__(self, sources: Sources, desk: Desk) -> None:
        self.sources, self.desk, self.slow = sources, desk, 0

    async def namespaces(self, request: Request) -> Response:
        picture = self.sources.picture()
        return answers.view(request, picture, picture.all_namespaces)

    async def namespace(self, request: Request) -> Response:
        picture = self.sources.picture()
        return answers.view(request, picture, _namespace(request, picture).body)

    async def services(self, request: Request) -> Response:
        picture = self.sources.picture()
        return answers.view(request, picture, _namespace(request, picture).services)

    async def service(self, request: Request) -> Response:
        picture = self.sources.picture()
        return answers.view(request, picture, _service(request, picture).body)

    async def namespace_activity(self, request: Request) -> Response:
        _namespace(request, self.sources.picture())
        return await self._activity(request, Ref(request.path_params["namespace"]))

    async def service_activity(self, request: Request) -> Response:
        return await self._activity(request, self._below_namespace(request))

    async def logs(self, request: Request) -> Response:
        query = log_query(request.query_params.multi_items(), time.time())
        return LogAnswer(self._below_namespace(request), query, self.sources, self.desk)

    async def healthz(self, request: Request) -> Response:
        return answers.value(request, {"status": "ok"})

    def _below_namespace(self, request: Request) -> Ref:
        """What is asked of a service in particular tells a missing namespace from a missing service."""
        picture, ref = self.sources.picture(), _ref(request)
        if ref not in picture.services:
            _namespace(request, picture)
            raise answers.service_not_found()
        return ref

    async def _activity(self, request: Request, ref: Ref) -> Response:
        if self.slow >= SLOW:
            raise answers.unavailable("Too many requests for activity at once; try again")
        self.slow += 1
        try:
            entries = await run_in_threadpool(self.sources.activity, ref)
        finally:
            self.slow -= 1
        return answers.value(request, [views.activity_json(entry) for entry in entries])


def _ref(request: Request) -> Ref:
    return Ref(request.path_params["namespace"], request.path_params["service"])


def _namespace(request: Request, picture: views.Picture) -> views.NamespaceView:
    found = picture.namespaces.get(request.path_params["namespace"])
    if found is None:
        raise answers.namespace_not_found()
    return found


def _service(request: Request, picture: views.Picture) -> views.ServiceView:
    found = picture.services.get(_ref(request))
    if found is None:
        raise answers.service_not_found()
    return found


async def _refused(request: Request, error: Exception) -> Response:
    return error.answer() if isinstance(error, Refusal) else answers.fault().answer()


async def _unknown(request: Request, error: Exception) -> Response:
    """The router knows only one error by itself: a path that is not there."""
    return answers.not_found().answer()


async def _fault(request: Request, error: Exception) -> Response:
    _log.error("%s %r failed", request.method, request.url.path, exc_info=error)
    return answers.fault().answer()
