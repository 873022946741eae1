"""What people begin with: the source that `lb init` writes, and the examples for several hosts and for CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import IMAGES, Sandbox
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
MONOREPO = ROOT / "examples" / "monorepo"
CI = ROOT / "examples" / "ci"


def fetch(port: int) -> str:
    """What answers at this port of the engine's host, "" while nothing does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return str(answer.read().decode()).strip()
    except OSError:
        return ""


# lb init


def test_what_init_writes_is_applied_and_answers(sandbox: Sandbox, tmp_path: Path) -> None:
    if IMAGES:
        sandbox.api.tag(f"{IMAGES}nginx:1.22", "nginx", "1.28")
    shutil.rmtree(sandbox.source)
    sandbox.source.mkdir()
    try:
        sandbox.lb("init", "--name", sandbox.name)
        assert sandbox.lb("validate").out == "2 objects are valid\n"
        sandbox.apply("--set", "PORT=8097")
        page = eventually(lambda: fetch(8097))
        assert f"<h1>{sandbox.name} works</h1>" in page
        assert sandbox.apply("--set", "PORT=8097").out == "no changes\n"
        sandbox.lb("init", code=77)
        assert sandbox.apply("--set", "PORT=8097").out == "no changes\n"
        sandbox.lb("down", "--yes")
    finally:
        if IMAGES:
            sandbox.api.remove_image("nginx:1.28", force=True)


# examples/monorepo


def test_each_host_of_the_monorepo_gets_its_view(sandbox: Sandbox) -> None:
    """Three hosts, one engine: one after the other, each with a state of its own."""
    shutil.rmtree(sandbox.source)
    shutil.copytree(MONOREPO, sandbox.source)
    settings = sandbox.source / "lb.yaml"
    settings.write_text(settings.read_text().replace("name: monorepo", f"name: {sandbox.name}"))
    assert sandbox.lb("validate", "--all-hosts").out == "8 objects are valid (on nas1, nas2, edge-1)\n"
    expected = {
        "nas1": ({"home.photos": 1, "home.cache": 1, "watch.pulse": 1}, 8081, "home.photos.1-1"),
        "nas2": ({"home.photos": 1, "watch.pulse": 1}, 8082, "home.photos.1-1"),
        "edge-1": ({"edge.front": 2, "edge.door": 1, "watch.pulse": 1}, 8080, "edge.front."),
    }
    for host, (services, port, _) in expected.items():
        sandbox.env |= {"LB_HOST": host, "LB_STATE": str(sandbox.folder / host)}
        applied = sandbox.apply("--set", f"IMAGES={IMAGES}")
        assert applied.out.startswith(f"host {host}\n")
        found: dict[str, int] = {}
        for container in sandbox.containers():
            labels = container["Config"]["Labels"]
            name = f"{labels['lb.namespace']}.{labels['lb.service']}"
            found[name] = found.get(name, 0) + 1
        assert found == services
        hostnames = {c["Config"]["Hostname"] for c in sandbox.containers()}
        assert eventually(lambda p=port: fetch(p)) in hostnames  # type: ignore[misc]
        if host == "nas1":
            assert sandbox.one("cache")["HostConfig"]["Memory"] == 96 << 20
        assert sandbox.apply("--set", f"IMAGES={IMAGES}").out == f"no changes on host {host}\n"
        sandbox.lb("down", "--yes")
        assert not sandbox.containers()


# examples/ci


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a machine with Python, where pip finds lb's wheel, and what it depends on is there already: no
    index is asked."""
    folder = tmp_path_factory.mktemp("ci")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    venv.create(folder / "python", with_pip=True)
    (folder / "there").mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith(("lb_reconciler", "__editable__", "pip", "_")):
            (folder / "there" / package.name).symlink_to(package)
    (site,) = (folder / "python").glob("lib/python3*/site-packages")
    (site / "there.pth").write_text(str(folder / "there"))
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LB_", "PYTHON", "GITHUB_"))}
    yield {
        **plain,
        "PATH": f"{folder / 'python' / 'bin'}:{os.environ['PATH']}",
        "PIP_FIND_LINKS": str(folder / "dist"),
        "PIP_NO_INDEX": "1",
    }


def github(job: str) -> tuple[list[str], dict[str, str]]:
    """Its commands, as they are written, and its environment."""
    found: dict[str, Any] = yaml.safe_load((CI / "github.yaml").read_text())["jobs"][job]
    return [step["run"] for step in found["steps"] if "run" in step], found.get("env", {})


def gitlab(job: str) -> tuple[list[str], dict[str, str]]:
    found: dict[str, Any] = yaml.safe_load((CI / "gitlab.yaml").read_text())[job]
    return found["script"], found.get("variables", {})


def ci(sandbox: Sandbox, commands: list[str], env: dict[str, str]) -> list[tuple[int, str]]:
    """Each as the runner does it, in the checkout; exit code and output."""
    found = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command], cwd=sandbox.source, env=env, text=True, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        found.append((done.returncode, done.stdout))
    return found


@pytest.mark.parametrize("system", [github, gitlab])
def test_the_commands_of_ci(sandbox: Sandbox, runner: dict[str, str], system: Any) -> None:
    sandbox.write("lb.yaml", f"name: {sandbox.name}\nhosts: {{nas1: , nas2: }}\n")
    sandbox.namespace()
    sandbox.service("a")
    sandbox.service("b", meta={"hosts": ["nas2"]})
    checks, env = system("validate")
    passed = ci(sandbox, checks, {**runner, **env})
    assert [code for code, _ in passed] == [0] * len(checks), passed

    sandbox.service("b", meta={"hosts": ["nas2"]}, replicas="x")
    failed = ci(sandbox, checks[1:], {**runner, **env, "GITHUB_WORKSPACE": str(sandbox.source)})
    assert failed[0][0] == 65
    if system is github:
        assert failed[0][1].startswith(
            "::error file=t.b.yaml,line=21,col=17,title=BAD_PARAMETER::spec.replicas: must be"
        )
        assert failed[1][0] == 0 and '"uri": "t.b.yaml"' in (sandbox.source / "lb.sarif").read_text()
    else:
        assert failed[0][1].startswith("t.b.yaml:21:17: spec.replicas: must be")

    sandbox.service("b", meta={"hosts": ["nas2"]})
    jobs, env = system("apply")  # on the host itself, where lb is
    applied = ci(sandbox, jobs, {**runner, **env, "LB_STATE": str(sandbox.state)})
    assert [code for code, _ in applied] == [0] * len(jobs), applied
    assert "create service t/a" in applied[0][1]
    assert [c["Name"] for c in sandbox.containers()] == ["/t.a.1-1"]
