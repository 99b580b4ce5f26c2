"""Results in files: what a path may be, and that nothing else is touched."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.query.support import World, eventually
from workbench.contract.errors import PathUnreachable, UsageError
from workbench.query.write import write_file

FULL = Path("/dev/full")


@pytest.mark.parametrize("path", ["", "a\0b.csv", None, 5, b"x.csv"])
def test_what_is_no_path_is_named(world: World, path: object) -> None:
    with pytest.raises(UsageError) as caught:
        world.session.sql("select 1 as a").write(path)  # type: ignore[arg-type]
    assert repr(path) in str(caught.value)
    assert "result.write('name.parquet')" in str(caught.value)


def test_a_folder_and_an_unknown_suffix_are_refused_before_anything_runs(world: World, tmp_path: Path) -> None:
    world.put("orders", {"id": [1]})
    world.catalog.add("held", world.source, orders={"hold_after": 0})
    asked = world.session.sql("select id from held.orders")
    with pytest.raises(UsageError, match="is a folder"):
        asked.write(tmp_path)
    with pytest.raises(UsageError, match="no known suffix"):
        asked.write(tmp_path / "x.xlsx")
    assert world.register.runs(active=False) == []


def test_a_folder_that_is_not_there_and_a_name_that_is_too_long(world: World, tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "x.csv", tmp_path / ("x" * 300 + ".csv")):
        with pytest.raises(PathUnreachable, match="Cannot write"):
            world.session.sql("select 1 as a").write(path)
    long = tmp_path / ("ä" * 120 + ".csv")  # 244 bytes, which is allowed
    assert world.session.sql("select 1 as a").write(long) == 1
    assert long.exists()


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet", ".arrow"])
def test_a_full_disk_is_said(world: World, tmp_path: Path, suffix: str) -> None:
    link = tmp_path / f"x{suffix}"
    link.symlink_to(FULL)
    with pytest.raises(PathUnreachable, match="Cannot write `/dev/full`: No space left"):
        world.session.sql("select i, i::varchar as t from range(1000000) r(i)").write(link)
    assert FULL.is_char_device()
    eventually(world.quiet, 2)


def test_a_pipe_is_written_into_and_stays(world: World, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    thread = threading.Thread(target=lambda: read.append(pipe.read_text()))
    thread.start()
    assert write_file(world.session.sql("select 7 as a").stream, pipe, ".csv") == 1
    thread.join(5)
    assert read == ['"a"\n7\n']
    assert pipe.is_fifo()


def test_a_link_stays_one(world: World, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    world.session.sql("select 7 as a").write(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == '"a"\n7\n'


def test_a_type_that_the_format_has_not_is_said_with_its_column(world: World, tmp_path: Path) -> None:
    result = world.session.sql("select 1 as n, 2::union(a int, b varchar) as u")
    (tmp_path / "x.parquet").write_text("old")
    with pytest.raises(UsageError, match=r"cannot hold column `u`.*union.*`u::varchar`"):
        result.write(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").read_text() == "old"
    assert result.write(tmp_path / "x.json") == 1
    assert world.session.sql("select n, u::varchar as u from r", variables=lambda name: {"r": result}[name]).write(
        tmp_path / "y.parquet"
    )
    assert pq.read_table(tmp_path / "y.parquet").to_pylist() == [{"n": 1, "u": "2"}]


def test_a_file_that_fails_lets_the_source_go(world: World, tmp_path: Path) -> None:
    world.put("orders", {"id": range(100_000)})
    world.catalog.add("slow", world.source, orders={"batch_rows": 1})
    with pytest.raises(UsageError, match="lists or structs") as kept:
        world.session.sql("select id, [id] as l from slow.orders").write(tmp_path / "x.csv")
    eventually(world.quiet, 2)
    assert kept.value.__traceback__ is not None
    assert list(tmp_path.glob("*.csv")) == list(tmp_path.glob(".workbench-*")) == []
