"""One answer with logs: which replicas it carries, and how their pieces reach a client.

Everything that can be refused is refused before the first byte. While logs of a whole service are followed, the
picture is looked at again and again: new replicas join, restarted ones are read on from where they ended, and the
answer ends when the service is gone. However an answer ends, its connections to the engine are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..clock import seconds
from ..errors import EngineUnreachable, LbError, NotFound
from ..model import Ref
from ..streams import Merged, Piece, chunks, lines
from ..views import LogSource
from .answers import Refusal, service_not_found, unavailable
from .queries import LogQuery
from .sources import Limits, Sources

_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Type": "text/plain; charset=utf-8",
}


class Desk:
    """Counts the answers with logs, and ends them all when the server stops."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.closing = limits, False
        self.waiting: set[asyncio.Event] = set()

    def close(self) -> None:
        self.closing = True
        for event in self.waiting:
            event.set()


@dataclass(slots=True)
class _Runs:
    """Which run of each container is read: by id, when it had begun, and when its stream ended, if it has."""

    begun: dict[str, str] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    def since(self, source: LogSource) -> float | None:
        """From when on a run is to be read that is not being read yet; None when there is nothing new."""
        if source.container not in self.begun:
            return 0.0
        restarted = source.running and source.started != self.begun[source.container]
        if not restarted or source.container not in self.ended:
            return None
        # Not from its start: the engine notes that after the first lines. Runs that nobody saw are read too.
        finished = seconds(source.finished) if source.finished else 0.0
        return min(finished, self.ended[source.container])


class LogAnswer(Response):
    """Of the replicas that `query` chooses from `ref`."""

    def __init__(self, ref: Ref, query: LogQuery, sources: Sources, desk: Desk) -> None:
        super().__init__(headers=_HEADERS)
        self.ref, self.query, self.sources, self.desk = ref, query, sources, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            chosen = self._chosen()
            if scope["method"] == "HEAD":
                await self._begin(send)
                await self._send(send, {"type": "http.response.body", "body": b""})
                return
            if len(self.desk.waiting) >= self.desk.limits.streams:
                raise unavailable(f"{self.desk.limits.streams} logs are being read already; try again")
            await self._read(chosen, receive, send)
        except Refusal as refusal:
            await refusal.answer()(scope, receive, send)
        except (LbError, TimeoutError):
            # It is cut, not ended, so that a client can tell that this is not all.
            scope["state"]["abort"]()

    async def _read(self, chosen: Iterable[LogSource], receive: Receive, send: Send) -> None:
        loop, ready, runs = asyncio.get_running_loop(), asyncio.Event(), _Runs()

        def wake() -> None:
            loop.call_soon_threadsafe(ready.set)

        merged = Merged(lines if self.query.whole else chunks, wake)
        self.desk.waiting.add(ready)
        gone = asyncio.create_task(_left(receive, ready))
        try:
            await run_in_threadpool(self._attach, merged, runs, chosen, self.query.tail)
            await self._begin(send)
            await self._pump(send, merged, runs, ready, gone)
            await self._send(send, {"type": "http.response.body", "body": b""})
        finally:
            self.desk.waiting.discard(ready)
            gone.cancel()
            merged.close()

    async def _begin(self, send: Send) -> None:
        """Without a length: it is chunked."""
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await self._send(send, {"type": "http.response.start", "status": 200, "headers": headers})

    def _chosen(self) -> list[LogSource]:
        view = self.sources.picture().services.get(self.ref)
        if view is None:
            raise service_not_found()
        chosen = self.query.choose(view.logs)
        if not chosen and not self.query.whole:
            raise service_not_found(f"Service {self.ref} has no such pod or container now")
        return chosen

    def _attach(self, merged: Merged, runs: _Runs, chosen: Iterable[LogSource], tail: int | None) -> None:
        """Opens what is not read yet. In a thread: it waits for the engine."""
        for source in chosen:
            since = runs.since(source)
            if since is None:
                continue
            try:
                stream = self.sources.logs(
                    source.container,
                    follow=self.query.follow,
                    tail=tail,
                    since=max(since, self.query.since or 0.0) or None,
                    timestamps=self.query.timestamps,
                )
            except NotFound:  # removed since the picture was made
                if self.query.whole:
                    continue
                raise service_not_found(f"Container {source.container} is gone") from None
            except EngineUnreachable:
                raise unavailable("No engine answers, so there are no logs now") from None
            except LbError:  # as with a log driver that can't be read
                raise Refusal(500, "INTERNAL_SERVER_ERROR", "The engine does not give these logs") from None
            runs.begun[source.container] = source.started
            runs.ended.pop(source.container, None)
            merged.attach(source.pod, stream, partial(_note_end, runs, source.container))

    async def _pump(
        self, send: Send, merged: Merged, runs: _Runs, ready: asyncio.Event, gone: asyncio.Task[None]
    ) -> None:
        """Until all is read; followed, until the service, the client or the server is gone."""
        growing = self.query.follow and self.query.whole
        seen = self.sources.picture()
        while not gone.done() and not self.desk.closing:
            ready.clear()
            if pieces := merged.take():
                await self._send(send, {"type": "http.response.body", "body": self._text(pieces), "more_body": True})
                continue
            if growing and (picture := self.sources.picture()) is not seen:
                seen = picture
                if self.ref not in picture.services:
                    return
                await self._join(merged, runs)
            elif not growing and merged.over:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ready.wait(), self.desk.limits.poll if growing else None)

    async def _join(self, merged: Merged, runs: _Runs) -> None:
        """Replicas that are new in the picture. An engine that does not answer is asked again for the next picture."""
        with contextlib.suppress(Refusal):
            await run_in_threadpool(self._attach, merged, runs, self._chosen(), None)

    def _text(self, pieces: Iterable[Piece]) -> bytes:
        if self.query.whole:
            return b"".join(b"%b | %b" % (piece.name.encode(), piece.data) for piece in pieces)
        return b"".join(piece.data for piece in pieces)

    async def _send(self, send: Send, message: Message) -> None:
        """Raises TimeoutError when the client takes nothing."""
        async with asyncio.timeout(self.desk.limits.stall):
            await send(message)


def _note_end(runs: _Runs, container: str) -> None:
    runs.ended[container] = time.time()


async def _left(receive: Receive, ready: asyncio.Event) -> None:
    """Until the client has gone. What it sends as a body is passed over."""
    while (await receive())["type"] != "http.disconnect":
        pass
    ready.set()
