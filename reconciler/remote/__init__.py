"""Sources that are fetched: a branch of a git repository elsewhere becomes a folder that is read like any other.

Each has a folder of its own in the state folder, by its name:

    sources/shop/git/             the repository, bare
    sources/shop/<commit>/        a checkout, one folder a commit: made, found whole, and never changed again
    sources/shop/current          a link to the one that counts, swapped in one step
    sources/shop/remote.json      what was found at the last try, for those who only look

So whoever reads through `current` reads one commit, whole. Nothing here decides what is applied.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import SourceError

FOLDER, CURRENT, RECORD = "sources", "current", "remote.json"
INTERVAL = 60.0  # seconds between two fetches
_CHECKOUT = re.compile(r"[0-9a-f]{40,64}(-\d+)?")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


class RemoteError(SourceError):
    """It could not be fetched, or what was fetched may not be used; the last good checkout stays. `kind` is what to
    compare when it is to be said once only: the words vary while it lasts."""

    def __init__(self, message: str, *, hint: str = "", kind: str = "away") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Remote:
    """What host.yaml says of it. `branch` "" is the one that the remote calls its own. With `signers`, a file of
    allowed signers, only a commit that one of them has signed is used."""

    url: str
    branch: str = ""
    interval: float = INTERVAL  # seconds
    signers: str = ""

    def __str__(self) -> str:
        return shown(self.url) + (f" ({self.branch})" if self.branch else "")


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a fetched source. `commit` is the one that counts, "" where there is none yet; `fetched` is when
    the remote answered last (RFC 3339), `trouble` what is wrong since, "" for nothing. `verified`: the commit's
    signature was found good. Holds no credentials."""

    name: str
    remote: str = ""
    commit: str = ""
    fetched: str = ""
    trouble: str = ""
    verified: bool = False

    def __str__(self) -> str:
        at = self.commit[:12] or "nothing yet"
        since = f", fetched {self.fetched[:19]}Z" if self.fetched else ""
        return f"{self.name} at {at} of {self.remote}{since}"


def folder(state: Path, name: str) -> Path:
    return state / FOLDER / name


def current(state: Path, name: str) -> Path:
    """The folder to read; it need not be there."""
    return folder(state, name) / CURRENT


def name(root: Path) -> str:
    """What the source is called whose checkout this folder is, "" when it is none."""
    place = root.parent
    ours = _CHECKOUT.fullmatch(root.name) and place.parent.name == FOLDER and (place / RECORD).is_file()
    return place.name if ours else ""


def around(path: Path) -> str:
    """What the source is called in whose checkout this path lies, "" when it lies in none."""
    real = path.resolve()
    return next((found for parent in (real, *real.parents) if (found := name(parent))), "")


def record(place: Path) -> Record:
    """Of the source whose folder this is. One that can't be read is as good as none: the next fetch writes it."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = json.loads((place / RECORD).read_text("utf-8"))
        known = {field.name for field in fields(Record)}
        return Record(**{key: value for key, value in found.items() if key in known})
    return Record(place.name)


def records(state: Path) -> tuple[Record, ...]:
    """Of all that were ever fetched into this state."""
    return tuple(record(found.parent) for found in sorted((state / FOLDER).glob(f"*/{RECORD}")))


def keep(place: Path, found: Record) -> None:
    """Writes it whole. Raises OSError."""
    beside = place / f"{RECORD}.new"
    beside.write_text(json.dumps(asdict(found), ensure_ascii=False) + "\n", "utf-8")
    beside.replace(place / RECORD)


def shown(text: str) -> str:
    """Without what stands before the @ of an address: it may be a password."""
    return _PASSWORD.sub("", text)
