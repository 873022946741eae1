"""What forces replacement, and that an upgrade of lb never does."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from reconciler import fingerprint
from reconciler.model import (
    Device,
    EnvFile,
    Healthcheck,
    Limits,
    Links,
    Logging,
    Mount,
    NamedVolume,
    Port,
    Powers,
    Process,
    Secret,
    Spec,
    Ulimit,
    Update,
)
from tests.support.build import MIB, make_service

# A value for every field of Spec, and the class of a change from unset (or the default) to it.
CHANGES: list[tuple[str, Any, str]] = [
    ("image", "docker.io/library/nginx:2", "replace"),
    ("pull_policy", "always", "record"),
    ("replicas", 2, "scale"),
    ("memory", 64 * MIB, "in-place"),
    ("cpus", 500_000_000, "in-place"),
    ("entrypoint", ("/bin/sh", "-c"), "replace"),
    ("command", ("sleep", "1"), "replace"),
    ("env", {"A": "1"}, "replace"),
    ("ports", (Port(80),), "replace"),
    ("mounts", (Mount("/data", "volume", "data"),), "replace"),
    ("healthcheck", Healthcheck(("CMD", "true")), "replace"),
    ("depends_on", ("db",), "record"),
    ("restart", "always", "in-place"),
    ("stop_signal", "SIGQUIT", "replace"),
    ("stop_grace_period", 1, "replace"),
    ("update", Update("stop-first"), "record"),
    ("update", Update(monitor=1), "record"),
    ("platform", "linux/arm64", "replace"),
    ("limits", Limits(mem_reservation=MIB), "in-place"),
    ("limits", Limits(pids_limit=1), "in-place"),
    ("limits", Limits(shm_size=MIB), "replace"),
    ("limits", Limits(ulimits=(Ulimit("nofile", 1, 2),)), "replace"),
    ("limits", Limits(sysctls=(("a", "1"),)), "replace"),
    ("process", Process(user="1"), "replace"),
    ("process", Process(group_add=("1",)), "replace"),
    ("process", Process(working_dir="/x"), "replace"),
    ("process", Process(read_only=True), "replace"),
    ("process", Process(init=True), "replace"),
    ("process", Process(init=False), "replace"),
    ("process", Process(tty=True), "replace"),
    ("process", Process(stdin_open=True), "replace"),
    ("links", Links(network_mode="none"), "replace"),
    ("links", Links(networks=("shop",)), "replace"),
    ("links", Links(hostname="x"), "replace"),
    ("links", Links(dns=("10.0.0.1",)), "replace"),
    ("links", Links(extra_hosts=(("a", "10.0.0.1"),)), "replace"),
    ("powers", Powers(privileged=True), "replace"),
    ("powers", Powers(cap_add=("CHOWN",)), "replace"),
    ("powers", Powers(cap_drop=("CHOWN",)), "replace"),
    ("powers", Powers(security_opt=("no-new-privileges",)), "replace"),
    ("powers", Powers(devices=(Device("/dev/a", "/dev/a"),)), "replace"),
    ("logging", Logging("json-file"), "replace"),
    ("logging", Logging(options=(("max-size", "1m"),)), "replace"),
    ("container_labels", (("a", "b"),), "replace"),
    ("env_files", (EnvFile("a.env", "ab"),), "record"),
    ("secrets", (Secret("a", "/run/secrets/a", "ab"),), "replace"),
]


def everything() -> Any:
    return make_service(
        image="docker.io/library/redis:7.0",
        replicas=2,
        memory=64 * MIB,
        cpus=500_000_000,
        entrypoint=("/bin/sh", "-c"),
        command=("redis-server", "--save", ""),
        env={"B": "ü", "A": "1"},
        ports=(Port(80, external=8080, host_ip="127.0.0.1"), Port(53, "udp")),
        mounts=(Mount("/data", "volume", "data"), Mount("/etc/x", "bind", "ab" * 32, True)),
        healthcheck=Healthcheck(("CMD", "redis-cli", "ping"), 10**9, None, None, 5),
        depends_on=("db",),
        restart="always",
        stop_signal="SIGQUIT",
        stop_grace_period=30 * 10**9,
        update=Update("stop-first"),
        description="d",
        labels={"a": "b"},
    )


def test_every_field_is_here() -> None:
    named = {"labels" if name == "container_labels" else name for name, _, _ in CHANGES}
    assert named == {field.name for field in fields(Spec)}
    for part in (Limits, Process, Links, Powers, Logging):
        changed = [value for _, value, _ in CHANGES if isinstance(value, part)]
        default = part()
        touched = {
            f.name for value in changed for f in fields(part) if getattr(value, f.name) != getattr(default, f.name)
        }
        assert touched == {field.name for field in fields(part)}


@pytest.mark.parametrize(("name", "value", "kind"), CHANGES)
def test_the_class_of_every_field(name: str, value: Any, kind: str) -> None:
    before, after = make_service(), make_service(**{name: value})
    (path,) = fingerprint.changed_fields(after, fingerprint.digests(before, "salt"), "salt")
    assert fingerprint.field_class(path) == kind
    assert (fingerprint.fingerprint(before) == fingerprint.fingerprint(after)) == (kind != "replace")


@pytest.mark.parametrize(
    ("given", "path"),
    [({"description": "x"}, "description"), ({"labels": {"a": "b"}}, "labels"), ({"protect": True}, "protect")],
)
def test_meta_is_only_recorded(given: dict[str, Any], path: str) -> None:
    before, after = make_service(), make_service(**given)
    assert fingerprint.changed_fields(after, fingerprint.digests(before, "s"), "s") == [f"meta.{path}"]
    assert fingerprint.fingerprint(before) == fingerprint.fingerprint(after)


def test_it_never_changes_for_what_did_not_change() -> None:
    """These stand on containers. Where this test fails, an upgrade of lb would replace every one of them."""
    assert fingerprint.fingerprint(make_service()) == (
        "h1:3ee742b6fdb5a1d4cb521147410171f139cab2ab703e46ad64516356059b33a7"
    )
    assert fingerprint.fingerprint(everything()) == (
        "h1:09e2e3092e8ee5cbbc13439440a70d057b602f1aac353395dd303206b2732c16"
    )


def test_the_order_in_which_env_is_written_does_not_count() -> None:
    one, other = make_service(env={"A": "1", "B": "2"}), make_service(env={"B": "2", "A": "1"})
    assert fingerprint.fingerprint(one) == fingerprint.fingerprint(other)


def test_names_and_places_do_not_count() -> None:
    assert fingerprint.fingerprint(make_service("a", file="x.yaml")) == fingerprint.fingerprint(make_service("b"))


@pytest.mark.parametrize(
    "mount",
    [Mount("/d", "volume", "d", nocopy=True), Mount("/d", "tmpfs", "", size=1), Mount("/d", "tmpfs", "", mode=1)],
)
def test_options_of_a_mount_count(mount: Mount) -> None:
    plain = make_service(mounts=(Mount("/d", mount.kind, mount.source),))
    assert fingerprint.fingerprint(plain) != fingerprint.fingerprint(make_service(mounts=(mount,)))


def test_which_external_volume_counts_and_how_ours_was_made_does_not() -> None:
    """Ours keeps its name; that it was made otherwise is a conflict, not a change."""
    mounts = (Mount("/d", "volume", "d"),)

    def of(volume: NamedVolume) -> str:
        return fingerprint.fingerprint(make_service(mounts=mounts, volumes={"d": volume}))

    assert of(NamedVolume("lb.shop.d", "nfs")) == fingerprint.fingerprint(make_service(mounts=mounts))
    assert of(NamedVolume("one", external=True)) != of(NamedVolume("other", external=True))


def test_of_a_volume_a_salted_hash_is_kept() -> None:
    made = NamedVolume("v", "local", (("o", "password=x"),))
    kept = fingerprint.definition(made, "salt")
    assert kept.startswith("salt:") and "password" not in kept
    assert fingerprint.defined_alike(made, kept)
    assert not fingerprint.defined_alike(NamedVolume("v", "local", (("o", "password=y"),)), kept)
    assert not fingerprint.defined_alike(NamedVolume("v"), kept) and not fingerprint.defined_alike(made, "")
    assert fingerprint.defined_alike(NamedVolume("v"), "")


def test_unset_and_empty_differ() -> None:
    assert fingerprint.fingerprint(make_service()) != fingerprint.fingerprint(make_service(command=()))


def test_every_variable_and_mount_is_a_field_of_its_own() -> None:
    before = make_service(env={"A": "1", "B": "1"}, mounts=(Mount("/a", "volume", "a"),))
    after = make_service(env={"A": "1", "C": "1"}, mounts=(Mount("/b.d", "volume", "a"),))
    changed = fingerprint.changed_fields(after, fingerprint.digests(before, "s"), "s")
    assert changed == ["env.B", "env.C", "volumes./a", "volumes./b.d"]


def test_digests_tell_nothing_without_their_salt() -> None:
    service = make_service(env={"KEY": "secret"})
    one, other = fingerprint.digests(service, "r1"), fingerprint.digests(service, "r2")
    assert one.keys() == other.keys() and not set(one.values()) & set(other.values())
    assert fingerprint.changed_fields(service, one, "r1") == []
