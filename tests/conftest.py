"""Fixtures on the real engine. Everything they make carries a source named `lbtest-…`, and is removed by that."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.utils import kwargs_from_env

from tests.support.forked import Result, forked
from tests.support.own_engine import OwnEngine, own_engine

LB = str(Path(sys.executable).parent / "lb")
IMAGES = os.environ.get("LB_TEST_IMAGES", "lb.local/")
PREFIX = "lbtest-"
BUSYBOX = f"{IMAGES}busybox:1.35"
# Groups of tests, each for one worker. The first engine is the one that answers; the others are started by the worker,
# and what is published there can't be reached.
FIRST, SECOND, THIRD = "the engine", "the second engine", "the third engine"
# For what ends by itself: seen once while it still runs, it would be ready.
ENDS: dict[str, Any] = {"restart": "no", "update": {"min_ready": "1s"}}
SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


@dataclass
class Sandbox:
    """A source folder with a name of its own, a state folder, and `lb` run on them."""

    folder: Path
    name: str
    api: docker.APIClient
    env: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> str:
        """Its engine's."""
        return self.env.get("DOCKER_HOST", SOCKET).removeprefix("unix://")

    @property
    def host(self) -> Path:
        """This host's settings; empty unless a test writes them."""
        return self.folder / "host.yaml"

    def write(self, file: str, text: str) -> None:
        path = self.source / file
        path.parent.mkdir(parents=True, exist_ok=True)
        self._put(path, textwrap.dedent(text))

    def set_host(self, text: str) -> None:
        """This host's settings."""
        self._put(self.host, text)

    def namespace(self, name: str = "t", **meta: Any) -> None:
        self._dump(f"{name}.yaml", "Namespace", {"name": name, **meta})

    def service(self, name: str, namespace: str = "t", meta: dict[str, Any] | None = None, **spec: Any) -> None:
        """A service that starts and stops at once, unless the spec says otherwise."""
        quick = {
            "image": BUSYBOX,
            "command": ["sleep", "100000"],
            "stop_signal": "SIGKILL",
            "update": {"min_ready": "0s"},
        }
        wanted = {key: value for key, value in {**quick, **spec}.items() if value is not None}
        self._dump(
            f"{namespace}.{name}.yaml", "Service", {"name": name, "namespace": namespace, **(meta or {})}, wanted
        )

    def remove(self, file: str) -> None:
        (self.source / file).unlink()

    def lb(self, *arguments: str, code: int | None = 0, stdin: str | None = None, cwd: Path | None = None) -> Result:
        result = forked().run(arguments, cwd or self.source, self.environ(), stdin or "")
        if code is not None:
            assert result.code == code, f"exit {result.code}, not {code}\n{result.out}\n{result.err}"
        return result

    def apply(self, *arguments: str, code: int | None = 0) -> Result:
        return self.lb("apply", "--yes", *arguments, code=code)

    def environ(self) -> dict[str, str]:
        return {**os.environ, "LB_STATE": str(self.state), "LB_HOST_CONFIG": str(self.host), **self.env}

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """Raw inspects of this source's containers, by name; asked from the engine, never from lb."""
        labels = [f"lb.source={self.name}", *([f"lb.service={service}"] if service else [])]
        found = []
        for row in self.api.containers(all=True, filters={"label": labels}):
            with contextlib.suppress(docker.errors.NotFound):  # removed since the list
                found.append(self.api.inspect_container(row["Id"]))
        return sorted(found, key=lambda c: c["Name"])

    def live(self, service: str) -> list[dict[str, Any]]:
        """Those that run."""
        return [container for container in self.containers(service) if container["State"]["Status"] == "running"]

    def one(self, service: str) -> dict[str, Any]:
        (found,) = self.containers(service)
        return found

    def running(self) -> dict[str, tuple[str, str]]:
        """Name → (id, start time): what must not change where nothing was asked for."""
        return {c["Name"]: (c["Id"], c["State"]["StartedAt"]) for c in self.containers()}

    def _put(self, path: Path, text: str) -> None:
        """In place at once: a daemon never sees half of it."""
        whole = self.folder / "being-written"
        whole.write_text(text)
        whole.replace(path)

    def _dump(self, file: str, kind: str, meta: dict[str, Any], spec: dict[str, Any] | None = None) -> None:
        document = {"apiVersion": "lb/v1", "kind": kind, "meta": meta, **({"spec": spec} if spec else {})}
        self.write(file, json.dumps(document, indent=2))  # JSON is YAML


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests on the engine that answers are for one worker: each sweeps it, and one at a time changes it."""
    for item in items:
        if {"engine", "second_engine", "sandbox"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)
        if item.get_closest_marker("engine") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(FIRST))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.APIClient]:
    """The real engine; without one the tests fail. The marker of a state that manages it is put back at the end."""
    api = docker.APIClient(version="auto", timeout=60, **kwargs_from_env())
    sweep(api)
    marker = next((v for v in api.volumes()["Volumes"] or [] if v["Name"] == "lb.state"), None)
    yield api
    sweep(api)
    if marker:
        api.create_volume("lb.state", labels=marker["Labels"])
    api.close()


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    """On the engine of the test's group."""
    with contextlib.ExitStack() as stack:
        if request.node.get_closest_marker("xdist_group").args[0] in (SECOND, THIRD):
            own = request.getfixturevalue("second_engine")
            box = sandbox_on(own, stack.enter_context(contextlib.closing(own.api)), tmp_path)
        else:
            box = a_sandbox(request.getfixturevalue("engine"), tmp_path)
        with contextlib.suppress(docker.errors.NotFound):
            box.api.remove_volume("lb.state")
        yield box
        sweep(box.api)


@pytest.fixture(scope="session")
def second_engine() -> Iterator[OwnEngine]:
    """The worker's own, for a group of tests that runs beside those on the first engine."""
    with own_engine([BUSYBOX, f"{IMAGES}redis:7.0"]) as found:
        yield found


def sandbox_on(engine: OwnEngine, api: docker.APIClient, folder: Path) -> Sandbox:
    box = a_sandbox(api, folder)
    box.env["DOCKER_HOST"] = f"unix://{engine.socket}"
    return box


def a_sandbox(api: docker.APIClient, folder: Path) -> Sandbox:
    box = Sandbox(folder, PREFIX + uuid.uuid4().hex[:8], api)
    box.write("lb.yaml", f"name: {box.name}\n")
    box.host.touch()
    return box


def sweep(api: docker.APIClient) -> None:
    """Removes what tests made, by the label of their source; earlier runs' leftovers included."""
    for row in api.containers(all=True, filters={"label": "lb.source"}):
        if row["Labels"]["lb.source"].startswith(PREFIX):
            api.remove_container(row["Id"], force=True, v=True)
    for network in api.networks(filters={"label": "lb.source"}):
        if network["Labels"]["lb.source"].startswith(PREFIX):
            for container in api.inspect_network(network["Id"])["Containers"]:
                api.remove_container(container, force=True)
            api.remove_network(network["Id"])
    for volume in api.volumes()["Volumes"] or []:
        labels = volume["Labels"] or {}
        if labels.get("lb.source", "").startswith(PREFIX) or "/pytest-" in labels.get("lb.state.path", ""):
            api.remove_volume(volume["Name"])
