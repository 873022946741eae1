"""Several hosts, one source: what it says to each, and that nothing is concluded from a name that nobody lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import source
from reconciler.cli import run
from reconciler.errors import EXIT_INVALID, SourceError
from reconciler.manifests import hosts
from reconciler.model import Desired, Ref
from tests.support.build import World, make_namespace, make_service, steady

LISTED = "name: shop\nhosts:\n  nas1: {variables: {DISK: /a, N: 1}}\n  nas2: {variables: {DISK: /b}}\n  edge-1:\n"


def namespace(name: str = "demo", meta: str = "") -> str:
    return f"apiVersion: lb/v1\nkind: Namespace\nmeta: {{name: {name}{meta}}}\n"


def service(name: str, meta: str = "", spec: str = "", space: str = "demo") -> str:
    return (
        f"apiVersion: lb/v1\nkind: Service\nmeta: {{name: {name}, namespace: {space}{meta}}}\n"
        f"spec: {{image: busybox{spec}}}\n"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "lb.yaml").write_text(LISTED)
    (tmp_path / "namespace.yaml").write_text(namespace())
    (tmp_path / "all.yaml").write_text(service("all"))
    (tmp_path / "one.yaml").write_text(service("one", ", hosts: [nas1]"))
    (tmp_path / "edge.yaml").write_text(
        namespace("edge", ", hosts: ['edge-*']") + "---\n" + service("proxy", space="edge")
    )
    return tmp_path


def read(root: Path, host: str = "", **variables: str) -> Desired:
    return source.read(root, variables=variables, host=host)


def names(desired: Desired) -> set[str]:
    assert [str(p) for p in desired.problems] == []
    return {ref.name or ref.namespace for ref in (*desired.services, *(n.ref for n in desired.namespaces.values()))}


def refused(root: Path, host: str = "") -> tuple[str, str]:
    with pytest.raises(SourceError) as caught:
        read(root, host)
    assert caught.value.exit_code == EXIT_INVALID
    return caught.value.message, caught.value.hint


def test_each_host_gets_what_is_for_it(root: Path) -> None:
    assert names(read(root, "nas1")) == {"demo", "all", "one"}
    assert names(read(root, "nas2")) == {"demo", "all"}
    assert names(read(root, "edge-1")) == {"demo", "all", "edge", "proxy"}
    on_nas2 = read(root, "nas2")
    assert on_nas2.host == "nas2"
    assert on_nas2.elsewhere == {Ref("demo", "one"), Ref("edge"), Ref("edge", "proxy")}
    assert on_nas2.mentioned == {Ref("demo"), Ref("demo", "all")}


def test_a_host_that_is_not_listed_stops_everything(root: Path) -> None:
    assert refused(root, "nsa1") == ("lb.yaml lists no host nsa1; nothing is changed", "did you mean nas1?")
    assert refused(root, "db") == (
        "lb.yaml lists no host db; nothing is changed", "there are edge-1, nas1, nas2; add it, or correct it",
    )  # fmt: skip
    assert refused(root, "NAS1")[0] == "lb.yaml lists no host NAS1; nothing is changed"


def test_a_host_that_is_not_known_stops_everything(root: Path) -> None:
    message, hint = refused(root)
    assert message == "lb.yaml lists hosts, and which of them this is isn't known; nothing is changed"
    assert hint == "pass --host NAME, or set LB_HOST; there are edge-1, nas1, nas2"
    for file in ("one.yaml", "edge.yaml"):  # also where no object asks for it: variables may
        (root / file).unlink()
    assert refused(root)[0] == message


def test_hosts_of_objects_need_a_list(root: Path) -> None:
    (root / "lb.yaml").write_text("name: shop\n")
    message, hint = refused(root, "nas1")
    assert message == "edge.yaml:3:14: meta.hosts is used, and lb.yaml lists no hosts; nothing is changed"
    assert refused(root) == (message, hint)
    (root / "lb.yaml").unlink()
    assert refused(root, "nas1")[0] == message
    (root / "lb.yaml").write_text("hosts: {}\n")
    assert refused(root, "nas1")[0] == message


def test_a_source_for_one_host_needs_no_name_and_minds_none(root: Path) -> None:
    (root / "lb.yaml").write_text("name: shop\n")
    for file in ("one.yaml", "edge.yaml"):
        (root / file).unlink()
    assert names(read(root)) == names(read(root, "anything")) == {"demo", "all"}


def test_the_order_of_variables(root: Path) -> None:
    (root / "lb.yaml").write_text(LISTED + "variables: {DISK: /c, N: 2}\n")
    (root / "all.yaml").write_text(service("all", spec=", env: {D: '${DISK}'}, replicas: '${N:-3}'"))

    def said(host: str, **variables: str) -> tuple[object, int]:
        spec = read(root, host, **variables).services[Ref("demo", "all")].spec
        return dict(spec.env or ())["D"], spec.replicas

    assert said("nas1") == ("/a", 1)
    assert said("nas2") == ("/b", 2)
    assert said("edge-1") == ("/c", 2)
    assert said("nas1", DISK="/set") == ("/set", 1)


def test_problems_of_objects_for_others_are_theirs(root: Path) -> None:
    (root / "one.yaml").write_text(service("one", ", hosts: [nas1]", ", env: {N: '${N}'}, nonsense: 1"))
    assert names(read(root, "nas2")) == {"demo", "all"}
    assert [p.path for p in read(root, "nas1").problems] == ["spec.nonsense"]
    (root / "one.yaml").write_text(service("one", ", hosts: [nas1]").replace("Service", "Servce"))
    away = read(root, "nas2")
    assert away.complete and names(away) == {"demo", "all"}
    assert not read(root, "nas1").complete


def test_a_file_that_nobody_can_read_is_everybodys(root: Path) -> None:
    (root / "one.yaml").write_text(service("one", ", hosts: [nas1]") + "---\n{")
    assert not read(root, "nas2").complete and read(root, "nas2").problems


@pytest.mark.parametrize(
    "given", ["[nas1, nsa2]", "nas1", "[]", "['${WHO}']", "['nas[1]']", "[1]", "{nas1: {}}", "['edg-*']"]
)
def test_hosts_that_can_not_be_understood_move_nothing(root: Path, given: str) -> None:
    (root / "one.yaml").write_text(service("one", f", hosts: {given}"))
    for host in ("nas1", "nas2", "edge-1"):
        desired = read(root, host)
        assert Ref("demo", "one") in desired.mentioned and Ref("demo", "one") not in desired.services
        assert [p.path.partition("[")[0] for p in desired.problems] == ["meta.hosts"]
        assert desired.complete


def test_a_namespace_that_can_not_be_understood_holds_its_services(root: Path) -> None:
    (root / "edge.yaml").write_text(namespace("edge", ", hosts: [egde-1]") + "---\n" + service("proxy", space="edge"))
    desired = read(root, "nas2")
    assert {Ref("edge"), Ref("edge", "proxy")} <= desired.mentioned
    assert not {Ref("edge", "proxy")} & desired.services.keys()


def test_a_service_may_say_otherwise_than_its_namespace(root: Path) -> None:
    (root / "edge.yaml").write_text(
        namespace("edge", ", hosts: ['*1']") + "---\n" + service("proxy", ", hosts: [nas1]", space="edge")
    )
    assert Ref("edge", "proxy") not in read(root, "edge-1").mentioned
    assert Ref("edge", "proxy") in read(root, "nas1").services


def test_one_name_may_be_declared_for_each_host(root: Path) -> None:
    (root / "one.yaml").write_text(
        service("one", ", hosts: [nas1]") + "---\n" + service("one", ", hosts: [nas2]", ", replicas: 2")
    )
    assert read(root, "nas1").services[Ref("demo", "one")].spec.replicas == 1
    assert read(root, "nas2").services[Ref("demo", "one")].spec.replicas == 2
    assert Ref("demo", "one") not in read(root, "nas1").elsewhere
    assert read(root, "edge-1").elsewhere >= {Ref("demo", "one")}


def test_a_host_with_nothing_on_it_is_no_empty_source(root: Path) -> None:
    (root / "namespace.yaml").write_text(namespace(meta=", hosts: [nas1]"))
    found = read(root, "nas2")
    assert not found.mentioned and found.complete and not found.problems


def test_bad_settings_show_everything_and_hold_everything(root: Path) -> None:
    (root / "lb.yaml").write_text(LISTED + "nonsense: 1\n")
    for host in ("", "nas1", "nobody"):
        desired = read(root, host)
        assert not desired.services and not desired.complete
        assert {Ref("demo", "one"), Ref("edge", "proxy")} <= desired.mentioned
        assert [p.path for p in desired.problems] == ["nonsense"]
    assert source.hosts(root) == ()


def test_hosts_are_kept_as_written(root: Path) -> None:
    (root / "one.yaml").write_text(service("one", ", hosts: ['${WHO:-nas1}']"))
    found = read(root, "nas1").services[Ref("demo", "one")]
    assert found.hosts == ("${WHO:-nas1}",) and found.shown["meta.hosts"] == '["${WHO:-nas1}"]'
    assert read(root, "edge-1").namespaces["edge"].hosts == ("edge-*",)


def test_a_source_read_again_changes_with_its_hosts(root: Path) -> None:
    reader = source.Source(root, host="nas1")
    assert names(reader.read()) == {"demo", "all", "one"}
    (root / "one.yaml").write_text(service("one", ", hosts: [nas2]"))
    assert names(reader.read()) == {"demo", "all"}
    (root / "lb.yaml").write_text("hosts: {nas2: {}, edge-1: {}}\n")
    with pytest.raises(SourceError, match="lists no host nas1"):
        reader.read()
    (root / "lb.yaml").write_text(LISTED)
    assert names(reader.read()) == {"demo", "all"}


def test_variables_from_outside_may_vary(root: Path) -> None:
    (root / "all.yaml").write_text(service("all", spec=", replicas: '${COUNT:-1}'"))
    reader = source.Source(root, {"COUNT": "2"}, host="nas1")
    assert reader.read().services[Ref("demo", "all")].spec.replicas == 2
    reader.vary({"COUNT": "3"})
    assert reader.read().services[Ref("demo", "all")].spec.replicas == 3
    first = reader.read().services[Ref("demo", "all")]
    reader.vary({"COUNT": "3"})
    assert reader.read().services[Ref("demo", "all")] is first


_HOST = st.from_regex(r"\A[a-c]{1,3}\Z")
_PATTERN = st.from_regex(r"\A[a-c*?]{1,3}\Z")


@given(st.sets(_HOST, min_size=1, max_size=4), st.lists(_PATTERN, min_size=1, max_size=3), _HOST)
def test_nothing_leaves_a_host_because_of_a_name_that_fits_nobody(
    listed: set[str], given: list[str], host: str
) -> None:
    unknown = hosts.unknown(given, {"meta": {"hosts": given}}, {name: {} for name in listed})
    fitting = [pattern for pattern in given if not any(path[-1] == given.index(pattern) for path, _ in unknown)]
    assert all(any(hosts.fnmatchcase(name, pattern) for name in listed) for pattern in fitting)
    if host not in listed:
        with pytest.raises(SourceError):
            hosts.variables({name: {} for name in listed}, host)


# In a plan


def test_what_moves_to_another_host_is_removed_here_and_the_plan_says_so() -> None:
    world = steady(make_service("a"), make_service("b"), make_service("c"))
    moved = world.drops(Ref("shop", "b"))
    text = World(_on(moved.desired, "nas1", {Ref("shop", "b")}), moved.recorded, moved.observed).text()
    assert text == ("host nas1\n- remove service shop/b\n    no longer for host nas1 (was in b.yaml)\n1 to remove")


def test_a_mass_move_needs_a_confirmation_as_any_removal() -> None:
    world = steady(make_service("a"), make_service("b"))
    gone = world.drops(Ref("shop", "a"), Ref("shop", "b"))
    plan = World(_on(gone.desired, "nas1", {Ref("shop", "a")}), gone.recorded, gone.observed).plan()
    assert [guard.kind for guard in plan.guards] == ["mass-delete"] and plan.host == "nas1"


def test_a_change_of_hosts_is_only_recorded() -> None:
    world = steady(make_service("a"))
    service = replace(make_service("a"), hosts=("nas1", "nas2"))
    assert [(a.verb, [c.field for c in a.causes]) for a in world.wants(service).plan().actions] == [
        ("record", ["meta.hosts"])
    ]
    changed = world.wants(namespaces={"shop": replace(make_namespace(), hosts=("nas1",))})
    assert [(a.verb, [c.field for c in a.causes]) for a in changed.plan().actions] == [("record", ["meta.hosts"])]


def _on(desired: Desired, host: str, elsewhere: set[Ref]) -> Desired:
    return replace(desired, host=host, elsewhere=frozenset(elsewhere))


# Who this host is


@pytest.mark.parametrize(
    ("arguments", "environment", "file", "said"),
    [
        ([], None, None, None), ([], None, "edge-1", "edge-1"), ([], "nas2", "edge-1", "nas2"),
        (["--host", "nas1"], "nas2", "edge-1", "nas1"), (["--host", "nas1"], None, None, "nas1"),
        ([], "", "nas2", "nas2"),
    ],
)  # fmt: skip
def test_where_its_name_comes_from(
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: str | None,
    file: str | None,
    said: str | None,
) -> None:
    """The option, the environment, host.yaml; never the operating system."""
    monkeypatch.setattr("socket.gethostname", lambda: "nas1")
    monkeypatch.delenv("LB_HOST", raising=False)
    if environment is not None:
        monkeypatch.setenv("LB_HOST", environment)
    settings = tmp_path_factory.mktemp("etc") / "host.yaml"
    settings.write_text(f"host: {file}\n" if file else "# nothing\n")
    code = run(["validate", str(root), "--host-config", str(settings), *arguments])
    out, err = capsys.readouterr()
    if said is None:
        assert code == 65 and "which of them this is isn't known" in err
    else:
        assert code == 0 and out.endswith(f"(on {said})\n")


def test_the_policy_of_other_hosts_is_theirs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """This host denies it; what nas1 allows is known there."""
    (root / "one.yaml").write_text(service("one", ", hosts: [nas1]", ", privileged: true"))
    assert run(["validate", str(root), "--all-hosts", "--host", "nas2"]) == 0
    assert run(["validate", str(root), "--all-hosts", "--host", "nas1"]) == 77
    assert "privileged" in capsys.readouterr().out


def test_what_is_wrong_twice_in_one_value_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And of no host, where there are none."""
    (tmp_path / "lb.yaml").write_text("name: test\nnamespace: demo\n")
    (tmp_path / "one.yaml").write_text(service("one", "", ", command: '${NONE} ${NONE}'"))
    assert run(["validate", str(tmp_path)]) == 65
    out = capsys.readouterr().out
    assert out.count("${NONE} is not defined") == 1 and "(on" not in out
