"""What a variable holds is never printed: not in a message, not in what is shown, stored or written again."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from reconciler import manifests, reconcile
from reconciler.errors import ImageUnavailable
from reconciler.model import Desired, Ref
from reconciler.runtime import Progress

NAMESPACE = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo}\n"
HEAD = "apiVersion: lb/v1\nkind: Service\nmeta: {name: %s, namespace: demo}\nspec:\n  image: nginx\n"
# One secret for each kind of value that a field could take it for.
VALUES = {"TEXT": "hunt/er2 X", "WORD": "hunter2", "PATH": "/hunter2", "BYTES": "77712345", "MILLI": "777m",
          "PORT": "7771", "COUNT": "777", "STARS": "***"}  # fmt: skip
WEB, API = Ref("demo", "web"), Ref("demo", "api")


def load(web: str, api: str = "", extra: str = "") -> Desired:
    body = HEAD % "web" + "".join(f"  {line}\n" for line in web.splitlines())
    if api:
        body += "---\n" + HEAD % "api" + "".join(f"  {line}\n" for line in api.splitlines())
    return manifests.load(
        {"namespace.yaml": NAMESPACE.encode(), "web.yaml": body.encode(), "x.yaml": extra.encode()},
        source="s", root="/s", settings=manifests.Settings({}), variables=VALUES,
        trees=lambda path: ("", f"{path} does not exist") if "gone" in path else ("ab" * 32, ""),
        texts=lambda path: ("hunter2", "") if "bad" in path else ("A=hunter2", ""),
    )  # fmt: skip


def leaks(text: str) -> bool:
    return "hunt" in text or "777" in text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("memory: ${TEXT}", "must be a size like 64 (MiB), 64m or 1g"),
        ("memory: ${BYTES}", "looks like bytes; a bare number counts MiB"),
        ("cpus: ${TEXT}", "must be a number of CPUs like 0.5"),
        ("cpus: ${MILLI}", "counts whole CPUs; write it without m"),
        ("replicas: ${WORD}", "must be a whole number without quotes, like 2"),
        ("pull_policy: ${WORD}", "must be one of missing, always, never"),
        ("image: '${TEXT}'", None),
        ("ports: ['${TEXT}']", "must look like 80, 8080:80, 127.0.0.1:8080:80 or 53:53/udp"),
        ("ports: ['80:80/${WORD}']", "its protocol must be tcp or udp"),
        (
            "ports: [{internal: 80, host_ip: '${WORD}'}]",
            "its address is none of a host; write something like 127.0.0.1",
        ),
        ("replicas: ${COUNT}\nports: ['8080:80']", "replicas can't share a host port; write the internal alone"),
        ("replicas: 2\nports: ['${PORT}:80']", "replicas can't share a host port; write the internal alone"),
        ("ports: ['${PORT}:80', '${PORT}:81']", "this host port is published twice here; publish another one"),
        (
            "volumes: ['${TEXT}:/x']",
            "its source is no volume's name; write something like data, or ./data for a path",
        ),
        ("volumes: ['d:${TEXT}']", "its target must be an absolute path in the container"),
        ("volumes: ['d:/d:${WORD}']", "its mode must be ro or rw"),
        ("volumes: ['a:${PATH}', 'b:${PATH}']", "its target is mounted twice; remove one"),
        ("env_file: '${PATH}'", "must be a file of the source; copy it there and write ./NAME"),
        ("env_file: './gone/${WORD}'", "can't be read: it is missing, or leads outside the source"),
        (
            "env_file: './bad/${WORD}'",
            "in this file, line 1 gives no value; write NAME=value (lb takes nothing from its own environment)",
        ),
        ("mem_reservation: ${TEXT}", None),
        ("pids_limit: ${WORD}", None),
        ("shm_size: ${COUNT}", "counts bytes; write something like 64m"),
        ("memory: 8m\nmem_reservation: ${BYTES}", "is more than memory; lower it"),
        ("ulimits: {nofile: '${WORD}'}", None),
        ("sysctls: ['=${WORD}']", None),
        ("dns: ['${WORD}']", "is no IP address; write something like 10.0.0.2"),
        ("extra_hosts: ['a:${WORD}']", "is no IP address; write something like 10.0.0.2"),
        ("extra_hosts: ['${TEXT}:10.0.0.1']", "holds no name of a host; write something like db.example"),
        ("devices: ['${WORD}']", "must look like /dev/ttyUSB0, or /dev/ttyUSB0:/dev/tty:rwm"),
        ("cap_add: ['${PORT}']", "must look like NET_ADMIN, or ALL"),
        ("security_opt: ['${WORD}']", "must look like no-new-privileges:true or apparmor=unconfined"),
        ("working_dir: ${WORD}", "must be an absolute path in the container, like /srv/app"),
        ("platform: '${TEXT}'", "must look like linux/arm64"),
        ("network_mode: ${WORD}", None),
        ("networks: ['${TEXT}']", None),
        ("secrets: ['${TEXT}']", "is no name of a secret; write something like pg_password"),
        ("labels: ['lb.${WORD}=x']", "labels that begin with lb. belong to lb; write another name"),
        ("hostname: '${TEXT}'", None),
        ("init: ${WORD}", None),
        ("volumes: [{type: tmpfs, target: /x, tmpfs: {size: '${TEXT}'}}]", None),
        ("volumes: [{type: tmpfs, target: /x, tmpfs: {mode: '${TEXT}'}}]", None),
        ("logging: {options: {'${WORD}': ['${WORD}']}}", None),
        ("volumes: ['./${WORD}:/x']", "files of the source are mounted read-only; write SOURCE:TARGET:ro"),
        (
            "volumes: ['./gone/${WORD}:/x:ro']",
            "its source can't be read: it is missing, or leads outside the source",
        ),
        ("env: ['${WORD}']", "write NAME=value; lb takes nothing from its own environment"),
        ("env: ['${WORD}=1', '${WORD}=2']", "this name is set twice; remove one"),
        ("env: ['A${STARS}=1', '$${STARS}=2']", None),
        ("env: [{name: A, value: '${WORD}'}]", None),
        ("depends_on: ['${TEXT}']", "write NAME, or NAMESPACE/NAME"),
        ("depends_on: ['${WORD}']", "there is no service ${WORD} in this source; correct the name, or remove it"),
        ("stop_signal: ${TEXT}", None),
        ("stop_grace_period: ${TEXT}", None),
        ("restart: ${WORD}", None),
        ("update: {order: '${WORD}', parallelism: '${COUNT}x', timeout: '${WORD}'}", None),
        ("healthcheck: {test: ['${WORD}'], interval: '${WORD}'}", None),
        ("command: ['${WORD}', {a: '${WORD}'}]", None),
        ('command: "\'${WORD}"', "can't be split into words (No closing quotation); write a list"),
    ],
)
def test_a_message_never_repeats_it(spec: str, message: str | None) -> None:
    if spec.startswith("image"):
        spec = "command: x\n" + spec.replace("image:", "stop_signal:")
    problems = load(spec).problems
    assert problems and not any(leaks(str(problem)) for problem in problems)
    assert message is None or [problem.message for problem in problems] == [message]


@pytest.mark.parametrize("field", ["apiVersion", "kind"])
def test_nor_does_one_about_the_head_of_a_document(field: str) -> None:
    head = {"apiVersion": "lb/v1", "kind": "Service"} | {field: "'${WORD}'"}
    text = f"apiVersion: {head['apiVersion']}\nkind: {head['kind']}\nmeta: {{name: x, namespace: demo}}\n"
    problems = load("command: x", extra=text).problems
    assert problems and not any(leaks(str(problem)) for problem in problems)


def test_an_image_that_is_none_is_not_repeated() -> None:
    text = "apiVersion: lb/v1\nkind: Service\nmeta: {name: x, namespace: demo}\nspec: {image: '${TEXT}'}\n"
    assert [str(p) for p in load("command: x", extra=text).problems] == [
        "x.yaml:4:15: spec.image: is no image reference; write something like redis:7.0"
    ]


def test_a_port_that_another_service_holds_is_not_told() -> None:
    (problem,) = load("ports: ['8080:80']\nreplicas: 1", "ports: ['${PORT}:80', '7771:81']").problems
    assert problem.message == "this host port is published twice here; publish another one"


def test_what_is_stored_and_shown_is_what_was_written() -> None:
    web = (
        "command: sleep ${COUNT}\nenv: {A: '${WORD}', B: 'x ${WORD}'}\nports: ['${PORT}:80']\n"
        "volumes: ['./${WORD}:/x:ro', 'data:/data']\ndepends_on: [api]"
    )
    found = load(web, "env: ['C=${WORD}']")
    assert not found.problems
    service = found.services[WEB]
    assert dict(service.spec.env or ()) == {"A": "hunter2", "B": "x hunter2"}
    assert service.shown["env.B"] == "x ${WORD}"
    assert service.shown["volumes./x"] == "./${WORD}:/x:ro (content abababab)"
    for each in found.services.values():
        assert not leaks(repr((each.written, each.shown, each.description, each.labels)))


def test_descriptions_and_labels_are_kept_as_written() -> None:
    """They are stored, and the API shows them."""
    meta = "description: 'by ${WORD}', labels: {owner: '${WORD}'}"
    text = (
        f"apiVersion: lb/v1\nkind: Namespace\nmeta: {{name: n, {meta}}}\n---\n"
        f"apiVersion: lb/v1\nkind: Service\nmeta: {{name: s, namespace: n, {meta}}}\nspec: {{image: nginx}}\n"
    )
    found = load("command: x", extra=text)
    for each in (found.namespaces["n"], found.services[Ref("n", "s")]):
        assert (each.description, each.labels) == ("by ${WORD}", {"owner": "${WORD}"})


def test_two_files_of_one_name_are_shown_each_with_its_own_content() -> None:
    shown = load("volumes: ['./a/x.conf:/a:ro', './b/x.conf:/b:ro']").services[WEB].shown
    assert shown["volumes./a"] == "./a/x.conf:/a:ro (content abababab)"
    assert shown["volumes./b"] == "./b/x.conf:/b:ro (content abababab)"


def test_what_may_be_declared_in_a_broken_file_is_not_called_missing() -> None:
    text = (
        "apiVersion: lb/v1\nkind: Service\nmeta: {name: x, namespace: lost}\nspec: {image: nginx, depends_on: [gone]}\n"
    )
    whole = load("depends_on: [gone]", extra=text)
    assert [p.path for p in whole.problems] == ["spec.depends_on", "meta.namespace", "spec.depends_on"]
    broken = load("depends_on: [gone]", extra=text + "---\n{")
    assert [p.code for p in broken.problems] == ["INCORRECT_YAML"]
    assert not broken.complete and set(broken.services) == {WEB}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ports: ['0:80']", "ports go from 1 to 65535"),
        ("healthcheck: {test: ''}", 'names nothing to run; write something like ["CMD", "true"]'),
        ("healthcheck: {test: [CMD]}", 'names nothing to run; write something like ["CMD", "true"]'),
    ],
)
def test_what_would_mean_nothing_is_refused(spec: str, message: str) -> None:
    assert [problem.message for problem in load(spec).problems] == [message]


def test_a_service_knows_the_values_that_nothing_may_show() -> None:
    spec = "command: [run, '--key=${WORD}']\nenv: {A: plain, B: 'x-${BYTES}', C: '${NONE:-default}'}\nenv_file: a.env"
    web = load(spec.replace("A: plain, ", "")).services[WEB]
    assert web.hidden == {"hunter2", VALUES["BYTES"], f"x-{VALUES['BYTES']}", "default"}
    assert load("env: {A: plain}").services[WEB].hidden == frozenset()


def test_a_volume_knows_them_too() -> None:
    share = "---\napiVersion: lb/v1\nkind: Namespace\nmeta: {name: other}\nspec:\n  volumes:\n"
    share += "    a: {driver_opts: {type: cifs, o: 'password=${WORD}', device: //nas/x}}\n    b: {}\n"
    volumes = load("env: {A: plain}", extra=share).namespaces["other"].volumes
    assert {name: volume.hidden for name, volume in volumes.items()} == {"a": {"hunter2"}, "b": frozenset()}


def test_an_image_that_can_not_be_asked_for_is_told_as_it_is_written() -> None:
    class Deaf:
        def refresh(self, image: str, cancel: Event) -> None:
            raise ImageUnavailable(f"image {image} can't be pulled")

    far = (HEAD % "far").replace("nginx", "127.0.0.1:1/${WORD}:1") + "  pull_policy: always\n"
    said: list[Progress] = []
    deaf: Any = Deaf()
    unasked = reconcile.refresh(load("env: {A: plain}", extra=far), deaf, said.append, Event())
    assert unasked == ("demo/far runs on as it is; image 127.0.0.1:1/***:1 can't be pulled",)
    assert [progress.detail for progress in said] == ["127.0.0.1:1/${WORD}:1"]
