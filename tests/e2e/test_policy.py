"""What a host allows, and what it denies however it is asked for: nothing of a denied service is touched."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BUSYBOX, LB, SOCKET, Sandbox
from tests.support.eventually import eventually


def allow(sandbox: Sandbox, *grants: dict[str, Any], **policy: Any) -> None:
    sandbox.host.write_text(json.dumps({"policy": {"allow": list(grants), **policy}}))


def grant(**what: Any) -> dict[str, Any]:
    return {"services": ["t/a"], **what}


def denied(sandbox: Sandbox, **spec: Any) -> str:
    """What is said of it, by each command that reads a source; nothing is made."""
    sandbox.service("a", **spec)
    before = sandbox.running()
    (problem,) = sandbox.lb("plan", "-o", "json", code=77).json["problems"]
    message = str(problem["message"])
    assert problem["code"] == "POLICY_DENIED" and problem["object"] == "t/a"
    assert message in sandbox.lb("validate", code=77).out and message in sandbox.lb("plan", code=77).err
    assert message in sandbox.apply(code=77).err
    assert sandbox.running() == before
    return message


@pytest.mark.parametrize(
    ("spec", "path", "expected"),
    [
        ({"privileged": True}, "HostConfig.Privileged", True),
        ({"cap_add": ["net_admin"]}, "HostConfig.CapAdd", ["NET_ADMIN"]),
        ({"network_mode": "host"}, "HostConfig.NetworkMode", "host"),
        ({"security_opt": ["seccomp=unconfined"]}, "HostConfig.SecurityOpt", ["seccomp=unconfined"]),
        ({"security_opt": ["systempaths=unconfined"]}, "HostConfig.MaskedPaths", []),
        (
            {"devices": ["/dev/null:/dev/nothing:r"]},
            "HostConfig.Devices",
            [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "r"}],
        ),
    ],
)
def test_what_needs_the_policy_is_denied_until_it_allows_it(
    sandbox: Sandbox, spec: dict[str, Any], path: str, expected: Any
) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    message = denied(sandbox, **spec)
    lines = message.rpartition("under policy: ")[2]
    sandbox.host.write_text(f"policy:\n  {lines}\n")  # just as it is printed
    result = sandbox.apply(code=None)
    made = sandbox.containers("a")[-1]
    if result.code:  # allowed and made; the machine of this test may lack what it takes to start it
        assert "operation not permitted" in result.out and made["State"]["Status"] == "created"
    found: Any = made
    for step in path.split("."):
        found = found[step]
    assert found == expected or found == _long(expected)  # as newer engines show capabilities
    if not result.code:
        assert sandbox.apply().out == "no changes\n"


def _long(expected: Any) -> Any:
    return [f"CAP_{name}" for name in expected] if isinstance(expected, list) and "NET_ADMIN" in expected else expected


def test_a_denied_service_runs_on_as_it_was_and_others_proceed(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    before = sandbox.running()
    sandbox.service("a", privileged=True, image="127.0.0.1:9/none:1")
    sandbox.service("b")
    result = sandbox.apply(code=77)
    assert "spec.privileged: a privileged container is denied by this host's policy" in result.err
    assert before.items() <= sandbox.running().items() and len(sandbox.containers("b")) == 1


def test_a_grant_is_for_those_whom_it_names(sandbox: Sandbox) -> None:
    sandbox.namespace()
    allow(sandbox, {"services": ["t/b*", "x/*"], "network_mode": "host"})
    sandbox.service("big", network_mode="host")
    sandbox.apply()
    denied(sandbox, network_mode="host")
    assert sandbox.one("big")["HostConfig"]["NetworkMode"] == "host"


def test_paths_of_the_host(sandbox: Sandbox) -> None:
    media = sandbox.folder / "media"
    (media / "films").mkdir(parents=True)
    sandbox.namespace()
    message = denied(sandbox, volumes=[f"{media}/films:/films"])
    assert f"mounting {media}/films rw is denied" in message and f"binds: [{media}/films:rw]" in message
    allow(sandbox, grant(binds=[f"{media}"]))
    denied(sandbox, volumes=[f"{media}/films:/films"])
    sandbox.service("a", volumes=[f"{media}/films:/films:ro"])
    sandbox.apply()
    allow(sandbox, grant(binds=[f"{media}:rw"]))
    sandbox.service("a", volumes=[f"{media}/films:/films", "../media:/media:ro"])
    sandbox.apply()
    mounts = {m["Destination"]: (m["Source"], m["RW"]) for m in sandbox.one("a")["Mounts"]}
    assert mounts == {"/films": (f"{media}/films", True), "/media": (f"{media}", False)}
    assert sandbox.apply().out == "no changes\n"

    sandbox.service("a", volumes=[f"{media}/gone:/films"])
    assert f"{media}/gone does not exist on this host; create it" in sandbox.apply(code=65).err
    assert not (media / "gone").exists()
    denied(sandbox, volumes=[f"{media}/../other:/films"])
    denied(sandbox, volumes=[f"{media}s:/films"])
    (media / "link").symlink_to(sandbox.folder)
    assert f", which is {sandbox.folder}," in denied(sandbox, volumes=[f"{media}/link:/films"])
    (media / "inside").symlink_to("films")
    sandbox.service("a", volumes=[f"{media}/inside:/films"])
    sandbox.apply()
    assert sandbox.one("a")["Mounts"][0]["Source"] == f"{media}/films"


@pytest.fixture
def disguises(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Ways to the engine's socket. A second mount of its folder is made where this process may mount."""
    folder, socket = tmp_path / "ways", Path(SOCKET)
    (folder / "deep").mkdir(parents=True)
    (folder / "link").symlink_to(socket)
    (folder / "folder-link").symlink_to(socket.parent)
    (folder / "chain").symlink_to("link")
    (folder / "up").symlink_to("deep/../../ways/chain")
    found = {
        "itself": str(socket),
        "its folder": str(socket.parent),
        "a folder above": "/",
        "a link": str(folder / "link"),
        "a chain of links": str(folder / "up"),
        "a link to its folder": str(folder / "folder-link"),
        "dots": f"{folder}/deep/../../../../../../../../../../..{socket}",
        "a process's root": f"/proc/1/root{socket}",
        "our own root": f"/proc/self/root{socket}",
        "a thread's root": f"/proc/thread-self/root{socket.parent}",
    }
    hard = socket.parent / "hard-link"
    os.link(socket, hard)
    found["a hard link"] = str(hard)
    again = folder / "again"
    again.mkdir()
    mounted = subprocess.run(["mount", "--bind", str(socket.parent), str(again)], check=False).returncode == 0
    if mounted:
        found["a second mount"] = str(again / socket.name)
        found["above a second mount"] = str(folder)
    yield found
    hard.unlink()
    if mounted:
        subprocess.run(["umount", str(again)], check=True)


