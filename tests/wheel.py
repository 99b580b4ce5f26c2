"""The wheel as a user gets it: in an environment of its own, on a machine without compilers and without Node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
UV = REPOSITORY / ".venv" / "bin" / "uv"


@pytest.fixture(scope="session")
def wheel() -> Path:
    """Built by `make dist`, which builds the sdist and then the wheel from that."""
    ran = subprocess.run(["make", "-s", "dist"], cwd=REPOSITORY, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (built,) = (REPOSITORY / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has JupyterLab, the wheel, and what the two need."""
    folder = tmp_path_factory.mktemp("wheel") / "env"
    python = folder / "bin" / "python"
    for command in (
        ["venv", "-q", "--python", sys.executable, str(folder)],
        ["pip", "install", "-q", "--python", str(python), "-c", "requirements.lock", "jupyterlab", str(wheel)],
    ):
        ran = subprocess.run([str(UV), *command], cwd=REPOSITORY, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    return python


def bare_environment(python: Path, home: Path) -> dict[str, str]:
    """No PATH but the environment's own, an empty HOME, and nothing of the checkout."""
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name in {"LANG", "LC_ALL", "TMPDIR"}}
    return {**kept, "PATH": str(python.parent), "HOME": str(home), "WORKBENCH_HOME": str(home / "workbench")}
