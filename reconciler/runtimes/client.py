"""The calls of a real Docker Engine, over the SDK's low-level client.

The SDK's comforts are avoided where they mislead: `containers.list()` inspects each container and races,
`images.pull()` hides errors inside the stream, `update_container()` drops zeros and lacks `nano_cpus`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import requests
from docker import errors as sdk
from docker.context import ContextAPI
from docker.types import IPAMConfig, IPAMPool
from docker.utils import kwargs_from_env

from .. import errors
from ..model import Container, EngineInfo, Network, Volume
from ..runtime import LABEL_NAMESPACE, LABEL_SERVICE
from . import ports, translate

READ_TIMEOUT = 60  # seconds; stop, pull and logs have limits of their own
INSPECTORS = 8
# What may concern us. Healthchecks alone would wake us several times a second ("exec_start" and so on).
_EVENTS = {
    "type": ["container", "network", "volume", "image"],
    "event": [
        "create", "destroy", "start", "die", "stop", "kill", "oom", "pause", "unpause", "rename", "update",
        "health_status", "connect", "disconnect", "delete", "tag", "untag", "pull", "load",
    ],
}  # fmt: skip
_TAKEN = re.compile(r"port is already allocated|address already in use|Bind for \S+ failed")


def connect() -> DockerCalls:
    """The engine that the `docker` client would talk to: DOCKER_HOST, else the current context.

    Raises EngineUnreachable.
    """
    settings = kwargs_from_env()
    if "base_url" not in settings:
        context = ContextAPI.get_current_context()
        if context and context.Host:
            settings["base_url"] = context.Host
    with _translated("engine"):
        return DockerCalls(_Api(version="auto", timeout=READ_TIMEOUT, max_pool_size=64, **settings))


class _Api(docker.APIClient):
    """The calls that the SDK lacks, or whose answers it changes; `_raw` because its types do not know its helpers."""

    @property
    def _raw(self) -> Any:
        return self

    def update_raw(self, container: str, body: Mapping[str, Any]) -> None:
        url = self._raw._url("/containers/{0}/update", container)
        self._raw._result(self._raw._post_json(url, data=dict(body)), True)

    def stop_raw(self, container: str, seconds: int) -> None:
        url = self._raw._url("/containers/{0}/stop", container)
        response = self._raw._post(url, params={"t": seconds}, timeout=seconds + READ_TIMEOUT)
        self._raw._raise_for_status(response)

    def event_stream(self, filters: Mapping[str, Any]) -> Iterator[bytes]:
        """Something whenever an event came; the first once the engine listens. An idle stream has no time-out."""
        url = self._raw._url("/events")
        params = {"filters": json.dumps(filters)}
        with self._raw._get(url, params=params, stream=True, timeout=(READ_TIMEOUT, None)) as response:
            self._raw._raise_for_status(response)
            yield b""
            yield from response.iter_content(None)

    def image_raw(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = self._raw.inspect_image(reference)
        return found

    def create_raw(self, name: str, body: Mapping[str, Any]) -> str:
        return str(self._raw.create_container_from_config(dict(body), name)["Id"])

    def log_frames(
        self, container: str, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> Iterator[tuple[int, bytes]]:
        """(stream, data) a frame; the SDK's own `logs` merges the streams."""
        params = {
            "stdout": 1,
            "stderr": 1,
            "follow": int(follow),
            "timestamps": int(timestamps),
            "tail": "all" if tail is None else str(tail),
            "since": f"{since:.9f}" if since is not None else "0",
        }
        url = self._raw._url("/containers/{0}/logs", container)
        with self._raw._get(url, params=params, stream=True, timeout=None if follow else READ_TIMEOUT) as response:
            self._raw._raise_for_status(response)
            if self._raw._check_is_tty(container):
                yield from ((1, data) for data in response.iter_content(32768))
                return
            while len(header := response.raw.read(8)) == 8:
                yield header[0], response.raw.read(int.from_bytes(header[4:], "big"))


