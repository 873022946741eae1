"""`lb init`: what it writes is a source, and it writes over nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from reconciler import host, source, starter
from reconciler.cli import run
from reconciler.model import Port, Ref


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> dict[str, str]:
    return {f.relative_to(folder).as_posix(): f.read_text() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_it_is_a_source(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "My Shop"]) == 0
    out = capsys.readouterr().out
    assert set(tree(desk / "My Shop")) == {
        "lb.yaml", "namespace.yaml", "web.yaml", "site/index.html", ".gitignore", ".vscode/settings.json",
        ".vscode/lb/manifest.json", ".vscode/lb/source.json",
    }  # fmt: skip
    assert all(f"+ My Shop/{file}\n" in out for file in tree(desk / "My Shop"))
    assert out.endswith("next: lb plan 'My Shop', then lb apply 'My Shop'\n")
    desired = source.read(desk / "My Shop", variables={})
    assert desired.source == "my-shop" and not desired.problems
    assert set(desired.services) == {Ref("my-shop", "web")} and set(desired.namespaces) == {"my-shop"}
    assert desired.services[Ref("my-shop", "web")].spec.ports == (Port(80, "tcp", 8080, "127.0.0.1"),)
    assert run(["validate", "My Shop"]) == 0


def test_in_the_folder_where_one_stands(desk: Path) -> None:
    (desk / "shop").mkdir()
    assert run(["init", "shop", "--name", "other"]) == 0
    assert source.name(desk / "shop") == "other"


def test_the_editor_finds_the_schemas(desk: Path) -> None:
    run(["init", "shop"])
    folder = desk / "shop"
    for file in ("lb.yaml", "namespace.yaml", "web.yaml"):
        first, _, rest = (folder / file).read_text().partition("\n")
        prefix, _, schema = first.partition("$schema=")
        assert prefix == "# yaml-language-server: "
        value = yaml.safe_load(rest)
        jsonschema.Draft202012Validator(json.loads((folder / schema).read_text())).validate(value)
    settings = json.loads((folder / ".vscode/settings.json").read_text())
    assert all((folder / schema).is_file() for schema in settings["yaml.schemas"])


@pytest.mark.parametrize(
    "file", ["lb.yaml", "web.yaml", "namespace.yaml", "site/index.html", ".vscode/lb/manifest.json"]
)
def test_it_writes_over_nothing(desk: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "shop" / file).parent.mkdir(parents=True)
    (desk / "shop" / file).write_text("mine")
    assert run(["init", "shop"]) == 77
    assert capsys.readouterr().err == (
        f"lb: {desk}/shop/{file} is there already; nothing is written: choose another folder\n"
    )
    assert tree(desk / "shop") == {file: "mine"}


def test_what_a_folder_has_anyway_stays(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "shop").mkdir()
    (desk / "shop" / ".gitignore").write_text("mine")
    assert run(["init", "shop"]) == 0
    assert (desk / "shop" / ".gitignore").read_text() == "mine"
    assert capsys.readouterr().err == "lb: shop/.gitignore is there already and stays as it is\n"


def test_not_inside_of_a_source(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "shop"])
    before = tree(desk)
    assert run(["init", "shop/inner"]) == 64
    assert "lies in the source" in capsys.readouterr().err and tree(desk) == before


def test_where_nothing_can_be_written(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "file").write_text("")
    assert run(["init", "file/shop"]) == 73
    assert "can't be written: Not a directory" in capsys.readouterr().err


def test_a_name_that_is_none(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "shop", "--name", "My Shop"]) == 64
    assert capsys.readouterr().err == ("lb: --name My Shop: write small letters, digits and dashes, like my-shop\n")
    assert not (desk / "shop").exists()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("shop", "shop"), ("My Shop", "my-shop"), ("--x--", "x"), ("Ö", "demo"), ("", "demo"), ("a" * 80, "a" * 63)],
)
def test_a_name_from_a_folder(folder: str, name: str) -> None:
    assert starter.name_of(folder) == name


@pytest.mark.parametrize("profile", starter.PROFILES)
def test_a_host_yaml_where_one_is_asked_for(desk: Path, profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "shop", "--profile", profile, "--host-config", "lb/host.yaml"]) == 0
    assert "+ lb/host.yaml\n" in capsys.readouterr().out
    file = desk / "lb" / "host.yaml"
    policy = host.read(file).settings.policy
    assert [grant.services for grant in policy.grants] == ([("*",)] if profile == "homelab" else [])
    assert run(["validate", "shop", "--host-config", str(file)]) == 0
    before = tree(desk)
    assert run(["init", "other", "--host-config", "lb/host.yaml"]) == 77
    assert "lb/host.yaml is there already; nothing is written" in capsys.readouterr().err and tree(desk) == before


@pytest.mark.parametrize("profile", starter.PROFILES)
def test_what_is_commented_out_in_a_host_yaml_is_right_too(desk: Path, profile: str) -> None:
    """Every line that people may uncomment."""
    text = starter.host_yaml(profile).replace("  allow: []\n", "")
    lines = re.sub(r"^( *)# ((- |  - |  |    )?[a-z_]+:)", r"\1\2", text, flags=re.MULTILINE)
    (desk / "host.yaml").write_text(lines)
    found = host.read(desk / "host.yaml").settings
    assert len(found.policy.grants) > 1 and found.policy.require_digests
    assert found.remote("blog") and found.registries


def test_a_profile_is_of_a_host_yaml(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "shop", "--profile", "homelab"]) == 64
    assert "add --host-config FILE" in capsys.readouterr().err and not (desk / "shop").exists()
    assert run(["init", "shop", "--host-config", "shop/host.yaml"]) == 64
    assert "would lie in the source" in capsys.readouterr().err and not (desk / "shop").exists()
