"""The examples do what their README says, on a host that is set up as it says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest

from tests.conftest import IMAGES, SOCKET, Sandbox
from tests.support.eventually import eventually
from tests.support.examples import Example, prepare
from tests.support.http import Answer, fetch
from tests.support.proxy import proxied
from tests.support.registry import free_port

Make = Callable[[str], Example]


@pytest.fixture
def example(sandbox: Sandbox) -> Make:
    """Copies the example of this name into the sandbox; the host's settings allow nothing."""

    def make(name: str) -> Example:
        shutil.rmtree(sandbox.source)
        made = prepare(name, sandbox.source, sandbox.folder / "host", called=sandbox.name)
        sandbox.host.write_text(made.host)
        return made

    return make


def nothing_is_called(sandbox: Sandbox, settings: list[str]) -> None:
    """A second apply says "no changes", and asks the engine for nothing but answers."""
    before = sandbox.running()
    with proxied(SOCKET, sandbox.folder) as proxy:
        sandbox.env["DOCKER_HOST"] = f"unix://{proxy.path}"
        assert sandbox.apply(*settings).out == "no changes\n"
        del sandbox.env["DOCKER_HOST"]
        assert proxy.requests and proxy.mutating == []
    assert sandbox.running() == before


def replaced(before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]) -> set[str]:
    """The services whose containers are others now; those that were not named stayed as they were."""
    return {name.split(".")[1] for name in before.keys() ^ after.keys()} | {
        name.split(".")[1] for name in before.keys() & after.keys() if before[name] != after[name]
    }


def volumes(sandbox: Sandbox) -> set[str]:
    return {volume["Name"] for volume in sandbox.api.volumes()["Volumes"] or []}


# --- voting-app


