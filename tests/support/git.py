"""git, whatever the person has configured."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, subject: str, *options: str) -> str:
    """All that is there; returns its hash. `options` are of the commit, as `signing` gives them."""
    git(folder, "add", "-A")
    before = [option for option in options if option.startswith("gpg.")]
    after = [option for option in options if not option.startswith("gpg.")]
    git(folder, *(part for each in before for part in ("-c", each)), "commit", "-qm", subject, *after)
    return git(folder, "rev-parse", "HEAD")


def key(folder: Path, name: str) -> Path:
    """A key to sign with, and its public half beside it."""
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True)
    return file


def signing(file: Path) -> tuple[str, ...]:
    return "gpg.format=ssh", f"--gpg-sign={file}"
