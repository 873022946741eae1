"""What tests with a registry share: one that runs, with a front before it. The engine keeps nothing of it."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import docker
import pytest

from tests.conftest import BUSYBOX, LB, Sandbox, sweep
from tests.support.front import Front, front
from tests.support.registry import USER, Image, Registry, make_image, registry

PASSWORD = "canary-7d41-wellkept"


@dataclass
class Shelf:
    """`address` is the front's; `digests` are of what was pushed here, by name and mark."""

    sandbox: Sandbox
    registry: Registry
    front: Front
    digests: dict[str, str] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.front.address

    def push(self, name: str, *, tag: str = "1", mark: str = "", megabytes: float = 0.0) -> str:
        """Returns the image's id. It runs what the tests' busybox runs."""
        image = make_image(self.sandbox.api, BUSYBOX, megabytes, mark or name)
        self.digests[mark or name] = self.registry.push(image, name, tag)
        self.images[mark or name] = image
        return image.id

    def push_again(self, name: str, mark: str = "") -> None:
        """The very image, packed otherwise: its id is the same, its digest another."""
        image = self.images[mark or name]
        packed = replace(
            image, layers=tuple(gzip.compress(gzip.decompress(layer), 9, mtime=0) for layer in image.layers)
        )
        self.digests[mark or name] = self.registry.push(packed, name, "1")

    def image(self, name: str, tag: str = "1") -> str:
        return f"{self.address}/{name}:{tag}"

    def log_in(self, password: str, address: str = "") -> Path:
        """Writes what `docker login` writes; returns the file."""
        known = base64.b64encode(f"{USER}:{password}".encode()).decode()
        return self.configure({"auths": {address or self.address: {"auth": known}}})

    def configure(self, config: object) -> Path:
        folder = self.sandbox.folder / "docker"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        self.sandbox.env["DOCKER_CONFIG"] = str(folder)
        return folder / "config.json"

    def begin_apply(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [LB, "apply", "--yes"], cwd=self.sandbox.source, env=self.sandbox.environ(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


@contextlib.contextmanager
def stocked(sandbox: Sandbox, password: str = "") -> Iterator[Shelf]:
    with registry(sandbox.folder / "registry", password) as running, front(running.port) as before:
        shelf = Shelf(sandbox, running, before)
        shelf.configure({})
        try:
            yield shelf
        finally:
            sweep(sandbox.api)
            _forget(sandbox.api, f"{shelf.address}/", f"{running.address}/")


def _forget(api: docker.APIClient, *prefixes: str) -> None:
    """Removes the names that these registries gave to images of the engine, and with the last name the image."""
    for row in api.images():
        for name in [*(row["RepoTags"] or []), *(row["RepoDigests"] or [])]:
            if name.startswith(prefixes):
                with contextlib.suppress(docker.errors.NotFound):  # the digest goes with the tag
                    api.remove_image(name, force=True)


@pytest.fixture
def shelf(sandbox: Sandbox) -> Iterator[Shelf]:
    with stocked(sandbox) as found:
        sandbox.namespace()
        yield found


@pytest.fixture
def locked(sandbox: Sandbox) -> Iterator[Shelf]:
    """A registry that wants a password."""
    with stocked(sandbox, PASSWORD) as found:
        sandbox.namespace()
        yield found


def helper(folder: Path, name: str, script: str) -> str:
    """A credential helper in Python, and the PATH on which it is found."""
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/usr/bin/env python3\nimport json, sys\n{script}")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
