"""The fields that few services write: what people write for them, in canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from reconciler import fingerprint, manifests
from reconciler.model import (
    Desired,
    Device,
    EnvFile,
    Limits,
    Links,
    Logging,
    Mount,
    NamedVolume,
    Place,
    Powers,
    Process,
    Ref,
    Secret,
    Service,
    Spec,
    Ulimit,
)

MIB = 1024 * 1024
WEB = Ref("demo", "web")
DIGEST = "ab" * 32
FILES = {"conf/app.env": "A=file\nB=file\nC=$A ${NAME}\n", "conf/more.env": "B=more\n"}


def trees(path: str) -> tuple[str, str]:
    return ("", f"{path} does not exist") if path.endswith(".env") and path not in FILES else (DIGEST, "")


def load(documents: str, file: str = "web.yaml", **variables: str) -> Desired:
    space = b"" if "kind: Namespace" in documents else b"apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo}\n"
    return manifests.load(
        {"namespace.yaml": space, file: documents.encode()}, source="s", root="/s", settings=manifests.Settings({}),
        variables=variables, trees=trees, texts=lambda path: (FILES[path], ""),
    )  # fmt: skip


def service(spec: str, **given: str) -> Service:
    head = "apiVersion: lb/v1\nkind: Service\nmeta: {name: web, namespace: demo}\nspec:\n  image: redis\n"
    found = load(head + "".join(f"  {line}\n" for line in spec.split("\n")), **given)
    assert [str(problem) for problem in found.problems] == []
    return found.services[WEB]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("mem_reservation: 32m", Limits(mem_reservation=32 * MIB)),
        ("mem_reservation: 33554432", Limits(mem_reservation=32 * MIB)),
        ("pids_limit: 5", Limits(pids_limit=5)),
        ("pids_limit: -1", Limits()),
        ("shm_size: 1gb", Limits(shm_size=1024 * MIB)),
        ("shm_size: '65536'", Limits(shm_size=65536)),
        ("ulimits: {core: {soft: 0, hard: -1}}", Limits(ulimits=(Ulimit("core", 0, -1),))),
        ("ulimits: {nproc: 5, core: 1}", Limits(ulimits=(Ulimit("core", 1, 1), Ulimit("nproc", 5, 5)))),
        ("sysctls: {b: 1, a: '2'}", Limits(sysctls=(("a", "2"), ("b", "1")))),
        ("sysctls: [b=1, a=x=2]", Limits(sysctls=(("a", "x=2"), ("b", "1")))),
        ("user: 1000", Process(user="1000")),
        ("user: '1000:www'", Process(user="1000:www")),
        ("user: 1000:1000", Process(user="1000:1000")),
        ("group_add: [video, 44, video]", Process(group_add=("44", "video"))),
        ("working_dir: /srv", Process(working_dir="/srv")),
        ("init: true\ntty: true\nstdin_open: true\nread_only: true", Process(None, (), None, True, True, True, True)),
        ("init: false\ntty: false\nread_only: false", Process(init=False)),
        ("network_mode: none", Links(network_mode="none")),
        ("networks: [shop, data]", Links(networks=("data", "shop"))),
        ("hostname: a.b-c", Links(hostname="a.b-c")),
        ("dns: 10.0.0.1", Links(dns=("10.0.0.1",))),
        ("dns: [10.0.0.2, '2001:DB8::1']", Links(dns=("10.0.0.2", "2001:db8::1"))),
        (
            "extra_hosts: ['b:10.0.0.1', 'a=10.0.0.2', 'six:::1', 'in=[::1]', 'me:host-gateway']",
            Links(extra_hosts=(
                ("a", "10.0.0.2"), ("b", "10.0.0.1"), ("in", "::1"), ("me", "host-gateway"), ("six", "::1"),
            )),
        ),
        ("extra_hosts: {b: 10.0.0.1, a: host-gateway}", Links(extra_hosts=(("a", "host-gateway"), ("b", "10.0.0.1")))),
        ("cap_add: [net_admin, CAP_CHOWN]\ncap_drop: [all]", Powers(False, ("CHOWN", "NET_ADMIN"), ("ALL",))),
        ("privileged: true", Powers(privileged=True)),
        (
            "security_opt: ['apparmor:x', 'no-new-privileges:true', seccomp=unconfined]",
            Powers(security_opt=("apparmor=x", "no-new-privileges", "seccomp=unconfined")),
        ),
        ("security_opt: [no-new-privileges]", Powers(security_opt=("no-new-privileges",))),
        (
            "devices: [/dev/a, '/dev/b:/dev/c', '/dev/d:rw', '/dev/e:/dev/f:m']",
            Powers(devices=(
                Device("/dev/a", "/dev/a"), Device("/dev/b", "/dev/c"), Device("/dev/d", "/dev/d", "rw"),
                Device("/dev/e", "/dev/f", "m"),
            )),
        ),
        ("logging: {driver: json-file, options: {max-size: 1m, max-file: 3}}",
         Logging("json-file", (("max-file", "3"), ("max-size", "1m")))),
        ("logging: {options: {max-size: 1m}}", Logging("local", (("max-size", "1m"),))),
        ("logging: {driver: local}", Logging()),
    ],
)  # fmt: skip
def test_the_canonical_form(spec: str, part: Any) -> None:
    found = service(spec).spec
    by_type: Mapping[type, Any] = {
        type(p): p for p in (found.limits, found.process, found.links, found.powers, found.logging)
    }
    assert by_type[type(part)] == part
    others = {kind: value for kind, value in by_type.items() if kind is not type(part)}
    assert all(value == kind() for kind, value in others.items())


def test_the_rest() -> None:
    spec = service("platform: linux/arm/v7\nlabels: [b=2, a]\nupdate: {monitor: 1m}").spec
    assert (spec.platform, spec.labels, spec.update.monitor) == ("linux/arm/v7", (("a", ""), ("b", "2")), 60 * 10**9)
    assert service("labels: {b: 1.10, a: true, c: }").spec.labels == (("a", "true"), ("b", "1.10"), ("c", ""))


@pytest.mark.parametrize(
    ("written", "mount"),
    [
        ("d:/x:ro,nocopy", Mount("/x", "volume", "d", True, True)),
        ("{type: volume, source: d, target: /x, volume: {nocopy: true}}", Mount("/x", "volume", "d", nocopy=True)),
        ("{type: tmpfs, target: /x}", Mount("/x", "tmpfs", "")),
        ("{type: tmpfs, target: /x, tmpfs: {size: 1m, mode: '1777'}}", Mount("/x", "tmpfs", "", size=MIB, mode=0o1777)),
        (
            "{type: tmpfs, target: /x, tmpfs: {size: 65536, mode: 0o700}}",
            Mount("/x", "tmpfs", "", size=65536, mode=0o700),
        ),
        ("/srv/data:/x", Mount("/x", "host", "/srv/data")),
        ("../data:/x:ro", Mount("/x", "host", "../data", True)),
        ("./../../data:/x:ro", Mount("/x", "host", "../../data", True)),
        ("{type: bind, source: /srv/../etc, target: /x}", Mount("/x", "host", "/srv/../etc")),
    ],
)
def test_mounts(written: str, mount: Mount) -> None:
    text = written if written.startswith("{") else f"'{written}'"
    assert service(f"volumes: [{text}]").spec.mounts == (mount,)


def test_secrets() -> None:
    found = service("secrets: [b, {source: a, target: x}, {source: c, target: /etc/c}]")
    assert found.spec.secrets == (
        Secret("a", "/run/secrets/x"), Secret("b", "/run/secrets/b"), Secret("c", "/etc/c"),
    )  # fmt: skip
    assert found.shown["secrets.b"] == "b" and found.places["secrets.b"] == Place("web.yaml", 6, 13)


def test_env_files_are_part_of_env_which_goes_before_them() -> None:
    found = service(
        "env_file: [./app.env, more.env, {path: gone.env, required: false}]\nenv: {A: own}",
        file="conf/web.yaml", NAME="n",
    )  # fmt: skip
    assert found.spec.env == (("A", "own"), ("B", "more"), ("C", "file n"))
    assert found.spec.env_files == (EnvFile("conf/app.env", DIGEST), EnvFile("conf/more.env", DIGEST))
    assert found.shown["env.A"] == "own" and found.shown["env.B"] == "more.env (content abababab)"
    assert found.shown["env.C"] == "./app.env (content abababab)"
    assert found.places["env.C"] == Place("conf/web.yaml", 6, 14) and found.places["env.A"].line == 7
    assert "file" not in repr((found.shown["env.C"], found.written["env_file"][0]))


def test_an_env_file_alone_sets_env() -> None:
    assert service("env_file: conf/more.env").spec.env == (("B", "more"),)


def test_an_env_file_is_looked_at_again_when_it_changes() -> None:
    """Its digest is among what the page looked at, or an unchanged manifest would keep old values."""
    head = "apiVersion: lb/v1\nkind: Service\nmeta: {name: web, namespace: demo}\n"
    head += "spec: {image: a, env_file: conf/more.env}\n"
    page = manifests.page("web.yaml", head.encode(), manifests.Settings({}), {}, trees, lambda path: (FILES[path], ""))
    assert page.looked == {"conf/more.env": (DIGEST, "")}


def test_defaults_that_are_written_out_make_the_same_service() -> None:
    plain = service("replicas: 1")
    spelled = service(
        "replicas: 1\ntty: false\nstdin_open: false\nread_only: false\nprivileged: false\npids_limit: -1\ncap_add: []\n"
        "cap_drop: []\ndevices: []\ndns: []\nlabels: {}\nlogging: {driver: local}\nnetworks: []\nsecrets: []\n"
        "sysctls: {}\nulimits: {}\nextra_hosts: []\nsecurity_opt: []\ngroup_add: []\nenv_file: []"
    )
    assert spelled.spec == plain.spec
    assert fingerprint.fields(spelled) == fingerprint.fields(plain)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cap_drop: [CHOWN, all]", "cap_drop: [ALL, cap_chown]"),
        ("dns: 10.0.0.1", "dns: [10.0.0.1]"),
        ("sysctls: {a: 1}", "sysctls: [a=1]"),
        ("labels: {a: 1}", "labels: ['a=1']"),
        ("extra_hosts: {a: 10.0.0.1}", "extra_hosts: ['a:10.0.0.1']"),
        ("shm_size: 1m", "shm_size: 1024k"),
        ("ulimits: {nproc: 1}", "ulimits: {nproc: {soft: 1, hard: 1}}"),
        ("env_file: conf/more.env\nenv: {A: x}", "env: {A: x, B: more}"),
    ],
)
def test_what_means_the_same_is_not_a_replacement(one: str, other: str) -> None:
    assert fingerprint.fingerprint(service(one)) == fingerprint.fingerprint(service(other))


def test_variables_take_the_type_of_their_field() -> None:
    spec = service(
        "pids_limit: ${N}\ninit: ${T}\ntty: ${T}\nulimits: {nofile: '${N}', core: {soft: '${N}', hard: '${N}'}}\n"
        "labels: {init: '${T}', soft: '${N}'}\nsysctls: {hard: '${N}'}\nlogging: {options: {tty: '${T}'}}",
        N="7", T="true",
    ).spec  # fmt: skip
    assert (spec.limits.pids_limit, spec.process.init, spec.process.tty) == (7, True, True)
    assert spec.limits.ulimits == (Ulimit("core", 7, 7), Ulimit("nofile", 7, 7))
    assert (spec.labels, spec.limits.sysctls) == ((("init", "true"), ("soft", "7")), (("hard", "7"),))
    assert spec.logging.options == (("tty", "true"),)


# --- namespaces

SPACE = """
apiVersion: lb/v1
kind: Namespace
meta: {name: demo, protect: true}
spec:
  volumes:
    plain:
    empty: {}
    old: {external: true, name: compose_data}
    same: {external: true}
    nfs: {driver_opts: {type: nfs, o: "addr=${NAS},rw", device: ":/data"}}
    cloud: {driver: rclone, driver_opts: {vfs-cache-mode: full, size: 5}}
  share_with: [shop, data]
