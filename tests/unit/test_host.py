"""host.yaml, what paths of this host really are, and what both make of a source."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler import host as hosts
from reconciler import schema
from reconciler.host import Host, HostError, paths, settings
from reconciler.host.settings import EVENTS, Followed, Hook
from reconciler.host.standing import Standing
from reconciler.model import Desired, Mount, Namespace, Place, Powers, Problem, Ref, Secret, Service
from reconciler.policy import Found, Grant, Policy, Root
from reconciler.remote import Remote
from reconciler.runtimes.subnets import Pool
from tests.support.build import make_service

WEB = Ref("shop", "web")


def read(tmp_path: Path, text: str) -> settings.Settings:
    file = tmp_path / "host.yaml"
    file.write_text(text)
    return settings.read(file)


# --- the file


def test_an_empty_file_allows_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, "# nothing\n")
    assert found == settings.Settings(str(tmp_path / "host.yaml"))
    assert (found.policy, found.pool, found.secrets) == (Policy(), Pool(), Path("/etc/lb/secrets"))


def test_everything(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "link").symlink_to("media")
    found = read(
        tmp_path,
        f"""
host: nas1
secrets: /srv/secrets
network_pool: {{base: 10.9.0.0/16, size: 24}}
policy:
  registries: [docker.io]
  require_digests: true
  allow:
    - services: ["media/*"]
      privileged: true
      network_mode: host
      docker_socket: true
      cap_add: [cap_net_admin]
      security_opt: [apparmor=unconfined, 'label:disable']
      binds: ["{tmp_path}/link:rw", "{tmp_path}/media/:ro", /nowhere]
      devices: [/dev/null]
      volume_drivers: [rclone]
