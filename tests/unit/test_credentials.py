"""Which credentials a registry is given, and what is said where there are none."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import LbError
from reconciler.runtimes.credentials import check, find, registry_of

HUB_KEY = "https://index.docker.io/v1/"
SECRET = "canary-3c1d"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def write(folder: Path, config: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return file


def program(folder: Path, name: str, script: str) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\nread -r key || true\n{script}\n")
    path.chmod(0o755)


def given(registry: str) -> Mapping[str, str]:
    header = find(registry).header
    found: Mapping[str, str] = json.loads(base64.urlsafe_b64decode(header)) if header else {}
    return found


def auth(user: str = "me", password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("docker.io/library/redis:7", "docker.io"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000"),
        ("ghcr.io/a@x", "ghcr.io"),
    ],
)
def test_the_registry_of_an_image(image: str, registry: str) -> None:
    assert registry_of(image) == registry


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://reg.example/v2/", "reg.example"),
        ("http://reg.example:81", "reg.example:81"),
        (HUB_KEY, "docker.io"),
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
    ],
)
def test_an_entry_is_found_by_its_registry(folder: Path, key: str, registry: str) -> None:
    file = write(folder, {"auths": {"other.example": auth("other"), key: auth(password=f"a:{SECRET}\0")}})
    address = HUB_KEY if registry == "docker.io" else registry
    assert given(registry) == {"username": "me", "password": f"a:{SECRET}", "serveraddress": address}
    assert find(registry).origin == str(file)
    assert not find("none.example").header
    assert find("none.example").origin == f"{file} has none for it"


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"username": "me", "password": "x"}, {"username": "me", "password": "x"}),
        ({"identitytoken": "t", "auth": ""}, {"identitytoken": "t"}),
        ({"registrytoken": "t"}, {"registrytoken": "t"}),
    ],
)
def test_other_forms_of_an_entry(folder: Path, entry: Any, wanted: Mapping[str, str]) -> None:
    write(folder, {"auths": {"reg": entry}})
    assert given("reg") == {**wanted, "serveraddress": "reg"}


@pytest.mark.parametrize("config", [{}, [], {"auths": []}, {"auths": {"reg": {}}}, {"auths": {"reg": "x"}}])
def test_nothing_there_is_said(folder: Path, config: Any) -> None:
    file = write(folder, config)
    assert (find("reg").header, find("reg").origin) == ("", f"{file} has none for it")


def test_a_file_that_is_missing_or_broken_is_said(folder: Path) -> None:
    assert find("reg").origin == f"there is no {folder}/config.json"
    (folder / "config.json").write_text("{")
    assert find("reg").origin.startswith(f"{folder}/config.json can't be read: Expecting")
    for broken in ("?", base64.b64encode(b"no colon").decode()):
        write(folder, {"auths": {"reg": {"auth": broken}}})
        assert find("reg").origin == f"what {folder}/config.json has for it can't be read"


def test_without_docker_config_it_is_the_home_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(folder))
    assert find("reg").origin == f"there is no {folder}/.docker/config.json"


def test_a_helper_of_the_registry_comes_before_the_store_and_the_store_before_the_file(folder: Path) -> None:
    answer = 'printf \'{"Username":"%s","Secret":"%s"}\' '
    program(folder, "own", answer + '"own $key" s1')
    program(folder, "all", answer + '"all $key" s2')
    file = write(folder, {"auths": {"reg": auth()}, "credHelpers": {"reg": "own", HUB_KEY: "own"}, "credsStore": "all"})
    assert given("reg") == {"username": "own reg", "password": "s1", "serveraddress": "reg"}
    assert given("docker.io")["username"] == f"own {HUB_KEY}"
    assert given("elsewhere") == {"username": "all elsewhere", "password": "s2", "serveraddress": "elsewhere"}
    assert find("reg").origin == f"docker-credential-own, which {file} names"


def test_a_token_from_a_helper(folder: Path) -> None:
    program(folder, "x", 'echo \'{"Username":"<token>","Secret":"t"}\'')
    write(folder, {"credsStore": "x"})
    assert given("reg") == {"identitytoken": "t", "serveraddress": "reg"}


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'credentials not found in native keychain'; exit 1", "has none for it"),
        ('echo \'{"Username":"","Secret":""}\'', "has none for it"),
        ("echo 'the key chain is locked'; exit 3", "failed (exit 3: the key chain is locked)"),
        (f'echo \'{{"Secret":"{SECRET}"\'; echo {SECRET} >&2; exit 1', "failed (exit 1)"),
        (f"echo {SECRET}", "gave an answer that can't be read"),
        (None, "is not in PATH"),
    ],
)
def test_what_a_helper_can_not_give_may_be_in_the_file(
    folder: Path, capfd: pytest.CaptureFixture[str], script: str | None, why: str
) -> None:
    if script:
        program(folder, "x", script)
    file = write(folder, {"credsStore": "x"})
    found = find("reg")
    assert (found.header, found.origin) == ("", f"docker-credential-x, which {file} names, {why}")
    write(folder, {"credsStore": "x", "auths": {"reg": auth()}})
    assert given("reg")["username"] == "me"
    assert SECRET not in "".join(capfd.readouterr()) + found.origin


def test_a_helper_that_hangs_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.runtimes.credentials._HELPER_SECONDS", 0.2)
    program(folder, "x", "exec sleep 60")
    write(folder, {"credsStore": "x"})
    assert find("reg").origin.endswith("did not answer within 0.2 s")


def test_a_password_is_in_no_text_of_the_credentials(folder: Path) -> None:
    write(folder, {"auths": {"reg": auth()}})
    found = find("reg")
    assert found.header and found.header not in repr(found) and SECRET not in repr(found)


def test_what_is_changed_counts_at_once(folder: Path) -> None:
    for password in ("one", "two"):
        write(folder, {"auths": {"reg": auth(password=password)}})
        assert given("reg")["password"] == password


@pytest.mark.parametrize(
    "auths", [{"reg": "x"}, {"reg": {"auth": "?"}}, {"reg": {"auth": "bm8="}}, {"reg": {"auth": 1}}]
)
def test_a_configuration_that_would_trip_the_client_is_named(folder: Path, auths: Any) -> None:
    file = write(folder, {"auths": auths})
    with pytest.raises(LbError, match="can't be read") as caught:
        check()
    assert str(file) in caught.value.message and not caught.value.temporary


@pytest.mark.parametrize("config", [{}, {"auths": {"reg": {}}}, {"credsStore": "none"}, {"proxies": {}}])
def test_any_other_is_fine(folder: Path, config: Any) -> None:
    write(folder, config)
    check()


def test_the_folder_that_the_host_names_for_a_registry_counts_alone(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    auths = {name: {"username": "ann", "password": "usual"} for name in ("ghcr.io", "reg", HUB_KEY)}
    write(folder, {"auths": auths})
    file = write(own, {"credHelpers": {"ghcr.io": "own"}, "auths": {HUB_KEY: {"username": "bob", "password": SECRET}}})
    program(folder, "own", f'echo \'{{"Username": "bob", "Secret": "{SECRET}"}}\'')
    folders = {"ghcr.io": own, "docker.io": own, "other": tmp_path / "none"}

    def user(registry: str) -> str:
        return str(json.loads(base64.urlsafe_b64decode(find(registry, folders).header))["username"])

    assert (user("ghcr.io"), user("docker.io"), user("reg")) == ("bob", "bob", "ann")
    assert find("ghcr.io", folders).origin == f"docker-credential-own, which {file} names"
    missing = find("other", folders)
    assert (missing.header, missing.origin) == ("", f"there is no {tmp_path}/none/config.json")
    assert missing.login == f"docker --config {tmp_path}/none login other" and find("reg").login == "docker login reg"