---
apiVersion: lb/v1
kind: Service
meta: {name: web, namespace: demo, protect: true}
spec: {image: redis, volumes: ['old:/old', 'nfs:/nfs', 'other:/other']}
"""


def test_a_namespace_with_a_spec() -> None:
    found = load(SPACE, NAS="10.0.0.5")
    assert not found.problems
    space = found.namespaces["demo"]
    assert space.protect and space.share_with == ("data", "shop")
    assert space.volumes == {
        "plain": NamedVolume("lb.demo.plain"),
        "empty": NamedVolume("lb.demo.empty"),
        "old": NamedVolume("compose_data", external=True),
        "same": NamedVolume("same", external=True),
        "nfs": NamedVolume("lb.demo.nfs", "local", (("device", ":/data"), ("o", "addr=10.0.0.5,rw"), ("type", "nfs"))),
        "cloud": NamedVolume("lb.demo.cloud", "rclone", (("size", "5"), ("vfs-cache-mode", "full"))),
    }
    assert space.written["volumes"]["nfs"]["driver_opts"]["o"] == "addr=${NAS},rw"
    assert space.places["volumes.nfs"] == Place("web.yaml", 11, 10)
    web = found.services[WEB]
    assert web.protect and web.volumes == space.volumes


def test_who_does_not_share_is_told_where_that_can_be_seen() -> None:
    other = "---\napiVersion: lb/v1\nkind: Namespace\nmeta: {name: shop}\n"
    joining = SPACE.replace("spec: {image: redis,", "spec: {image: redis, networks: [shop],")
    (problem,) = load(joining + other, NAS="x").problems
    assert str(problem) == (
        "web.yaml:18:32: spec.networks: namespace shop does not share its network; "
        "write share_with: [demo] under its spec: (web.yaml:20)"
    )
    assert not load(joining + other + "spec: {share_with: [demo]}\n", NAS="x").problems
    assert not load(joining, NAS="x").problems  # another source may have it


def test_spec_has_no_field_that_a_manifest_can_not_write() -> None:
    assert Spec("docker.io/library/redis:latest") == service("replicas: 1").spec
