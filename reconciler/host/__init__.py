"""This host: what its host.yaml says, and what that means for services that are to run on it.

`judge` takes a source's desired state and gives it back as far as this host lets it be: paths of the host resolved
against the source, secrets looked up, and what the policy denies left out, with a problem each. `Host` is the warden
that the runtime asks again for every container, because links may have changed since.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import policy, secrets
from ..model import Desired, Problem, Revision, Service
from ..model.desired import POLICY_DENIED
from ..policy import Denial, Request
from ..runtime import named_volume
from ..runtimes import body
from ..runtimes.subnets import Pool
from . import paths, settings
from .settings import HostError, Settings, state

__all__ = ["Host", "HostError", "judge", "read", "state"]
_FILES = "/lb"  # stands for the folder of the snapshots: nothing is made here, only judged


@dataclass(frozen=True, slots=True)
class Host:
    """`endpoint` is where the engine answers, as DOCKER_HOST has it."""

    settings: Settings
    endpoint: str = ""

    @property
    def file(self) -> str:
        return self.settings.file

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def pool(self) -> Pool:
        return self.settings.pool

    @property
    def registries(self) -> Mapping[str, Path]:
        return self.settings.registries

    def at(self, endpoint: str) -> Host:
        return replace(self, endpoint=endpoint)

    def admit(self, request: Request) -> tuple[Mapping[str, Any], tuple[Denial, ...]]:
        found = {path: paths.look(path, self.endpoint) for path in policy.paths(request)}
        denials = policy.denials(request, self.settings.policy, found)
        return (request.body if denials else policy.resolved(request, found)), denials


def read(file: Path | None) -> Host:
    """`file` None is the usual one, which need not be there. Raises HostError."""
    return Host(settings.read(file), os.environ.get("DOCKER_HOST", ""))


def judge(desired: Desired, host: Host, *, with_secrets: bool = True) -> Desired:
    """`with_secrets` False leaves secrets unlooked at, for a check where they need not be. Raises HostError when the
    host's settings lie in the source."""
    if desired.root and Path(host.file).resolve().is_relative_to(Path(desired.root).resolve()):
        raise HostError(
            f"{host.file} lies in the source {desired.root}, which must not decide what its host allows",
            hint="move it out of the source",
        )

    def remake(revision: Revision) -> Service | None:
        said = desired.remake(revision)
        return said and _judged(replace(desired, services={said.ref: said}), host, with_secrets).services.get(said.ref)

    return replace(_judged(desired, host, with_secrets), remake=remake)


def _judged(desired: Desired, host: Host, with_secrets: bool) -> Desired:
    services = dict(desired.services)
    problems: list[Problem] = []
    for ref, service in desired.services.items():
        here = _located(service, Path(desired.root))
        found = _denied(here, host)
        if with_secrets:
            here, missing = _with_secrets(here, host.settings.secrets)
            found += missing
        problems += found
        services[ref] = here
        if found:
            del services[ref]
    if not problems and services == desired.services:
        return desired
    return replace(desired, services=services, problems=tuple(sorted([*desired.problems, *problems], key=_place)))


def _place(problem: Problem) -> Any:
    return problem.place


def _located(service: Service, root: Path) -> Service:
    """With paths of the host absolute: those that are not count from the source's root."""
    mounts = tuple(
        replace(mount, source=str(root / mount.source)) if mount.kind == "host" else mount
        for mount in service.spec.mounts
    )
    return service if mounts == service.spec.mounts else replace(service, spec=replace(service.spec, mounts=mounts))


def _denied(service: Service, host: Host) -> list[Problem]:
    volumes = [named_volume(service, mount.source) for mount in service.spec.mounts if mount.kind == "volume"]
    request = body.request(service, body.create(service, {}, _FILES), _FILES, volumes)
    return [_problem(service, denial, host.file) for denial in host.admit(request)[1]]


def _problem(service: Service, denial: Denial, file: str) -> Problem:
    name = denial.field.partition(".")[0]
    place = service.places.get(denial.field, service.places.get(name, service.place))
    code = "BAD_PARAMETER" if denial.missing else POLICY_DENIED
    return Problem(place, f"spec.{name}" if name else "spec", denial.text(service, file), code, service.ref)


def _with_secrets(service: Service, folder: Path) -> tuple[Service, list[Problem]]:
    found, problems, files = [], [], {}
    for secret in service.spec.secrets:
        path = folder / service.ref.namespace / secret.name
        digest, error = secrets.digest(service.ref.namespace, secret.name, path)
        if error:
            place = service.places.get(f"secrets.{secret.name}", service.place)
            problems.append(Problem(place, "spec.secrets", error, ref=service.ref))
        found.append(replace(secret, digest=digest))
        files[digest] = str(path)
    if not found:
        return service, []
    return replace(service, spec=replace(service.spec, secrets=tuple(found)), secrets=files), problems
