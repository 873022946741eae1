"""How much is run, and the ledger of what came of it.

With LB_CHAOS=full (`make chaos`) everything is, for up to an hour; otherwise a part that still reaches every step.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledger import Ledger

FULL = os.environ.get("LB_CHAOS") == "full"
REPORT = os.environ.get("LB_CHAOS_REPORT", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A part of the whole takes longer than any other test."""
    for item in items if FULL else ():
        item.add_marker(pytest.mark.timeout(1500))


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """For states, in memory where that can be had: every commit waits for the disk."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lb-chaos-", dir=place) as found:
        yield Path(found)


@pytest.fixture(scope="session")
def ledger() -> Iterator[Ledger]:
    found = Ledger()
    yield found
    if REPORT:
        Path(REPORT).parent.mkdir(exist_ok=True)
        Path(REPORT).write_text(found.markdown())
