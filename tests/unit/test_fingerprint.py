"""What forces replacement, and that an upgrade of lb never does."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from reconciler import fingerprint
from reconciler.model import Healthcheck, Mount, Port, Spec, Update
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
    assert {name for name, _, _ in CHANGES} == {field.name for field in fields(Spec)}


@pytest.mark.parametrize(("name", "value", "kind"), CHANGES)
def test_the_class_of_every_field(name: str, value: Any, kind: str) -> None:
    before, after = make_service(), make_service(**{name: value})
    (path,) = fingerprint.changed_fields(after, fingerprint.digests(before, "salt"), "salt")
    assert fingerprint.field_class(path) == kind
    assert (fingerprint.fingerprint(before) == fingerprint.fingerprint(after)) == (kind != "replace")


@pytest.mark.parametrize(("given", "path"), [({"description": "x"}, "description"), ({"labels": {"a": "b"}}, "labels")])
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
