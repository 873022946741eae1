"""Who may import whom, one door for each outside thing, and no I/O in the rooms that decide."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "reconciler"

# From the bottom up. A room imports only from lines below its own; rooms of one line do not know each other.
LAYERS = [
    {"errors", "clock"},
    {"model"},
    {"runtime", "notify"},
    {"fingerprint", "drift", "backoff"},
    {"schema", "rollout", "status", "recovery", "seen", "streams", "findings", "starter", "policy", "walk"},
    {"plan"},
    {"manifests", "store", "runtimes", "snapshots", "secrets", "lock", "checkout", "remote"},
    {"source", "apply", "marker", "volumes", "doctor", "host"},
    {"reconcile", "rewrite"},
    {"render", "views", "watch"},
    {"api", "daemon"},
    {"handover"},
    {"cli"},
]
PURE = {
    *("errors", "model", "runtime", "fingerprint", "drift", "backoff", "rollout", "plan", "status", "recovery"),
    *("doctor", "render", "views", "policy", "findings", "starter"),
}
IMPURE_MODULES = {
    *("os", "io", "time", "datetime", "random", "uuid", "logging", "subprocess", "socket", "pathlib", "threading"),
    *("sqlite3", "docker", "yaml", "click", "requests", "shutil", "tempfile", "secrets"),
}
DOORS = {
    "docker": {"runtimes"},
    "requests": {"runtimes"},
    "sqlite3": {"store"},
    "yaml": {"manifests"},
    "jsonschema": {"schema"},
    "click": {"cli"},
    "rich": {"cli"},
    "starlette": {"api"},
    "uvicorn": {"api"},
    "fcntl": {"lock"},
    "watchdog": {"watch"},
}


PROGRAMS = {"git": {"checkout", "remote"}}  # what is run, by its name


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything a file imports, wherever in it."""
    package = ("reconciler", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            stem = ".".join(filter(None, [base, node.module or ""]))
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def rooms_of(path: Path) -> set[str]:
    found = {name.split(".")[1] for name in imports(path) if name.startswith("reconciler.")}
    return {name for name in found if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists()}


LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def test_every_room_has_its_place() -> None:
    assert {room(path) for path in files()} == set(LEVEL)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    own = room(path)
    for other in rooms_of(path) - {own}:
        assert LEVEL[other] < LEVEL[own], f"{path.name}: {own} may not import {other}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_outside_things_have_one_door(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        assert room(path) in DOORS.get(top, {room(path)}), f"{path.name} imports {top}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_programs_have_their_doors(path: Path) -> None:
    """A list that begins with the name of a program is a command."""
    lists = [node.elts for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.List) and node.elts]
    run = {first.value for first, *_ in lists if isinstance(first, ast.Constant) and first.value in PROGRAMS}
    assert all(room(path) in PROGRAMS[name] for name in run), f"{path.name} runs {run}"


def test_the_doors_of_programs_are_used() -> None:
    for name, rooms in PROGRAMS.items():
        found = {room(path) for path in files() if f'["{name}", ' in path.read_text()}
        assert found == rooms


@pytest.mark.parametrize("name", sorted(PURE))
def test_rooms_that_decide_do_no_io(name: str) -> None:
    for path in (p for p in files() if room(p) == name):
        found = {n.split(".")[0] for n in imports(path)} & (
            IMPURE_MODULES - ({"threading"} if name == "runtime" else set())
        )
        assert not found, f"{path.name} imports {found}"
        calls = {n.func.id for n in ast.walk(ast.parse(path.read_text()))
                 if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip
        assert not calls & {"open", "print", "input"}


def test_heavy_imports_are_made_late() -> None:
    """`lb --version` loads none of them, nor any command; and no command does before it needs one."""
    heavy = {"docker", "jsonschema", "yaml", "rich", "starlette", "uvicorn", "watchdog"}
    code = f"""
import importlib, sys, reconciler.cli
print(*[name for name in sys.modules if name.startswith("reconciler.") and name.split(".")[1] not in ("cli", "errors")])
for file in set(reconciler.cli.COMMANDS.values()):
    importlib.import_module("reconciler.cli." + file)
print(*sorted({heavy} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_files_stay_short() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in files() if (n := len(p.read_text().splitlines())) > 350}
    assert not long, f"does it hold one room or two? {long}"
