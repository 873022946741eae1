"""Every field and every form of it is taken, tried on an engine, and every key of another tool is answered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import manifests, schema
from reconciler.manifests import foreign
from reconciler.model import Desired

TESTS = Path(__file__).parents[1] / "e2e"
SPEC = schema.load("manifest")["$defs"]["spec"]["properties"]
LB = {"hosts": {"nas1": {}, "edge-1": {}}, "templates": {"web": {"memory": 64}}}


def load(*documents: dict[str, Any]) -> Desired:
    """Whatever may be referred to is there: services redis and db, namespaces shop and data, files, a template."""
    around = [
        {"kind": "Namespace", "meta": {"name": "demo"}},
        {"kind": "Namespace", "meta": {"name": "shop"}, "spec": {"share_with": ["demo"]}},
        *(service({}, name) for name in ("redis", "db")),
        service({}, "redis", "shop"),
    ]
    mine = {(d["kind"], d["meta"]["name"], d["meta"].get("namespace")) for d in documents}
    rest = [d for d in around if (d["kind"], d["meta"]["name"], d["meta"].get("namespace")) not in mine]
    text = "\n---\n".join(json.dumps({"apiVersion": "lb/v1", **d}) for d in [*documents, *rest])
    settings, problems = manifests.settings("lb.yaml", json.dumps(LB).encode())
    assert problems == []
    return manifests.load(
        {"all.yaml": text.encode()}, source="s", root="/s", settings=settings, variables={}, host="nas1",
        trees=lambda path: ("ab" * 32, ""), texts=lambda path: ("A=1\n", ""),
    )  # fmt: skip


def service(spec: dict[str, Any], name: str = "web", namespace: str = "demo", **meta: Any) -> dict[str, Any]:
    return {
        "kind": "Service",
        "meta": {"name": name, "namespace": namespace, **meta},
        "spec": {"image": "redis:7.0", **spec},
    }


def examples(properties: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for field, inner in properties.items():
        yield from ((field, example) for example in inner["examples"])


@pytest.mark.parametrize(("field", "example"), list(examples(SPEC)), ids=lambda value: str(value)[:40])
def test_what_the_schema_shows_is_taken(field: str, example: Any) -> None:
    found = load(service({field: example}))
    assert [str(problem) for problem in found.problems] == []


FORMS: dict[str, list[Any]] = {
    "replicas": [0, 1],
    "memory": [6, 64, "64m", "64Mi", "1g", "64MB"],
    "mem_reservation": ["32m"],
    "cpus": [1, 0.5, "0.5"],
    "pids_limit": [100, -1],
    "shm_size": ["64m", 65536],
    "ulimits": [{"nofile": 1024}, {"nofile": {"soft": 1, "hard": 2}}],
    "sysctls": [{"net.core.somaxconn": 1}, ["net.core.somaxconn=1"]],
    "entrypoint": ["/bin/sh", ["/bin/sh", "-c"]],
    "command": ["sleep 1", ["sleep", "1"]],
    "env": [{"A": "1", "B": 2, "C": True}, ["A=1", "B="]],
    "env_file": ["./a.env", ["./a.env", {"path": "./b.env", "required": False}]],
    "ports": [
        [80], ["80"], ["8080:80"], ["127.0.0.1:8080:80"], ["53:53/udp"], ["127.0.0.1::80"],
        [{"internal": 80}, {"internal": 81, "external": 8081, "host_ip": "127.0.0.1", "protocol": "tcp"}],
    ],
    "volumes": [
        ["data:/data"], ["data:/data:ro"], ["./conf:/etc/x:ro"], ["/srv/media:/media"], ["../up:/up:ro"],
        [{"type": "volume", "source": "data", "target": "/data", "volume": {"nocopy": True}}],
        [{"type": "bind", "source": "./conf", "target": "/etc/x", "read_only": True}],
        [{"type": "tmpfs", "target": "/run"}],
        [{"type": "tmpfs", "target": "/run", "tmpfs": {"size": "1m", "mode": "1777"}}],
    ],
    "secrets": [["a"], [{"source": "a", "target": "b"}], [{"source": "a", "target": "/etc/b"}]],
    "network_mode": ["none", "host"],
    "extra_hosts": [["a:10.0.0.1"], {"a": "host-gateway"}],
    "dns": ["10.0.0.1", ["10.0.0.1"]],
    "healthcheck": [
        {"test": "true"}, {"test": ["CMD", "true"]}, {"test": ["CMD-SHELL", "true"]}, {"test": ["NONE"]},
        {"disable": True},
        {"test": "true", "interval": "1s", "timeout": "1s", "start_period": "1s", "retries": 1},
    ],
    "depends_on": [
        ["redis"], ["shop/redis"], {"redis": {"condition": "started"}}, {"redis": {"condition": "healthy"}},
        {"db": {"condition": "completed"}}, {"shop/redis": {"condition": "healthy"}},
    ],
    "restart": ["no", "always", "unless-stopped", "on-failure", "on-failure:3"],
    "pull_policy": ["missing", "always", "never"],
    "stop_grace_period": ["10s", "1m30s", "500ms"],
    "user": ["www", 1000, "1000:1000"],
    "group_add": [["video", 44]],
    "cap_add": [["NET_ADMIN"], ["CAP_NET_ADMIN"], ["net_admin"]],
    "cap_drop": [["ALL"]],
    "security_opt": [["no-new-privileges:true"], ["no-new-privileges"], ["apparmor=x"], ["seccomp=unconfined"]],
    "devices": [["/dev/a"], ["/dev/a:/dev/b"], ["/dev/a:/dev/b:rwm"]],
    "logging": [{"driver": "json-file"}, {"options": {"max-size": "1m", "max-file": 3}}],
    "labels": [{"a": "b", "c": 1, "d": None}, ["a=b", "c"]],
    "update": [
        {"order": "auto"}, {"order": "start-first"}, {"order": "stop-first"}, {"on_failure": "rollback"},
        {"on_failure": "stop"}, {"parallelism": 2, "min_ready": "0s", "timeout": "1m", "monitor": "30s"},
    ],
    "drift": [{"mode": "report"}, {"mode": "heal", "ignore": ["memory", "image"]}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "form"), [(field, form) for field, forms in FORMS.items() for form in forms], ids=lambda v: str(v)[:50]
)
def test_every_form_is_taken(field: str, form: Any) -> None:
    found = load(service({field: form}))
    assert [str(problem) for problem in found.problems] == []


def test_no_field_is_left_out_of_the_forms() -> None:
    """Those that have one form alone are in the schema's examples."""
    one = {"image", "platform", "working_dir", "networks", "hostname", "stop_signal", "init", "tty", "stdin_open",
           "read_only", "privileged", "template"}  # fmt: skip
    assert set(SPEC) == one | FORMS.keys() and not one & FORMS.keys()


