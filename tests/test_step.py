"""What the Makefile says while a step goes on."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

STEP = Path(__file__).resolve().parents[1] / "setup" / "step.py"


@pytest.fixture(scope="module")
def step() -> ModuleType:
    spec = importlib.util.spec_from_file_location("step", STEP)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_silence_is_broken_every_ten_seconds_and_the_end_is_said(step: ModuleType) -> None:
    out = io.StringIO()
    line = step.Line(out)
    line.begin("installing packages", 0.0)
    for second in range(1, 26):
        line.tick(float(second))
        if second == 12:
            line.note("Downloading polars (43 MiB)")
    line.begin("building", 26.0)
    line.end(26.2)
    assert out.getvalue().splitlines() == [
        "installing packages …",
        "  … 10 s",
        "  … 20 s: Downloading polars (43 MiB)",
        "  done, 26 s",
        "building …",
    ]


def test_on_a_terminal_it_is_one_line(step: ModuleType) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    line = step.Line(out)
    line.begin("building", 0.0)
    line.tick(1.0)
    line.tick(2.0)
    line.end(3.0)
    assert out.getvalue().replace("\x1b[K", "").split("\r") == [
        "",
        "building … 1 s",
        "building … 2 s",
        "building: done, 3 s\n",
    ]


def test_what_the_command_prints_is_shown_when_it_fails_only() -> None:
    says = "import os; print('all of it'); open(os.environ['WORKBENCH_PROGRESS'], 'a').write('compiling\\n')"

    def ran(program: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, STEP, "building", sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=60)

    fine = ran(says)
    assert (fine.returncode, fine.stderr) == (0, "")
    assert "building …\n" in fine.stdout
    assert "  compiling …\n" in fine.stdout
    assert "all of it" not in fine.stdout
    failed = ran(says + "; raise SystemExit(3)")
    assert failed.returncode == 3
    assert failed.stdout.endswith("all of it\n")
    assert "failed, 0 s" in failed.stdout
