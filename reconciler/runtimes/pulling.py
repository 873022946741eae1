"""One pull by the engine: its stream of events becomes progress or an error, and another thread can end it.

The SDK's own `pull` is avoided: `images.pull()` hides an error inside the stream and may return the old image, a
stream that breaks off looks like its end, and credentials are read once in a client's life. An engine gives up a pull
when its client hangs up.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import requests
import urllib3
from docker import errors as sdk

from ..errors import ImageUnavailable
from .credentials import Credentials
from .refusals import explained

_PAUSE = 0.2  # seconds between two words of progress; an engine has some for each layer many times a second


class PullStream:
    """See `calls.PullStream`. `open` makes the request, given repository, tag or digest, platform, and credentials;
    `translated` makes the SDK's errors ours; `find` looks for the credentials."""

    def __init__(
        self,
        image: str,
        platform: str,
        open: Callable[[str, str, str, str], requests.Response],
        translated: Callable[[], AbstractContextManager[None]],
        find: Callable[[], Credentials],
    ) -> None:
        self._image, self._platform, self._open, self._translated, self._find = image, platform, open, translated, find
        self._response: requests.Response | None = None
        self._lock, self._closed = Lock(), False

    def __iter__(self) -> Iterator[str]:
        credentials = self._find()
        try:
            with self._translated():
                try:
                    response = self._open(*split(self._image), self._platform, credentials.header)
                except sdk.APIError as error:
                    raise explained(self._image, str(error.explanation or error), credentials) from error
            with self._lock:
                self._response = response
                if self._closed:
                    return
            downloads, said = _Downloads(), 0.0
            for event in _events(response):
                if event.get("error"):
                    raise explained(self._image, str(event["error"]), credentials)
                if downloads.learn(event) and time.monotonic() - said >= _PAUSE:
                    said = time.monotonic()
                    yield str(downloads)
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            ValueError,
            AttributeError,
        ) as error:
            # That is how reading ends on a connection that was shut down under it; else the engine hung up.
            if not self._closed:
                raise ImageUnavailable(
                    f"image {self._image} can't be pulled: the engine's answer broke off ({error})"
                ) from error
        finally:
            if self._response is not None:
                self._response.close()

    def close(self) -> None:
        """Ends the iteration of another thread. Where the engine has not begun to answer, it ends when it does."""
        with self._lock:
            self._closed = True
            taken = _socket(self._response) if self._response is not None else None
        if taken is not None:
            with contextlib.suppress(OSError):  # the engine has hung up already
                taken.shutdown(socket.SHUT_RDWR)


def split(image: str) -> tuple[str, str]:
    """Repository, and tag or digest: of `redis:7@sha256:…` the digest, which decides."""
    name, _, digest = image.partition("@")
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    return path, digest or tag


def _events(response: requests.Response) -> Iterator[Mapping[str, Any]]:
    """Raises ValueError, or one of requests' errors, when the stream breaks off."""
    for line in response.iter_lines():
        if line:
            yield json.loads(line)


def _socket(response: requests.Response) -> socket.socket | None:
    """None where there is nothing left to wait for."""
    reader: Any = getattr(getattr(response.raw, "_fp", None), "fp", None)
    found = getattr(getattr(reader, "raw", None), "_sock", None)
    return found if isinstance(found, socket.socket) else None


@dataclass(slots=True)
class _Downloads:
    """What is known of the layers: bytes done and in all; the size of one is not known before it is being fetched."""

    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    retry: str = ""

    def learn(self, event: Mapping[str, Any]) -> bool:
        """Whether there is something to say."""
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        detail = event.get("progressDetail") or {}
        self.retry = status.lower() if status.startswith("Retrying") else ""
        if status in ("Pulling fs layer", "Waiting"):
            self.waiting.add(layer)
        elif status == "Downloading" and detail.get("total", -1) > 0:
            self.layers[layer] = (detail.get("current", 0), detail["total"])
            self.waiting.discard(layer)
        elif status in ("Verifying Checksum", "Download complete", "Extracting", "Pull complete", "Already exists"):
            total = self.layers.get(layer, (0, 0))[1]
            self.layers[layer] = (total, total)
            self.waiting.discard(layer)
        else:
            return bool(self.retry)
        return any(total for _, total in self.layers.values())

    def __str__(self) -> str:
        done, total = (sum(side) for side in zip(*self.layers.values(), strict=True)) if self.layers else (0, 0)
        text = f"{done / 1e6:.1f} of {total / 1e6:.1f}{'+' if self.waiting else ''} MB"
        return f"{text}, {self.retry}" if self.retry else text
