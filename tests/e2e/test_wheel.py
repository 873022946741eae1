"""The wheel alone is enough: installed outside the checkout it finds its schemas and validates."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


# Nothing of the checkout may be found by accident.
ENV = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_wheel_validates_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    lock = ROOT / "requirements.lock"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*install, "--require-hashes", "-r", str(lock)], check=True, capture_output=True, timeout=300, env=ENV
    )
    subprocess.run([*install, "--no-deps", str(wheel)], check=True, capture_output=True, timeout=120, env=ENV)
    lb = [str(tmp_path / "venv" / "bin" / "lb")]
    quickstart = str(ROOT / "examples" / "quickstart")
    done = subprocess.run(
        [*lb, "validate", quickstart], capture_output=True, text=True, cwd=tmp_path, env=ENV, check=False
    )
    assert (done.returncode, done.stdout) == (0, "4 objects are valid\n"), done.stderr
    shown = subprocess.run([*lb, "schema"], capture_output=True, text=True, cwd=tmp_path, env=ENV, check=True)
    assert '"title": "lb manifest"' in shown.stdout
