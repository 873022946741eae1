"""Keys of other tools, and keys of ours that this version has not learned: the answer is what to write. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ..model.desired import POLICY_DENIED

# Where a key of another tool is found → what to write here.
_FOREIGN = {
    "metadata": "write meta: instead of metadata:",
    "environment": "write env: instead of environment:",
    "mem_limit": "write memory: 64 (MiB) or memory: 64m instead of mem_limit:",
    "resources": "write memory: and cpus: under spec: instead of resources:",
    "limits": "write memory: and cpus: under spec: instead of limits:",
    "workdir": "write working_dir: instead of workdir: (not yet supported by this version)",
    "deploy": "write replicas:, memory: and update: under spec: instead of deploy:",
    "scale": "write replicas: instead of scale:",
    "container_name": "remove container_name: names are <namespace>.<service>.<n>-<attempt>",
    "args": "write command: instead of args:",
    "cmd": "write command: instead of cmd:",
    "containers": "write image:, command: and the rest directly under spec: a service has one container",
    "links": "remove links: services of a namespace find each other by name",
    "expose": "remove expose: services of a namespace reach every port of each other",
    "build": "write image: instead of build: lb runs images, it does not build them",
    "imagePullPolicy": "write pull_policy: instead of imagePullPolicy:",
    "restart_policy": "write restart: unless-stopped instead of restart_policy:",
    "restartPolicy": "write restart: unless-stopped instead of restartPolicy:",
    "livenessProbe": "write healthcheck: instead of livenessProbe:",
    "readinessProbe": "write healthcheck: instead of readinessProbe:",
    "volumeMounts": "write volumes: instead of volumeMounts:",
    "mounts": "write volumes: instead of mounts:",
    "published": "write external: instead of published:",
    "containerPort": "write internal: instead of containerPort:",
    "hostPort": "write external: instead of hostPort:",
    "targetPort": "write internal: instead of targetPort:",
    "host_port": "write external: instead of host_port:",
    "container_port": "write internal: instead of container_port:",
    "services": "write one document for each service, with apiVersion: lb/v1 and kind: Service",
    "version": "write apiVersion: lb/v1 instead of version:",
    "order_by": "write order: instead of order_by:",
    "failure_action": "write on_failure: instead of failure_action:",
    "delay": "write min_ready: instead of delay:",
    "monitor": "is not yet supported by this version",
    "stopGracePeriod": "write stop_grace_period: instead of stopGracePeriod:",
    "terminationGracePeriodSeconds": "write stop_grace_period: 10s instead of terminationGracePeriodSeconds:",
    "mem_reservation": "is not yet supported by this version",
}
_INSTEAD = {("ports", "target"): "write internal: instead of target:", ("meta", "id"): "remove id: lb gives the ids",
            ("spec", "hosts"): "write hosts: under meta:",
            ("spec", "extends"): "write template: NAME instead of extends:, and the template into lb.yaml"}  # fmt: skip
_NOT_YET = {
    "protect", "platform", "pids_limit", "shm_size", "ulimits", "sysctls", "env_file", "secrets", "networks",
    "network_mode", "extra_hosts", "dns", "hostname", "labels", "user", "group_add", "working_dir", "read_only", "init",
    "tty", "stdin_open", "cap_add", "cap_drop", "security_opt", "privileged", "devices", "logging", "volumes",
    "share_with", "runtime", "pid", "ipc", "userns_mode", "tmpfs",
}  # fmt: skip
# Refused because it hands the host to the container; only a host's own policy may ever allow it.
DANGEROUS = {"privileged", "devices", "cap_add", "security_opt", "network_mode", "pid", "ipc", "userns_mode"}
_HOST_SIDE = {"policy", "sources", "registries", "notify", "listen", "network_pool", "state", "host"}


def advice(parent: str, key: str, known: Iterable[str]) -> str:
    """What to write instead of `key`, found under `parent` ("" for the document itself)."""
    known = sorted(known)
    if (parent, key) in _INSTEAD:
        return _INSTEAD[parent, key]
    if parent == "lb.yaml" and key in _HOST_SIDE:
        return "belongs into the host's /etc/lb/host.yaml, which this version does not read yet"
    if key in DANGEROUS:
        return "is refused: it needs the host's policy, which is not yet supported by this version"
    if key in _FOREIGN:
        return _FOREIGN[key]
    if key in _NOT_YET:
        return "is not yet supported by this version"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"there is no field {key}; did you mean {near[0]}?"
    return f"there is no field {key}; there are {', '.join(known)}" if known else f"there is no field {key}; remove it"


# (field, what other tools write there) → what to write here.
_VALUES: dict[tuple[str, str | bool], str] = {
    ("condition", "service_started"): "write condition: started instead of service_started",
    ("condition", "service_healthy"): "write condition: healthy instead of service_healthy",
    ("condition", "service_completed_successfully"):
        "write condition: completed instead of service_completed_successfully",
    ("pull_policy", "IfNotPresent"): "write pull_policy: missing instead of IfNotPresent",
    ("pull_policy", "if_not_present"): "write pull_policy: missing instead of if_not_present",
    ("pull_policy", "Always"): "write pull_policy: always instead of Always",
    ("pull_policy", "Never"): "write pull_policy: never instead of Never",
    ("pull_policy", "build"): "lb runs images, it does not build them; write pull_policy: missing",
    ("restart", "Always"): "write restart: always instead of Always",
    ("restart", "OnFailure"): "write restart: on-failure instead of OnFailure",
    ("restart", "Never"): "write restart: no instead of Never",
    ("restart", "never"): "write restart: no instead of never",
    ("restart", False): "write restart: no instead of false",
    ("on_failure", "pause"): "write on_failure: stop instead of pause",
    ("on_failure", "continue"): "write on_failure: stop instead of continue",
    ("apiVersion", "v1"): "write apiVersion: lb/v1 instead of v1",
    ("apiVersion", "apps/v1"): "write apiVersion: lb/v1 instead of apps/v1",
}  # fmt: skip
_KINDS = {"Deployment", "StatefulSet", "DaemonSet", "Pod", "ReplicaSet", "Job"}


def value_advice(path: Sequence[str | int], value: object) -> str:
    """What to write instead of a value that another tool takes at this field, "" when nothing is known."""
    field = path[-1] if path else ""
    if field == "kind" and isinstance(value, str):
        if value in _KINDS:
            return f"write kind: Service instead of {value}"
        near = difflib.get_close_matches(value.capitalize(), ["Namespace", "Service"], n=1)
        return f"there is no kind {value}; did you mean {near[0]}?" if near else ""
    if tuple(path[:2]) == ("spec", "env") and isinstance(value, dict) and isinstance(value.get("name"), str):
        return f"write {value['name']}={value.get('value', '...')} instead of name: and value:"
    if isinstance(field, str) and isinstance(value, (str, bool)):
        return _VALUES.get((field, value), "")
    return ""


def code(key: str) -> str:
    """The code of a problem with this key: the reference's where it has one."""
    return POLICY_DENIED if key in DANGEROUS else "BAD_PARAMETER"
