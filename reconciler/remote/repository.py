"""A fetched source on disk: fetches, verifies, checks out beside what is read, and swaps the link.

In: what host.yaml says of the remote. Out: the Record of what counts now. Raises RemoteError, and what counted before
still does. Whoever calls holds the lock of this source; killed at any moment, the next call carries on: what is half
there is never the current one, and is swept away.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from threading import Event

from . import CURRENT, Record, Remote, RemoteError, git, keep, record, shown

_TIP = "refs/lb/tip"
_GENERIC = ("fatal: could not read from remote", "please make sure you have", "and the repository exists")
_ASKING = ("could not read username", "could not read password", "authentication failed", "permission denied (")
_BROKEN = re.compile(r"object|corrupt|pack|broken|bad |missing|not a git repository|unable to read", re.IGNORECASE)
_CREDENTIALS = (
    "git must find credentials without a question: a deploy key, or a credential helper, of the user that runs lb"
)
_HOST_KEY = "put the host's key into known_hosts of the user that runs lb, once you have checked it"


class Repository:
    """`clock` gives RFC 3339. `cancel` ends a call over the network."""

    def __init__(self, place: Path, remote: Remote, clock: Callable[[], str], cancel: Event | None = None) -> None:
        self._place, self._remote, self._clock = place, remote, clock
        self._cancel = cancel or Event()
        self._git = place / "git"

    def refresh(self) -> Record:
        """Fetches the branch, and makes its newest commit the one that counts. Raises RemoteError."""
        try:
            found = self._prepared()
            try:
                found = self._fetched(found)
                found = self._checked_out(found)
            except RemoteError as error:
                keep(self._place, replace(record(self._place), trouble=error.line))
                raise
            keep(self._place, found)
        except OSError as error:
            raise RemoteError(f"{self._place} can't be written: {error.strerror}", kind="disk") from error
        return found

    def _prepared(self) -> Record:
        """A repository, whole or empty, and no lock of a git that has died."""
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = replace(record(self._place), remote=str(self._remote))
        if self._remote.signers and not found.verified:  # what was used unseen is not, once it has to be signed
            (self._place / CURRENT).unlink(missing_ok=True)
            found = replace(found, commit="")
        keep(self._place, found)
        for left in (
            *self._git.glob("*.lock"),
            *self._git.glob("refs/lb/*.lock"),
            *self._git.glob("worktrees/*/*.lock"),
        ):
            left.unlink(missing_ok=True)
        done = git.local(self._place, "init", "--quiet", "--bare", "--template=", str(self._git))
        if not done:
            raise RemoteError(f"{self._git} can't be made: {_said(done)}", kind="git")
        return found

    def _fetched(self, found: Record) -> Record:
        """With the newest commit, which may be used."""
        if not (done := self._fetch()):
            if not _BROKEN.search(done.err) or self._whole():
                raise self._away(done)
            shutil.rmtree(self._git)  # nothing is lost with it that the remote does not have
            self._prepared()
            if not (done := self._fetch()):
                raise self._away(done)
        keep(self._place, replace(record(self._place), fetched=(now := self._clock())))
        commit = git.local(self._git, "rev-parse", "--verify", f"{_TIP}^{{commit}}")
        if not commit:
            raise RemoteError(f"what {self._remote} has is no commit: {_said(commit)}", kind="branch")
        found = replace(found, commit=commit.out.strip(), fetched=now, trouble="")
        return self._verified(found) if self._remote.signers else replace(found, verified=False)

    def _fetch(self) -> git.Done:
        theirs = f"refs/heads/{self._remote.branch}" if self._remote.branch else "HEAD"
        return git.network(
            self._git, "fetch", "--quiet", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
            "--no-auto-maintenance", "origin", f"+{theirs}:{_TIP}",
            config={"remote.origin.url": self._remote.url}, cancel=self._cancel,
        )  # fmt: skip

    def _whole(self) -> bool:
        """Whether all is there that the last fetch brought. An empty repository is whole."""
        if not git.local(self._git, "rev-parse", "--verify", "--quiet", _TIP):
            return (self._git / "HEAD").is_file() and not (self._git / _TIP).exists()
        return bool(git.local(self._git, "rev-list", "--quiet", "--objects", _TIP))

    def _away(self, done: git.Done) -> RemoteError:
        said = _said(done)
        text = said.lower()
        if "couldn't find remote ref" in text:
            branch = f"no branch {self._remote.branch}" if self._remote.branch else "no branch that is its own (HEAD)"
            return RemoteError(f"{shown(self._remote.url)} has {branch}", kind="branch")
        hint = _CREDENTIALS if any(sign in text for sign in _ASKING) else ""
        hint = _HOST_KEY if "host key verification failed" in text else hint
        return RemoteError(f"{shown(self._remote.url)} can't be fetched: {said}", hint=hint)

    def _verified(self, found: Record) -> Record:
        """Only signatures of SSH count: no key ring that happens to be there may say that a commit is good."""
        signers = self._remote.signers
        if not Path(signers).is_file():
            raise RemoteError(f"{signers}, the file of allowed signers, is not there", kind="signers")
        if not shutil.which("ssh-keygen"):
            what = "there is no ssh-keygen here, with which git checks signatures"
            raise RemoteError(what, hint="install it: Debian's package is openssh-client", kind="signers")
        config = {
            "gpg.format": "ssh",
            "gpg.ssh.allowedSignersFile": signers,
            "gpg.minTrustLevel": "fully",
            "gpg.program": "false",
            "gpg.openpgp.program": "false",
            "gpg.x509.program": "false",
        }
        done = git.local(self._git, "verify-commit", found.commit, config=config)
        if done:
            return replace(found, verified=True)
        signed = git.local(self._git, "cat-file", "commit", found.commit).out.partition("\n\n")[0]
        why = f"its signature is by none of {signers}" if "\ngpgsig" in signed else "it is not signed"
        raise RemoteError(
            f"commit {found.commit[:12]} of {self._remote} is refused: {why}",
            hint=f"sign it with a key of {signers}, and push again" + (f" ({_said(done)})" if _said(done) else ""),
            kind=f"refused {found.commit}",
        )

    def _checked_out(self, found: Record) -> Record:
        """In a folder that nobody reads yet; the link is swapped when it is whole."""
        link = self._place / CURRENT
        before = link.resolve() if link.is_symlink() else None
        if before and before.name.startswith(found.commit) and self._sound(before, found.commit):
            return found
        self._sweep({before} if before else set())
        target = self._free(found.commit)
        done = git.local(self._git, "worktree", "add", "--quiet", "--force", "--detach", str(target), found.commit)
        if not done or not self._sound(target, found.commit):
            shutil.rmtree(target, ignore_errors=True)
            if not self._whole():
                shutil.rmtree(self._git)  # the next try begins with another one
            raise RemoteError(
                f"commit {found.commit[:12]} of {self._remote} can't be checked out: {_said(done) or 'not whole'}",
                kind="checkout",
            )
        beside = self._place / f"{CURRENT}.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(target.name)
        beside.replace(link)
        git.local(self._git, "gc", "--auto", "--quiet", config={"gc.auto": "6700", "gc.autoDetach": "false"})
        return found

    def _sound(self, checkout: Path, commit: str) -> bool:
        """Whether it is this commit, and nothing else: edited by hand or half written, it is made again."""
        head = git.local(checkout, "rev-parse", "HEAD")
        status = git.local(checkout, "status", "--porcelain", "--untracked-files=all", "--ignored")
        return bool(head and status) and head.out.strip() == commit and not status.out

    def _free(self, commit: str) -> Path:
        """A name that is not taken: a git that outlived its lb may still be writing there."""
        names = (commit, *(f"{commit}-{number}" for number in range(2, 100)))
        return next(self._place / name for name in names if not (self._place / name).exists())

    def _sweep(self, kept: Collection[Path]) -> None:
        """Old checkouts, but for the one that somebody may just be reading."""
        for path in self._place.iterdir():
            if path.is_dir() and not path.is_symlink() and path != self._git and path.resolve() not in kept:
                shutil.rmtree(path, ignore_errors=True)
        git.local(self._git, "worktree", "prune", "--expire=now")


def _said(done: git.Done) -> str:
    """The line that says most, without credentials."""
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    telling = [line for line in lines if not line.lower().startswith(_GENERIC)]
    fatal = [line for line in telling if line.startswith(("fatal:", "error:"))]
    best = (fatal or telling or lines or [""])[-1]
    return shown(best.removeprefix("fatal: ").removeprefix("error: "))[:300]
