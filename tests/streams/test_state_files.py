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


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_taken_away_ends_the_run_and_is_not_written_on_unseen(
    started: Start, tmp_path: Path, replaced: bool, eventually: Callable[..., object]
) -> None:
    path = tmp_path / "x.sqlite"
    running = started(counting(500)[0], state=path)
    eventually(lambda: running.snapshot is not None and running.snapshot.number > 0, within=60)
    path.unlink()
    if replaced:
        path.write_bytes(b"another")
    with pytest.raises(StateRefused, match="was removed or replaced while this run had it open"):
        running.wait(60)
    assert not replaced or path.read_bytes() == b"another"


def test_a_folder_that_is_not_there_is_said(started: Start, tmp_path: Path) -> None:
    with pytest.raises(StateRefused, match=r"Its folder .*nowhere is not there"):
        started(counting(10)[0], state=tmp_path / "nowhere" / "x.sqlite")
