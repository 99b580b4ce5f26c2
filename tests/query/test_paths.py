"""Paths in statements: opened once, and what is there now is what is read."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import QueryFailed
from workbench_files import parts


def test_a_file_is_looked_into_once_and_again_when_it_is_another(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    read = parts._read
    monkeypatch.setattr(parts, "_read", lambda file, table: looked.append(file.path) or read(file, table))
    path = tmp_path / "one.csv"
    path.write_text("a,b\n1,2\n")

    def rows(text: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = world.session.sql(text).arrow().to_pylist()
        return found

    for _ in range(4):
        assert rows(f"select * from '{path}'") == [{"a": 1, "b": 2}]
    assert len(looked) == 1
    before = path.stat()
    path.write_text("a,c\n3,4\n")  # as long as before, in the same file
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert rows(f"select * from '{path}'") == [{"a": 3, "c": 4}]
    other = tmp_path / "other.csv"
    other.write_text("a,d\n5,6\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    other.replace(path)  # the same length and time, and another file
    assert rows(f"select * from '{path}'") == [{"a": 5, "d": 6}]


def test_a_file_that_becomes_a_folder_and_a_folder_that_grows(world: World, tmp_path: Path) -> None:
    path = tmp_path / "lake.parquet"
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "plain.parquet")
    (tmp_path / "plain.parquet").rename(path)
    text = f"select sum(a) as a from read_parquet('{path}')"
    assert world.session.sql(text).arrow().to_pylist() == [{"a": 1}]
    path.unlink()
    path.mkdir()
    for number in (2, 3):
        polars.DataFrame({"a": [number]}).write_parquet(path / f"{number}.parquet")
        assert world.session.sql(text).arrow().to_pylist()[0]["a"] == sum(range(2, number + 1))


def test_what_duckdb_cannot_take_in_epoch_ms_is_told_with_what_it_can(world: World) -> None:
    table = pa.table({"ts": pa.array([1_704_067_200_000], pa.timestamp("ms"))})
    with pytest.raises(duckdb.ConversionException):
        duckdb.from_arrow(table).project("epoch_ms(ts)").fetchall()  # where this passes, ours is not needed any more
    variables = {"t": table}
    with pytest.raises(QueryFailed, match=r"write epoch_us\(…\) // 1000 instead"):
        world.session.sql("select epoch_ms(ts) from t", variables=variables.__getitem__).arrow()
    asked = world.session.sql("select epoch_us(ts) // 1000 as ms from t", variables=variables.__getitem__)
    assert asked.arrow().to_pylist() == [{"ms": 1_704_067_200_000}]
