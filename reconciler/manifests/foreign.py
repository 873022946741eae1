"""Keys of other tools, and keys of ours that this version has not learned: the answer is what to write. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ..model.desired import POLICY_DENIED

# Where a key of another tool is found → what to write here.
_FOREIGN = {
    # Docker Compose
    "environment": "write env: instead of environment:",
    "mem_limit": "write memory: 64 (MiB) or memory: 64m instead of mem_limit:",
    "memswap_limit": "remove memswap_limit: swap is as much as memory:",
    "resources": "write memory: and cpus: under spec: instead of resources:",
    "limits": "write memory: and cpus: under spec: instead of limits:",
    "reservations": "write mem_reservation: under spec: instead of reservations:",
    "pids": "write pids_limit: instead of pids:",
    "deploy": "write replicas:, memory: and update: under spec: instead of deploy:",
    "scale": "write replicas: instead of scale:",
    "container_name": "remove container_name: names are <namespace>.<service>.<n>-<attempt>",
    "workdir": "write working_dir: instead of workdir:",
    "links": "remove links: services of a namespace find each other by name",
    "external_links": "remove external_links: write networks: [NAMESPACE] to join the network of another namespace",
    "aliases": "remove aliases: a service is found as NAME and NAME.NAMESPACE",
    "ipv4_address": "remove ipv4_address: services find each other by name",
    "expose": "remove expose: services of a namespace reach every port of each other",
    "build": "write image: instead of build: lb runs images, it does not build them",
    "restart_policy": "write restart: unless-stopped instead of restart_policy:",
    "mounts": "write volumes: instead of mounts:",
    "tmpfs": "write volumes: [{type: tmpfs, target: /run}] instead of tmpfs:",
    "configs": "write volumes: [./FILE:/path:ro] instead of configs: a file of the source is mounted by its content",
    "file": "remove file: a secret is a file of the host, /etc/lb/secrets/<namespace>/<name>",
    "create_host_path": "remove create_host_path: a missing source is an error, never created",
    "propagation": "remove propagation: mounts are private",
    "consistency": "remove consistency: it means nothing on Linux",
    "subpath": "is not supported: mount the whole volume",
    "log_driver": "write logging: {driver: NAME} instead of log_driver:",
    "log_opt": "write logging: {options: {...}} instead of log_opt:",
    "published": "write external: instead of published:",
    "host_port": "write external: instead of host_port:",
    "container_port": "write internal: instead of container_port:",
    "services": "write one document for each service, with apiVersion: lb/v1 and kind: Service",
    "version": "write apiVersion: lb/v1 instead of version:",
    "profiles": "remove profiles: what is not to run has replicas: 0, or is not in the source",
    "extends": "write template: NAME instead of extends:, and the template into lb.yaml",
    "order_by": "write order: instead of order_by:",
    "failure_action": "write on_failure: instead of failure_action:",
    "delay": "write min_ready: instead of delay:",
    "volumes_from": "write the volumes: themselves instead of volumes_from:",
    "dns_search": "is not supported: write whole names",
    "domainname": "write hostname: NAME.DOMAIN instead of domainname:",
    "gpus": "write devices: instead of gpus:",
    "label_file": "write labels: instead of label_file:",
    "attach": "remove attach: lb logs shows every service's",
    "blkio_config": "is not supported: memory:, cpus: and pids_limit: limit a service",
    "cpu_quota": "write cpus: 0.5 instead of cpu_quota:",
    "cpu_period": "write cpus: 0.5 instead of cpu_period:",
    "cpu_count": "write cpus: instead of cpu_count:",
    "cpu_percent": "write cpus: instead of cpu_percent:",
    "cpu_shares": "is not supported: write cpus:, a limit instead of a weight",
    "cpuset": "is not supported: write cpus:, how much instead of which",
    "cpu_rt_period": "is not supported; remove it",
    "cpu_rt_runtime": "is not supported; remove it",
    "mem_swappiness": "is not supported; remove it",
    "oom_kill_disable": "is not supported; remove it",
    "oom_score_adj": "is not supported; remove it",
    "mac_address": "is not supported; remove it",
    "storage_opt": "is not supported; remove it",
    "dns_opt": "is not supported; write dns:",
    "isolation": "remove isolation: it means nothing on Linux",
    "develop": "remove develop: lb runs images, it does not build them",
    "provider": "is not supported: lb runs images",
    "post_start": "write a service of its own with restart: no, and depends_on: {NAME: {condition: healthy}}",
    "pre_stop": "is not supported: the process is told by stop_signal: and given stop_grace_period:",
    "use_api_socket": "write volumes: [/var/run/docker.sock:/var/run/docker.sock], where the host's policy allows it",
    "update_config": "write update: instead of update_config:",
    "rollback_config": "write update: {on_failure: rollback} instead of rollback_config:",
    "required": "remove required: what a service depends on is in the source",
    "max_failure_ratio": "remove max_failure_ratio: a revision fails with its first replica",
    "placement": "write hosts: under meta: instead of placement:",
    "endpoint_mode": "remove endpoint_mode: services find each other by name, each replica in turn",
    # What the Docker API, Nomad and others call it
    "memory_limit": "write memory: instead of memory_limit:",
    "cpu_limit": "write cpus: instead of cpu_limit:",
    "cpu": "write cpus: 0.5 instead of cpu:",
    "mem": "write memory: instead of mem:",
    "count": "write replicas: instead of count:",
    "stop_timeout": "write stop_grace_period: 10s instead of stop_timeout:",
    "autostart": "write restart: unless-stopped instead of autostart:",
    "dockerfile": "write image: instead of dockerfile: lb runs images, it does not build them",
    # Kubernetes
    "metadata": "write meta: instead of metadata:",
    "annotations": "write labels: instead of annotations:",
    "args": "write command: instead of args:",
    "cmd": "write command: instead of cmd:",
    "containers": "write image:, command: and the rest directly under spec: a service has one container",
    "initContainers": "write a service of its own with restart: no, and depends_on: {NAME: {condition: completed}}",
    "imagePullPolicy": "write pull_policy: instead of imagePullPolicy:",
    "imagePullSecrets": "remove imagePullSecrets: credentials come from docker login",
    "restartPolicy": "write restart: unless-stopped instead of restartPolicy:",
    "livenessProbe": "write healthcheck: instead of livenessProbe:",
    "readinessProbe": "write healthcheck: instead of readinessProbe:",
    "startupProbe": "write healthcheck: {start_period: 30s} instead of startupProbe:",
    "volumeMounts": "write volumes: instead of volumeMounts:",
    "envFrom": "write env_file: instead of envFrom:",
    "requests": "write mem_reservation: under spec: instead of requests:",
    "securityContext": "write user:, read_only:, cap_drop: and so on under spec: instead of securityContext:",
    "runAsUser": "write user: instead of runAsUser:",
    "runAsGroup": "write user: UID:GID instead of runAsGroup:",
    "readOnlyRootFilesystem": "write read_only: instead of readOnlyRootFilesystem:",
    "workingDir": "write working_dir: instead of workingDir:",
    "hostNetwork": "write network_mode: host instead of hostNetwork:",
    "hostAliases": "write extra_hosts: instead of hostAliases:",
    "dnsConfig": "write dns: instead of dnsConfig:",
    "containerPort": "write internal: instead of containerPort:",
    "hostPort": "write external: instead of hostPort:",
    "targetPort": "write internal: instead of targetPort:",
    "strategy": "write update: instead of strategy:",
    "selector": "remove selector: a service names its own containers",
    "stopGracePeriod": "write stop_grace_period: instead of stopGracePeriod:",
    "minReadySeconds": "write update: {min_ready: 5s} instead of minReadySeconds:",
    "maxSurge": "write update: {parallelism: 1} instead of maxSurge:",
    "maxUnavailable": "write update: {parallelism: 1} instead of maxUnavailable:",
    "progressDeadlineSeconds": "write update: {timeout: 60s} instead of progressDeadlineSeconds:",
    "revisionHistoryLimit": "remove revisionHistoryLimit: `lb history` shows all revisions",
    "nodeSelector": "write hosts: under meta: instead of nodeSelector:",
    "nodeName": "write hosts: under meta: instead of nodeName:",
    "affinity": "write hosts: under meta: instead of affinity:",
    "serviceAccountName": "remove serviceAccountName: a container has no account here",
    "terminationGracePeriodSeconds": "write stop_grace_period: 10s instead of terminationGracePeriodSeconds:",
}
_INSTEAD = {
    ("ports", "target"): "write internal: instead of target:",
    ("ports", "mode"): "remove mode: a port is published on this host",
    ("meta", "id"): "remove id: lb gives the ids",
    ("spec", "hosts"): "write hosts: under meta:",
    ("volumes", "bind"): "remove bind: a missing source is an error, never created",
    ("secrets", "uid"): "remove uid: every process of the container can read it",
    ("secrets", "gid"): "remove gid: every process of the container can read it",
    ("secrets", "mode"): "remove mode: every process of the container can read it",
    ("spec", "runtime"): "is not supported: containers run on the engine's default runtime",
    ("healthcheck", "start_interval"): "is not supported: write interval:",
}
_DOCUMENT = {  # of a Compose file
    "name": "write name: in lb.yaml; each document has its own under meta:",
    "volumes": "remove volumes: one is made when a service mounts it; options stand under a Namespace's spec:",
    "networks": "remove networks: each namespace is one; join another's with share_with: and networks:",
    "secrets": "remove secrets: a secret is a file of the host, /etc/lb/secrets/<namespace>/<name>",
    "include": "remove include: every .yaml file of the folder is read",
    "models": "is not supported; remove it",
}
_NOT_YET = {"runtime"}
# Refused because it hands the host to the container, and no policy allows it.
DANGEROUS = {
    "pid", "ipc", "uts", "userns_mode", "cgroup", "cgroup_parent", "device_cgroup_rules", "volume_driver",
    "credential_spec",
}  # fmt: skip
_HOST_SIDE = {
    "policy", "secrets", "sources", "registries", "notify", "listen", "token_file", "network_pool", "state", "host",
}  # fmt: skip
MANY = 16  # fields that nobody wants to read in one line


def advice(parent: str, key: str, known: Iterable[str]) -> str:
    """What to write instead of `key`, found under `parent` ("" for the document itself)."""
    known = sorted(known)
    if (parent, key) in _INSTEAD:
        return _INSTEAD[parent, key]
    if parent == "lb.yaml" and key in _HOST_SIDE:
        return "belongs into the host's own /etc/lb/host.yaml: a repository does not decide it"
    if parent == "" and "apiVersion" in known and key in _DOCUMENT:
        return _DOCUMENT[key]
    if key.startswith("x-"):
        return f"remove {key}: what services have in common is a template in lb.yaml"
    if key in DANGEROUS:
        return "is refused: it hands the host to the container; remove it"
    if key in _FOREIGN:
        return _FOREIGN[key]
    if key in _NOT_YET:
        return "is not yet supported by this version"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"there is no field {key}; did you mean {near[0]}?"
    if len(known) > MANY:
        return f"there is no field {key}; `lb schema` prints those that there are"
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
    ("network_mode", "bridge"): "remove network_mode: bridge, a service is in its namespace's network",
    ("logging", "none"): "write logging: {driver: none}",
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
    if field == "network_mode" and isinstance(value, str) and value.partition(":")[0] in ("service", "container"):
        return "another container's network can't be shared; services of a namespace find each other by name"
    if isinstance(field, str) and isinstance(value, (str, bool)):
        return _VALUES.get((field, value), "")
    return ""


def code(key: str) -> str:
    """The code of a problem with this key: the reference's where it has one."""
    return POLICY_DENIED if key in DANGEROUS else "BAD_PARAMETER"
