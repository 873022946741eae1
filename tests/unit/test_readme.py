"""What README.md says of fields, commands and exit codes is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from reconciler import errors, fingerprint, schema
from reconciler.cli import lb, run
from reconciler.manifests import foreign
from tests.support.commands import commands

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def classes() -> dict[str, str]:
    """Field of spec → class, from the table of fields."""
    rows = re.findall(r"^\| `spec\.([\w.]+)` \|.*\| ([\w ]+) \|$", section("Fields"), re.MULTILINE)
    return dict(rows)


def test_every_field_is_in_the_table() -> None:
    known = schema.load("manifest")["$defs"]
    fields = set(known["spec"]["properties"]) - {"update"} | {f"update.{key}" for key in known["update"]["properties"]}
    assert set(classes()) == fields


@pytest.mark.parametrize(("field", "said"), classes().items())
def test_the_class_of_a_field(field: str, said: str) -> None:
    assert fingerprint.field_class(field) == said.replace(" ", "-")


@pytest.mark.parametrize(("name", "command"), list(commands(lb)))
def test_every_command_and_option_is_named(name: str, command: click.Command) -> None:
    text = section("Commands")
    assert f"| `lb {name}" in text
    for option in (p for p in command.params if isinstance(p, click.Option)):
        assert any(re.search(rf"{re.escape(form)}\b", text) for form in option.opts), option.opts


def test_every_exit_code_is_explained() -> None:
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Commands"), re.MULTILINE)}
    assert said == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


# From Compose to lb


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, on a host that allows nothing."""
    (tmp_path / "host.yaml").touch()
    monkeypatch.setenv("LB_HOST_CONFIG", str(tmp_path / "host.yaml"))
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def blocks() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", section("From Compose to lb"), re.MULTILINE | re.DOTALL)


def test_the_two_voting_apps_are_the_same() -> None:
    """As the table says: by its lines, the one becomes the other."""
    compose, ours = blocks()
    wanted = yaml.safe_load(compose.replace("$$", "$"))["services"]
    for spec in wanted.values():
        for theirs, name in {"environment": "env", "mem_limit": "memory"}.items():
            if theirs in spec:
                spec[name] = spec.pop(theirs)
        if "deploy" in spec:
            spec["update"] = spec.pop("deploy").pop("update_config")
        for dependency in spec.get("depends_on", {}).values():
            dependency["condition"] = dependency["condition"].removeprefix("service_").removesuffix("_successfully")
    found = [document for document in yaml.safe_load_all(ours) if document["kind"] == "Service"]
    assert {document["meta"]["name"]: document["spec"] for document in found} == wanted


def test_the_voting_app_of_the_readme_is_valid(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "lb.yaml").write_text("namespace: voting\n")
    (source / "all.yaml").write_text(blocks()[1])
    (source / "app.env").write_text("A=1\n")
    for folder in ("db", "vote", "worker", "result"):
        (source / folder).mkdir()
    assert run(["validate", str(source)]) == 0
    assert capsys.readouterr().out == "7 objects are valid\n"


KEYS = [
    "environment",
    "mem_limit",
    "deploy",
    "scale",
    "links",
    "expose",
    "tmpfs",
    "configs",
    "extends",
    "container_name",
    "build",
    "profiles",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_compose_is_in_the_table_and_answered(
    key: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(rf"^\| [^|]*`{key}\b", section("From Compose to lb"), re.MULTILINE)
    meta = "meta: {name: a, namespace: n}"
    (source / "a.yaml").write_text(f"apiVersion: lb/v1\nkind: Service\n{meta}\nspec: {{image: x, {key}: y}}\n")
    (source / "n.yaml").write_text("apiVersion: lb/v1\nkind: Namespace\nmeta: {name: n}\n")
    assert run(["validate", str(source)]) == errors.EXIT_INVALID
    said = capsys.readouterr().out
    assert re.search(rf"^a.yaml:4:\d+: spec\.{key}: .*(write|remove) ", said, re.MULTILINE), said


# Of the Compose specification's services; those that are fields here too are not among them.
OTHERS = [
    "attach",
    "blkio_config",
    "cgroup",
    "cgroup_parent",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpuset",
    "credential_spec",
    "develop",
    "device_cgroup_rules",
    "dns_opt",
    "dns_search",
    "domainname",
    "external_links",
    "gpus",
    "ipc",
    "isolation",
    "label_file",
    "mac_address",
    "mem_swappiness",
    "memswap_limit",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "post_start",
    "pre_stop",
    "provider",
    "runtime",
    "storage_opt",
    "use_api_socket",
    "userns_mode",
    "uts",
    "volumes_from",
    "annotations",
    "x-anything",
]


@pytest.mark.parametrize("key", [*KEYS, *OTHERS])
def test_every_key_of_compose_gets_an_answer_of_its_own(key: str) -> None:
    known = set(schema.load("manifest")["$defs"]["spec"]["properties"])
    assert key not in known
    assert re.match("(write|remove|is refused|is not supported)\\b", foreign.advice("spec", key, known))


@pytest.mark.parametrize("key", ["name", "version", "services", "volumes", "networks", "secrets", "configs", "include"])
def test_every_part_of_a_compose_file_gets_an_answer_of_its_own(key: str) -> None:
    known = {"apiVersion", "kind", "meta", "spec"}
    assert re.match("(write|remove)\\b", foreign.advice("", key, known))
