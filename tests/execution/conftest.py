"""A run of a real register, and the promise that no test leaves a thread of a scan behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.runs import Register, Run
from workbench.testing.clock import eventually


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    made = Register(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def run(register: Register) -> Run:
    return register.begin("query", "select 1")


def scan_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("workbench-scan")]


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    eventually(lambda: not scan_threads(), 5)
