"""What engines say of registries, in their own words, and what is made of it."""

from __future__ import annotations

import pytest

from reconciler.runtimes.credentials import Credentials
from reconciler.runtimes.refusals import explained

NONE = Credentials("", "/c.json has none for it")
SOME = Credentials("e30=", "/c.json")
APP = "reg.example/team/app:1"
CANNOT = f"image {APP} can't be pulled: "


def text(said: str, credentials: Credentials = NONE, image: str = APP) -> str:
    error = explained(image, said, credentials)
    return f"{error.message}: {error.hint}" if error.hint else error.message


@pytest.mark.parametrize(
    "said",
    [
        "manifest for reg.example/team/app:1 not found: manifest unknown: manifest unknown",
        "manifest unknown: manifest unknown",
        "name unknown: repository name not known to registry",
        'failed to resolve reference "reg.example/team/app:1": reg.example/team/app:1: not found',
    ],
)
def test_absent(said: str) -> None:
    assert text(said) == f"image {APP} is not in the registry: check the name and tag"


def test_absent_by_digest() -> None:
    said = "manifest for reg.example/app@sha256:0 not found: manifest unknown: manifest unknown"
    wanted = "is not in the registry: check the name and digest; it may have been removed there"
    assert text(said, image="reg.example/app@sha256:0") == f"image reg.example/app@sha256:0 {wanted}"


@pytest.mark.parametrize(
    "said",
    [
        'Head "http://reg.example/v2/team/app/manifests/1": no basic auth credentials',
        "unauthorized: authentication required",
        "unauthorized: incorrect username or password",
        "denied: requested access to the resource is denied",
        "denied",
        'failed to resolve reference "reg.example/team/app:1": pull access denied',
        "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
        "unexpected status from HEAD request to https://reg.example/v2/team/app/manifests/1: 403 Forbidden",
    ],
)
def test_denied(said: str) -> None:
    wanted = CANNOT + "registry reg.example wants credentials, and /c.json has none for it: docker login reg.example"
    assert text(said) == wanted
    assert text(said, SOME) == (
        CANNOT + "registry reg.example refuses the credentials from /c.json: docker login reg.example"
    )


def test_a_hub_that_does_not_say_which() -> None:
    said = (
        "pull access denied for nobody/none, repository does not exist or may require 'docker login': denied: "
        "requested access to the resource is denied"
    )
    assert text(said, image="docker.io/nobody/none:1") == (
        "image docker.io/nobody/none:1 can't be pulled: registry docker.io has none of that name, or wants "
        "credentials, and /c.json has none for it: check the name, or docker login docker.io"
    )


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("toomanyrequests: Slow down", "limits how often it is asked (toomanyrequests: Slow down): wait, or `docker"),
        ("error parsing HTTP 429 response body: invalid", "limits how often it is asked"),
        ("received unexpected HTTP status: 502 Bad Gateway", "is in trouble (received"),
        ("dial tcp: lookup reg.example on 10.0.0.1:53: no such host", "does not answer (dial"),
        ("dial tcp 10.0.0.9:403: connect: connection refused", "does not answer (dial"),
        ("dial tcp 10.0.0.9:5000: i/o timeout", "does not answer (dial"),
        ("net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
         "does not answer (net"),
        ("net/http: TLS handshake timeout", "does not answer (net"),
        ('Get "https://reg.example/v2/": EOF', "does not answer (Get"),
        ("http: server gave HTTP response to HTTPS client", "speaks plain HTTP: serve HTTPS there, or add"),
        ("x509: certificate signed by unknown authority", "signed by unknown authority): put its CA"),
        ("unexpected EOF", "broke off (unexpected EOF)"),
        ("filesystem layer verification failed for digest sha256:0", "can't be pulled: filesystem layer verification"),
        ("error pulling image configuration: unknown blob", "lacks a part of it"),
        ("write /var/lib/docker/tmp/x: no space left on device", "the engine's disk is full (write"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries: not found",
         "there is none for this engine's platform (no matching"),
    ],
)  # fmt: skip
def test_everything_else(said: str, wanted: str) -> None:
    assert text(said).startswith(CANNOT) and wanted in text(said)


def test_a_limit_is_no_reason_to_log_in_twice() -> None:
    assert text("toomanyrequests: x", SOME).endswith("(toomanyrequests: x): wait")
