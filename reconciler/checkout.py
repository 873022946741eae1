"""What git says of a source's folder. With `remote`, which fetches, the only door to git.

In: the root. Out: the commit that is checked out, whether it is older than another, who changed a file last. Where the
folder is in no work tree, git is not installed, takes too long or does not trust the folder's owner (`safe.directory`),
nothing is known, and that is no error. It writes nothing, and runs no hook of the repository.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

TIME_OUT = 5.0  # seconds of one call


@dataclass(frozen=True, slots=True)
class Checkout:
    """`commit` is the full hash of HEAD, "" where none is known; `dirty`: what lies under the root is not all of it."""

    commit: str = ""
    dirty: bool = False

    def __str__(self) -> str:
        return f"{self.commit}-dirty" if self.dirty else self.commit


@dataclass(frozen=True, slots=True)
class Touch:
    """The commit that changed a file last."""

    commit: str
    author: str
    at: str  # RFC 3339
    subject: str


def look(root: str) -> Checkout:
    """Of a root of which something is in HEAD; a folder that only lies in somebody's work tree has no commit."""
    found = _git(root, "rev-parse", "HEAD", "HEAD:./")
    if not found:
        return Checkout()
    status = _git(root, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return Checkout() if status is None else Checkout(found.split()[0], bool(status))


def older(root: str, commit: str) -> bool:
    """Whether HEAD comes before this commit in its history. False where git can't tell: it may know no such commit."""
    head = _git(root, "rev-parse", "HEAD")
    if not head or not commit or head.strip() == commit:
        return False
    return _git(root, "merge-base", "--is-ancestor", "HEAD", commit) is not None


def follows(root: str, commit: str) -> bool:
    """Whether HEAD is this commit, or comes after it in its history. False where git can't tell."""
    return bool(commit) and _git(root, "merge-base", "--is-ancestor", commit, "HEAD") is not None


def last_touch(root: str, file: str, commit: str) -> Touch | None:
    """As of this commit ("-dirty" counts as the commit itself)."""
    form = "--format=%H%x00%an%x00%aI%x00%s"
    found = _git(root, "log", "-1", form, commit.removesuffix("-dirty"), "--", file) if commit else None
    parts = found.strip("\n").split("\0") if found else []
    return Touch(*parts) if len(parts) == 4 else None


def _git(root: str, *arguments: str) -> str | None:
    """What it says; None when it fails."""
    # A hook, in which lb may run, has another repository's settings in its environment.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "log.showSignature=false", *arguments]
    try:
        done = subprocess.run(
            command, cwd=root, env=env, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=TIME_OUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
