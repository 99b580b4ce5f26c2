"""Files that are given as state and are something else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.streams.test_state import counting
from workbench.contract.errors import StateRefused
from workbench.streams.running import Running

Start = Callable[..., Running]


@pytest.mark.parametrize("recover", [True, False])
def test_another_programs_file_is_left_as_it_is(started: Start, tmp_path: Path, recover: bool) -> None:
    path = tmp_path / "x.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("create table state (mine text)")
        base.execute("insert into state values ('precious')")
    base.close()
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(StateRefused, match="another program's"):
        started(counting(10)[0], state=path, recover=recover)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, 0o644)
