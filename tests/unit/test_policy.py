"""What a policy denies of a body, with the lines that would allow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler import policy
from reconciler.model import Device, Links, Mount, NamedVolume, Powers, Secret, Service
from reconciler.policy import Closed, Denial, Found, Grant, Policy, Request, Root
from reconciler.runtimes import body
from tests.support.build import make_service

SOCKET = "/run/docker.sock"
FOUND = {
    "/srv/media": Found("/srv/media", True),
    "/srv/media/films": Found("/srv/media/films", True),
    "/srv/mediathek": Found("/srv/mediathek", True),
    "/srv/link": Found("/etc", True),
    "/srv/gone": Found("/srv/gone"),
    "/srv/odd": Found("/srv/odd", unclear="which can't be looked at"),
    "/": Found("/", True, SOCKET),
    SOCKET: Found(SOCKET, True, SOCKET),
    "/srv/hard": Found("/srv/hard", True, SOCKET),
    "/dev/tty": Found("/dev/tty", True),
    "/dev/by-id/stick": Found("/dev/ttyUSB0", True),
    "/dev/gone": Found("/dev/gone"),
}


def ask(service: Service, volumes: tuple[NamedVolume, ...] = ()) -> Request:
    return body.request(service, body.create(service, {}, "/files"), "/files", volumes)


def denials(service: Service, *grants: Grant, volumes: tuple[NamedVolume, ...] = (), **rules: Any) -> list[Denial]:
    return list(policy.denials(ask(service, volumes), Policy(grants, **rules), FOUND))


def whats(service: Service, *grants: Grant, **given: Any) -> list[str]:
    return [denial.what for denial in denials(service, *grants, **given)]


def grant(**what: Any) -> Grant:
    return Grant(("shop/web",), **what)


def bind(source: str, read_only: bool = False) -> Service:
    return make_service(mounts=(Mount("/x", "host", source, read_only),))


def test_an_ordinary_service_needs_no_policy() -> None:
    service = make_service(
        memory=64 * 1024 * 1024,
        mounts=(Mount("/data", "volume", "data"), Mount("/run", "tmpfs", ""), Mount("/etc/x", "bind", "ab", True)),
        powers=Powers(cap_drop=("ALL",), security_opt=("no-new-privileges",)),
        secrets=(Secret("a", "/run/secrets/a", "cd"),),
        links=Links(network_mode="none", dns=("10.0.0.1",)),
    )
    files = {"ab": "x"}
    request = ask(Service(service.ref, service.spec, files=files), (NamedVolume("lb.shop.data"),))
    assert list(policy.paths(request)) == []
    assert policy.denials(request, Policy(), {}) == ()
    assert Closed().admit(request) == (request.body, ())


@pytest.mark.parametrize(
    ("spec", "field", "what", "lines", "given"),
    [
        (
            {"powers": Powers(privileged=True)}, "privileged", "a privileged container",
            "allow: [{services: [shop/web], privileged: true}]", {"privileged": True},
        ),
        (
            {"powers": Powers(cap_add=("NET_ADMIN",))}, "cap_add", "the capability NET_ADMIN",
            "allow: [{services: [shop/web], cap_add: [NET_ADMIN]}]", {"cap_add": ("NET_ADMIN",)},
        ),
        (
            {"powers": Powers(cap_add=("NET_ADMIN",))}, "cap_add", "the capability NET_ADMIN",
            "allow: [{services: [shop/web], cap_add: [NET_ADMIN]}]", {"cap_add": ("ALL",)},
        ),
        (
            {"powers": Powers(security_opt=("apparmor=unconfined",))}, "security_opt", "apparmor=unconfined",
            "allow: [{services: [shop/web], security_opt: [apparmor=unconfined]}]",
            {"security_opt": ("apparmor=unconfined",)},
        ),
        (
            {"powers": Powers(security_opt=("systempaths=unconfined",))}, "security_opt", "systempaths=unconfined",
            "allow: [{services: [shop/web], security_opt: [systempaths=unconfined]}]",
            {"security_opt": ("systempaths=unconfined",)},
        ),
        (
            {"powers": Powers(security_opt=("no-new-privileges=false",))}, "security_opt", "no-new-privileges=false",
            "allow: [{services: [shop/web], security_opt: [no-new-privileges=false]}]",
            {"security_opt": ("no-new-privileges=false",)},
        ),
        (
            {"links": Links(network_mode="host")}, "network_mode", "the host's network",
            "allow: [{services: [shop/web], network_mode: host}]", {"host_network": True},
        ),
        (
            {"powers": Powers(devices=(Device("/dev/tty", "/dev/tty"),))}, "devices", "the device /dev/tty",
            "allow: [{services: [shop/web], devices: [/dev/tty]}]", {"devices": ("/dev/tty",)},
        ),
        (
            {"powers": Powers(devices=(Device("/dev/by-id/stick", "/dev/x"),))}, "devices",
            "the device /dev/by-id/stick", "allow: [{services: [shop/web], devices: [/dev/by-id/stick]}]",
            {"devices": ("/dev/ttyUSB0",)},
        ),
        (
            {"mounts": (Mount("/x", "host", "/srv/media"),)}, "volumes./x", "mounting /srv/media rw",
            "allow: [{services: [shop/web], binds: [/srv/media:rw]}]", {"binds": (Root("/srv", True),)},
        ),
        (
            {"mounts": (Mount("/x", "host", SOCKET, True),)}, "volumes./x",
            f"{SOCKET}: a container engine's socket, and with it this host,",
            "allow: [{services: [shop/web], docker_socket: true}]", {"docker_socket": True},
        ),
    ],
)  # fmt: skip
def test_what_is_denied_and_what_allows_it(
    spec: dict[str, Any], field: str, what: str, lines: str, given: dict[str, Any]
) -> None:
    service = make_service(**spec)
    assert denials(service) == [Denial(field, what, lines)]
    assert denials(service, Grant(("other/*", "shop/webs"), **given)) == [Denial(field, what, lines)]
    for pattern in ("shop/web", "shop/*", "*/web", "*"):
        assert denials(service, Grant((pattern,), **given)) == []
    assert denial_text(service) == (
        f"{what} is denied by this host's policy; to allow it, write in host.yaml, under policy: {lines}"
    )


def denial_text(service: Service) -> str:
    (denial,) = denials(service)
    return denial.text(service, "host.yaml")


@pytest.mark.parametrize(
    ("source", "read_only", "roots", "expected"),
    [
        ("/srv/media", True, (Root("/srv/media"),), []),
        ("/srv/media/films", True, (Root("/srv/media"),), []),
        ("/srv/media", False, (Root("/srv/media"),), ["mounting /srv/media rw"]),
        ("/srv/mediathek", True, (Root("/srv/media"),), ["mounting /srv/mediathek ro"]),
        ("/srv/media", True, (Root("/srv/media/films"),), ["mounting /srv/media ro"]),
        ("/srv/link", True, (Root("/srv"),), ["mounting /srv/link, which is /etc, ro"]),
        ("/srv/link", True, (Root("/etc"),), []),
        ("/srv/gone", True, (Root("/srv"),), ["/srv/gone does not exist on this host; create it, or correct the path"]),
        ("/srv/gone", True, (), ["mounting /srv/gone ro"]),
        ("/srv/odd", True, (Root("/", True),), ["/srv/odd, which can't be looked at,"]),
        ("/", True, (Root("/", True),), [
            f"/ (it leads to {SOCKET}): a container engine's socket, and with it this host,"
        ]),
        ("/srv/hard", True, (Root("/", True),), [
            f"/srv/hard (it leads to {SOCKET}): a container engine's socket, and with it this host,"
        ]),
    ],
)  # fmt: skip
def test_binds(source: str, read_only: bool, roots: tuple[Root, ...], expected: list[str]) -> None:
    assert whats(bind(source, read_only), grant(binds=roots)) == expected


def test_a_folder_with_the_socket_needs_both_grants() -> None:
    socket = grant(docker_socket=True)
    assert whats(bind("/"), socket) == ["mounting / rw"]
    assert whats(bind("/"), socket, grant(binds=(Root("/", True),))) == []


def test_a_device_that_is_not_there() -> None:
    service = make_service(powers=Powers(devices=(Device("/dev/gone", "/dev/gone"),)))
    (denial,) = denials(service, grant(devices=("/dev",)))
    assert denial.missing and denial.text(service, "x") == (
        "/dev/gone does not exist on this host; plug it in, or correct the path"
    )


@pytest.mark.parametrize(
    ("volume", "given", "expected"),
    [
        (NamedVolume("v"), {}, []),
        (NamedVolume("v", "local", (("device", ":/x"), ("o", "addr=10.0.0.1"), ("type", "nfs"))), {}, []),
        (NamedVolume("v", "local", (("device", "//nas/x"), ("type", "cifs"))), {}, []),
        (NamedVolume("v", "local", (("device", "tmpfs"), ("type", "tmpfs"))), {}, []),
        (NamedVolume("v", "local", (("device", "/srv/media"), ("o", "bind"))), {}, ["mounting /srv/media rw"]),
        (NamedVolume("v", "local", (("device", "/srv/media"),)), {}, ["mounting /srv/media rw"]),
        (NamedVolume("v", "local", (("device", "/srv/media"), ("o", "rbind,ro"), ("type", "nfs"))),
         {"binds": (Root("/srv"),)}, []),
        (NamedVolume("v", "local", (("device", "/dev/tty"), ("type", "ext4"))), {}, ["the device /dev/tty"]),
        (NamedVolume("v", "local", (("device", "/dev/tty"), ("type", "ext4"))), {"devices": ("/dev",)}, []),
        (NamedVolume("v", "local", (("device", "overlay"), ("o", "lowerdir=/"), ("type", "overlay"))), {},
         ["a volume of type overlay"]),
        (NamedVolume("v", "local", (("device", "/dev/tty"), ("o", "lowerdir=/"), ("type", "overlay"))),
         {"devices": ("/dev",)}, ["a volume of type overlay"]),
        (NamedVolume("v", "local", (("device", "tmpfs"), ("o", "ro,remount"), ("type", "tmpfs"))), {},
         ["a volume that is mounted with remount"]),
        (NamedVolume("v", "rclone"), {}, ["the volume driver rclone"]),
        (NamedVolume("v", "rclone"), {"volume_drivers": ("rclone",)}, []),
    ],
)  # fmt: skip
def test_volumes(volume: NamedVolume, given: dict[str, Any], expected: list[str]) -> None:
    service = make_service(mounts=(Mount("/x", "volume", "v"),), volumes={"v": volume})
    assert whats(service, grant(**given), volumes=(volume,)) == expected


@pytest.mark.parametrize(
    ("image", "rules", "expected"),
    [
        ("ghcr.io/acme/x:1", {}, []),
        ("ghcr.io/acme/x:1", {"registries": ("ghcr.io",)}, []),
        ("ghcr.io/acme/x:1", {"registries": ("ghcr.io/acme",)}, []),
        ("ghcr.io/acme/x:1", {"registries": ("ghcr.io/acme/x",)}, []),
        ("ghcr.io/acmes/x:1", {"registries": ("ghcr.io/acme",)}, ["an image from ghcr.io"]),
        ("ghcr.io:5000/x:1", {"registries": ("docker.io",)}, ["an image from ghcr.io:5000"]),
        ("ghcr.io:5000/x:1", {"registries": ("ghcr.io",)}, ["an image from ghcr.io:5000"]),
        ("localhost:5000/x:1", {"registries": ("localhost",)}, ["an image from localhost:5000"]),
        ("localhost:5000/x:1", {"registries": ("localhost:5000",)}, []),
        ("docker.io/library/x:1", {"registries": ()}, ["an image from docker.io"]),
        ("docker.io/library/x:1", {"require_digests": True}, ["an image without a digest (NAME@sha256:...)"]),
        ("docker.io/library/x@sha256:" + "a" * 64, {"require_digests": True, "registries": ("docker.io",)}, []),
    ],
)
def test_images(image: str, rules: dict[str, Any], expected: list[str]) -> None:
    assert whats(make_service(image=image), **rules) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"PidMode": "host"}, "PidMode, of which the policy knows nothing,"),
        ({"Binds": ["/:/x"]}, "Binds, of which the policy knows nothing,"),
        ({"NetworkMode": "container:x"}, "another container's network"),
        ({"Mounts": [{"Type": "npipe", "Source": "x", "Target": "/x"}]}, "a mount of type npipe"),
        ({"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x"}]}, "mounting /etc rw"),
    ],
)
def test_what_this_file_does_not_know_is_denied(part: dict[str, Any], expected: str) -> None:
    """A field that is added to the body and forgotten here is seen at once."""
    plain = ask(make_service())
    wanted = {**plain.body, "HostConfig": {**plain.body["HostConfig"], **part}}
    found = policy.denials(Request(plain.ref, plain.image, wanted), Policy(), {})
    assert [denial.what for denial in found] == [expected]


def test_what_was_looked_at_is_what_is_mounted() -> None:
    service = make_service(
        mounts=(Mount("/x", "host", "/srv/link"), Mount("/y", "bind", "ab", True)),
        powers=Powers(devices=(Device("/dev/by-id/stick", "/dev/x"),)),
    )
    request = ask(Service(service.ref, service.spec, files={"ab": "y"}))
    assert sorted(policy.paths(request)) == ["/dev/by-id/stick", "/srv/link"]
    host = policy.resolved(request, FOUND)["HostConfig"]
    assert [mount["Source"] for mount in host["Mounts"]] == ["/etc", "/files/ab/content"]
    assert host["Devices"][0]["PathOnHost"] == "/dev/ttyUSB0"


def test_a_value_behind_a_variable_is_not_told() -> None:
    service = make_service(mounts=(Mount("/x", "host", "/srv/media"),))
    service.shown["volumes./x"] = "${PLACE}:/x"  # type: ignore[index]
    (denial,) = denials(service)
    assert denial.text(service, "host.yaml") == (
        "what ${PLACE}:/x names is denied by this host's policy; to allow it, write in host.yaml, under policy: "
        "allow: [{services: [shop/web], binds: [PATH:rw]}], with what the variable stands for in place of PATH"
    )


@pytest.mark.parametrize(
    ("shown", "given", "said"),
    [
        ("cap_add", {"powers": Powers(cap_add=("SYS_CANARY",))}, "cap_add: [NAME]}], with what the variable"),
        ("privileged", {"powers": Powers(privileged=True)}, "privileged: true}]"),
        ("devices", {"powers": Powers(devices=(Device("/dev/canary", "/dev/x"),))}, "devices: [PATH]}], with what"),
        ("image", {"image": "canary.example/x:1"}, "registries: [docker.io, REGISTRY], with what the variable"),
    ],
)
def test_the_line_that_would_allow_it_is_printed_without_the_value(
    shown: str, given: dict[str, Any], said: str
) -> None:
    service = make_service(**given)
    service.shown[shown] = "${WHAT}"  # type: ignore[index]
    request = ask(service)
    found = policy.denials(request, Policy(registries=("docker.io",)), {})
    text = found[0].text(service, "host.yaml")
    assert text.startswith("what ${WHAT} names is denied") and said in text and "canary" not in text.lower()


def test_nor_one_in_the_definition_of_a_volume() -> None:
    options = (("device", "/canary"), ("o", "bind"))
    volume = NamedVolume("v", "local", options, varies=True)
    service = make_service(mounts=(Mount("/x", "volume", "v"),), volumes={"v": volume})
    service.shown["volumes./x"] = "data:/x"  # type: ignore[index]
    (denial,) = policy.denials(replace(ask(service), volumes=(volume,)), Policy(), {})
    text = denial.text(service, "host.yaml")
    assert text.startswith("what data:/x names is denied") and "binds: [PATH:rw]" in text and "canary" not in text


def test_odd_names_are_quoted_where_yaml_needs_it() -> None:
    found = policy.denials(ask(bind("/srv/a b, c")), Policy(), {})
    assert found[0].lines == 'allow: [{services: [shop/web], binds: ["/srv/a b, c:rw"]}]'
