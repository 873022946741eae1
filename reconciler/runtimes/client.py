"""The calls of a real Docker Engine, over the SDK's low-level client.

The SDK's comforts are avoided where they mislead: `containers.list()` inspects each container and races,
`images.pull()` hides errors inside the stream, `update_container()` drops zeros and lacks `nano_cpus`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from docker import errors as sdk
from docker.types import IPAMConfig, IPAMPool

from .. import errors
from ..model import Container, EngineInfo, NamedVolume, Network, Volume
from ..runtime import LABEL_NAMESPACE, LABEL_SERVICE
from . import ports, translate
from .credentials import check, find, registry_of
from .endpoint import endpoint, settings
from .logs import Frames
from .pulling import PullStream
from .refusals import explained
from .wire import READ_TIMEOUT, Api, explanation, translated

INSPECTORS = 8
# What may concern us. Healthchecks alone would wake us several times a second ("exec_start" and so on).
_EVENTS = {
    "type": ["container", "network", "volume", "image"],
    "event": [
        "create", "destroy", "start", "die", "stop", "kill", "oom", "pause", "unpause", "rename", "update",
        "health_status", "connect", "disconnect", "delete", "tag", "untag", "pull", "load",
    ],
}  # fmt: skip
_LIMITS = {"MemoryLimit": "memory", "SwapLimit": "swap", "CpuCfsQuota": "cpus", "PidsLimit": "pids"}  # of /info
_TAKEN = re.compile(r"port is already allocated|address already in use|Bind for \S+ failed")


def connect() -> DockerCalls:
    """The engine at `endpoint`. Raises EngineUnreachable, and LbError where the docker client's configuration can't be
    read."""
    check()
    how = settings()
    with translated("engine"):
        return DockerCalls(Api(version="auto", timeout=READ_TIMEOUT, max_pool_size=64, **how), how, endpoint())


class DockerCalls:
    """`settings` are what the client was made with: a log stream gets a client of its own."""

    def __init__(self, api: Api, settings: Mapping[str, Any], address: str) -> None:
        self._api, self._settings, self._address = api, settings, address

    def info(self) -> EngineInfo:
        with translated("engine"):
            found = self._api.info()
            version = found.get("ServerVersion", "")
        address = self._address
        local = address.startswith("unix://") or "://127.0.0.1" in address
        lacks = tuple(word for field, word in _LIMITS.items() if found.get(field) is False)
        return EngineInfo(
            found.get("ID", ""), found.get("DockerRootDir", ""), address, self._api.api_version, version, local, lacks
        )

    def containers(self) -> list[Container]:
        with translated("containers"):
            listed = self._api.containers(all=True, filters={"label": LABEL_SERVICE})
        with ThreadPoolExecutor(max_workers=INSPECTORS) as pool:
            return [found for found in pool.map(self._inspect_or_gone, [row["Id"] for row in listed]) if found]

    def _inspect_or_gone(self, container: str) -> Container | None:
        try:
            return self.inspect(container)
        except errors.NotFound:  # removed between the list and this call
            return None

    def inspect(self, container: str) -> Container:
        with translated(f"container {container[:12]}"):
            return translate.container(self._api.inspect_container(container))

    def has_healthcheck(self, container: str) -> bool:
        with translated(f"container {container[:12]}"):
            return translate.checked(self._api.inspect_container(container))

    def networks(self) -> list[Network]:
        with translated("networks"):
            return [translate.network(row) for row in self._api.networks()]

    def volumes(self) -> list[Volume]:
        with translated("volumes"):
            rows = self._api.volumes()["Volumes"] or []
        found = [translate.volume(row) for row in rows]
        return [volume for volume in found if volume.unnamed or LABEL_NAMESPACE in volume.labels]

    def volume(self, name: str) -> Volume | None:
        try:
            with translated(f"volume {name}"):
                return translate.volume(self._api.inspect_volume(name))
        except errors.NotFound:
            return None

    def mounted(self) -> dict[str, tuple[str, ...]]:
        with translated("containers"):
            rows = self._api.containers(all=True)
        return translate.mounted(rows)

    def images(self) -> dict[str, str]:
        with translated("images"):
            rows = self._api.images()
        found = {row["Id"]: row["Id"] for row in rows}
        for row in rows:
            for name in [*(row.get("RepoTags") or []), *(row.get("RepoDigests") or [])]:
                if not name.startswith("<none>"):
                    found[translate.full_reference(name)] = row["Id"]
        return found

    def image(self, reference: str) -> str:
        try:
            with translated(f"image {reference}"):
                return str(self._api.image_raw(reference)["Id"])
        except errors.NotFound:
            return ""

    def digests(self, image_id: str) -> tuple[str, ...]:
        with translated(f"image {image_id}"):
            found = self._api.image_raw(image_id).get("RepoDigests") or []
        return tuple(translate.full_reference(name) for name in found if not name.startswith("<none>"))

    def platform(self, image: str) -> str:
        with translated(f"image {image[:19]}"):
            found = self._api.image_raw(image)
        return "/".join(found[key] for key in ("Os", "Architecture", "Variant") if found.get(key))

    def pull(self, image: str, platform: str) -> PullStream:
        return PullStream(image, platform, self._api.open_pull, lambda: translated(f"image {image}"))

    def ask(self, image: str) -> str:
        credentials = find(registry_of(image))
        with translated(f"image {image}"):
            try:
                return self._api.ask_registry(image, credentials.header)
            except sdk.APIError as error:
                raise explained(image, explanation(error), credentials) from error
            except requests.exceptions.ReadTimeout as error:
                raise explained(image, f"i/o timeout after {READ_TIMEOUT} s", credentials) from error

    def create(self, name: str, body: Mapping[str, Any], platform: str) -> str:
        with translated(f"container {name}"):
            return self._api.create_raw(name, body, platform)

    def start(self, container: str) -> None:
        try:
            with translated(f"container {container[:12]}"):
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
        with contextlib.suppress(errors.NotFound), translated(f"container {container[:12]}"):
            self._api.stop_raw(container, max(0, round(grace / 1e9)))

    def remove(self, container: str) -> None:
        with contextlib.suppress(errors.NotFound), translated(f"container {container[:12]}"):
            self._api.remove_container(container, v=False, force=False)

    def unpause(self, container: str) -> None:
        with translated(f"container {container[:12]}"):
            self._api.unpause(container)

    def rename(self, container: str, name: str) -> None:
        with translated(f"container {container[:12]}"):
            self._api.rename(container, name)

    def update(self, container: str, body: Mapping[str, Any]) -> None:
        try:
            with translated(f"container {container[:12]}"):
                self._api.update_raw(container, body)
        except (errors.NotFound, errors.EngineUnreachable):
            raise
        except errors.EngineError as error:
            raise errors.UpdateRefused(error.message) from error

    def connect(self, network: str, container: str, aliases: tuple[str, ...]) -> None:
        with translated(f"network {network[:12]}"):
            self._api.connect_container_to_network(container, network, aliases=list(aliases))

    def create_network(self, name: str, labels: Mapping[str, str], subnet: str) -> str:
        pool = IPAMPool(subnet=subnet)
        with translated(f"network {name}"):
            found = self._api.create_network(
                name, driver="bridge", labels=dict(labels), check_duplicate=True, ipam=IPAMConfig(pool_configs=[pool])
            )
        return str(found["Id"])

    def remove_network(self, network: str) -> None:
        with contextlib.suppress(errors.NotFound), translated(f"network {network[:12]}"):
            self._api.remove_network(network)

    def create_volume(self, volume: NamedVolume, labels: Mapping[str, str]) -> Volume:
        options = dict(volume.driver_opts) or None
        with translated(f"volume {volume.name}"):
            made = self._api.create_volume(volume.name, driver=volume.driver, driver_opts=options, labels=dict(labels))
        return translate.volume(made)

    def remove_volume(self, name: str) -> None:
        with contextlib.suppress(errors.NotFound), translated(f"volume {name}"):
            self._api.remove_volume(name)

    def taken_subnets(self) -> list[str]:
        return ports.host_subnets(Path("/proc/net/route"), Path("/etc/resolv.conf"))

    def changes(self) -> Iterator[None]:
        with translated("events"):
            for _ in self._api.event_stream(_EVENTS):
                yield None
        raise errors.EngineUnreachable("the engine's events ended")

    def logs(self, container: str, *, follow: bool, tail: int | None, since: float | None, timestamps: bool) -> Frames:
        api = Api(version=self._api.api_version, timeout=READ_TIMEOUT, **self._settings)
        what = f"container {container[:12]}"
        try:
            with translated(what):
                response, terminal = api.open_logs(container, follow, tail, since, timestamps)
        except errors.LbError:
            api.close()
            raise
        return Frames(response, terminal, api.close, lambda: translated(what))

    def close(self) -> None:
        self._api.close()
