"""The examples as a reader uses them: a copy of the source, and a host that is set up as their README says."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/lb.yaml"))
_SECRETS = {"voting-app": ("voting/pg_password", "voting/app_password")}
_SHOWN = "/srv/files"  # the folder of the host that the home lab shows


@dataclass(frozen=True)
class Example:
    """`source` is the copy. `secrets` and `files` in `folder` stand for /etc/lb/secrets and /srv/files."""

    source: Path
    folder: Path

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def host(self) -> str:
        """This host's settings, which allow nothing."""
        return f"secrets: {self.secrets}\n"

    @property
    def allowing(self) -> str:
        """This host's settings as the example asks for them."""
        file = self.source / "host.yaml.example"
        return self.host + (file.read_text() if file.exists() else "")

    def put(self, secret: str, value: str) -> None:
        path = self.secrets / secret
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def prepare(name: str, source: Path, folder: Path, called: str = "") -> Example:
    """Makes `source`, which must not be there, and what belongs to the host in `folder`. `called` names the source."""
    shutil.copytree(FOLDER / name, source)
    example = Example(source, folder)
    _replace(source / "lb.yaml", f"name: {name}\n", f"name: {called or name}\n")
    if name == "homelab":
        _replace(source / "files" / "web.yaml", f"- {_SHOWN}:", f"- {example.files}:")
        _replace(source / "host.yaml.example", f'"{_SHOWN}:', f'"{example.files}:')
    example.files.mkdir(parents=True)
    for secret in _SECRETS.get(name, ()):
        example.put(secret, f"first of {secret}")
    return example


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
    file.write_text(text.replace(old, new))