""",
    )
    assert (found.name, found.secrets, found.pool) == ("nas1", Path("/srv/secrets"), Pool("10.9.0.0/16", 24))
    assert (found.policy.registries, found.policy.require_digests) == (("docker.io",), True)
    media = str(tmp_path / "media")
    assert found.policy.grants == (
        Grant(
            ("media/*",), True, True, True, ("NET_ADMIN",), ("apparmor=unconfined", "label=disable"),
            (Root(media, True), Root(media), Root("/nowhere")), ("/dev/null",), ("rclone",),
        ),
    )  # fmt: skip


def test_where_it_is_when_nobody_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings.usual() == tmp_path / "lb" / "host.yaml"
    assert settings.read(None) == settings.Settings(str(tmp_path / "lb" / "host.yaml"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert settings.usual() == Path("/etc/lb/host.yaml")


def test_a_source_that_is_fetched(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "sources: [{name: a, remote: 'git@x.example:a.git', branch: main, interval: 1m30s, verify: true, "
        "signers: /etc/lb/signers, env_files: [/a.env]}, {name: b, remote: /srv/b.git, verify: false, signers: /s}]\n",
    )
    assert found.sources == (
        Followed(None, "a", ("/a.env",), Remote("git@x.example:a.git", "main", 90.0, "/etc/lb/signers")),
        Followed(None, "b", (), Remote("/srv/b.git")),
    )
    assert found.remote("a") == found.sources[0].remote and found.remote("") is None


def test_where_credentials_of_a_registry_are(tmp_path: Path) -> None:
    found = read(
        tmp_path, "registries: {ghcr.io: {docker_config: /etc/lb/ghcr}, '127.0.0.1:5000': {docker_config: /b}}"
    )
    assert found.registries == {"ghcr.io": Path("/etc/lb/ghcr"), "127.0.0.1:5000": Path("/b")}


def test_every_key_of_the_schema_is_read(tmp_path: Path) -> None:
    """Nothing is passed over: each key makes other settings than an empty file."""
    bare = read(tmp_path, "")
    for key, inner in schema.load("host")["properties"].items():
        value = {"secrets": "/srv/secrets", "network_pool": "172.30.0.0/16"}.get(key, inner["examples"][0])
        assert read(tmp_path, json.dumps({key: value})) != bare, key


def test_every_key_of_a_source_is_read(tmp_path: Path) -> None:
    keys = schema.load("host")["properties"]["sources"]["items"]["properties"]
    said = {key: inner["examples"][0] for key, inner in keys.items() if key != "path"}
    whole = read(tmp_path, json.dumps({"sources": [said]}))
    for key in said.keys() - {"name", "remote", "signers"}:
        rest = {name: value for name, value in said.items() if name not in (key, "signers" if key == "verify" else key)}
        if key == "interval":
            rest["interval"] = "2m"
        assert read(tmp_path, json.dumps({"sources": [rest]})) != whole, key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen: nowhere", "listen: must be HOST:PORT"),
        ("token_file: token", "token_file: must be an absolute path, like /etc/lb/token"),
        ("state: state", "state: must be an absolute path, like /var/lib/lb"),
        ("sources: [{path: shop}]", r"sources\[0\].path: must be an absolute path, like /srv/shop"),
        (
            "sources: [{path: /x, env_files: [a.env]}]",
            r"sources\[0\].env_files\[0\]: must be an absolute path, like /etc",
        ),
        ("sources: [{name: x}]", r"sources\[0\]: path: or remote: is needed"),
        ("sources: [{name: x, path: /x, remote: /y}]", r"sources\[0\]: path: or remote: is needed"),
        ("sources: [{path: /x, branch: b}]", r"sources\[0\].branch: goes with remote:"),
        ("sources: [{remote: /x}]", r"sources\[0\]: name: is needed beside remote:"),
        ("sources: [{name: x, remote: x.git}]", r"sources\[0\].remote: must be a URL"),
        ("sources: [{name: x, remote: 'ext::sh -c x'}]", r"sources\[0\].remote: must be a URL"),
        ("sources: [{name: x, remote: --upload-pack=x}]", r"sources\[0\].remote: must be a URL"),
        ("sources: [{name: x, remote: 'http://x.example/y'}]", r"sources\[0\].remote: must be a URL"),
        ("sources: [{name: x, remote: /x, branch: --all}]", r"sources\[0\].branch: "),
        ("sources: [{name: x, remote: /x, branch: 'a b'}]", r"sources\[0\].branch: "),
        ("sources: [{name: x, remote: /x, interval: 500ms}]", r"sources\[0\].interval: must be 1s or longer"),
        ("sources: [{name: x, remote: /x, verify: true}]", r"sources\[0\].verify: needs signers:"),
        ("sources: [{name: x, remote: /x, signers: /s}]", r"sources\[0\].signers: has no effect without verify"),
        ("sources: [{name: x, remote: /x, verify: true, signers: s}]", r"sources\[0\].signers: must be an absolute"),
        ("registries: {ghcr.io: {docker_config: ghcr}}", "docker_config: must be an absolute path, like /etc/lb/ghcr"),
        ("policy: {registries: ['https://ghcr.io']}", r"policy.registries\[0\]: must look like ghcr.io/acme"),
        ("policy: {registries: [docker.io/]}", r"policy.registries\[0\]: must look like ghcr.io/acme"),
        ("policy: {registries: ['ghcr.io/acme/*']}", r"policy.registries\[0\]: must look like ghcr.io/acme"),
        ("registries: {ghcr.io: {}}", "docker_config: is missing; write docker_config: /etc/lb/ghcr"),
        ("sources: [{name: x, path: /x}, {name: x, path: /y}]", r"sources\[1\].name: x is another one's name already"),
        ("notify: [{command: []}]", r"notify\[0\].command: "),
        ("notify: [{command: [x], events: [born]}]", r"notify\[0\].events\[0\]: .*failed"),
    ],
)
def test_what_can_not_be_meant(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(HostError, match=said):
        read(tmp_path, text)


def test_where_things_are_and_what_is_followed(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
listen: "[::1]:80"
token_file: /etc/lb/token
state: /srv/lb
sources: [{path: /srv/a}, {name: b, path: /srv/b, env_files: [/etc/b.env]}]
notify: [{command: [tell, -x]}, {command: [shout], events: [failed]}]
""",
    )
    assert (found.listen, found.token_file, found.state) == ("[::1]:80", Path("/etc/lb/token"), Path("/srv/lb"))
    assert found.sources == (Followed(Path("/srv/a")), Followed(Path("/srv/b"), "b", ("/etc/b.env",)))
    assert found.notify == (Hook(("tell", "-x"), EVENTS), Hook(("shout",), ("failed",)))