class Voting:
    """The app on two free ports of this host."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.port, self.result_port = sandbox, free_port(), free_port()
        self.settings = [
            argument
            for text in (f"IMAGES={IMAGES}", f"PORT={self.port}", f"RESULT_PORT={self.result_port}")
            for argument in ("--set", text)
        ]

    def vote(self, choice: str) -> Answer:
        return fetch(self.port, "/", "POST", f"vote={choice}", Content_Type="application/x-www-form-urlencoded")

    def shown(self) -> dict[str, int]:
        """What the result page says, by option."""
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", fetch(self.result_port, "/").body.decode())
        return {name: int(count) for name, count in zip(cells[::2], cells[1::2], strict=True)}

    def counted(self) -> str:
        """What stands in the database, asked from itself."""
        query = "SELECT choice, count(*) FROM votes GROUP BY choice ORDER BY choice"
        return self.inside("db", "psql", "-U", "postgres", "-Atc", query)

    def inside(self, service: str, *command: str) -> str:
        job = self.sandbox.api.exec_create(self.sandbox.one(service)["Id"], list(command))
        return str(self.sandbox.api.exec_start(job["Id"]).decode())


@pytest.fixture
def voting(sandbox: Sandbox, example: Make) -> Voting:
    example("voting-app")
    app = Voting(sandbox)
    sandbox.apply(*app.settings)
    return app


def test_a_vote_arrives_in_the_database_and_on_the_page(sandbox: Sandbox, voting: Voting) -> None:
    before = volumes(sandbox)
    page = fetch(voting.port, "/")
    assert page.code == 200 and b">Cats</button>" in page.body and b">Dogs</button>" in page.body
    assert voting.shown() == {"Cats": 0, "Dogs": 0}
    assert [voting.vote(choice).code for choice in ("a", "b", "b", "c", "abc")] == [303, 303, 303, 400, 400]
    eventually(lambda: voting.shown() == {"Cats": 1, "Dogs": 2})
    assert voting.counted() == "a|1\nb|2\n"
    assert voting.inside("queue", "redis-cli", "LLEN", "votes") == "0\n"
    migrate = sandbox.one("migrate")
    assert (migrate["State"]["Status"], migrate["State"]["ExitCode"]) == ("exited", 0)
    nothing_is_called(sandbox, voting.settings)

    # Volumes are all that is left, and all that it takes to carry on.
    sandbox.lb("down", "--yes")
    assert sandbox.containers() == [] and not sandbox.api.networks(names=["lb.voting"])
    assert {name for name in volumes(sandbox) if name.startswith("lb.voting.")} == {
        "lb.voting.pages", "lb.voting.pgdata", "lb.voting.queue",
    }  # fmt: skip
    assert volumes(sandbox) <= before  # no nameless ones either
    sandbox.apply(*voting.settings)
    assert voting.vote("a").code == 303
    eventually(lambda: voting.shown() == {"Cats": 2, "Dogs": 2})


def test_a_vote_waits_while_the_database_is_away(sandbox: Sandbox, voting: Voting) -> None:
    db = sandbox.one("db")["Id"]
    sandbox.api.pause(db)
    assert [voting.vote(choice).code for choice in "aab"] == [303, 303, 303]
    eventually(lambda: "psql: error" in sandbox.lb("logs", "voting/worker").err)  # one was taken, and kept
    assert voting.inside("queue", "redis-cli", "LLEN", "votes") == "3\n"
    sandbox.api.unpause(db)
    eventually(lambda: voting.shown() == {"Cats": 2, "Dogs": 1})
    assert voting.counted() == "a|2\nb|1\n"
    eventually(lambda: voting.inside("queue", "redis-cli", "LLEN", "votes") == "0\n")


def test_a_new_password_and_a_new_migration_reach_whom_they_concern(sandbox: Sandbox, voting: Voting) -> None:
    before = sandbox.running()
    (sandbox.folder / "host" / "secrets" / "voting" / "app_password").write_text("second\n")
    sandbox.apply(*voting.settings)
    after = sandbox.running()
    assert replaced(before, after) == {"migrate", "worker", "tally"}
    assert voting.vote("a").code == 303
    eventually(lambda: voting.shown() == {"Cats": 1, "Dogs": 0})

    before = after
    sandbox.write("migrations/003-index.sql", "CREATE INDEX IF NOT EXISTS votes_at ON votes (at);\n")
    sandbox.apply(*voting.settings)
    assert replaced(before, sandbox.running()) == {"migrate"}
    assert "votes_at" in voting.inside("db", "psql", "-U", "postgres", "-c", r"\d votes")
    nothing_is_called(sandbox, voting.settings)


# --- homelab


def test_the_home_lab_behind_its_proxy(sandbox: Sandbox, example: Make) -> None:
    lab, port = example("homelab"), free_port()
    settings = ["--set", f"IMAGES={IMAGES}", "--set", f"PORT={port}"]

    def ask(host: str, path: str = "/") -> Answer:
        return fetch(port, path, Host=host)

    # What the host does not allow is refused, with the line that would allow it; the rest is made.
    refused = sandbox.apply(*settings, code=77)
    grant = f"[{{services: [files/web], binds: [{lab.files}:ro]}}]"
    assert f"files/web.yaml:12:7: spec.volumes: mounting {lab.files} ro is denied" in refused.err
    assert f"under policy: allow: {grant}" in refused.err
    readers = [int(re.findall(r"reader (\d+)", ask("blog.localhost").body.decode())[0]) for _ in range(4)]
    assert readers == [1, 2, 3, 4]
    assert ask("files.localhost").code == 502 and ask("elsewhere").code == 404
    before = sandbox.running()

    sandbox.host.write_text(lab.allowing)
    assert "1 to create" in sandbox.apply(*settings).out
    assert {name: is_ for name, is_ in sandbox.running().items() if name in before} == before
    assert eventually(lambda: ask("files.localhost").code == 200)
    (lab.files / "new.txt").write_text("there at once\n")
    assert ask("files.localhost", "/new.txt").body == b"there at once\n"
    nothing_is_called(sandbox, settings)

    # The proxy reaches both namespaces; they do not reach each other.
    named = {container["Name"]: container for container in sandbox.containers()}
    address = named["/blog.web.1-1"]["NetworkSettings"]["Networks"]["lb.blog"]["IPAddress"]
    reached = {}
    for name in ("/edge.proxy.1-1", "/files.web.1-1"):
        command = ["timeout", "2", "wget", "-qO", "/dev/null", f"http://{address}:8080/health.txt"]
        job = sandbox.api.exec_create(named[name]["Id"], command)
        sandbox.api.exec_start(job["Id"])
        reached[name] = sandbox.api.exec_inspect(job["Id"])["ExitCode"] == 0
    assert reached == {"/edge.proxy.1-1": True, "/files.web.1-1": False}
    for container in sandbox.containers():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"] and host["Init"] and host["SecurityOpt"] == ["no-new-privileges"]
        assert host["LogConfig"]["Config"] == {"max-size": "5m", "max-file": "3"}

    # The database is protected until its manifest says otherwise.
    before = sandbox.running()
    db = (sandbox.source / "blog" / "db.yaml").read_text()
    sandbox.remove("blog/db.yaml")
    web = (sandbox.source / "blog" / "web.yaml").read_text()
    sandbox.write("blog/web.yaml", web.replace("  depends_on:\n    db: {condition: healthy}\n", ""))
    assert "blog/db would be removed, which meta.protect refuses" in sandbox.apply(*settings, code=77).err
    assert sandbox.running() == before
    sandbox.write("blog/db.yaml", db.replace("  protect: true\n", ""))
    sandbox.apply(*settings)
    sandbox.lb("down", "--yes")
    assert sandbox.containers() == [] and {v for v in volumes(sandbox) if v.startswith("lb.blog")} == {"lb.blog.data"}
