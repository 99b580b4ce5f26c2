"""Results in files: what a path may be, and that nothing else is touched."""

from __future__ import annotations

import datetime as dt
import os
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from tests.query.support import World, eventually
from workbench.contract.errors import PathUnreachable, UsageError
from workbench.query.far_dates import far_as_text
from workbench.query.write import encoder, write_file

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


def test_dates_of_any_year_are_written_as_csv(tmp_path: Path) -> None:
    far, near = dt.datetime(9999, 1, 2, 3, 4, 5, 6), dt.date(2024, 2, 29)
    days = pa.array([72_315_828, (near - dt.date(1970, 1, 1)).days, -13_000_000, None], pa.int32()).view(pa.date32())
    seconds = 72_315_828 * 86_400
    times = pa.array([seconds * 10**6 + 7, 0, None, 1], pa.int64()).view(pa.timestamp("us", "UTC"))
    rows = pa.record_batch({"day": days, "at": times, "text": ['a "b"', "c", "", None], "n": [1, 2, 3, 4]})
    nearby = pa.record_batch(
        {"day": [near], "at": pa.array([far], pa.timestamp("us", "UTC")), "text": ["d"], "n": [5]}, schema=rows.schema
    )
    with open(tmp_path / "far.csv", "wb") as file, encoder(file, rows.schema, ".csv") as write:
        write(nearby)
        write(rows)
    with duckdb.connect() as check:
        found = check.sql(f"select * from read_csv('{tmp_path}/far.csv', all_varchar = true)").fetchall()
    assert found == [
        ("2024-02-29", "9999-01-02 03:04:05.000006Z", "d", "5"),
        ("199964-01-06", "199964-01-06 00:00:00.000007Z", 'a "b"', "1"),
        ("2024-02-29", "1970-01-01 00:00:00.000000Z", "c", "2"),
        ("-33623-03-18", None, None, "3"),
        (None, "1970-01-01 00:00:00.000001Z", None, "4"),
    ]


@given(st.lists(st.integers(-(2**31) + 2, 2**31 - 2), min_size=1, max_size=20))
def test_far_dates_are_the_calendars(days: list[int]) -> None:
    era = 146_097  # days of 400 years, after which the calendar repeats itself
    shift = [max(0, -(one // era) - 4_000) for one in days]  # into the years that DuckDB has
    column = pa.array(days, pa.int32()).view(pa.date32())
    with duckdb.connect() as check:
        for text, one, eras in zip(far_as_text(column).to_pylist(), days, shift, strict=True):
            moved = one + eras * era
            (year, rest), *_ = check.execute(
                "select year(d), strftime(d, '-%m-%d') from (select make_date(?::int) as d)", [moved]
            ).fetchall()
            year -= eras * 400
            assert text == f"{'-' if year < 0 else ''}{abs(year):04d}{rest}"