@pytest.mark.parametrize(
    "meta",
    [
        {"description": "x"}, {"labels": {"a": "b"}}, {"protect": True}, {"hosts": ["nas1"]},
        {"hosts": ["nas1", "edge-*"]},
    ],
    ids=str,
)  # fmt: skip
def test_every_field_of_meta_is_taken(meta: dict[str, Any]) -> None:
    space = {"kind": "Namespace", "meta": {"name": "demo", **meta}}
    assert [str(problem) for problem in load(space, service({}, **meta)).problems] == []


@pytest.mark.parametrize(
    "volume", [{}, None, {"external": True}, {"external": True, "name": "x"}, {"driver": "local"},
               {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}}], ids=str
)  # fmt: skip
def test_every_form_of_a_volume_is_taken(volume: Any) -> None:
    space = {"kind": "Namespace", "meta": {"name": "demo"}, "spec": {"volumes": {"data": volume}}}
    assert [str(problem) for problem in load(space, service({"volumes": ["data:/data"]})).problems] == []


@pytest.mark.parametrize("field", SPEC)
def test_every_field_is_tried_on_an_engine(field: str) -> None:
    text = "".join(path.read_text() for path in TESTS.glob("test_*.py"))
    assert re.search(rf'\b{field}=|"{field}": ', text), f"no test in tests/e2e writes {field}"


OTHERS = [
    "metadata", "environment", "mem_limit", "workdir", "containers", "initContainers", "resources", "limits",
    "requests", "livenessProbe", "readinessProbe", "startupProbe", "imagePullPolicy", "imagePullSecrets",
    "volumeMounts", "envFrom", "securityContext", "restartPolicy", "strategy", "selector", "hostNetwork",
    "nodeSelector", "nodeName", "affinity", "serviceAccountName", "minReadySeconds", "maxSurge", "maxUnavailable",
    "progressDeadlineSeconds", "revisionHistoryLimit", "terminationGracePeriodSeconds", "args", "cmd", "count", "cpu",
    "mem", "memory_limit", "cpu_limit", "stop_timeout", "autostart", "dockerfile", "placement", "endpoint_mode",
]  # fmt: skip


@pytest.mark.parametrize("key", OTHERS)
def test_a_key_of_another_tool_gets_the_line_to_write(key: str) -> None:
    (problem,) = load(service({key: 1})).problems
    assert re.match("(write|remove) ", problem.message) and problem.path == f"spec.{key}", problem
    assert problem.message == foreign.advice("spec", key, SPEC)


@pytest.mark.parametrize("condition", ["service_started", "service_healthy", "service_completed_successfully"])
def test_conditions_of_compose_get_the_line_to_write(condition: str) -> None:
    (problem,) = load(service({"depends_on": {"redis": {"condition": condition}}})).problems
    assert problem.message.startswith("write condition: ") and condition in problem.message