def test_the_state_is_found_whatever_else_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "host.yaml"
    for text, state in [
        ("state: /srv/lb\npolicy: {nonsense: 1}", Path("/srv/lb")),
        ("# state: /srv/lb", None),
        ("", None),
        ("host: state", None),
    ]:
        file.write_text(text)
        assert settings.state(file) == state
    for text in ("state: here", "state: [", "state: 1"):
        file.write_text(text)
        with pytest.raises(HostError):
            settings.state(file)
    with pytest.raises(HostError, match="does not exist"):
        settings.state(tmp_path / "nope")


# --- a long life


def test_what_stands_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "host.yaml"
    file.write_text("host: a")
    standing = Standing(hosts.read(file))
    assert standing.look() is None and standing.look(asked=True) == ()
    file.write_text("host: b\nnetwork_pool: 10.9.0.0/16\nlisten: localhost:80")
    assert standing.look() == ("host", "network_pool", "listen") and standing.look() is None
    assert standing.pool == Pool("10.9.0.0/16")
    file.write_text("host: [")
    for _ in range(2):
        with pytest.raises(HostError):
            standing.look()
    assert standing.pool == Pool("10.9.0.0/16") and standing.host.name == "b", "what was read before holds"
    file.unlink()
    with pytest.raises(HostError, match="does not exist"):
        standing.look()
    file.write_text("host: b\nlisten: localhost:80")
    assert standing.look() == ("network_pool",) and standing.pool == Pool()


def test_the_usual_file_may_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "host.yaml"
    monkeypatch.setattr(settings, "usual", lambda: file)
    standing = Standing(hosts.read(None))
    assert standing.look() is None
    file.write_text("policy: {require_digests: true}")
    assert standing.look() == ("policy",) and standing.host.settings.policy.require_digests
    file.unlink()
    assert standing.look() == ("policy",) and not standing.host.settings.policy.require_digests


def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        read(tmp_path, "network_pool: x\nsecrets: y\n")
    assert caught.value.exit_code == 65
    assert [line.partition(": ")[0][-4:] for line in caught.value.message.split("\n")] == ["1:15", "2:10"]


def test_two_documents(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"host\.yaml is one document; remove what follows ---"):
        read(tmp_path, "host: a\n---\nhost: b\n")


# --- paths


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Path]:
    """A socket that stands for the engine's."""
    folder = tmp_path / "run"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "engine.sock"))
        yield folder / "engine.sock"


def look(path: Path | str, engine: Path) -> Found:
    return paths.look(str(path), f"unix://{engine}")


def test_a_plain_path(tmp_path: Path, engine: Path) -> None:
    (tmp_path / "a").mkdir()
    assert look(tmp_path / "a", engine) == Found(f"{tmp_path}/a", True)
    assert look(f"{tmp_path}//a/./", engine) == Found(f"{tmp_path}/a", True)
    assert look(tmp_path / "gone" / "deep", engine) == Found(f"{tmp_path}/gone/deep")


def test_links_and_dots_are_followed_as_the_kernel_does(tmp_path: Path, engine: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "to").symlink_to("a/b")
    assert look(tmp_path / "to" / ".." / "b", engine).real == f"{tmp_path}/a/b"  # not tmp_path/b
    (tmp_path / "away").symlink_to("/etc")
    assert look(f"{tmp_path}/a/../away/hosts", engine).real == os.path.realpath("/etc/hosts")
    (tmp_path / "loop").symlink_to("loop")
    assert "can't be looked at" in look(tmp_path / "loop", engine).unclear
    (tmp_path / "nowhere").symlink_to("missing")
    assert look(tmp_path / "nowhere", engine) == Found(f"{tmp_path}/missing")


def test_the_socket_is_known_by_what_it_is(tmp_path: Path, engine: Path) -> None:
    (tmp_path / "link").symlink_to(engine)
    os.link(engine, tmp_path / "hard")
    (tmp_path / "x").mkdir()
    for way in (engine, engine.parent, tmp_path, tmp_path / "link", tmp_path / "hard", f"{tmp_path}/x/../run"):
        assert look(way, engine).socket == str(engine), way
    assert look("/", engine).socket  # this one, or another that this machine has
    (tmp_path / "other").touch()
    assert look(tmp_path / "other", engine).socket == ""


@pytest.mark.parametrize(
    "path", ["/proc/1/root/run", "/proc/self/cwd", "/proc/self", "/dev/fd/0", "/proc/thread-self/root"]
)
def test_nothing_is_said_of_what_leads_through_proc(path: str, engine: Path) -> None:
    assert look(path, engine).unclear == "it leads through /proc, where it may mean something else to the engine"


