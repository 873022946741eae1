"""What an engine says when a registry gives it no image becomes an error with a way out. Pure.

The texts are those of Docker Engine 20.10 to 28 and of the registries behind it; they are all that it gives.
"""

from __future__ import annotations

import re

from ..errors import ImageUnavailable
from .credentials import Credentials, registry_of

# The first that matches holds: "no matching manifest ... not found" is about the platform, not the name.
_PLATFORM = re.compile(r"no matching manifest|does not match the specified platform", re.I)
_DISK = re.compile(r"no space left on device", re.I)
_LIMITED = re.compile(r"toomanyrequests|too many requests|(http|status|code)[ :]+429", re.I)
_DENIED = re.compile(
    r"no basic auth credentials|unauthorized|authentication required|incorrect username or password|forbidden|"
    r"authorization failed|access (to the resource is |for \S+ )?denied|^denied\b|\bdenied:|"
    r"(http|status|code)[ :]+40[13]",
    re.I,
)
_ABSENT = re.compile(r"(manifest|name) unknown|repository name not known|manifest for \S+ not found|: not found$", re.I)
_PARTIAL = re.compile(r"unknown blob|blob unknown", re.I)
_PLAIN = re.compile(r"server gave HTTP response to HTTPS client", re.I)
_UNTRUSTED = re.compile(r"x509|certificate", re.I)
_CUT = re.compile(r"unexpected EOF|connection reset|broken pipe", re.I)
_SILENT = re.compile(
    r"dial (tcp|unix)|no such host|connection refused|i/o timeout|deadline exceeded|Client\.Timeout|"
    r"network is unreachable|no route to host|handshake timeout|\bEOF$",
    re.I,
)
_TROUBLED = re.compile(r"(http|status|code)[ :]+5\d\d", re.I)


def explained(image: str, said: str, credentials: Credentials) -> ImageUnavailable:
    """`said` is the engine's text about a pull, or a look, that failed with these credentials."""
    registry, said = registry_of(image), said.strip()
    cannot = f"image {image} can't be pulled"
    if _DISK.search(said):
        return ImageUnavailable(
            f"{cannot}: the engine's disk is full ({said})", hint="make room, as with `docker image prune`"
        )
    if _PLATFORM.search(said):
        return ImageUnavailable(f"{cannot}: there is none for this engine's platform ({said})")
    if _LIMITED.search(said):
        more = "wait" if credentials.header else f"wait, or `{_login(registry, credentials)}` for a higher limit"
        return ImageUnavailable(f"{cannot}: registry {registry} limits how often it is asked ({said})", hint=more)
    if _DENIED.search(said):
        return _denied(image, registry, said, credentials)
    if _ABSENT.search(said):
        pinned = "@" in image
        return ImageUnavailable(
            f"image {image} is not in the registry",
            hint="check the name and digest; it may have been removed there" if pinned else "check the name and tag",
        )
    if _PARTIAL.search(said):
        return ImageUnavailable(f"{cannot}: registry {registry} lacks a part of it ({said})", hint="push it again")
    if _PLAIN.search(said):
        hint = f"serve HTTPS there, or add {registry} to `insecure-registries` of the engine's daemon.json"
        return ImageUnavailable(f"{cannot}: registry {registry} speaks plain HTTP", hint=hint)
    if _UNTRUSTED.search(said):
        hint = f"put its CA's certificate into /etc/docker/certs.d/{registry}/ca.crt on the engine's host"
        return ImageUnavailable(f"{cannot}: the engine does not trust registry {registry} ({said})", hint=hint)
    if _CUT.search(said):
        return ImageUnavailable(f"{cannot}: the download from registry {registry} broke off ({said})")
    if _SILENT.search(said):
        return ImageUnavailable(f"{cannot}: registry {registry} does not answer ({said})")
    if _TROUBLED.search(said):
        return ImageUnavailable(f"{cannot}: registry {registry} is in trouble ({said})")
    return ImageUnavailable(f"{cannot}: {said}")


def _denied(image: str, registry: str, said: str, credentials: Credentials) -> ImageUnavailable:
    cannot, login = f"image {image} can't be pulled", _login(registry, credentials)
    if credentials.header:
        what = f"registry {registry} refuses the credentials from {credentials.origin}"
    elif "does not exist" in said:  # a hub that tells nobody which of its images are private
        what = f"registry {registry} has none of that name, or wants credentials, and {credentials.origin}"
        return ImageUnavailable(f"{cannot}: {what}", hint=f"check the name, or {login}")
    else:
        what = f"registry {registry} wants credentials, and {credentials.origin}"
    return ImageUnavailable(f"{cannot}: {what}", hint=login)


def _login(registry: str, credentials: Credentials) -> str:
    return credentials.login or f"docker login {registry}"
