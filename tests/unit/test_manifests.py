"""Manifests: what is read from them, what is refused and in which words, and what nobody may conclude from it.

`bad_manifests/*.txt` is a table: after `=== name` comes a manifest (web.yaml; namespace.yaml declares demo; `+++ NAME`
begins another file), and after each `>>>` the code, "incomplete" where it can't be told which objects are declared, and
the line that a person reads. Where lb.yaml lists hosts, this is nas1; what is wrong with the source as a whole is a
SourceError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import manifests, schema
from reconciler.errors import SourceError
from reconciler.manifests import reading, units
from reconciler.model import (
    DeleteBudget,
    Dependency,
    Desired,
    Healthcheck,
    Mount,
    Place,
    Port,
    Ref,
    Service,
    Update,
)

MIB, SECOND = 1024 * 1024, 1_000_000_000
NAMESPACE = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo}\n"
WEB = Ref("demo", "web")
DIGEST = "ab" * 32


def trees(path: str) -> tuple[str, str]:
    return ("", f"{path} does not exist; create it") if "gone" in path else (DIGEST, "")


def texts(path: str) -> tuple[str, str]:
    return ("A=1\nno value here\n" if "bad" in path else "A=from ${WHERE:-file}\nB=2\n"), ""


def load(
    files: Mapping[str, str | bytes],
    lb: Mapping[str, Any] | None = None,
    settings: manifests.Settings | None = None,
    host: str = "",
    **variables: str,
) -> Desired:
    content = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    return manifests.load(
        {"namespace.yaml": NAMESPACE.encode(), **content}, source="shop", root="/srv", host=host,
        settings=settings or manifests.Settings(lb or {}), variables=variables, trees=trees, texts=texts,
    )  # fmt: skip


def document(spec: str, name: str = "web", namespace: str = "demo") -> str:
    lines = "".join(f"  {line}\n" for line in spec.splitlines())
    return f"apiVersion: lb/v1\nkind: Service\nmeta: {{name: {name}, namespace: {namespace}}}\nspec:\n{lines}"


def service(spec: str, file: str = "web.yaml", **variables: str) -> Service:
    desired = load({file: document("image: redis:7.0\n" + spec)}, **variables)
    assert [str(problem) for problem in desired.problems] == []
    return desired.services[WEB]


def refused(spec: str, **variables: str) -> list[str]:
    return [p.message for p in load({"web.yaml": document("image: redis:7.0\n" + spec)}, **variables).problems]


def table() -> list[Any]:
    found = []
    for file in sorted((Path(__file__).parent / "bad_manifests").glob("*.txt")):
        for case in re.split(r"^=== ", file.read_text(), flags=re.MULTILINE)[1:]:
            name, _, rest = case.partition("\n")
            text, *expected = rest.rstrip("\n").split(">>> ")
            found.append(pytest.param(text, [line.rstrip("\n") for line in expected], id=name))
    return found


def told(text: str) -> list[str]:
    first, *more = re.split(r"^\+\+\+ ", text, flags=re.MULTILINE)
    files = dict(part.split("\n", 1) for part in more) | ({"web.yaml": first} if first.strip() else {})
    content = files.pop("lb.yaml", "").encode()
    settings, problems = manifests.settings("lb.yaml", content)
    if problems:
        return [f"{p.code} | {p}" for p in problems]
    try:
        desired = load(files, settings=settings, host="nas1" if settings.hosts else "")
    except SourceError as error:
        return [f"SourceError | {error.message} | {error.hint}"]
    state = "" if desired.complete else " incomplete"
    return [f"{p.code}{state} | {p}" for p in desired.problems]


@pytest.mark.parametrize(("text", "expected"), table())
def test_a_bad_manifest_is_refused_with_what_to_write(text: str, expected: list[str]) -> None:
    assert told(text) == expected


def test_the_table_is_long_and_names_nothing_twice() -> None:
    names = [case.id for case in table()]
    assert len(names) >= 150
    assert len(names) == len(set(names))


# What is read


def test_a_service_of_few_words_gets_the_defaults() -> None:
    found = service("")
    assert found.spec == type(found.spec)(image="docker.io/library/redis:7.0")
    assert found.place == Place("web.yaml", 1, 1)
    assert found.written == {"image": "redis:7.0"}
    assert found.shown == {"image": "redis:7.0"}


def test_places_and_words_are_those_of_the_author() -> None:
    found = service("memory: ${MEM:-64m}\nenv:\n  LOG: info\nvolumes: ['data:/data/']\ndepends_on: []")
    assert found.spec.memory == 64 * MIB
    assert found.places["memory"] == Place("web.yaml", 6, 11)
    assert found.places["env.LOG"] == Place("web.yaml", 8, 10)
    assert found.places["volumes./data"] == Place("web.yaml", 9, 13)
    assert found.places["meta.namespace"] == Place("web.yaml", 3, 30)
    assert found.shown["memory"] == "${MEM:-64m}"
    assert found.shown["volumes./data"] == "data:/data/"
    assert found.written["memory"] == "${MEM:-64m}"


def test_a_namespace_with_description_and_labels() -> None:
    text = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: x, description: Shop, labels: {team: a}}\n"
    found = load({"a.yaml": text}).namespaces["x"]
    assert (found.ref, found.description, found.labels) == (Ref("x"), "Shop", {"team": "a"})
    assert found.places["meta.description"] == Place("a.yaml", 3, 30)


def test_every_field_in_its_canonical_form() -> None:
    spec = service(
        "replicas: 0\nmemory: 1g\ncpus: 0.5\nentrypoint: sh -c\ncommand: [echo, 'a b']\n"
        "env: [B=2, A=1=1]\nports: [80]\nvolumes: ['data:/b', './web.conf:/a:ro']\n"
        "healthcheck: {test: 'true', interval: 1m30s, retries: 2}\nrestart: no\nstop_signal: SIGQUIT\n"
        "stop_grace_period: 0s\nupdate: {order: stop-first, parallelism: 2, min_ready: 500ms, on_failure: stop}"
    ).spec
    assert (spec.replicas, spec.memory, spec.cpus) == (0, 1024 * MIB, 500_000_000)
    assert (spec.entrypoint, spec.command) == (("sh", "-c"), ("echo", "a b"))
    assert spec.env == (("A", "1=1"), ("B", "2"))
    assert spec.ports == (Port(80),)
    assert spec.mounts == (Mount("/a", "bind", DIGEST, True), Mount("/b", "volume", "data"))
    assert spec.healthcheck == Healthcheck(("CMD-SHELL", "true"), interval=90 * SECOND, retries=2)
    assert (spec.restart, spec.stop_signal, spec.stop_grace_period) == ("no", "SIGQUIT", 0)
    assert spec.update == Update("stop-first", 2, SECOND // 2, None, "stop")


def test_a_check_of_the_image_can_be_turned_off() -> None:
    assert service("healthcheck: {disable: true}").spec.healthcheck == Healthcheck(("NONE",))


def test_long_forms_mean_what_the_short_ones_mean() -> None:
    short = service("ports: ['127.0.0.1:8080:80/udp']\nvolumes: ['data:/x:ro', './f:/y:ro']").spec
    long = service(
        "ports: [{internal: 80, external: 8080, protocol: udp, host_ip: 127.0.0.1}]\n"
        "volumes: [{type: volume, source: data, target: /x, read_only: true},"
        " {type: bind, source: ./f, target: /y, read_only: true}]"
    ).spec
    assert short == long


def test_binds_count_from_the_folder_of_the_manifest() -> None:
    assert service("volumes: ['../conf/x:/x:ro']", "apps/web.yaml").files == {DIGEST: "conf/x"}
    assert service("volumes: ['./..x:/x:ro']").files == {DIGEST: "..x"}


def test_dependencies_are_found_within_the_namespace_or_across() -> None:
    others = document("image: a", "db") + "---\n" + document("image: a", "q", "ops")
    ops = NAMESPACE.replace("demo", "ops")
    web = document("image: a\ndepends_on: {ops/q: {condition: healthy}, db: {}}")
    found = load({"ops.yaml": ops, "others.yaml": others, "web.yaml": web})
    assert found.problems == ()
    assert found.services[WEB].spec.depends_on == (
        Dependency(Ref("demo", "db"), "started"),
        Dependency(Ref("ops", "q"), "healthy"),
    )


# YAML 1.2, and its limits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("true", True), ("False", False),
        ("017", "017"), ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("22:22", "22:22"), ("-7", -7), ("1.5", 1.5),
        ("2024-01-01", "2024-01-01"), ("~", None), ("null", None), ("", None), ("'12'", "12"), ("1e3", 1000.0),
        ("9" * 5000, "9" * 5000), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    documents, problems = reading.read("f", f"a: {text}\n".encode())
    assert problems == []
    assert documents[0].value == {"a": value}
    assert type(documents[0].value["a"]) is type(value)


def test_fractions_keep_their_words_where_text_is_wanted() -> None:
    assert service("env: {VERSION: 1.10}").spec.env == (("VERSION", "1.10"),)
    found, problems = manifests.settings("lb.yaml", b"variables: {TAG: 1.10, N: 3, B: true}\n")
    assert problems == []
    assert found.variables == {"TAG": "1.10", "N": "3", "B": "true"}


def test_what_is_text_keeps_the_words_it_was_written_in() -> None:
    """As in Compose: the container gets what stands in the file."""
    words = {"A": "1.10", "B": "0x1F", "C": "True", "D": "+5", "E": "0o17", "F": "1e3", "G": "-0", "H": "7"}
    said = "{" + ", ".join(f"{name}: {word}" for name, word in words.items()) + "}"
    found = service(f"env: {said}\nlabels: {said}\nsysctls: {said}\nlogging: {{options: {said}}}")
    spec = found.spec
    for pairs in (spec.env, spec.labels, spec.limits.sysctls, spec.logging.options):
        assert dict(pairs or ()) == words
    for kept in (found.written["env"], found.written["labels"], found.written["logging"]["options"]):
        assert kept == {**words, "H": 7}
    assert found.shown["env.A"] == "1.10" and found.shown["env.B"] == "0x1F"
    volumes = "spec: {volumes: {d: {driver: x, driver_opts: {size: 1.10, mode: 0o17}}}}\n"
    namespace = load({"namespace.yaml": NAMESPACE + volumes}).namespaces["demo"]
    assert namespace.volumes["d"].driver_opts == (("mode", "0o17"), ("size", "1.10"))
    assert namespace.written == {"volumes": {"d": {"driver": "x", "driver_opts": {"size": "1.10", "mode": "0o17"}}}}


def test_advice_repeats_a_number_in_its_own_words() -> None:
    text = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo, labels: {v: 1.10, n: 1}}\n"
    messages = [problem.message for problem in load({"namespace.yaml": text}).problems]
    assert messages == ['must be text; write "1.10"', 'must be text; write "1"']
    found, problems = manifests.settings("lb.yaml", b"name: 1.10\n")
    assert [problem.message for problem in problems] == ['must be text; write "1.10"'] and not found.name


def test_anchors_and_merges_with_places_of_what_is_written() -> None:
    text = "env: &e {A: '1', B: '2'}\nupdate: {min_ready: 1s}\n"
    assert service(text).spec.env == (("A", "1"), ("B", "2"))
    documents, _ = reading.read("f", b"a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n")
    assert documents[0].value["b"] == {"x": 1, "y": 3}
    assert documents[0].at(("b", "x")) == Place("f", 1, 11)
    assert documents[0].at(("b", "y")) == Place("f", 4, 6)


def test_what_lies_inside_an_alias_is_no_alias_of_its_own() -> None:
    keys = ", ".join(f"K{i}: x" for i in range(60))
    uses = "".join(f"b{i}: *a\n" for i in range(20))
    assert reading.read("f", f"a: &a {{{keys}}}\n{uses}".encode())[1] == []


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: " + b"x" * reading.MAX_BYTES, "the file is larger than 1024 KiB; split it"),
        (b"[" * 200_000, "nested more than 64 levels deep; write it flatter"),
        (b"- " * 200_000, "nested more than 64 levels deep; write it flatter"),
        (b"{a: " * 100_000, "nested more than 64 levels deep; write it flatter"),
        (b"a: [" + b"1," * 60_000 + b"]", "more than 50000 values in one file, aliases expanded; split it"),
        (b"a: &a x\nb: [" + b"*a," * 101 + b"]", "more than 100 aliases in one file; write the values out"),
        (b"--- a\n" * 201, "more than 200 documents in one file; split it"),
        ("a: ä".encode("latin-1"), "not UTF-8 text; save the file as UTF-8"),
        ("a: b".encode("utf-16"), "not UTF-8 text; save the file as UTF-8"),
        (b"a: \x00", "a control character (U+0000); remove it, or write it as an escape in quotes"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_limits_have_clear_errors(content: bytes, message: str) -> None:
    _, problems = reading.read("f", content)
    assert [p.message for p in problems] == [message]
    assert problems[0].code == "INCORRECT_YAML"


def test_a_billion_laughs_is_refused_at_once() -> None:
    _, problems = reading.read("f", LAUGHS.encode())
    assert len(problems) == 1
    assert "aliases" in problems[0].message


def test_64_levels_are_allowed() -> None:
    assert reading.read("f", b"[" * 64 + b"]" * 64)[1] == []


def test_a_byte_order_mark_is_no_content() -> None:
    assert reading.read("f", b"\xef\xbb\xbfa: 1\n")[0][0].value == {"a": 1}


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="ab:-?&*!|>'\"%@`{}[],# \n\t<1.0~$\\", max_size=80)))
def test_no_content_ends_the_reader(content: bytes | str) -> None:
    desired = load({"web.yaml": content})
    assert all(p.place.file == "web.yaml" and p.place.line >= 1 and p.place.col >= 1 for p in desired.problems)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = sorted(schema.load("manifest")["$defs"]["spec"]["properties"])
# Bits of what the fields look for, in any order.
_BITS = st.lists(st.sampled_from([*"a1/:=.-,m~$} ", "ro", "lb.", "::1", "/dev/x", "${", "all", ".."]), max_size=5).map(
    "".join
)
_KEYS = _BITS | st.sampled_from(
    ["source", "target", "type", "path", "soft", "hard", "nofile", "driver", "options", "external", "driver_opts"]
)
_NEAR = st.recursive(
    _BITS | st.integers(-2, 2**64) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(_FIELDS), _ANY, max_size=4))
def test_no_value_of_a_field_ends_the_reader(spec: dict[str, Any]) -> None:
    value = {"apiVersion": "lb/v1", "kind": "Service", "meta": {"name": "web", "namespace": "demo"}}
    desired = load({"web.yaml": manifests.write([{**value, "spec": {"image": "a", **spec}}])})
    assert WEB in desired.services or desired.problems


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(_FIELDS), _NEAR, max_size=4))
def test_nor_does_one_that_is_nearly_right(spec: dict[str, Any]) -> None:
    test_no_value_of_a_field_ends_the_reader.hypothesis.inner_test(spec)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_BITS, _NEAR, max_size=3) | _NEAR, _NEAR)
def test_nor_does_the_spec_of_a_namespace(volumes: Any, share_with: Any) -> None:
    spec = {"volumes": volumes, "share_with": share_with}
    value = {"apiVersion": "lb/v1", "kind": "Namespace", "meta": {"name": "x"}, "spec": spec}
    desired = load({"web.yaml": manifests.write([value])})
    assert "x" in desired.namespaces or desired.problems


# Variables


def test_variables_take_the_type_of_their_field() -> None:
    spec = service(
        "replicas: ${N}\nmemory: ${MEM}\ncpus: ${CPUS}\nhealthcheck: {disable: '${OFF}'}\n"
        "env: {memory: '${MEM}', cpus: '${CPUS}'}\nports: ['${PORT}:80']",
        N="1", MEM="64", CPUS="1.50", OFF="true", PORT="8080",
    ).spec  # fmt: skip
    assert (spec.replicas, spec.memory, spec.cpus) == (1, 64 * MIB, 1_500_000_000)
    assert spec.healthcheck == Healthcheck(("NONE",))
    assert spec.env == (("cpus", "1.50"), ("memory", "64"))
    assert spec.ports == (Port(80, external=8080),)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"), ("x${A}y", "x1y"), ("${B:-d}", "d"), ("${A:-d}", "1"), ("${E:-d}", "d"), ("${B:-}", ""),
        ("$${A}", "${A}"), ("$A", "$A"), ("$$", "$$"), ("100$", "100$"), ("${A}${A}", "11"), ("${B:-a:-b}", "a:-b"),
        ("${I}", "${A}"),
    ],
)  # fmt: skip
def test_variables_and_what_is_none(text: str, value: str) -> None:
    found = service(f"env: {{X: '{text}'}}", A="1", E="", I="${A}")
    assert found.spec.env == (("X", value),)
    assert found.written["env"] == {"X": text}


@pytest.mark.parametrize("text", ["echo $$HOME", "$$(date)", "a:$$2y$$10$$x"])
def test_a_dollar_as_compose_has_it_written_is_not_passed_on(text: str) -> None:
    (message, *_) = refused(f"env: {{X: '{text}'}}")
    assert message == "write $ instead of $$: only ${ is written with two, as $${"


def test_a_value_from_a_variable_is_checked_as_one_that_is_written() -> None:
    assert refused("replicas: ${N}", N="two") == ["must be a whole number without quotes, like 2"]
    assert refused("env: {X: '${A}'}", A="***") == [
        "*** stands for a value that is hidden; write the value, or ${NAME}"
    ]


def test_a_name_may_be_a_variable() -> None:
    text = document("image: a", "'${APP}'")
    assert list(load({"a.yaml": text}, APP="web").services) == [WEB]
    unknown = load({"a.yaml": text})
    assert not unknown.complete
    assert [p.code for p in unknown.problems] == ["BAD_PARAMETER_NAME"]


def test_the_command_line_goes_before_lb_yaml() -> None:
    text = document("image: redis:${TAG}")
    assert load({"a.yaml": text}, {"variables": {"TAG": "6"}}).services[WEB].spec.image.endswith(":6")
    assert load({"a.yaml": text}, {"variables": {"TAG": "6"}}, TAG="7").services[WEB].spec.image.endswith(":7")


# Units


@pytest.mark.parametrize(
    ("value", "mib"),
    [(64, 64), ("64", 64), ("64m", 64), ("64M", 64), ("64Mi", 64), ("64MiB", 64), ("64mb", 64), ("1g", 1024),
     ("1.5Gi", 1536), ("8192k", 8), ("67108864b", 64), (1_048_576, 1_048_576)],
)  # fmt: skip
def test_memory_is_binary_and_a_bare_number_counts_mib(value: int | str, mib: int) -> None:
    assert units.memory(value) == mib * MIB


@pytest.mark.parametrize("value", ["", "m", "-64m", "64x", "64 m b", "²", "1e9", 5, "5m", 1_048_577, "9" * 30 + "g"])
def test_memory_that_makes_no_sense(value: int | str) -> None:
    with pytest.raises(ValueError, match=r"write|must be"):
        units.memory(value)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("1s", SECOND), ("500ms", SECOND // 2), ("1m30s", 90 * SECOND), ("0s", 0), ("1.5h", 5400 * SECOND)],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert units.duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1s\n", "-1s", "1d", "9" * 30 + "h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="1m30s"):
        units.duration(text)


@pytest.mark.parametrize(
    ("value", "port"),
    [
        (80, Port(80)), ("80", Port(80)), ("8080:80", Port(80, external=8080)), (":80", Port(80)),
        ("53:53/udp", Port(53, "udp", 53)), ("127.0.0.1:8080:80", Port(80, "tcp", 8080, "127.0.0.1")),
        ("127.0.0.1::80", Port(80, host_ip="127.0.0.1")), ("[::1]:8080:80", Port(80, "tcp", 8080, "::1")),
    ],
)  # fmt: skip
def test_ports(value: int | str, port: Port) -> None:
    assert units.port(value) == port


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("redis", "docker.io/library/redis:latest"), ("redis:7.0", "docker.io/library/redis:7.0"),
        ("docker.io/redis:7", "docker.io/library/redis:7"),
        ("docker.io/library/redis", "docker.io/library/redis:latest"),
        ("index.docker.io/a/b:1", "docker.io/a/b:1"), ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
        ("ghcr.io/a/b:1", "ghcr.io/a/b:1"), ("localhost/a", "localhost/a:latest"),
        ("host:5000/a", "host:5000/a:latest"),
        (f"redis@sha256:{DIGEST}", f"docker.io/library/redis@sha256:{DIGEST}"),
        (f"redis:7@sha256:{DIGEST}", f"docker.io/library/redis:7@sha256:{DIGEST}"),
    ],
)  # fmt: skip
def test_images_in_full(written: str, full: str) -> None:
    assert units.image(written) == full
    assert units.image(full) == full


@pytest.mark.parametrize("text", ["", "Redis", "redis:", "redis:7\n", "a b", "redis@sha256:12", "-x", "http://a/b"])
def test_what_is_no_image(text: str) -> None:
    with pytest.raises(ValueError, match=r"redis:7\.0"):
        units.image(text)


# Over the whole source


def test_one_bad_object_never_stops_the_others() -> None:
    found = load({"a.yaml": document("image: a"), "b.yaml": document("image: a\nreplicas: x", "db")})
    assert set(found.services) == {WEB}
    assert Ref("demo", "db") in found.mentioned
    assert found.complete
    assert [p.ref for p in found.problems] == [Ref("demo", "db")]


def test_unparseable_files_leave_the_rest_but_nothing_may_be_concluded() -> None:
    found = load({"a.yaml": document("image: a"), "b.yaml": "a: [\n"})
    assert set(found.services) == {WEB}
    assert not found.complete


def test_a_misspelt_name_may_stand_for_one_that_we_know() -> None:
    assert not load({"a.yaml": document("image: a", "Web")}).complete


def test_services_of_a_bad_namespace_are_held_back() -> None:
    bad = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: ops, labels: {a: 1}}\n"
    found = load({"ops.yaml": bad, "q.yaml": document("image: a", "q", "ops"), "web.yaml": document("image: a")})
    assert set(found.services) == {WEB}
    assert {Ref("ops"), Ref("ops", "q")} <= found.mentioned
    assert [p.ref for p in found.problems] == [Ref("ops")]


def test_of_two_with_one_name_neither_is_acted_on() -> None:
    found = load({"a.yaml": document("image: a"), "b.yaml": document("image: b")})
    assert found.services == {}
    assert WEB in found.mentioned
    assert [str(p) for p in found.problems] == [
        "b.yaml:3:14: meta.name: service demo/web is declared twice (first at a.yaml:3:14); remove one or rename it"
    ]


def test_a_service_and_a_namespace_may_share_a_name() -> None:
    assert load({"a.yaml": document("image: a", "demo")}).problems == ()


def test_the_namespace_of_lb_yaml_is_the_default() -> None:
    text = "apiVersion: lb/v1\nkind: Service\nmeta: {name: web}\nspec: {image: a}\n"
    assert list(load({"a.yaml": text}, {"namespace": "demo"}).services) == [WEB]


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("80:80", "80:81", True), ("80:80", "80:80/udp", False), ("80:80", "81:80", False), ("80", "80", False),
        ("127.0.0.1:80:80", "127.0.0.2:80:80", False), ("127.0.0.1:80:80", "80:80", True),
        ("0.0.0.0:80:80", "127.0.0.1:80:80", True),
    ],
)  # fmt: skip
def test_two_services_on_one_host_port(one: str, other: str, clash: bool) -> None:
    found = load({
        "a.yaml": document(f"image: a\nports: ['{one}']", "a"),
        "b.yaml": document(f"image: a\nports: ['{other}']", "b"),
    })  # fmt: skip
    assert [p.ref for p in found.problems] == ([Ref("demo", "b")] if clash else [])


def test_every_service_of_a_cycle_is_held_back_and_no_other() -> None:
    def after(*names: str) -> str:
        return f"image: a\ndepends_on: [{', '.join(names)}]"

    found = load({
        "a.yaml": document(after("b"), "a"), "b.yaml": document(after("c"), "b"), "c.yaml": document(after("a"), "c"),
        "d.yaml": document(after("a"), "d"), "e.yaml": document("image: a", "e"),
    })  # fmt: skip
    assert set(found.services) == {Ref("demo", "d"), Ref("demo", "e")}
    text = "a cycle: demo/a → demo/b → demo/c → demo/a; remove one of them"
    assert [p.message for p in found.problems] == [text] * 3


def test_problems_come_in_the_order_of_the_files() -> None:
    found = load({"b.yaml": document("image: a\nx: 1\nreplicas: -1"), "a.yaml": document("image: a\nx: 1", "q")})
    places = [p.place for p in found.problems]
    assert places == sorted(places)
    assert len(places) == 3


# lb.yaml


def test_settings_have_defaults() -> None:
    found, problems = manifests.settings("lb.yaml", b"# nothing\n")
    assert problems == []
    assert (found.name, found.namespace, found.variables, found.budget) == ("", "", {}, DeleteBudget())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam: x", "lb.yaml:1:1: nam: there is no field nam; did you mean name?"),
        ("name: 1", 'lb.yaml:1:7: name: must be text; write "1"'),
        ("namespace: A", "lb.yaml:1:12: namespace: must look like demo "
         "(Namespace of services that name none: small letters, digits and dashes, at most 63)"),
        ("delete_budget: {percent: 120}", "lb.yaml:1:26: delete_budget.percent: must be at most 100"),
        ("policy: {}", "lb.yaml:1:1: policy: belongs into the host's own /etc/lb/host.yaml: "
         "a repository does not decide it"),
        ("variables: {A: [1]}", "lb.yaml:1:16: variables.A: must be text or a number or true or false"),
        ("name: a\n---\nname: b", "lb.yaml:3:1: lb.yaml is one document; remove what follows ---"),
    ],
)  # fmt: skip
def test_bad_settings(text: str, expected: str) -> None:
    _, problems = manifests.settings("lb.yaml", text.encode())
    assert [str(p) for p in problems] == [expected]


def test_what_is_sound_of_bad_settings_is_kept() -> None:
    found, problems = manifests.settings("lb.yaml", b"name: shop\nnamespace: A\nfoo: 1\n")
    assert len(problems) == 2
    assert (found.name, found.namespace) == ("shop", "")