def test_proc_as_a_whole_can_be_judged(engine: Path) -> None:
    found = look("/proc", engine)
    assert (found.real, found.exists, found.unclear) == ("/proc", True, "")


# --- what both make of a source


def world(*services: Service, root: str = "/srv/shop") -> Desired:
    wanted = {service.ref: service for service in services}
    return Desired("s", root, {"shop": Namespace(Ref("shop"))}, wanted, mentioned=frozenset({Ref("shop"), *wanted}))


def host(tmp_path: Path, *grants: Grant) -> Host:
    return Host(settings.Settings("host.yaml", policy=Policy(grants), secrets=tmp_path))


def test_a_source_does_not_bring_the_settings_of_its_host(tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(tmp_path / "source" / "host.yaml")
    inside = Host(settings.Settings(str(tmp_path / "link.yaml")))
    with pytest.raises(HostError, match="must not decide what its host allows"):
        hosts.judge(world(root=str(tmp_path / "source")), inside)


def test_an_ordinary_source_comes_back_as_it_is(tmp_path: Path) -> None:
    desired = world(make_service(), make_service("db"))
    assert hosts.judge(desired, host(tmp_path)) == desired


def test_what_is_denied_is_left_out_and_stays_mentioned(tmp_path: Path) -> None:
    bad, good = make_service("bad", powers=Powers(privileged=True)), make_service("good")
    earlier = Problem(Place("a.yaml"), "", "earlier")
    found = hosts.judge(replace(world(bad, good), problems=(earlier,)), host(tmp_path))
    assert set(found.services) == {good.ref} and bad.ref in found.mentioned
    assert found.problems[0] is earlier
    (problem,) = found.problems[1:]
    assert (problem.code, problem.path, problem.ref) == ("POLICY_DENIED", "spec.privileged", bad.ref)


def test_paths_of_the_host_count_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    service = make_service(mounts=(Mount("/x", "host", "../media", True),))
    desired = world(service, root=str(tmp_path / "source"))
    (tmp_path / "source").mkdir()
    found = hosts.judge(desired, host(tmp_path, Grant(("*",), binds=(Root(str(tmp_path / "media")),))))
    assert found.services[WEB].spec.mounts[0].source == f"{tmp_path}/source/../media"
    elsewhere = hosts.judge(desired, host(tmp_path, Grant(("*",), binds=(Root(str(tmp_path / "source")),))))
    assert not elsewhere.services and f"which is {tmp_path}/media, ro" in elsewhere.problems[0].message


def test_secrets_are_looked_up_and_only_their_hash_is_kept(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "key").write_text("canary")
    desired = world(make_service(secrets=(Secret("key", "/run/secrets/key"),)))
    one = hosts.judge(desired, host(tmp_path)).services[WEB]
    (secret,) = one.spec.secrets
    assert one.secrets == {secret.digest: str(tmp_path / "shop" / "key")} and "canary" not in repr(one)
    (tmp_path / "shop" / "key").write_text("another")
    other = hosts.judge(desired, host(tmp_path)).services[WEB]
    assert other.spec.secrets[0].digest != secret.digest


def test_a_secret_that_is_not_there_is_a_problem_unless_nobody_looks(tmp_path: Path) -> None:
    desired = world(make_service(secrets=(Secret("key", "/run/secrets/key"),)))
    (problem,) = hosts.judge(desired, host(tmp_path)).problems
    assert problem.message == f"there is no secret key on this host; put it into {tmp_path}/shop/key"
    assert problem.code == "BAD_PARAMETER"
    assert hosts.judge(desired, host(tmp_path), with_secrets=False) == desired


def test_the_warden_gives_the_body_with_what_was_looked_at(tmp_path: Path, engine: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    service = make_service(mounts=(Mount("/x", "host", f"{tmp_path}/link"),))
    from reconciler.runtimes import body

    request = body.request(service, body.create(service, {}, "/f"), "/f", ())
    allowed, none = host(tmp_path, Grant(("*",), binds=(Root(str(tmp_path / "data"), True),))).admit(request)
    assert none == () and mounts(allowed) == [f"{tmp_path}/data"]
    same, denied = host(tmp_path).admit(request)
    assert mounts(same) == [f"{tmp_path}/link"] and len(denied) == 1


def mounts(body: Any) -> list[str]:
    return [mount["Source"] for mount in body["HostConfig"]["Mounts"]]
