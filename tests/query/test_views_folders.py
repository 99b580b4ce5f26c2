"""What the processes of views keep beside memory goes with them, however they or their server end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.query.views_process import Child

Eventually = Callable[..., object]
KILLED = """
import os, signal
from workbench.query.views_process import Child
child = Child()
os.kill(child.pid, signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_one_that_is_ended_leaves_nothing(temporary: Path) -> None:
    child = Child()
    assert len(list(temporary.glob("workbench-view-*"))) == 1
    child.end()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_server_left_is_removed_by_the_next(temporary: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], env={**os.environ}, timeout=60, check=False)
    assert done.returncode < 0
    [left] = temporary.glob("workbench-view-*")
    lives = Child()
    other = Child()
    assert not left.exists()
    assert len(list(temporary.glob("workbench-view-*"))) == 2, "those that are in use stay"
    lives.end()
    other.end()


def test_a_child_whose_server_is_gone_cleans_up(temporary: Path, eventually: Eventually) -> None:
    child = Child()
    process = child._process
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    child.ask({"folder": str(temporary), "result": "0" * 16})  # the answer goes nowhere
    process.stdin.close()
    eventually(lambda: process.poll() is not None, within=30)
    assert list(temporary.glob("workbench-view-*")) == []
    child.end()
