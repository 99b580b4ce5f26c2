"""Lengths of time come as durations, whatever DuckDB makes of them in between."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import Unsupported


@pytest.fixture
def lengths(world: World) -> pl.DataFrame:
    values = [dt.timedelta(days=-3, microseconds=1), None, dt.timedelta(days=400, hours=5), dt.timedelta(0)]
    return pl.DataFrame({"n": range(4), "d": values}, schema={"n": pl.Int64, "d": pl.Duration("us")})


def test_a_frame_s_durations_come_back(world: World, lengths: pl.DataFrame) -> None:
    world.variables["lengths"] = lengths
    assert world.session.sql("select * from lengths order by n").polars().equals(lengths)
    kept = world.session.sql("select d from lengths where n > 1 order by n").arrow()
    assert kept.schema.field("d").type == pa.duration("us")
    assert kept["d"].to_pylist() == lengths["d"].to_list()[2:]


def test_differences_of_times(world: World, tmp_path: Path) -> None:
    result = world.session.sql("select timestamp '2026-01-03 01:00' - timestamp '2026-01-01' as d from range(3)")
    assert result.polars()["d"].to_list() == [dt.timedelta(days=2, hours=1)] * 3
    result.write(tmp_path / "d.parquet")
    assert pl.read_parquet(tmp_path / "d.parquet")["d"].to_list() == [dt.timedelta(days=2, hours=1)] * 3


def test_negative_and_null(world: World) -> None:
    sql = "select * from (values (interval '-1 day -2 seconds'), (null), (interval '90 minutes')) t(d)"
    wanted = [dt.timedelta(days=-1, seconds=-2), None, dt.timedelta(minutes=90)]
    assert world.session.sql(sql).polars()["d"].to_list() == wanted


def test_months_have_no_length(world: World) -> None:
    with pytest.raises(Unsupported, match=r"has months.*::varchar"):
        world.session.sql("select interval '1 month' as d").arrow()
    assert world.session.sql("select (interval '1 month')::varchar as d").arrow()["d"].to_pylist() == ["1 month"]


def test_what_is_too_long_is_no_other_length(world: World) -> None:
    sql = "select case when i = 1 then {} end as d from range(2) t(i)"
    with pytest.raises(Unsupported, match=r"`d`.*longer than.*::varchar"):
        world.session.sql(sql.format("interval '200000000 days'")).arrow()
    days = world.session.sql(sql.format("interval '100000000 days'")).arrow()["d"].to_pylist()
    assert days == [None, dt.timedelta(days=100_000_000)]


def test_csv_has_bytes_and_durations_as_text(world: World, tmp_path: Path) -> None:
    sql = "select 'x\\xFF'::blob as b, interval '90 minutes' as d union all select null, null"
    world.session.sql(sql).write(tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text().splitlines() == ['"b","d"', '"eP8=","1:30:00"', ","]
