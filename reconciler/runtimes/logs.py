"""One log stream of the engine: frames become chunks, and another thread can end it.

A generator can't be closed while it runs, and a thread that waits in recv is not woken by closing the file: the
socket is shut down, which ends the wait as if the engine had hung up.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any

import requests
import urllib3

from ..errors import EngineError, LbError


class Frames:
    """A LogStream. `release` closes the client that the stream has for itself, `translated` makes the SDK's errors
    ours."""

    def __init__(
        self,
        response: requests.Response,
        terminal: bool,
        release: Callable[[], None],
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._response, self._terminal, self._release, self._translated = response, terminal, release, translated
        self._socket = _socket(response)
        self._lock, self._closed = Lock(), False

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        try:
            with self._translated():
                yield from self._raw() if self._terminal else self._frames()
        except (LbError, urllib3.exceptions.HTTPError, ValueError, AttributeError) as error:
            # That is how reading ends on a connection that was shut down under it; else the engine failed.
            if self._closed:
                return
            if isinstance(error, urllib3.exceptions.HTTPError):
                raise EngineError(f"the engine's log stream broke off: {error}") from error
            raise
        finally:
            self.close()

    def close(self) -> None:
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the engine has hung up already
                self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()
        self._release()

    def _raw(self) -> Iterator[tuple[str, bytes]]:
        """A terminal has one stream, without frames."""
        for data in self._response.iter_content(32768):
            yield "stdout", data

    def _frames(self) -> Iterator[tuple[str, bytes]]:
        """A frame is its stream's number (1 or 2), three zeros, its length, and that many bytes."""
        raw = self._response.raw
        while len(header := raw.read(8)) == 8:
            yield ("stderr" if header[0] == 2 else "stdout"), raw.read(int.from_bytes(header[4:], "big"))


def _socket(response: requests.Response) -> socket.socket | None:
    """None where there is nothing left to wait for, as after an answer without a body."""
    reader: Any = getattr(getattr(response.raw, "_fp", None), "fp", None)
    found = getattr(getattr(reader, "raw", None), "_sock", None)
    return found if isinstance(found, socket.socket) else None
