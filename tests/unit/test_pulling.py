"""The stream of a pull, from a fake engine that answers as it likes; and pulls that are shared."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from reconciler.errors import EngineError, EngineUnreachable, ImageUnavailable, InterruptedByUser, LbError
from reconciler.runtimes import client, pulls
from reconciler.runtimes.calls import PullStream
from reconciler.runtimes.pulling import _Downloads, split
from tests.support.eventually import eventually

Answer = Callable[[BaseHTTPRequestHandler], None]
IMAGE = "reg.example/app:1"


class FakeEngine:
    """`answer` writes the whole answer to a pull."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.answer: Answer = said()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeEngine]:
    fake = FakeEngine()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps({"ApiVersion": "1.41"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            fake.paths.append(self.path)
            fake.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Its client hangs up; that is what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def calls(engine: FakeEngine) -> Iterator[client.DockerCalls]:
    made = client.connect()
    yield made
    made.close()


def said(*events: dict[str, object], ends: bool = True, then: Event | None = None) -> Answer:
    """A stream of these events; it breaks off, or waits, after them."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for event in events:
            line = json.dumps(event).encode() + b"\r\n"
            handler.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        handler.wfile.flush()
        if then:
            then.wait()
        if ends:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)

    return answer


def test_a_stream_that_ends_well(engine: FakeEngine, calls: client.DockerCalls) -> None:
    engine.answer = said(
        {"status": "Pulling from app", "id": "1"},
        {"status": "Pulling fs layer", "id": "a", "progressDetail": {}},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 1_000_000, "total": 4_000_000}},
        {"status": "Digest: sha256:0"},
    )
    assert list(calls.pull(IMAGE, "")) == ["1.0 of 4.0 MB"]
    assert engine.paths == ["/v1.41/images/create?fromImage=reg.example%2Fapp&tag=1"]


def test_an_error_inside_the_stream_is_raised(engine: FakeEngine, calls: client.DockerCalls) -> None:
    engine.answer = said({"status": "Pulling from app"}, {"error": "toomanyrequests: x", "errorDetail": {}})
    with pytest.raises(ImageUnavailable, match="limits how often it is asked"):
        list(calls.pull(IMAGE, ""))


@pytest.mark.parametrize("events", [(), ({"status": "Pulling from app"},)])
def test_a_stream_that_breaks_off_is_no_end(
    engine: FakeEngine, calls: client.DockerCalls, events: tuple[dict[str, object], ...]
) -> None:
    engine.answer = said(*events, ends=False)
    with pytest.raises(ImageUnavailable, match=f"image {IMAGE} can't be pulled: the engine's answer broke off"):
        list(calls.pull(IMAGE, ""))


def test_a_broken_line_is_no_end_either(engine: FakeEngine, calls: client.DockerCalls) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "9")
        handler.end_headers()
        handler.wfile.write(b'{"status"')

    engine.answer = answer
    with pytest.raises(ImageUnavailable, match="broke off"):
        list(calls.pull(IMAGE, ""))


def test_an_engine_that_is_gone_is_said(engine: FakeEngine, calls: client.DockerCalls) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    engine.answer = hang_up
    with pytest.raises(EngineUnreachable):
        list(calls.pull(IMAGE, ""))


@pytest.mark.parametrize("begun", [True, False], ids=["in the midst", "before the first word"])
def test_another_thread_ends_it(engine: FakeEngine, calls: client.DockerCalls, begun: bool) -> None:
    never, speak, came, ended = Event(), Event(), Event(), Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if not begun:
            came.set()
            speak.wait()
        said({"status": "Retrying in 9 seconds", "id": "a"}, then=never)(handler)

    engine.answer = answer
    stream = calls.pull(IMAGE, "")

    def read() -> None:
        for _ in stream:
            came.set()
        ended.set()

    Thread(target=read, daemon=True).start()
    assert came.wait(5)
    stream.close()
    if not begun:
        assert not ended.wait(0.2), "the engine has not answered"
        speak.set()
    assert ended.wait(5)
    never.set()


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("docker.io/library/redis:7.0", ("docker.io/library/redis", "7.0")),
        ("127.0.0.1:5000/app:1", ("127.0.0.1:5000/app", "1")),
        ("127.0.0.1:5000/app@sha256:0", ("127.0.0.1:5000/app", "sha256:0")),
        ("docker.io/library/redis:7@sha256:0", ("docker.io/library/redis", "sha256:0")),
    ],
)
def test_a_reference_is_split(image: str, parts: tuple[str, str]) -> None:
    assert split(image) == parts


def test_progress_counts_what_is_known() -> None:
    downloads = _Downloads()
    steps: list[tuple[dict[str, object], str]] = [
        ({"id": "a", "status": "Pulling fs layer"}, "0.0 of 0.0+ MB"),
        ({"id": "b", "status": "Pulling fs layer"}, "0.0 of 0.0+ MB"),
        ({"id": "a", "status": "Downloading", "progressDetail": {"current": 1e6, "total": 3e6}}, "1.0 of 3.0+ MB"),
        ({"id": "a", "status": "Retrying in 5 seconds"}, "1.0 of 3.0+ MB, retrying in 5 seconds"),
        ({"id": "b", "status": "Downloading", "progressDetail": {"current": 1e6, "total": 2e6}}, "2.0 of 5.0 MB"),
        ({"id": "b", "status": "Download complete"}, "3.0 of 5.0 MB"),
        ({"id": "a", "status": "Extracting", "progressDetail": {"current": 1, "total": 3e6}}, "5.0 of 5.0 MB"),
    ]
    for event, wanted in steps:
        downloads.learn(event)
        assert str(downloads) == wanted


# --- shared pulls


class Stream(PullStream):
    """Says one thing, then waits to be let go or closed."""

    def __init__(self, error: LbError | None = None) -> None:
        self.error, self.go, self.closed = error, Event(), False

    def __iter__(self) -> Iterator[str]:
        yield "1.0 of 2.0 MB"
        self.go.wait()
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed = True
        self.go.set()


class Shop:
    """Pulls of streams, and those who want them, each in a thread."""

    def __init__(self, error: LbError | None = None) -> None:
        self.streams: list[Stream] = []
        self.error = error
        self.pulls = pulls.Pulls(self._open)
        self.results: list[LbError | None] = []
        self.said: list[str] = []
        self.threads: list[Thread] = []

    def _open(self, image: str, platform: str) -> Stream:
        self.streams.append(Stream(self.error))
        return self.streams[-1]

    def want(self, cancel: Event, image: str = IMAGE) -> None:
        def run() -> None:
            try:
                self.pulls.want((image, ""), self.said.append, cancel)
                self.results.append(None)
            except LbError as error:
                self.results.append(error)

        said_before = len(self.said)
        self.threads.append(Thread(target=run, daemon=True))
        self.threads[-1].start()
        eventually(lambda: len(self.said) > said_before, 5)

    def join(self) -> list[LbError | None]:
        for thread in self.threads:
            thread.join(5)
        return self.results


def test_one_pull_serves_all_who_want_the_image() -> None:
    shop = Shop()
    for _ in range(3):
        shop.want(Event())
    shop.want(Event(), "other")
    assert len(shop.streams) == 2 and shop.said == ["1.0 of 2.0 MB"] * 4, "who comes later hears how far it is"
    for stream in shop.streams:
        stream.go.set()
    assert shop.join() == [None] * 4
    assert not any(stream.closed for stream in shop.streams)


def test_what_goes_wrong_is_raised_to_each() -> None:
    shop = Shop(ImageUnavailable("none", hint="push it"))
    shop.want(Event())
    shop.want(Event())
    shop.streams[0].go.set()
    first, second = shop.join()
    assert isinstance(first, ImageUnavailable) and isinstance(second, ImageUnavailable)
    assert first is not second and (first.message, first.hint) == ("none", "push it")


def test_who_stops_waiting_leaves_the_pull_to_the_others_and_the_last_ends_it() -> None:
    shop = Shop()
    cancels = [Event(), Event()]
    for cancel in cancels:
        shop.want(cancel)
    cancels[0].set()
    eventually(lambda: len(shop.results) == 1)
    assert isinstance(shop.results[0], InterruptedByUser) and not shop.streams[0].closed
    cancels[1].set()
    shop.join()
    assert shop.streams[0].closed
    assert f"while image {IMAGE} is pulled" in str(shop.results[1])


def test_who_wants_it_after_it_was_left_gets_a_pull_of_its_own() -> None:
    shop = Shop()
    cancel = Event()
    shop.want(cancel)
    shop.streams[0].close = lambda: None  # type: ignore[method-assign]  # an engine that is slow to give up
    cancel.set()
    shop.join()
    shop.want(Event())
    assert len(shop.streams) == 2
    for stream in shop.streams:
        stream.go.set()
    assert shop.join()[-1] is None


def test_a_pull_whose_thread_dies_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    shop = Shop()
    shop.error = RuntimeError("a mistake of ours")  # type: ignore[assignment]
    shop.want(Event())
    shop.streams[0].go.set()
    (error,) = shop.join()
    assert isinstance(error, EngineError)


def test_asking_is_left_at_a_signal() -> None:
    never, cancel = Event(), Event()
    cancel.set()
    with pytest.raises(InterruptedByUser, match="while the registry is asked"):
        pulls.asked(lambda: never.wait(), cancel, "the registry is asked")
    never.set()
    assert pulls.asked(lambda: "sha256:0", Event(), "it") == "sha256:0"
    with pytest.raises(ImageUnavailable):
        pulls.asked(_unavailable, Event(), "it")


def _unavailable() -> str:
    raise ImageUnavailable("none")


def test_the_platform_is_asked_for(engine: FakeEngine, calls: client.DockerCalls) -> None:
    engine.answer = said({"status": "Digest: sha256:0"})
    assert list(calls.pull(IMAGE, "linux/arm64")) == []
    assert engine.paths == ["/v1.41/images/create?fromImage=reg.example%2Fapp&tag=1&platform=linux%2Farm64"]