class DockerCalls:
    def __init__(self, api: _Api) -> None:
        self._api = api

    def info(self) -> EngineInfo:
        with _translated("engine"):
            found = self._api.info()
            version = found.get("ServerVersion", "")
        endpoint = self._api.base_url
        local = endpoint.startswith(("http+docker://", "unix://")) or "127.0.0.1" in endpoint
        return EngineInfo(
            found.get("ID", ""), found.get("DockerRootDir", ""), endpoint, self._api.api_version, version, local
        )

    def containers(self) -> list[Container]:
        with _translated("containers"):
            listed = self._api.containers(all=True, filters={"label": LABEL_SERVICE})
        with ThreadPoolExecutor(max_workers=INSPECTORS) as pool:
            return [found for found in pool.map(self._inspect_or_gone, [row["Id"] for row in listed]) if found]

    def _inspect_or_gone(self, container: str) -> Container | None:
        try:
            return self.inspect(container)
        except errors.NotFound:  # removed between the list and this call
            return None

    def inspect(self, container: str) -> Container:
        with _translated(f"container {container[:12]}"):
            return translate.container(self._api.inspect_container(container))

    def has_healthcheck(self, container: str) -> bool:
        with _translated(f"container {container[:12]}"):
            return translate.checked(self._api.inspect_container(container))

    def networks(self) -> list[Network]:
        with _translated("networks"):
            return [translate.network(row) for row in self._api.networks()]

    def volumes(self) -> list[Volume]:
        with _translated("volumes"):
            rows = self._api.volumes(filters={"label": LABEL_NAMESPACE})["Volumes"] or []
        return [translate.volume(row) for row in rows]

    def volume(self, name: str) -> Volume | None:
        try:
            with _translated(f"volume {name}"):
                return translate.volume(self._api.inspect_volume(name))
        except errors.NotFound:
            return None

    def images(self) -> dict[str, str]:
        with _translated("images"):
            rows = self._api.images()
        found = {row["Id"]: row["Id"] for row in rows}
        for row in rows:
            for name in [*(row.get("RepoTags") or []), *(row.get("RepoDigests") or [])]:
                if not name.startswith("<none>"):
                    found[translate.full_reference(name)] = row["Id"]
        return found

    def image(self, reference: str) -> str:
        try:
            with _translated(f"image {reference}"):
                return str(self._api.image_raw(reference)["Id"])
        except errors.NotFound:
            return ""

    def pull(self, image: str, report: Callable[[str], None]) -> None:
        name, _, tag = image.partition("@") if "@" in image else image.rpartition(":")
        layers: dict[str, tuple[int, int]] = {}
        try:
            with _translated(f"image {image}"):
                for event in self._api.pull(name, tag=tag, stream=True, decode=True):
                    if event.get("error"):
                        raise errors.ImageUnavailable(f"image {image} can't be pulled: {event['error']}")
                    detail = event.get("progressDetail") or {}
                    if event.get("status") == "Downloading" and "total" in detail:
                        layers[event.get("id", "")] = (detail.get("current", 0), detail["total"])
                        done, total = (sum(side) for side in zip(*layers.values(), strict=True))
                        report(f"{done / 1e6:.1f} of {total / 1e6:.1f} MB")
        except (errors.ImageUnavailable, errors.EngineUnreachable):
            raise
        except errors.EngineError as error:
            raise errors.ImageUnavailable(f"image {image} can't be pulled: {error.message}") from error

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        with _translated(f"container {name}"):
            return self._api.create_raw(name, body)

    def start(self, container: str) -> None:
        try:
            with _translated(f"container {container[:12]}"):
                self._api.start(container)
        except errors.EngineError as error:
            if translate.lost(error.message.partition(": ")[2]):
                hint = "a new one takes its place; what ran in it ends when the host is restarted"
                raise errors.Stuck(f"the engine lost track of container {container[:12]}", hint=hint) from error
            if not _TAKEN.search(error.message):
                raise
            wanted = self.inspect(container)
            raise errors.PortTaken(ports.taken(wanted, self._api.containers(), error.message)) from error

    def stop(self, container: str, grace: int) -> None:
        with contextlib.suppress(errors.NotFound), _translated(f"container {container[:12]}"):
            self._api.stop_raw(container, max(0, round(grace / 1e9)))

    def remove(self, container: str) -> None:
        with contextlib.suppress(errors.NotFound), _translated(f"container {container[:12]}"):
            self._api.remove_container(container, v=False, force=False)

    def unpause(self, container: str) -> None:
        with _translated(f"container {container[:12]}"):
            self._api.unpause(container)

    def rename(self, container: str, name: str) -> None:
        with _translated(f"container {container[:12]}"):
            self._api.rename(container, name)

    def update(self, container: str, body: Mapping[str, Any]) -> None:
        try:
            with _translated(f"container {container[:12]}"):
                self._api.update_raw(container, body)
        except (errors.NotFound, errors.EngineUnreachable):
            raise
        except errors.EngineError as error:
            raise errors.UpdateRefused(error.message) from error

    def connect(self, network: str, container: str, aliases: tuple[str, ...]) -> None:
        with _translated(f"network {network[:12]}"):
            self._api.connect_container_to_network(container, network, aliases=list(aliases))

    def create_network(self, name: str, labels: Mapping[str, str], subnet: str) -> str:
        pool = IPAMPool(subnet=subnet)
        with _translated(f"network {name}"):
            found = self._api.create_network(
                name, driver="bridge", labels=dict(labels), check_duplicate=True, ipam=IPAMConfig(pool_configs=[pool])
            )
        return str(found["Id"])

    def remove_network(self, network: str) -> None:
        with contextlib.suppress(errors.NotFound), _translated(f"network {network[:12]}"):
            self._api.remove_network(network)

    def create_volume(self, name: str, labels: Mapping[str, str]) -> Volume:
        with _translated(f"volume {name}"):
            return translate.volume(self._api.create_volume(name, driver="local", labels=dict(labels)))

    def remove_volume(self, name: str) -> None:
        with contextlib.suppress(errors.NotFound), _translated(f"volume {name}"):
            self._api.remove_volume(name)

    def taken_subnets(self) -> list[str]:
        return ports.host_subnets(Path("/proc/net/route"), Path("/etc/resolv.conf"))

    def changes(self) -> Iterator[None]:
        with _translated("events"):
            for _ in self._api.event_stream(_EVENTS):
                yield None
        raise errors.EngineUnreachable("the engine's events ended")

    def logs(
        self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> Iterator[tuple[str, bytes]]:
        with _translated(f"container {container[:12]}"):
            for stream, data in self._api.log_frames(container, follow, tail, since, timestamps):
                yield ("stderr" if stream == 2 else "stdout"), data

    def close(self) -> None:
        self._api.close()


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """The SDK's errors become ours, once, here."""
    try:
        yield
    except sdk.NotFound as error:
        raise errors.NotFound(f"{what}: {_explanation(error)}") from error
    except sdk.APIError as error:
        text = _explanation(error)
        if error.status_code == 409 and "already in use by container" in text:
            raise errors.NameConflict(f"{what}: {text}", hint="remove or rename that container") from error
        if error.is_client_error() and error.status_code != 409:
            raise errors.Rejected(f"{what}: {text}") from error
        raise errors.EngineError(f"{what}: {text}") from error
    except (sdk.DockerException, requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise errors.EngineUnreachable(
            f"no Docker Engine answers: {_short(error)}", hint="start it, or set DOCKER_HOST or `docker context use`"
        ) from error
    except (requests.exceptions.RequestException, json.JSONDecodeError) as error:
        raise errors.EngineError(f"{what}: the engine's answer broke off: {_short(error)}") from error


def _explanation(error: sdk.APIError) -> str:
    return str(error.explanation or error).strip()


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) < 200 else text[:197] + "..."
