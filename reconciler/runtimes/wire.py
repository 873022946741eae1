"""The requests that the SDK lacks, or whose answers it changes, and its errors as ours. Decides nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import requests
from docker import errors as sdk

from .. import errors

READ_TIMEOUT = 60  # seconds; stop, pull and logs have limits of their own


class Api(docker.APIClient):
    """`_raw` because the SDK's types do not know its helpers."""

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

    def open_pull(self, repository: str, tag: str, platform: str, credentials: str) -> requests.Response:
        """The answer, its body not read yet; it begins when the engine has something to say, and has no time-out."""
        url, params = self._raw._url("/images/create"), {"fromImage": repository, "tag": tag}
        if platform:
            params["platform"] = platform
        headers = {"X-Registry-Auth": credentials} if credentials else {}
        response: requests.Response = self._raw._post(
            url, params=params, headers=headers, stream=True, timeout=(READ_TIMEOUT, None)
        )
        self._raw._raise_for_status(response)
        return response

    def ask_registry(self, image: str, credentials: str) -> str:
        url = self._raw._url("/distribution/{0}/json", image)
        headers = {"X-Registry-Auth": credentials} if credentials else {}
        return str(self._raw._result(self._raw._get(url, headers=headers), True)["Descriptor"]["digest"])

    def create_raw(self, name: str, body: Mapping[str, Any], platform: str) -> str:
        return str(self._raw.create_container_from_config(dict(body), name, platform or None)["Id"])

    def open_logs(
        self, container: str, follow: bool, tail: int | None, since: float | None, timestamps: bool
    ) -> tuple[requests.Response, bool]:
        """The answer, its body not read yet, and whether it comes from a terminal; the SDK's `logs` merges streams."""
        terminal = bool(self._raw._check_is_tty(container))
        params = {
            "stdout": 1,
            "stderr": 1,
            "follow": int(follow),
            "timestamps": int(timestamps),
            "tail": "all" if tail is None else str(tail),
            "since": f"{since:.9f}" if since is not None else "0",
        }
        url = self._raw._url("/containers/{0}/logs", container)
        response = self._raw._get(url, params=params, stream=True, timeout=None if follow else READ_TIMEOUT)
        self._raw._raise_for_status(response)
        return response, terminal


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """The SDK's errors become ours, once, here."""
    try:
        yield
    except sdk.NotFound as error:
        raise errors.NotFound(f"{what}: {explanation(error)}") from error
    except sdk.APIError as error:
        text = explanation(error)
        if error.status_code == 409 and "already in use by container" in text:
            raise errors.NameConflict(f"{what}: {text}", hint="remove or rename that container") from error
        passing = error.status_code == 409 or "is ambiguous" in text  # a network made twice: one of them goes
        if error.is_client_error() and not passing:
            raise errors.Rejected(f"{what}: {text}") from error
        raise errors.EngineError(f"{what}: {text}") from error
    except (sdk.DockerException, requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise errors.EngineUnreachable(
            f"no Docker Engine answers: {_root(error)}", hint="start it, or set DOCKER_HOST or `docker context use`"
        ) from error
    except (requests.exceptions.RequestException, json.JSONDecodeError) as error:
        raise errors.EngineError(f"{what}: the engine's answer broke off: {_short(error)}") from error


def explanation(error: sdk.APIError) -> str:
    return str(error.explanation or error).strip()


def _root(error: Exception) -> str:
    """What the system said, out of the errors that the libraries wrapped around it."""
    inner: BaseException | None = error
    while inner:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return _short(error)


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) < 200 else text[:197] + "..."
