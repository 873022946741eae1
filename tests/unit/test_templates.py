"""Templates of lb.yaml: what goes under a service's spec, where it then stands, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import fingerprint, manifests, schema
from reconciler.manifests import templates
from reconciler.model import Desired, Healthcheck, Mount, Place, Ref, Service

NAMESPACE = "apiVersion: lb/v1\nkind: Namespace\nmeta: {name: demo}\n"
WEB = Ref("demo", "web")
DIGEST = "ab" * 32
LB = """\
variables: {MEM: 64m}
templates:
  web:
    image: nginx:1.22
    memory: ${MEM}
    env: {LOG: info, COLOUR: blue}
    command: [a, b]
    volumes: ['./web.conf:/etc/web.conf:ro']
    healthcheck: {test: [CMD, 'true'], interval: 5s}
  bare:
"""


def load(spec: str, lb: str = LB, file: str = "apps/web.yaml", **variables: str) -> Desired:
    body = "apiVersion: lb/v1\nkind: Service\nmeta: {name: web, namespace: demo}\nspec:\n"
    body += "".join(f"  {line}\n" for line in spec.splitlines())
    settings, problems = manifests.settings("lb.yaml", lb.encode())
    assert problems == []
    return manifests.load(
        {"namespace.yaml": NAMESPACE.encode(), file: body.encode()}, source="s", root="/s", settings=settings,
        variables=variables, trees=lambda path: (DIGEST, ""),
    )  # fmt: skip


def service(spec: str, lb: str = LB, file: str = "apps/web.yaml", **variables: str) -> Service:
    desired = load(spec, lb, file, **variables)
    assert [str(problem) for problem in desired.problems] == []
    return desired.services[WEB]


def test_all_of_a_template_is_as_if_it_was_written_in_the_manifest() -> None:
    found = service("template: web")
    plain = service(
        "image: nginx:1.22\nmemory: 64m\nenv: {LOG: info, COLOUR: blue}\ncommand: [a, b]\n"
        "volumes: ['./web.conf:/etc/web.conf:ro']\nhealthcheck: {test: [CMD, 'true'], interval: 5s}"
    )
    assert found.spec == plain.spec
    assert fingerprint.fields(found) == fingerprint.fields(plain)


def test_maps_merge_lists_and_values_replace_null_takes_away() -> None:
    found = service(
        "template: web\nimage: nginx:1.27\nenv: {COLOUR: red, SIZE: '7'}\ncommand: [c]\nmemory:\n"
        "healthcheck: {interval: null, retries: 2}"
    ).spec
    assert found.image.endswith(":1.27") and found.memory is None and found.command == ("c",)
    assert found.env == (("COLOUR", "red"), ("LOG", "info"), ("SIZE", "7"))
    assert found.healthcheck == Healthcheck(("CMD", "true"), retries=2)
    assert service("template: web\nenv: {LOG: null}").spec.env == (("COLOUR", "blue"),)
    assert service("template: web\nenv: [A=1]").spec.env == (("A", "1"),)
    assert service("template: web\nhealthcheck: null").spec.healthcheck is None


def test_an_empty_template_changes_nothing() -> None:
    assert service("template: bare\nimage: a").spec == service("image: a").spec


def test_values_have_the_place_where_they_are_written() -> None:
    found = service("template: web\nenv: {COLOUR: red}\ncpus: 1")
    assert found.places["memory"] == Place("lb.yaml", 5, 13)
    assert found.places["env.LOG"] == Place("lb.yaml", 6, 16)
    assert found.places["env.COLOUR"] == Place("apps/web.yaml", 6, 17)
    assert found.places["volumes./etc/web.conf"] == Place("lb.yaml", 8, 15)
    assert found.places["cpus"] == Place("apps/web.yaml", 7, 9)
    assert found.place == Place("apps/web.yaml", 1, 1)


def test_what_is_written_is_told_and_what_is_authored_is_kept() -> None:
    """Everybody who shows a service needs what the template says; its author only what stands in the manifest."""
    found = service("template: web\nenv: {COLOUR: null}\nmemory: null")
    assert found.authored == {"template": "web", "env": {"COLOUR": None}, "memory": None}
    assert found.written["env"] == {"LOG": "info"} and found.written["image"] == "nginx:1.22"
    assert "template" not in found.written and "memory" not in found.written
    assert service("template: web").written["memory"] == "${MEM}"
    assert service("template: web").shown["memory"] == "${MEM}"
    assert service("image: a").authored == {}


def test_paths_count_from_the_file_that_they_are_written_in() -> None:
    assert service("template: web").files == {DIGEST: "web.conf"}
    assert service("template: web\nvolumes: ['./web.conf:/x:ro']").files == {DIGEST: "apps/web.conf"}
    assert service("template: web").spec.mounts == (Mount("/etc/web.conf", "bind", DIGEST, True),)


def test_variables_are_those_of_everybody() -> None:
    assert service("template: web", MEM="128m").spec.memory == 128 << 20
    lb = "templates: {web: {image: 'a:${TAG:-1}', replicas: '${N}'}}\n"
    found = service("template: ${KIND:-web}", lb, N="3")
    assert (found.spec.image, found.spec.replicas) == ("docker.io/library/a:1", 3)
    assert found.authored == {"template": "${KIND:-web}"}


def test_a_name_from_a_variable_is_not_told() -> None:
    (problem,) = load("template: ${KIND}", KIND="hunter2").problems
    assert problem.code == "TEMPLATE_NOT_FOUND" and "hunter2" not in str(problem)
    (problem,) = load("template: ${KIND}", KIND="Hunter 2").problems
    assert problem.code == "BAD_PARAMETER_TEMPLATE_NAME" and "Hunter" not in str(problem)
    (problem,) = load(
        "template: ${KIND}", "templates: {hunter2: 7}".replace("7", "{template: x}"), KIND="hunter2"
    ).problems
    assert "hunter2" not in str(problem)


def test_anchors_are_how_templates_share() -> None:
    lb = "templates:\n  base: &base {image: a, memory: 64}\n  big: {<<: *base, memory: 128}\n"
    assert service("template: big", lb).spec.memory == 128 << 20
    assert service("template: big", lb).places["image"] == Place("lb.yaml", 2, 23)


def test_fractions_keep_their_words() -> None:
    lb = "templates: {web: {image: a, env: {V: 1.10}}}\n"
    assert service("template: web", lb).spec.env == (("V", "1.10"),)


def test_a_template_is_not_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "LARGEST", 5)
    (problem,) = load("template: web").problems
    assert problem.message == "template web is no map, or has more than 5 values; correct it"


def test_one_bad_template_stops_only_those_that_use_it() -> None:
    lb = "templates: {good: {image: a}, bad: {image: a, memory: x}}\n"
    text = "apiVersion: lb/v1\nkind: Service\nmeta: {name: %s, namespace: demo}\nspec: {template: %s}\n"
    files = {
        "n.yaml": NAMESPACE,
        "g.yaml": text % ("g", "good"),
        "b.yaml": text % ("b", "bad"),
        "c.yaml": text % ("c", "bad"),
    }
    desired = manifests.load(
        {name: body.encode() for name, body in files.items()}, source="s", root="/s",
        settings=manifests.settings("lb.yaml", lb.encode())[0], variables={}, trees=lambda path: ("", ""),
    )  # fmt: skip
    assert set(desired.services) == {Ref("demo", "g")} and desired.complete
    assert [(p.ref, p.place.file) for p in desired.problems] == [(Ref("demo", n), "lb.yaml") for n in "bc"]
    assert [str(p).endswith(f"(used by demo/{n})") for n, p in zip("bc", desired.problems, strict=True)] == [True, True]


_WORDS = st.sampled_from(["a", "b", "c"])
_TREES = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=8,
)
_MAPS = st.dictionaries(_WORDS, _TREES, max_size=3)


def flat(value: Mapping[str, object], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    found: dict[tuple[str, ...], object] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            found |= flat(item, (*path, key))
        else:
            found[(*path, key)] = item
    return found


@given(_MAPS, _MAPS)
def test_what_the_service_says_always_stands(own: dict[str, object], under: dict[str, object]) -> None:
    taken: list[tuple[str | int, ...]] = []
    merged = templates._over(own, under, (), taken)
    said = {path: value for path, value in flat(own).items() if value is not None}
    assert said.items() <= flat(merged).items()
    for path, value in flat(merged).items():
        came = any(path[:n] in taken for n in range(1, len(path) + 1))
        assert value == flat(under)[path] if came else flat(own)[path] == value


@given(_MAPS)
def test_nothing_over_or_under_changes_nothing(value: dict[str, object]) -> None:
    assert templates._over(value, {}, (), []) == value
    assert templates._over({}, value, (), []) == value


# The types that variables take


@pytest.mark.parametrize(
    ("path", "types"),
    [
        (("spec", "replicas"), {"integer"}), (("spec", "update", "parallelism"), {"integer"}),
        (("spec", "ports", 3, "internal"), {"integer"}), (("spec", "healthcheck", "disable"), {"boolean"}),
        (("spec", "volumes", 0, "read_only"), {"boolean"}), (("spec", "memory"), {"integer", "string"}),
        (("spec", "env", "ANY"), {"string", "number", "boolean"}), (("spec", "env", 0), {"string"}),
        (("spec", "nothing"), set()), (("spec", "image", "deeper"), set()), (("meta", "hosts", 0), {"string"}),
        (("spec", "update", "order"), {"string"}), (("apiVersion",), {"string"}),
    ],
)  # fmt: skip
def test_the_schema_says_what_a_field_takes(path: schema.Steps, types: set[str]) -> None:
    assert schema.takes("manifest", "Service", path) == types


def test_a_kind_that_is_none_takes_nothing() -> None:
    assert schema.takes("manifest", "Pod", ("spec", "replicas")) == set()


def test_every_field_with_a_number_takes_one_from_a_variable() -> None:
    """Also fields that are added later: each one that takes no text, in maps and lists alike."""
    found = 0
    for path in numeric(schema.load("manifest")["$defs"]["spec"], ("spec",)):
        document = manifests.Document("f", nested(path, "${N}"))
        document.value["kind"] = "Service"
        resolved, complaints = manifests.resolve(document, {"N": "5"})
        for step in path:
            resolved = resolved[step]
        assert complaints == [] and resolved == 5 and type(resolved) is int, path
        found += 1
    assert found >= 5


def numeric(part: dict[str, object], path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    """Paths of fields below that take a whole number or a fraction, and no text."""
    root = schema.load("manifest")["$defs"]
    found: list[tuple[str | int, ...]] = []
    if "$ref" in part:
        part = {**root[str(part["$ref"]).rpartition("/")[2]], **part}
    types = schema.takes("manifest", "Service", path)
    if types & {"integer", "number"} and "string" not in types:
        found.append(path)
    for branch in (part, *part.get("oneOf", ())):  # type: ignore[misc]
        for key, inner in branch.get("properties", {}).items():
            found += numeric(inner, (*path, key))
        if isinstance(branch.get("items"), dict):
            found += numeric(branch["items"], (*path, 0))
    return found


def nested(path: tuple[str | int, ...], value: object) -> dict[str, object]:
    for step in reversed(path):
        value = [value] if isinstance(step, int) else {step: value}
    assert isinstance(value, dict)
    return value


def test_env_files_of_a_template_count_from_lb_yaml() -> None:
    lb = "templates: {web: {image: a, env_file: [./shared.env]}}\n"
    body = (
        "apiVersion: lb/v1\nkind: Service\nmeta: {name: web, namespace: demo}\nspec: {template: web, env: {B: '2'}}\n"
    )
    desired = manifests.load(
        {"namespace.yaml": NAMESPACE.encode(), "apps/web.yaml": body.encode()}, source="s", root="/s",
        settings=manifests.settings("lb.yaml", lb.encode())[0], variables={}, trees=lambda path: (DIGEST, ""),
        texts=lambda path: (f"A={path}\nB=1\n", ""),
    )  # fmt: skip
    found = desired.services[WEB]
    assert found.spec.env == (("A", "shared.env"), ("B", "2"))
    assert found.places["env.A"].file == "lb.yaml" and found.places["env.B"].file == "apps/web.yaml"