def test_the_engines_socket_in_every_disguise(sandbox: Sandbox, disguises: dict[str, str]) -> None:
    """Even where every path of the host may be mounted, it needs a grant of its own."""
    sandbox.namespace()
    sandbox.service("a")
    sandbox.apply()
    allow(sandbox, grant(binds=["/:rw"]))
    for way, path in disguises.items():
        for mode in ("ro", "rw"):
            sandbox.service("a", volumes=[f"{path}:/x:{mode}"])
            (problem,) = sandbox.lb("plan", "-o", "json", code=77).json["problems"]
            message = problem["message"]
            assert "docker_socket: true" in message or "leads through /proc" in message, way
    allow(sandbox, grant(docker_socket=True))
    sandbox.service("a", volumes=[f"{disguises['itself']}:/var/run/docker.sock"])
    sandbox.apply()
    assert sandbox.one("a")["Mounts"][0]["Source"] == str(Path(SOCKET).resolve())
    denied(sandbox, volumes=[f"{disguises['its folder']}:/x"])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"type": "none", "o": "bind", "device": "/etc"}, "mounting /etc rw"),
        ({"type": "nfs", "o": "rbind,ro", "device": "/etc"}, "mounting /etc ro"),
        ({"type": "none", "o": "bind", "device": SOCKET}, "a container engine's socket"),
        ({"type": "ext4", "device": "/dev/null"}, "the device /dev/null"),
        ({"type": "overlay", "o": "lowerdir=/etc", "device": "overlay"}, "a volume of type overlay"),
        ({"type": "tmpfs", "o": "remount", "device": "tmpfs"}, "a volume that is mounted with remount"),
    ],
)
def test_a_volume_that_mounts_the_host(sandbox: Sandbox, options: dict[str, str], what: str) -> None:
    sandbox._dump("t.yaml", "Namespace", {"name": "t"}, {"volumes": {"sly": {"driver_opts": options}}})
    assert what in denied(sandbox, volumes=["sly:/x"])


def test_an_external_volume_is_what_it_really_is(sandbox: Sandbox) -> None:
    name = f"{sandbox.name}-sly"
    sandbox.api.create_volume(
        name, driver_opts={"type": "none", "o": "bind", "device": "/etc"}, labels={"lb.source": sandbox.name}
    )
    sandbox._dump("t.yaml", "Namespace", {"name": "t"}, {"volumes": {"sly": {"external": True, "name": name}}})
    sandbox.service("a", volumes=["sly:/x:ro"])
    assert "mounting /etc ro is denied by this host's policy" in sandbox.apply(code=77).out
    assert sandbox.containers() == []
    allow(sandbox, grant(binds=["/etc"]))
    sandbox.apply()
    assert sandbox.one("a")["Mounts"][0]["Name"] == name
    sandbox.lb("down", "--yes")


