"""A real registry (Debian's docker-registry) on a loopback port, and images made for it.

It speaks plain HTTP, which an engine accepts from 127.0.0.0/8. Everything of it is in one folder and ends with it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import docker

from tests.support.eventually import eventually

SCRIPT = Path(__file__).parents[2] / "scripts" / "registry"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
USER = "reader"


@dataclass
class Registry:
    """`password` is asked of everybody when it is not ""; it may be changed while the registry runs."""

    folder: Path
    password: str = ""
    port: int = field(default_factory=lambda: free_port())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "registry.log").read_text()

    def start(self) -> None:
        """Returns when it answers."""
        program = subprocess.run([SCRIPT], check=True, capture_output=True, text=True).stdout.strip()
        settings: dict[str, Any] = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": False}, "level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}, "delete": {"enabled": True}},
            "http": {"addr": self.address},
        }
        if self.password:
            self.set_password(self.password)
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.folder / "htpasswd")}}
        config = self.folder / "registry.json"
        config.write_text(json.dumps(settings))  # JSON is YAML
        with (self.folder / "registry.log").open("ab") as log:
            # Its own name for a telemetry exporter and the like is none of the test's.
            self._process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log, env={"HOME": "/"})
        eventually(self._answers)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def set_password(self, password: str) -> None:
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        (self.folder / "htpasswd").write_text(f"{USER}:{hashed}\n")
        self.password = password

    def push(self, image: Image, name: str, *tags: str) -> str:
        """Returns the digest of its manifest."""
        for blob in (image.config, *image.layers):
            self._push_blob(name, blob)
        for tag in tags:
            self._call("PUT", f"/v2/{name}/manifests/{tag}", image.manifest, MANIFEST, wanted=201)
        return image.digest

    def forget(self, name: str, digest: str) -> None:
        """Removes a manifest, and with it the tags that name it."""
        self._call("DELETE", f"/v2/{name}/manifests/{digest}", wanted=202)

    def _push_blob(self, name: str, blob: bytes) -> None:
        place = self._call("POST", f"/v2/{name}/blobs/uploads/", wanted=202)
        path = place[place.index("/v2/") :]
        self._call("PUT", f"{path}&digest={digest_of(blob)}", blob, "application/octet-stream", wanted=201)

    def _call(self, method: str, path: str, body: bytes = b"", kind: str = "", *, wanted: int) -> str:
        """Returns the header Location."""
        headers = {"Content-Type": kind} if kind else {}
        if self.password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            said = response.read()
            assert response.status == wanted, f"{method} {path}: {response.status} {said!r}"
            return response.getheader("Location", "")

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@dataclass
class Image:
    """What a registry keeps of an image: a manifest, a config, gzipped layers."""

    layers: tuple[bytes, ...]
    config: bytes

    @property
    def id(self) -> str:
        """The engine calls an image by the digest of its config."""
        return digest_of(self.config)

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def manifest(self) -> bytes:
        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        parts = [{"mediaType": kind, "size": len(blob), "digest": digest_of(blob)} for blob in self.layers]
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(self.config)}
        config["digest"] = self.id
        return json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": parts}, indent=1
        ).encode()


def make_image(engine: docker.APIClient, base: str, megabytes: float = 0.0, mark: str = "") -> Image:
    """`base`, an image of the engine, with one layer more: so many megabytes that can't be compressed. Where `mark`
    differs, so do layer and digest."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.get_image(base)))) as saved:
        listed = json.loads(_member(saved, "manifest.json"))[0]
        config = json.loads(_member(saved, listed["Config"]))
        layers = [_member(saved, name) for name in listed["Layers"]]
    layers.append(_layer({"mark": mark.encode(), "filling": os.urandom(int(megabytes * 1e6))}))
    config["rootfs"] = {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}
    config["history"] = [{"created_by": "tests"} for _ in layers]
    config["created"] = "2026-01-01T00:00:00Z"
    return Image(tuple(gzip.compress(layer, 1, mtime=0) for layer in layers), json.dumps(config).encode())


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    assert found is not None, name
    return found.read()


def _layer(files: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


def digest_of(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def registry(folder: Path, password: str = "") -> Iterator[Registry]:
    folder.mkdir(parents=True, exist_ok=True)
    running = Registry(folder, password)
    running.start()
    try:
        yield running
    finally:
        running.stop()
