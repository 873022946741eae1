"""A field that nothing follows is like one that is not there; what stands in a map of the author's is not."""

from __future__ import annotations

import pytest

from reconciler import manifests
from reconciler.model import Desired, Ref, Spec

NAMESPACE = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo, description: }\nspec:\n"
HEAD = "apiVersion: lb/v1\nkind: Service\nmeta: {name: web, namespace: demo, labels: }\nspec:\n"


def load(spec: str) -> Desired:
    text = HEAD + "".join(f"  {line}\n" for line in spec.splitlines())
    return manifests.load(
        {"namespace.yaml": NAMESPACE.encode(), "web.yaml": text.encode()}, source="s", root="/s",
        settings=manifests.Settings({}), variables={}, trees=lambda path: ("", "does not exist"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "field",
    [
        "pull_policy",
        "replicas",
        "memory",
        "cpus",
        "entrypoint",
        "command",
        "env",
        "ports",
        "volumes",
        "healthcheck",
        "depends_on",
        "restart",
        "stop_signal",
        "stop_grace_period",
        "update",
        "platform",
        "mem_reservation",
        "pids_limit",
        "shm_size",
        "ulimits",
        "sysctls",
        "working_dir",
        "user",
        "group_add",
        "env_file",
        "secrets",
        "networks",
        "network_mode",
        "extra_hosts",
        "dns",
        "hostname",
        "init",
        "tty",
        "stdin_open",
        "read_only",
        "cap_add",
        "cap_drop",
        "security_opt",
        "privileged",
        "devices",
        "logging",
        "labels",
    ],
)
def test_an_empty_field_is_unset(field: str) -> None:
    found = load(f"image: redis:7.0\n{field}:")
    assert not found.problems
    service = found.services[Ref("demo", "web")]
    assert service.spec == Spec("docker.io/library/redis:7.0")
    assert service.written == {"image": "redis:7.0"} and field not in service.shown


def test_an_empty_field_of_a_field_is_unset() -> None:
    found = load("image: redis:7.0\nupdate: {order: , timeout: }\nhealthcheck: {test: 'true', interval: }")
    assert not found.problems


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", 'web.yaml:4:6: spec: is missing; write spec: {"image": "redis:7.0"}'),
        ("image:", "web.yaml:5:9: spec.image: is missing; write image: redis:7.0"),
        ("image: a\nenvironment:", "web.yaml:6:3: spec.environment: write env: instead of environment:"),
        ("image: a\nimge:", "web.yaml:6:3: spec.imge: there is no field imge; did you mean image?"),
        ("image: a\nenv: {memory: }", "web.yaml:6:17: spec.env.memory: has no value; write one, or remove the key"),
    ],
)
def test_what_is_needed_or_unknown_or_of_the_author_is_told(spec: str, expected: str) -> None:
    assert [str(problem) for problem in load(spec).problems] == [expected]
