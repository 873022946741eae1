"""Logs over HTTP: whose they are, how they are followed, and what is left when somebody goes away."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from reconciler import views
from reconciler.api import Limits, Server, Sources
from reconciler.api.queries import LogQuery, log_query
from reconciler.clock import seconds
from reconciler.errors import EngineError, EngineUnreachable, LbError, NotFound
from reconciler.model import Ref
from reconciler.runtime import LogStream
from tests.support.build import World, make_recorded, make_row, make_service, steady
from tests.support.eventually import eventually
from tests.support.http import Answer, fetch, read
from tests.support.taps import Engine, Flood, Tap

LOGS = "/namespace/shop/service/web/logs"
NOW = 1_767_323_045.0  # 2026-01-02T03:04:05Z


def ended(*lines: str) -> Tap:
    tap = Tap(*lines)
    tap.end()
    return tap


class Site:
    """A server, the engine behind its logs, and the picture it answers from: web with two replicas, and db."""

    def __init__(self, **limits: Any) -> None:
        self.begin()
        sources = Sources(lambda: self.picture, lambda ref: [], lambda c, **given: self.engine.logs(c, **given))
        self.server = Server("127.0.0.1", 0, sources, limits=replace(Limits(poll=0.01), **limits))
        self.server.start()

    def begin(self) -> None:
        self.engine = Engine()
        self.world = steady(make_service(replicas=2), make_service("db"))
        self.picture = views.picture(self.world.recorded, self.world.observed)

    def taps(self, **taps: LogStream | LbError | list[LogStream | LbError]) -> None:
        self.engine = Engine(**{name.replace("_", "-"): tap for name, tap in taps.items()})

    def shows(self, world: World) -> None:
        """The next picture."""
        self.world = world
        self.picture = views.picture(world.recorded, world.observed, self.picture)

    def get(self, query: str = "", method: str = "GET") -> Answer:
        return fetch(self.server.port, f"{LOGS}?{query}", method)

    def follow(self, query: str = "follow=true") -> Reader:
        return Reader(self.server.port, query)

    def reading(self) -> int:
        """Threads that read logs now."""
        return sum(thread.name.startswith("logs of ") for thread in threading.enumerate())


class Reader:
    """A client that reads line by line."""

    def __init__(self, port: int, query: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.connection.request("GET", f"{LOGS}?{query}")
        self.response = self.connection.getresponse()

    def line(self) -> str:
        return self.response.readline().decode()

    def leave(self) -> None:
        self.response.close()
        self.connection.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    found = Site()
    yield found
    found.server.stop()


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """As if just started. At the end nothing may be left of any reader."""
    shared.begin()
    yield shared
    assert eventually(lambda: shared.reading() == 0), "a thread goes on reading"
    assert shared.engine.open == 0, "a connection to the engine is left open"


# --- what is asked for


@pytest.mark.parametrize(
    ("items", "query"),
    [
        ([], LogQuery()),
        ([("pod", ""), ("container", "")], LogQuery()),
        ([("pod", "p"), ("container", "c")], LogQuery("p", "c")),
        ([("follow", "true"), ("timestamps", "1"), ("tail", "5")], LogQuery(follow=True, timestamps=True, tail=5)),
        ([("follow", ""), ("timestamps", "false"), ("tail", "all")], LogQuery(follow=True)),
        ([("tail", "0")], LogQuery(tail=0)),
        ([("since", "1700000000")], LogQuery(since=1_700_000_000.0)),
        ([("since", "1700000000.25")], LogQuery(since=1_700_000_000.25)),
        ([("since", "10m")], LogQuery(since=NOW - 600)),
        ([("since", "1h30m")], LogQuery(since=NOW - 5400)),
        ([("since", "2026-01-02T03:04:05Z")], LogQuery(since=NOW)),
        ([("since", "2026-01-02T03:04:05.123456789Z")], LogQuery(since=NOW + 0.123456)),
        ([("since", "2026-01-02T06:04:05+03:00")], LogQuery(since=NOW)),
        ([("since", "2026-01-02T06:04:05 03:00")], LogQuery(since=NOW)),  # a plus that was not escaped
        ([("since", "2026-01-02T03:04:05")], LogQuery(since=NOW)),
        ([("since", "")], LogQuery()),
    ],
)
def test_queries(items: list[tuple[str, str]], query: LogQuery) -> None:
    assert log_query(items, NOW) == query


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("tail=x", "tail must be a number of lines, or all"),
        ("tail=-1", "tail must be a number of lines, or all"),
        ("tail=1.5", "tail must be a number of lines, or all"),
        ("tail=%C2%B2", "tail must be a number of lines, or all"),
        ("tail=99999999999", "tail must be a number of lines, or all"),
        ("follow=maybe", "follow must be true or false"),
        ("timestamps=2", "timestamps must be true or false"),
        ("since=yesterday", "since must be a time like 2026-01-02T03:04:05Z, seconds since 1970, or an age like 10m"),
        ("since=10", None),
        ("since=-10", "since must be a time like 2026-01-02T03:04:05Z, seconds since 1970, or an age like 10m"),
        ("since=10x", "since must be a time like 2026-01-02T03:04:05Z, seconds since 1970, or an age like 10m"),
        ("folow=true", "folow is not known here; there are pod, container, follow, tail, since, timestamps"),
        ("tail=1&tail=2", "tail is given twice"),
    ],
)
def test_bad_queries(site: Site, query: str, said: str | None) -> None:
    site.taps(web_1=ended(), web_2=ended())
    found = site.get(query)
    if said is None:
        assert found.code == 200
    else:
        assert (found.code, found.json) == (400, {"code": 400, "status": "BAD_REQUEST", "message": said})


# --- whose logs


def test_all_replicas_each_line_behind_its_pod(site: Site) -> None:
    two = Tap("x\n")
    two.write("half")
    two.end()
    site.taps(web_1=ended("a\nb", "c\n"), web_2=two)
    found = site.get()
    assert (found.code, found.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert found.headers["transfer-encoding"] == "chunked" and found.headers["x-content-type-options"] == "nosniff"
    assert sorted(found.body.decode().splitlines()) == [
        "shop.web.1-1 | a",
        "shop.web.1-1 | bc",
        "shop.web.2-2 | half",
        "shop.web.2-2 | x",
    ]


@pytest.mark.parametrize("query", ["container=web-2", "pod=shop.web.2-2", "pod=shop.web.2-2&container=web-2"])
def test_one_container_as_it_is(site: Site, query: str) -> None:
    tap = Tap("50 %\r", "done\n")
    tap.write("oops", "stderr")
    tap.end()
    site.taps(web_2=tap)
    assert site.get(query).body == b"50 %\rdone\noops"


@pytest.mark.parametrize(
    "query",
    [
        "container=db-1",  # another service's
        "pod=shop.db.1-1",
        "container=elsewhere",  # exists, maybe, but is not ours
        "container=web",  # half a name
        "container=web-",
        "pod=shop.web.1",
        "container=shop.web.1-1",
        "pod=shop.web.1-1&container=web-2",  # of this service, but not of that pod
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_only_containers_of_that_service(site: Site, query: str, method: str) -> None:
    site.taps(web_1=ended("a\n"), web_2=ended("b\n"), db_1=ended("secret\n"), elsewhere=ended("secret\n"))
    found = site.get(query, method)
    assert (found.code, found.headers["content-type"], site.engine.asked) == (404, "application/json", [])
    if method == "GET":
        message = "Service shop/web has no such pod or container now"
        assert found.json == {"code": 404, "status": "SERVICE_NOT_FOUND", "message": message}


def test_the_engine_is_asked_for_what_was_asked(site: Site) -> None:
    site.taps(web_1=ended())
    site.get("container=web-1&tail=7&since=1700000000&timestamps=true")
    assert site.engine.asked == [
        {"container": "web-1", "follow": False, "tail": 7, "since": 1_700_000_000.0, "timestamps": True}
    ]


def test_head_asks_the_engine_nothing(site: Site) -> None:
    found = site.get("follow=true", "HEAD")
    assert (found.code, found.headers["content-type"], found.body) == (200, "text/plain; charset=utf-8", b"")
    assert site.engine.asked == []


def test_a_service_without_replicas_has_empty_logs(site: Site) -> None:
    site.shows(site.world.misses("web-1", "web-2"))
    assert (site.get().code, site.get().body) == (200, b"")


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (NotFound("gone"), 404, "SERVICE_NOT_FOUND"),
        (EngineUnreachable("no Docker Engine answers"), 503, "SERVICE_UNAVAILABLE"),
        (EngineError("configured logging driver does not support reading"), 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_what_fails_before_the_first_byte_is_json(site: Site, error: LbError, code: int, status: str) -> None:
    site.taps(web_1=[error, error])
    for query in ("container=web-1", "container=web-1&follow=true"):
        found = site.get(query)
        assert (found.code, found.json["code"], found.json["status"]) == (code, code, status)
        assert ("retry-after" in found.headers) == (code == 503)


def test_a_replica_that_is_gone_by_now_is_left_out(site: Site) -> None:
    site.taps(web_1=NotFound("gone"), web_2=ended("b\n"))
    assert site.get().body == b"shop.web.2-2 | b\n"


def test_an_engine_that_dies_breaks_the_stream_off(site: Site) -> None:
    """So that a client can tell it from the end."""
    one = Tap("a\n")
    site.taps(web_1=one)
    reader = site.follow("container=web-1&follow=true")
    assert reader.line() == "a\n"
    one.end(EngineError("the engine's log stream broke off"))
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        reader.response.read()
    reader.leave()


# --- following


def test_lines_come_as_they_are_written(site: Site) -> None:
    one, two = Tap("a\n"), Tap()
    site.taps(web_1=one, web_2=two)
    reader = site.follow()
    assert reader.line() == "shop.web.1-1 | a\n"
    two.write("b\n")
    assert reader.line() == "shop.web.2-2 | b\n"
    one.write("c\n")
    assert reader.line() == "shop.web.1-1 | c\n"
    reader.leave()


def rolled(world: World) -> World:
    """Replica 1 was replaced by a new container, of a new revision."""
    service = make_service(replicas=2)
    rows = (make_row(service, 1, 3), make_row(service, 2))
    seen = replace(world.observed.containers[0], id="web-1-3", name="shop.web.1-3")
    return world.remembers(make_recorded(service, containers=rows)).misses("web-1").sees_also(seen)


def test_following_goes_on_across_a_rollout(site: Site) -> None:
    one, two, new = Tap("old\n"), Tap(), Tap("new\n", "newer\n")
    site.taps(web_1=one, web_2=two, web_1_3=new)
    reader = site.follow("follow=true&tail=1&since=1700000000")
    assert reader.line() == "shop.web.1-1 | old\n"
    site.shows(rolled(site.world))
    one.end()
    assert [reader.line(), reader.line()] == ["shop.web.1-3 | new\n", "shop.web.1-3 | newer\n"]
    two.write("other\n")
    assert reader.line() == "shop.web.2-2 | other\n"
    assert [(asked["container"], asked["tail"]) for asked in site.engine.asked] == [
        ("web-1", 1),
        ("web-2", 1),
        ("web-1-3", None),  # it is new: all of it
    ]
    assert eventually(lambda: site.reading() == 2)
    reader.leave()


@pytest.mark.parametrize(
    ("finished", "since"),
    [
        ("2026-01-02T03:10:00.5Z", lambda: seconds("2026-01-02T03:10:00.5Z")),  # from when that run had ended
        ("2199-01-02T03:10:00.5Z", time.time),  # or from when it was seen to end: it crashed again, unseen, since then
    ],
)
def test_a_restarted_replica_is_read_on(site: Site, finished: str, since: Callable[[], float]) -> None:
    first, second = Tap("first\n"), Tap("second\n")
    site.taps(web_1=[first, second], web_2=Tap())
    reader = site.follow()
    assert reader.line() == "shop.web.1-1 | first\n"
    first.end()
    assert eventually(lambda: site.reading() == 1)
    again = {"started": "2199-01-02T03:10:01Z", "finished": finished, "restarts": 1}
    site.shows(site.world.sees("web-1", **again, state="restarting"))
    site.shows(site.world.sees("web-1", **again, state="running"))
    assert reader.line() == "shop.web.1-1 | second\n"
    assert site.engine.asked[-1]["since"] == pytest.approx(since(), abs=20)
    site.shows(site.world.sees("db-1", state="paused"))
    assert reader.response.isclosed() is False and len(site.engine.asked) == 3
    reader.leave()


def test_following_ends_with_the_service(site: Site) -> None:
    site.taps(web_1=Tap("a\n"), web_2=Tap())
    reader = site.follow()
    assert reader.line() == "shop.web.1-1 | a\n"
    left = {ref: s for ref, s in site.world.recorded.services.items() if ref != Ref("shop", "web")}
    site.shows(replace(site.world, recorded=replace(site.world.recorded, services=left)))
    assert reader.response.read() == b""  # a proper end
    reader.leave()


def test_following_waits_for_the_first_replica(site: Site) -> None:
    everything = site.world
    site.shows(everything.misses("web-1", "web-2"))
    site.taps(web_1=Tap("a\n"), web_2=Tap())
    reader = site.follow()
    site.shows(everything)
    assert reader.line() == "shop.web.1-1 | a\n"
    reader.leave()


def test_following_one_container_ends_with_it(site: Site) -> None:
    tap = Tap("a\n")
    site.taps(web_1=tap)
    reader = site.follow("container=web-1&follow=true")
    assert reader.line() == "a\n"
    tap.end()
    assert reader.response.read() == b""
    reader.leave()


def test_a_new_replica_waits_for_an_engine_that_does_not_answer(site: Site) -> None:
    site.taps(web_1=Tap("a\n"), web_2=Tap(), web_1_3=[EngineUnreachable("dead"), Tap("new\n")])
    reader = site.follow()
    assert reader.line() == "shop.web.1-1 | a\n"
    site.shows(rolled(site.world))
    assert eventually(lambda: len(site.engine.asked) == 3)
    site.shows(site.world.sees("db-1", state="paused"))
    assert reader.line() == "shop.web.1-3 | new\n"
    reader.leave()


# --- going away


@pytest.mark.parametrize("query", ["follow=true", "container=web-1&follow=true"])
def test_a_client_that_leaves_leaves_nothing(site: Site, query: str) -> None:
    site.taps(web_1=[Tap("a\n") for _ in range(5)], web_2=[Tap() for _ in range(5)])
    for _ in range(5):
        reader = site.follow(query)
        reader.line()
        assert site.engine.open > 0
        reader.leave()
        assert eventually(lambda: site.engine.open == 0 and site.reading() == 0)


def test_at_most_so_many_streams(site: Site) -> None:
    """The next one is told to come back; it can once somebody has left."""
    site.taps(web_1=[Tap("a\n") for _ in range(40)])
    readers = [site.follow("container=web-1&follow=true") for _ in range(32)]
    assert {reader.line() for reader in readers} == {"a\n"}
    found = site.get("container=web-1")
    assert (found.code, found.json["status"], found.headers["retry-after"]) == (503, "SERVICE_UNAVAILABLE", "5")
    assert site.get("container=nope").code == 404 and fetch(site.server.port, "/namespace").code == 200
    readers.pop().leave()
    assert eventually(lambda: site.engine.open == 31)
    again = site.follow("container=web-1&follow=true")
    assert (again.response.status, again.line()) == (200, "a\n")
    for reader in [*readers, again]:
        reader.leave()


def test_a_reader_that_takes_nothing_is_cut() -> None:
    """What it has not taken is bounded, and its engine connection is closed."""
    site = Site(stall=0.3)
    flood = Flood()
    site.taps(web_1=flood)
    reader = site.follow("container=web-1&follow=true")
    assert reader.response.status == 200  # and reads no more
    assert eventually(lambda: flood.closed and site.reading() == 0)
    assert flood.given < 64 * 1024 * 1024  # what the sockets hold, and little more
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        while reader.response.read(1 << 20):
            pass
    assert fetch(site.server.port, "/namespace").code == 200
    reader.leave()
    site.server.stop()


def test_a_slow_reader_that_goes_on_is_not_cut() -> None:
    site = Site(stall=1.0)
    flood = Flood()
    site.taps(web_1=flood)
    reader = site.follow("container=web-1&follow=true")
    taken, begun = 0, time.monotonic()
    while time.monotonic() < begun + 2.5:
        taken += len(reader.response.read(1 << 20))
        threading.Event().wait(0.05)  # slower than the engine by far
    assert taken > 10 << 20 and not flood.closed
    reader.leave()
    assert eventually(lambda: flood.closed)
    site.server.stop()


def test_stopping_the_server_ends_what_is_followed() -> None:
    site = Site()
    site.taps(web_1=Tap("a\n"), web_2=Tap())
    reader = site.follow()
    assert reader.line() == "shop.web.1-1 | a\n"
    begun = time.monotonic()
    site.server.stop()
    assert reader.response.read() == b"" and time.monotonic() - begun < 2
    assert site.engine.open == 0
    reader.leave()


def test_keep_alive_goes_on_after_logs(site: Site) -> None:
    site.taps(web_1=[ended("a\n"), ended("a\n")])
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=20)
    for _ in range(2):
        connection.request("GET", f"{LOGS}?container=web-1", b"a body")
        assert read(connection.getresponse()).body == b"a\n"
    connection.request("GET", "/namespace")
    assert read(connection.getresponse()).code == 200
    connection.close()
