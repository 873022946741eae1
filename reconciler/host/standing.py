"""This host's settings through a long life: read again when the file has changed, or when asked.

A file that can't be used changes nothing: what was read last holds until it is mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..policy import Denial, Request
from ..runtimes.subnets import Pool
from ..seen import signature
from . import Host, settings
from .settings import Settings

AT_START = ("host", "listen", "token_file", "state")  # what counts from the next start
_KEYS = {"name": "host", "pool": "network_pool"}  # where a setting has another name than its key
_Signature = tuple[int, ...]


class Standing:
    """A warden whose word is that of the file as it could be read last."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._path = Path(host.file)
        self._named = None if self._path == settings.usual() else self._path
        self._signature = _signature(self._path)

    @property
    def file(self) -> str:
        return self.host.file

    @property
    def pool(self) -> Pool:
        return self.host.pool

    @property
    def registries(self) -> Mapping[str, Path]:
        return self.host.registries

    def admit(self, request: Request) -> tuple[Mapping[str, Any], tuple[Denial, ...]]:
        return self.host.admit(request)

    def at(self, endpoint: str) -> Standing:
        """The same, with where the engine answers."""
        self.host = replace(self.host, endpoint=endpoint)
        return self

    def look(self, *, asked: bool = False) -> tuple[str, ...] | None:
        """Reads it again where it may have changed, or is `asked` to. None when it was not read; else the keys whose
        values are others now. Raises HostError, also on later calls, until it can be used."""
        now = _signature(self._path)
        if now == self._signature and not asked:
            return None
        found = settings.read(self._named)
        self._signature = now
        before, self.host = self.host.settings, replace(self.host, settings=found)
        changed = [f.name for f in fields(Settings) if getattr(before, f.name) != getattr(found, f.name)]
        return tuple(_KEYS.get(name, name) for name in changed)


def _signature(path: Path) -> _Signature:
    """() where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return signature(found)
