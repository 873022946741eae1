"""The wheel alone is enough: installed outside the checkout it finds its schemas and validates."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_validates_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    lock = ROOT / "requirements.lock"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--require-hashes", "-r", str(lock)], check=True, capture_output=True, timeout=300)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True, capture_output=True, timeout=120)
    lb = [str(tmp_path / "venv" / "bin" / "lb")]
    quickstart = str(ROOT / "examples" / "quickstart")
    done = subprocess.run([*lb, "validate", quickstart], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (0, "4 objects are valid\n"), done.stderr
    shown = subprocess.run([*lb, "schema"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert '"title": "lb manifest"' in shown.stdout