def test_images(sandbox: Sandbox) -> None:
    sandbox.namespace()
    allow(sandbox, registries=["ghcr.io/acme", BUSYBOX.partition("/")[0]])
    sandbox.service("ok")
    sandbox.apply()
    assert "registries: [ghcr.io/acme, " in denied(sandbox, image="ghcr.io/acmes/x:1")
    sandbox.remove("t.ok.yaml")
    allow(sandbox, require_digests=True)
    assert "an image without a digest (NAME@sha256:...)" in denied(sandbox)


def test_a_link_that_changes_after_it_was_judged_is_judged_again(sandbox: Sandbox) -> None:
    """The daemon takes a plan once and creates later: the final body is asked about."""
    roots = sandbox.folder / "roots"
    (roots / "good").mkdir(parents=True)
    link = roots / "link"
    link.symlink_to("good")
    allow(sandbox, grant(binds=[f"{roots}:rw"]))
    sandbox.namespace()
    # The check of `first` takes a while, and `a` waits for it: time to change the link.
    slow = {"test": "test -e /go", "interval": "100ms", "retries": 1000}
    sandbox.service("first", healthcheck=slow)
    sandbox.service("a", volumes=[f"{link}:/x"], depends_on={"first": {"condition": "healthy"}})
    apply = subprocess.Popen(
        [LB, "apply", "--yes"], cwd=sandbox.source, env=sandbox.environ(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    eventually(lambda: sandbox.live("first"))
    link.unlink()
    link.symlink_to("/etc")
    sandbox.api.exec_start(sandbox.api.exec_create(sandbox.one("first")["Id"], ["touch", "/go"])["Id"])
    out, _ = apply.communicate(timeout=60)
    assert apply.returncode == 77 and "which is /etc, rw is denied" in out
    assert sandbox.containers("a") == []


def test_a_value_from_a_variable_is_not_told(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.service("a", volumes=["${PLACE}:/x"])
    said = sandbox.lb("plan", "--set", "PLACE=/canary-d1", code=77).err
    assert "what ${PLACE}:/x names is denied by this host's policy; to allow it, write in" in said
    assert "binds: [PATH:rw]}], with what the variable stands for in place of PATH" in said and "canary" not in said
    allow(sandbox, grant(binds=["/canary-d1:rw"]))
    said = sandbox.lb("plan", "--set", "PLACE=/canary-d1", code=65).err
    assert "what ${PLACE}:/x names does not exist on this host" in said and "canary" not in said
    options = {"type": "none", "o": "bind", "device": "${PLACE}"}
    sandbox._dump("t.yaml", "Namespace", {"name": "t"}, {"volumes": {"d": {"driver_opts": options}}})
    sandbox.service("a", volumes=["d:/x"])
    said = sandbox.lb("plan", "--set", "PLACE=/canary-d2", code=77).err
    assert "what d:/x names is denied" in said and "canary" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("policy: {alow: []}", "host.yaml:1:10: policy.alow: there is no field alow; did you mean allow?"),
        (
            "policy:\n  allow:\n    - {privileged: true}",
            'policy.allow[0].services: is missing; write services: ["media/jellyfin"]',
        ),
        (
            "policy: {allow: [{services: [a/b], binds: [srv]}]}",
            "binds[0]: must be an absolute path, like /srv/media:ro",
        ),
        ("listen: here", "host.yaml:1:9: listen: must be HOST:PORT, like 127.0.0.1:2967"),
        ("network_pool: 10.0.0.1/8", "host.yaml:1:15: network_pool: must be an IPv4 network like 10.208.0.0/12"),
        ("network_pool: {base: 10.0.0.0/24, size: 22}", "can't be cut into /22; write a size from 24 to 29"),
        ("secrets: etc", "host.yaml:1:10: secrets: must be an absolute path, like /etc/lb/secrets"),
        ("a: 1\na: 2", "host.yaml:2:1: the key 'a' stands here twice"),
        ("- x", "host.yaml:1:1: must be a map"),
    ],
)
def test_bad_settings_of_the_host_change_nothing(sandbox: Sandbox, text: str, expected: str) -> None:
    sandbox.namespace()
    sandbox.service("a")
    sandbox.host.write_text(text)
    for command in (["validate"], ["plan"], ["apply", "--yes"]):
        assert expected in sandbox.lb(*command, code=65).err
    assert sandbox.containers() == []


def test_settings_that_everybody_can_write_or_that_are_not_there(sandbox: Sandbox) -> None:
    sandbox.namespace()
    sandbox.host.chmod(0o666)
    assert "can be written by everybody" in sandbox.lb("plan", code=65).err
    assert "does not exist" in sandbox.lb("plan", "--host-config", "/nowhere/host.yaml", code=65).err


def test_the_pool_of_subnets(sandbox: Sandbox) -> None:
    sandbox.host.write_text("host: nas1\nnetwork_pool: {base: 10.77.0.0/16, size: 26}\n")
    sandbox.namespace()
    sandbox.apply()
    assert sandbox.api.inspect_network("lb.t")["IPAM"]["Config"][0]["Subnet"] == "10.77.0.0/26"
