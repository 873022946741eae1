"""The examples that show whole installations do what they say, on the real engine."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

from tests.conftest import IMAGES, Sandbox
from tests.e2e.test_more_fields import inside
from tests.support.eventually import eventually
from tests.support.http import Answer, fetch

EXAMPLES = Path(__file__).parents[2] / "examples"


def take(sandbox: Sandbox, example: str) -> None:
    """The example becomes the sandbox's source, under the sandbox's name."""
    shutil.rmtree(sandbox.source)
    shutil.copytree(EXAMPLES / example, sandbox.source)
    settings = sandbox.source / "lb.yaml"
    written = settings.read_text()
    assert f"name: {example}\n" in written
    settings.write_text(written.replace(f"name: {example}\n", f"name: {sandbox.name}\n"))


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in taken]
    for server in taken:
        server.close()
    return ports


def volumes(sandbox: Sandbox) -> set[str]:
    found = sandbox.api.volumes(filters={"label": f"lb.source={sandbox.name}"})["Volumes"] or []
    return {volume["Name"] for volume in found}


def nameless(sandbox: Sandbox) -> set[str]:
    """Volumes that the engine made because an image declares one that nobody mounts."""
    return {v["Name"] for v in sandbox.api.volumes()["Volumes"] or [] if re.fullmatch("[0-9a-f]{64}", v["Name"])}


def left(sandbox: Sandbox) -> list[str]:
    """Containers and networks of the source."""
    networks = sandbox.api.networks(filters={"label": f"lb.source={sandbox.name}"})
    return [c["Name"] for c in sandbox.containers()] + [network["Name"] for network in networks]


def shown(port: int, text: str, path: str = "/") -> Answer | None:
    """What the page says, once it says this."""
    try:
        answer = fetch(port, path)
    except OSError:
        return None
    return answer if answer.code == 200 and text in answer.body.decode() else None


# examples/voting-app


def test_a_vote_arrives_in_the_database_and_on_the_page(sandbox: Sandbox) -> None:
    take(sandbox, "voting-app")
    secret = sandbox.folder / "secrets" / "voting" / "pg_password"
    secret.parent.mkdir(parents=True)
    secret.write_text("first\n")
    sandbox.host.write_text(json.dumps({"secrets": str(secret.parents[1])}))
    vote, result = free_ports(2)
    options = ["--set", f"IMAGES={IMAGES}", "--set", f"VOTE_PORT={vote}", "--set", f"RESULT_PORT={result}"]

    def stored() -> list[str]:
        rows = inside(sandbox, "db", "psql", "-AtU", "postgres", "-c", "SELECT choice FROM votes ORDER BY choice")
        return rows.split()

    def cast(choice: str) -> Answer:
        return fetch(vote, "/cgi-bin/index.cgi", "POST", f"choice={choice}")

    others = nameless(sandbox)
    sandbox.apply(*options)
    assert sandbox.one("table")["State"]["ExitCode"] == 0
    assert eventually(lambda: shown(vote, "What do you like better?"))
    assert eventually(lambda: shown(result, "<p>cats: 0</p>"))
    assert "You voted for cats." in cast("cats").body.decode()
    assert cast("dogs").code == cast("cats").code == 200
    assert cast("fish;").code == 400
    eventually(lambda: stored() == ["cats", "cats", "dogs"])
    page = eventually(lambda: shown(result, "<p>cats: 2</p>"))
    assert page and "<p>dogs: 1</p>" in page.body.decode()
    assert sandbox.apply(*options).out == "no changes\n"

    before = sandbox.running()
    secret.write_text("second\n")
    sandbox.apply(*options)
    kept = {name.split(".")[1] for name, run in sandbox.running().items() if before.get(name) == run}
    assert kept == {"queue", "vote", "result"}
    cast("dogs")
    assert eventually(lambda: shown(result, "<p>dogs: 2</p>"))
    assert stored() == ["cats", "cats", "dogs", "dogs"]
    assert sandbox.apply(*options).out == "no changes\n"

    sandbox.lb("down", "--yes")
    assert left(sandbox) == []
    assert volumes(sandbox) == {f"lb.voting.{name}" for name in ("pgdata", "queue", "tally")}
    assert nameless(sandbox) <= others


def test_the_voting_app_is_written_from_the_readme_alone(sandbox: Sandbox) -> None:
    """Its manifests as they stand there, beside the programs of the example; only images and ports are of this test."""
    take(sandbox, "voting-app")
    for manifest in sandbox.source.glob("*.yaml"):
        if manifest.name != "lb.yaml":
            manifest.unlink()
    readme = (EXAMPLES.parent / "README.md").read_text().split("## From Compose to lb")[1]
    (_, ours, *_) = re.findall(r"^```yaml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    vote, result = free_ports(2)
    for theirs, here in (("image: ", f"image: {IMAGES}"), (":8081:", f":{vote}:"), (":8082:", f":{result}:")):
        assert theirs in ours
        ours = ours.replace(theirs, here)
    (sandbox.source / "all.yaml").write_text(ours)
    secret = sandbox.folder / "secrets" / "voting" / "pg_password"
    secret.parent.mkdir(parents=True)
    secret.write_text("first\n")
    sandbox.host.write_text(json.dumps({"secrets": str(secret.parents[1])}))
    sandbox.apply()
    assert fetch(vote, "/cgi-bin/index.cgi", "POST", "choice=cats").code == 200
    assert eventually(lambda: shown(result, "<p>cats: 1</p>"))
    assert sandbox.apply().out == "no changes\n"
    before = sandbox.running()
    secret.write_text("second\n")
    sandbox.apply()
    kept = {name.split(".")[1] for name, run in sandbox.running().items() if before.get(name) == run}
    assert kept == {"queue", "vote", "result"}
    migrated = sandbox.lb("get", "service", "voting/table").out
    assert "stopped" in migrated and "completed" in migrated


# examples/homelab


def test_a_proxy_reaches_what_other_namespaces_share_and_the_host_allows(sandbox: Sandbox) -> None:
    take(sandbox, "homelab")
    share = sandbox.folder / "share"
    share.mkdir()
    (share / "song.txt").write_text("la la\n")
    (port,) = free_ports(1)
    options = ["--set", f"IMAGES={IMAGES}", "--set", f"PORT={port}", "--set", f"SHARE={share}"]
    denied = sandbox.apply(*options, code=77)
    assert "files/files.yaml:17:7: spec.volumes: " in denied.err and "denied by this host's policy" in denied.err
    assert {c["Name"].split(".")[0] for c in sandbox.containers()} == {"/edge", "/blog"}

    settings = (sandbox.source / "host.yaml.example").read_text()
    assert "/srv/share:ro" in settings
    sandbox.host.write_text(settings.replace("/srv/share", str(share)))
    sandbox.apply(*options, "--host-config", str(sandbox.host))
    assert eventually(lambda: shown(port, "You are reader 1.", "/blog/"))
    assert shown(port, "You are reader 2.", "/blog/")
    assert eventually(lambda: shown(port, "song.txt", "/files/"))
    assert fetch(port, "/files/song.txt").body == b"la la\n"
    (share / "more.txt").write_text("more\n")  # the folder itself, no copy
    assert fetch(port, "/files/more.txt").body == b"more\n"
    (files,) = [c for c in sandbox.containers("web") if c["Name"].startswith("/files.")]
    for folder, status in (("/share", 1), ("/etc", 1), ("/run", 0)):
        job = sandbox.api.exec_create(files["Id"], ["sh", "-c", f"echo x >{folder}/x"])
        told = sandbox.api.exec_start(job["Id"]).decode()
        assert sandbox.api.exec_inspect(job["Id"])["ExitCode"] == status, told
        assert ("Read-only file system" in told) == bool(status)
    assert sandbox.apply(*options).out == "no changes\n"

    database = sandbox.one("db")["Id"]
    before = sandbox.running()
    assert "blog/db is protected" in sandbox.lb("down", "--yes", code=77).err
    assert sandbox.running() == before
    manifest = sandbox.source / "blog" / "blog.yaml"
    manifest.write_text(manifest.read_text().replace("protect: true", "protect: false"))
    sandbox.apply(*options)
    assert sandbox.one("db")["Id"] == database
    assert eventually(lambda: shown(port, "You are reader 3.", "/blog/"))
    sandbox.lb("down", "--yes")
    assert left(sandbox) == []
    assert volumes(sandbox) == {"lb.blog.db"}
