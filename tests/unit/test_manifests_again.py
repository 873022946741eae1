"""What a revision keeps of a manifest, read again, means the same; and no variable or template ends the reader.

A revision keeps what was written: `lb rollback`, `undelete` and what is taken back by itself are read from that.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler import fingerprint, manifests, schema
from reconciler.manifests import reading, variables
from tests.unit.test_manifests import WEB, load

_HEAD = {"apiVersion": "lb/v1", "kind": "Service", "meta": {"name": "web", "namespace": "demo"}}
_VALUES = {"N": "2", "MEM": "64m", "CPUS": "1.50", "TAG": "1.10", "E": "", "D": "${N} $$ $${N}", "Y": "yes: [no"}
_NAMES = st.sampled_from(["A", "B_C", "z", "N"])
_TEXT = st.text(alphabet="ab1.: #'\"\\{}[]$\n\t-é☃", max_size=10) | st.sampled_from(
    [
        "1.10",
        "0x10",
        "null",
        "true",
        "~",
        "2222:22",
        "017",
        "${N}",
        "x${TAG}y",
        "${NONE:-d}",
        "${D}",
        "${Y}",
        "${E}",
        "$${N}",
    ]
)
_WORDS = st.text(alphabet="ab1.: #{}[]-é☃", max_size=10)  # without quotes, which a shell's words need in pairs
_DURATION = st.sampled_from(["0s", "500ms", "1m30s", "1.5h"])
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "replicas": st.sampled_from([0, 1, 3, "${N}"]),
    "memory": st.sampled_from([64, "64", "64m", "1.5Gi", "${MEM}"]),
    "cpus": st.sampled_from([1, 0.5, "1.5", "${CPUS}"]),
    "pids_limit": st.sampled_from([-1, 100, "${N}"]),
    "shm_size": st.sampled_from(["64m", 67108864]),
    "command": _WORDS | st.lists(_TEXT, max_size=3),
    "entrypoint": st.lists(_TEXT, min_size=1, max_size=2),
    "env": st.dictionaries(_NAMES, _TEXT | st.integers(0, 2**60) | st.floats(0, 9) | st.booleans(), max_size=3)
    | st.lists(st.sampled_from(["A=1", "B=", "C=a=b", "D=${N}", "E=1.10"]), unique=True, max_size=3),
    "labels": st.dictionaries(st.sampled_from(["a.b/c", "team"]), _TEXT, max_size=2),
    "ports": st.lists(st.sampled_from([80, "81", ":82", "53/udp", {"internal": 84}, "${N}"]), max_size=3),
    "volumes": st.lists(st.sampled_from(["data:/data", "./x:/x:ro", {"type": "tmpfs", "target": "/t"}]), max_size=3),
    "healthcheck": st.fixed_dictionaries(
        {"test": st.sampled_from(["true", ["CMD", "a"]])}, optional={"interval": _DURATION, "retries": st.just("${N}")}
    ),
    "restart": st.sampled_from(["no", "always", "on-failure:3"]),
    "stop_grace_period": _DURATION,
    "update": st.fixed_dictionaries(
        {}, optional={"monitor": _DURATION, "parallelism": st.just("${N}"), "on_failure": st.just("stop")}
    ),
    "ulimits": st.just({"nofile": {"soft": 1, "hard": "${N}"}}),
    "sysctls": st.sampled_from([{"net.core.somaxconn": 1024}, ["net.core.somaxconn=1.10"]]),
    "extra_hosts": st.sampled_from([["a:10.0.0.1", "b:host-gateway"], {"a": "::1"}]),
    "dns": st.sampled_from(["10.0.0.53", ["::1"]]),
    "user": st.sampled_from(["1000:1000", "${N}"]),
    "tty": st.sampled_from([True, False, None]),
    "logging": st.just({"driver": "local", "options": {"max-size": "1.10"}}),
    "drift": st.sampled_from([{"mode": "report"}, {"ignore": ["memory"]}]),
}  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional=_FIELDS))
@example({"env": {"A": "1.10"}, "command": "a  b"})
@example({"env": {"A": "${D}", "B_C": "$${N}"}})
@example({"env": {"A": 1.0, "B_C": 1e22}})
@example({"tty": None, "env": None})
def test_what_was_written_means_the_same_when_it_is_read_again(spec: dict[str, Any]) -> None:
    first = load({"web.yaml": manifests.write([{**_HEAD, "spec": {"image": "app:${TAG}", **spec}}])}, **_VALUES)
    if WEB not in first.services:
        assert first.problems
        return
    service = first.services[WEB]
    again = load({"web.yaml": manifests.write([{**_HEAD, "spec": dict(service.written)}])}, **_VALUES)
    assert [str(problem) for problem in again.problems] == []
    assert fingerprint.fields(again.services[WEB]) == fingerprint.fields(service)
    assert dict(again.services[WEB].written) == dict(service.written)


@settings(deadline=None)
@given(st.text(alphabet="$${}{}:-AN_ b\n", max_size=16))
@example("${")
@example("$${")
@example("$$${N}")
@example("${N:-${N}}")
@example("${:-}")
@example("${A\nB}")
def test_no_text_ends_the_search_for_variables(text: str) -> None:
    document = reading.Document("f", {"kind": "Service", "spec": {"env": {"A": text}, "replicas": text}})
    value, complaints = variables.resolve(document, _VALUES)
    assert isinstance(value["spec"]["env"]["A"], str) and all(words for _, words in complaints)
    assert {path[1] for path, _ in complaints} <= {"env", "replicas"}
    if "${" not in text and not complaints:
        assert value == document.value


_LEAVES = ["", "${N}", "${NONE}", "${", "a", "b", "***", "\0"]
_NEAR = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(_LEAVES),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "image", "env", "A"]), inner, max_size=2)
    ),
    max_leaves=5,
)
_KNOWN = sorted(schema.load("manifest")["$defs"]["spec"]["properties"])
_SPEC = _NEAR | st.dictionaries(st.sampled_from(_KNOWN), _NEAR, max_size=3)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "A", "${N}", ""]), _SPEC, max_size=2) | _NEAR, _NEAR, _SPEC)
@example({"a": None}, "a", {})
@example({"a": {"env": {"A": "1"}}}, "a", {"env": None})
@example({"a": {"template": "a"}}, "a", {})
def test_no_template_ends_the_reader(templates: Any, name: Any, spec: Any) -> None:
    found, problems = manifests.settings("lb.yaml", manifests.write([{"templates": templates}]).encode())
    assert all(p.place.file == "lb.yaml" and p.place.line >= 1 and p.place.col >= 1 for p in problems)
    if problems:
        return
    wanted = {**spec, "template": name} if isinstance(spec, dict) else spec
    desired = load({"web.yaml": manifests.write([{**_HEAD, "spec": wanted}])}, settings=found, **_VALUES)
    assert WEB in desired.services or desired.problems
    assert all(p.place.file in ("lb.yaml", "web.yaml") and p.place.line >= 1 for p in desired.problems)
