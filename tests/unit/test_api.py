"""The HTTP API over real sockets, on pictures in memory: routes, errors, who is answered."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import views
from reconciler.api import Limits, Server, Sources
from reconciler.errors import LbError, StateError, UsageError
from reconciler.model import Activity, Recorded, Ref
from reconciler.views import Picture
from tests.support.build import AT, make_service, steady
from tests.support.http import Answer, Raw, fetch
from tests.support.taps import Engine

SHOP, WEB = "/namespace/shop", "/namespace/shop/service/web"
ENTRY = Activity("i2", AT, "shop", "web", "normal", "replace", "image a → b", "r1")


class World:
    """What the API answers from, and how often it was asked."""

    def __init__(self) -> None:
        shop = steady(make_service(), make_service("web2"), make_service("c", "other"), namespaces=("shop", "other"))
        self.world = shop
        self.picture = views.picture(shop.recorded, shop.observed)
        self.asked: list[Ref] = []
        self.fault: Exception | None = None

    def activity(self, ref: Ref) -> Sequence[Activity]:
        self.asked.append(ref)
        if self.fault:
            raise self.fault
        return [ENTRY, replace(ENTRY, id="i1", message="new service")]

    def look(self) -> Picture:
        if self.fault:
            raise self.fault
        return self.picture


Start = Callable[..., Server]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def start(world: World) -> Iterator[Start]:
    started: list[Server] = []

    def begin(host: str = "127.0.0.1", **given: Any) -> Server:
        sources = Sources(lambda: world.look(), world.activity, Engine().logs)
        server = Server(host, 0, sources, **given)
        server.start()
        started.append(server)
        return server

    yield begin
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Server, list[World]]]:
    """One server for all tests that need nothing special of it; the world it answers from is the last in the list."""
    worlds = [World()]
    sources = Sources(lambda: worlds[-1].look(), lambda ref: worlds[-1].activity(ref), Engine().logs)
    server = Server("127.0.0.1", 0, sources)
    server.start()
    yield server, worlds
    server.stop()


@pytest.fixture
def port(shared: tuple[Server, list[World]], world: World) -> int:
    server, worlds = shared
    worlds.append(world)
    return server.port


# --- routes


def test_namespaces(port: int) -> None:
    found = fetch(port, "/namespace")
    assert [ns["meta"]["name"] for ns in found.json] == ["other", "shop"]
    assert found.code == 200 and found.headers["content-type"] == "application/json"


def test_no_namespaces(world: World, port: int) -> None:
    world.picture = views.picture(Recorded(), None)
    assert fetch(port, "/namespace").body == b"[]"


def test_a_namespace(port: int) -> None:
    assert fetch(port, SHOP).json == {
        "meta": {"name": "shop", "description": "", "created": AT, "updated": AT, "labels": {}}
    }


def test_services(port: int) -> None:
    found = fetch(port, f"{SHOP}/service").json
    assert [(s["meta"]["namespace"], s["meta"]["name"]) for s in found] == [("shop", "web"), ("shop", "web2")]
    assert [list(s) for s in found] == [["meta", "state", "spec", "pods"]] * 2


def test_a_service(port: int) -> None:
    found = fetch(port, WEB).json
    assert list(found) == ["meta", "state", "spec", "pods"]
    assert (found["meta"]["name"], found["state"]["observed"]) == ("web", AT)


@pytest.mark.parametrize(("path", "ref"), [(SHOP, Ref("shop")), (WEB, Ref("shop", "web"))])
def test_activity(world: World, port: int, path: str, ref: Ref) -> None:
    found = fetch(port, f"{path}/activity").json
    assert world.asked == [ref] and [entry["id"] for entry in found] == ["i2", "i1"]
    assert list(found[0]) == [
        *("id", "created", "namespace", "service", "type", "reason", "message", "revision", "commit", "count"),
    ]


def test_health(port: int) -> None:
    assert fetch(port, "/healthz").json == {"status": "ok"}


# --- what is not there


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/namespace/nope", "NAMESPACE_NOT_FOUND", "Namespace not found"),
        ("/namespace/nope/activity", "NAMESPACE_NOT_FOUND", "Namespace not found"),
        ("/namespace/nope/service", "NAMESPACE_NOT_FOUND", "Namespace not found"),
        ("/namespace/nope/service/web", "SERVICE_NOT_FOUND", "Service not found"),
        ("/namespace/nope/service/web/activity", "NAMESPACE_NOT_FOUND", "Namespace not found"),
        ("/namespace/nope/service/web/logs", "NAMESPACE_NOT_FOUND", "Namespace not found"),
        (f"{SHOP}/service/nope", "SERVICE_NOT_FOUND", "Service not found"),
        (f"{SHOP}/service/nope/activity", "SERVICE_NOT_FOUND", "Service not found"),
        (f"{SHOP}/service/nope/logs", "SERVICE_NOT_FOUND", "Service not found"),
        (f"{SHOP}/service/c", "SERVICE_NOT_FOUND", "Service not found"),
        # a prefix of a name, in either place, and another spelling
        ("/namespace/sho", "NAMESPACE_NOT_FOUND", "Namespace not found"),
        (f"{SHOP}/service/we", "SERVICE_NOT_FOUND", "Service not found"),
        (f"{SHOP}/service/WEB", "SERVICE_NOT_FOUND", "Service not found"),
        ("/namespace/%2e%2e", "NAMESPACE_NOT_FOUND", "Namespace not found"),
        (f"{SHOP}/service/%2e%2e", "SERVICE_NOT_FOUND", "Service not found"),
        (f"{SHOP}/service/%00", "SERVICE_NOT_FOUND", "Service not found"),
    ],
)
def test_objects_that_are_not_there(port: int, path: str, status: str, message: str) -> None:
    found = fetch(port, path)
    assert (found.code, found.json) == (404, {"code": 404, "status": status, "message": message})


@pytest.mark.parametrize(
    "path",
    [
        *("/", "//", "/nope", "/namespaces", "/namespace/", "//namespace", "/namespace//", "/namespace//service"),
        *(f"{SHOP}/", f"{SHOP}/service/", f"{SHOP}//service", f"{WEB}/", f"{WEB}/activity/", f"{WEB}/logs/"),
        *(f"{SHOP}/nope", f"{WEB}/nope", "/namespace/shop%2Fservice%2Fweb", "/namespace/shop%2fservice/web"),
        *(f"{SHOP}/../shop", "/namespace/./shop", "/.", "/..", "/%", "/namespace/%zz/service/x/y", "/healthz/", "/a#b"),
        *("/namespace;a=b", "/NAMESPACE", "/openapi.json", "/docs"),
    ],
)
def test_paths_that_are_no_routes(port: int, path: str) -> None:
    raw = Raw(port)
    found = raw.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert (found.code, found.json["code"], found.json["status"]) == (404, 404, "NOT_FOUND")
    assert raw.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").code == 200  # on the same connection
    raw.close()


def test_a_name_may_be_escaped_and_a_url_absolute(port: int) -> None:
    assert fetch(port, "/namespace/%73hop").json["meta"]["name"] == "shop"
    raw = Raw(port)
    assert raw.ask(b"GET http://localhost/namespace/shop HTTP/1.1\r\nHost: localhost\r\n\r\n").code == 200
    raw.close()


# --- only reading


WRITTEN = {
    "/namespace": "a manifest",
    SHOP: "shop.yaml",
    f"{SHOP}/activity": "shop.yaml",
    f"{SHOP}/service": "a manifest",
    f"{SHOP}/service/nope": "a manifest",
    WEB: "web.yaml",
    f"{WEB}/logs": "web.yaml",
    "/nope": "a manifest",
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize(("path", "file"), WRITTEN.items())
def test_writing_is_refused_and_told_where_to(port: int, method: str, path: str, file: str) -> None:
    found = fetch(port, path, method, b'{"name": "x"}' if method != "TRACE" else None)
    assert (found.code, found.headers["allow"]) == (405, "GET, HEAD")
    message = f"This API only reads: change {file} and apply it (lb apply)"
    assert found.json == {"code": 405, "status": "METHOD_NOT_ALLOWED", "message": message}


@pytest.mark.parametrize("path", ["/namespace", SHOP, f"{SHOP}/service", WEB, f"{WEB}/activity", "/healthz", "/nope"])
def test_head_has_the_headers_of_get(port: int, path: str) -> None:
    raw = Raw(port)
    head = raw.ask(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    get = raw.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    raw.close()
    assert (head.code, head.headers | {"date": ""}) == (get.code, get.headers | {"date": ""})
    assert int(head.headers["content-length"]) == len(get.body) > 0


BODIES = {
    "short": b"Content-Length: 5\r\n\r\nhello",
    "long": b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 30_000 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_body_is_ignored_and_the_connection_goes_on(port: int, body: bytes, method: str) -> None:
    raw = Raw(port)
    for _ in range(3):
        found = raw.ask(f"{method} {WEB} HTTP/1.1\r\nHost: localhost\r\n".encode() + body)
        assert found.code == (405 if method == "POST" else 200)
    assert raw.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").json == {"status": "ok"}
    raw.close()


def test_pipelined_requests_are_answered_in_turn(port: int) -> None:
    raw = Raw(port)
    asked = [WEB, "/nope", SHOP]
    raw.socket.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in asked))
    assert [raw.answer().code for _ in asked] == [200, 404, 200]
    raw.close()


# --- ETag


def test_what_is_known_is_not_sent_again(world: World, port: int) -> None:
    first = fetch(port, WEB)
    etag = first.headers["etag"]
    for known in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        again = fetch(port, WEB, if_none_match=known)
        assert (again.code, again.body, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["lb-observed"] == AT and "content-type" not in again.headers
    assert fetch(port, WEB, if_none_match='"x"').code == 200
    assert fetch(port, WEB, "HEAD", if_none_match=etag).code == 304


def test_an_etag_holds_from_look_to_look(world: World, port: int) -> None:
    """A new look that shows the same is told by the time alone; a change is not."""
    paths = ["/namespace", SHOP, f"{SHOP}/service", WEB]
    before = [fetch(port, path) for path in paths]
    observed = replace(world.world.observed, at="2026-01-02T04:00:00.000000000Z")
    world.picture = views.picture(world.world.recorded, observed, world.picture)
    after = [fetch(port, path, if_none_match=known.headers["etag"]) for path, known in zip(paths, before, strict=True)]
    assert [found.code for found in after] == [304] * 4
    assert after[-1].headers["lb-observed"] == "2026-01-02T04:00:00.000000000Z"
    assert fetch(port, WEB).json["state"]["observed"] == "2026-01-02T04:00:00.000000000Z"

    changed = world.world.sees("web-1", state="paused")
    world.picture = views.picture(changed.recorded, changed.observed, world.picture)
    after = [fetch(port, path, if_none_match=known.headers["etag"]) for path, known in zip(paths, before, strict=True)]
    assert [found.code for found in after] == [304, 304, 200, 200]


def test_activity_has_an_etag(port: int) -> None:
    etag = fetch(port, f"{WEB}/activity").headers["etag"]
    assert fetch(port, f"{WEB}/activity", if_none_match=etag).code == 304


# --- who is answered


HERE = ["localhost", "LocalHost:2967", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:2967", "localhost."]
ELSEWHERE = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:2967", "192.0.2.7", "", "[", "::1", "@"]


@pytest.mark.parametrize(("host", "code"), [*((h, 200) for h in HERE), *((h, 403) for h in ELSEWHERE)])
def test_only_names_of_this_server_are_answered(port: int, host: str, code: int) -> None:
    raw = Raw(port)
    found = raw.ask(f"GET {SHOP} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    raw.close()
    assert found.code == code
    if code == 403:
        assert found.json["status"] == "FORBIDDEN" and "shop" not in found.body.decode()


def test_a_request_without_a_host(port: int) -> None:
    raw = Raw(port)
    assert raw.ask(b"GET /namespace HTTP/1.0\r\n\r\n").json["status"] == "FORBIDDEN"
    raw.close()


@pytest.mark.parametrize("host", ["192.0.2.7", "[2001:db8::1]:2967", "localhost", socket.gethostname()])
def test_on_all_addresses_each_is_a_name(start: Start, host: str) -> None:
    port = start("0.0.0.0", token="secret").port
    assert fetch(port, SHOP, host=host, authorization="Bearer secret").code == 200
    assert fetch(port, SHOP, host="evil.example", authorization="Bearer secret").code == 403


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, 401),
        ({"authorization": "Bearer secret"}, 200),
        ({"authorization": "bearer secret"}, 200),
        ({"authorization": "Bearer secre"}, 401),
        ({"authorization": "Bearer secret2"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Basic secret"}, 401),
        ({"authorization": "secret"}, 401),
    ],
)
@pytest.mark.parametrize("path", [SHOP, "/nope", f"{WEB}/logs", "/healthz"])
def test_a_token(start: Start, given: dict[str, str], code: int, path: str) -> None:
    found = fetch(start(token="secret").port, path, **given)
    assert (found.code == 401) == (code == 401)
    if code == 401:
        assert found.headers["www-authenticate"] == "Bearer"
        assert found.json == {
            "code": 401, "status": "UNAUTHORIZED", "message": "A token is needed: Authorization: Bearer TOKEN"
        }  # fmt: skip


def test_writing_without_a_token_tells_nothing(start: Start) -> None:
    assert fetch(start(token="secret").port, WEB, "DELETE").code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_addresses_than_loopback_need_a_token(host: str, world: World) -> None:
    with pytest.raises(UsageError, match="not a loopback address") as error:
        Server(host, 0, Sources(world.look, world.activity, Engine().logs))
    assert "--token-file" in error.value.hint


def test_an_address_that_is_none(world: World) -> None:
    with pytest.raises(UsageError, match="no address to listen on"):
        Server("no such host", 0, Sources(world.look, world.activity, Engine().logs))


def test_a_taken_port_is_named(world: World, start: Start) -> None:
    port = start().port
    with pytest.raises(LbError, match=rf"port {port} of 127\.0\.0\.1 is taken") as error:
        Server("127.0.0.1", port, Sources(world.look, world.activity, Engine().logs)).start()
    assert "--listen" in error.value.hint


def test_localhost_is_every_address_it_has(start: Start) -> None:
    server = start("localhost")
    assert fetch(server.port, SHOP).code == 200 and server.url == f"http://localhost:{server.port}"


def test_a_stopped_server_frees_its_port(world: World, start: Start) -> None:
    server = start()
    kept = Raw(server.port)
    assert kept.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").code == 200
    server.stop()
    assert kept.ended
    again = Server("127.0.0.1", server.port, Sources(world.look, world.activity, Engine().logs))
    again.start()
    assert fetch(server.port, SHOP).code == 200
    again.stop()


# --- faults and overload


def test_a_fault_tells_nothing_and_the_server_goes_on(
    world: World, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.fault = StateError("the state in /secret/place can't be used: disk I/O error")
    internal = {"code": 500, "status": "INTERNAL_SERVER_ERROR", "message": "Internal server error"}
    for path, method in [(WEB, "GET"), (f"{WEB}/activity", "GET"), (WEB, "DELETE"), (f"{WEB}/logs", "GET")]:
        found = fetch(port, path, method)
        assert (found.code, found.json) == (500, internal)
    assert "disk I/O error" in caplog.text  # it is told where it belongs
    world.fault = None
    assert fetch(port, WEB).code == 200


NO_REQUESTS = [
    b"\x16\x03\x01\x02\x00",  # TLS
    b"GET\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"GET /a b HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9\r\n\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"FROB /namespace HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /namespace HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    b"GET /namespace HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", NO_REQUESTS, ids=range(len(NO_REQUESTS)))
def test_what_is_no_request_is_told_so_in_json(port: int, request_bytes: bytes) -> None:
    raw = Raw(port)
    found = raw.ask(request_bytes)
    assert (found.code, found.json["code"], found.json["status"]) == (400, 400, "BAD_REQUEST")
    assert found.headers["connection"] == "close"
    raw.close()


def test_who_says_nothing_is_cut(start: Start) -> None:
    port = start(limits=Limits(patience=0.2)).port
    silent, half, second = Raw(port), Raw(port), Raw(port)
    half.socket.sendall(b"GET /namespace HTTP/1.1\r\nHost: local")
    assert second.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").code == 200
    second.socket.sendall(b"GET /namespace HTTP/1.1\r\nHost: local")
    for raw in (silent, half, second):
        assert raw.ended
        raw.close()


def test_too_many_connections(start: Start) -> None:
    port = start(limits=Limits(connections=2)).port
    kept = [Raw(port), Raw(port)]
    assert [raw.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").code for raw in kept] == [200, 200]
    third = Raw(port)
    found = third.answer()
    assert (found.code, found.json["status"], found.headers["retry-after"]) == (503, "SERVICE_UNAVAILABLE", "5")
    for raw in [*kept, third]:
        raw.close()


def test_too_much_activity_at_once(start: Start, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.api.routes.SLOW", 0)
    found = fetch(start().port, f"{WEB}/activity")
    assert (found.code, found.json["status"], found.headers["retry-after"]) == (503, "SERVICE_UNAVAILABLE", "5")
    assert fetch(start().port, WEB).code == 200 and not world.asked


def test_every_error_has_the_same_shape(port: int) -> None:
    asked: list[Answer] = [
        *(
            fetch(port, path, method)
            for path, method in itertools.product(["/nope", "/namespace/nope"], ["GET", "PUT"])
        ),
        fetch(port, SHOP, host="evil.example"),
        fetch(port, f"{WEB}/logs?tail=x"),
    ]
    for found in asked:
        assert list(json.loads(found.body)) == ["code", "status", "message"]
        assert found.json["code"] == found.code and found.headers["content-type"] == "application/json"


# --- one answer, one cycle


def test_a_reader_never_sees_two_cycles_in_one_answer(world: World, port: int) -> None:
    """The picture is replaced as fast as can be: in each list all services are of one look."""
    pictures = [world.picture]
    for second in range(1, 5):
        observed = replace(world.world.observed, at=f"2026-01-02T03:05:0{second}.000000000Z")
        changed = [replace(c, state="paused" if second % 2 else "running") for c in observed.containers]
        pictures.append(views.picture(world.world.recorded, replace(observed, containers=tuple(changed)), pictures[-1]))
    turns = itertools.cycle(pictures)
    world.look = lambda: next(turns)  # type: ignore[method-assign]
    seen = set()
    for _ in range(50):
        found = fetch(port, f"{SHOP}/service").json
        (state,) = {(s["state"]["observed"], s["state"]["state"]) for s in found}
        seen.add(state)
    assert len(seen) == 5


SEGMENTS = st.sampled_from(
    [
        "namespace",
        "shop",
        "web",
        "service",
        "activity",
        "logs",
        "",
        ".",
        "..",
        "%2e",
        "%2F",
        "%00",
        "%",
        "?",
        "#",
        ";",
        "é",
    ]
) | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(segments=st.lists(SEGMENTS, max_size=8), method=st.sampled_from(["GET", "HEAD", "PUT"]))
def test_whatever_is_asked_is_answered(port: int, segments: list[str], method: str) -> None:
    """With JSON, or an empty log; and the server goes on."""
    raw = Raw(port)
    path = "/" + "/".join(segments)
    raw.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = raw.file.read().partition(b"\r\n\r\n")
    raw.close()
    code = int(head.split()[1])
    assert code in (200, 400, 404, 405), (path, head)
    is_log = b"text/plain" in head
    assert is_log or b"content-type: application/json" in head.lower()
    if body and not is_log:
        found = json.loads(body)
        assert code == 200 or found["code"] == code
