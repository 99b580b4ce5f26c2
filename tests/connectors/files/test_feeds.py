"""Following files: partitions, rotation, columns that come later, lines that are none, and places that are gone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from workbench.contract import Changes, ConnectionConfig, Heartbeat, Position, SchemaChange, TableRef
from workbench.contract.errors import InvalidParameter, PositionLost, ProtocolError, UnknownTable, Unsupported
from workbench.kit.tail_files import is_rotated
from workbench.testing.control import RecordingControl
from workbench_files.connector import FilesConnector
from workbench_files.feeds import FilesFeed, rotated


@pytest.fixture
def opened() -> Iterator[Any]:
    feeds: list[FilesFeed] = []

    def open_(path: Path, table: str, settings: dict[str, Any] | None = None, after: Position | None = None,
              partition: str | None = None) -> FilesFeed:  # fmt: skip
        tables = {"*": settings} if settings else {}
        connector = FilesConnector(ConnectionConfig("logs", {"path": str(path)}, tables=tables))
        (only,) = connector.feeds.partitions(TableRef(table)) if partition is None else (partition,)
        feeds.append(connector.feeds.subscribe(TableRef(table), only, after, RecordingControl()))
        return feeds[-1]

    yield open_
    for feed in feeds:
        feed.close()


def said(feed: FilesFeed, rows: int) -> list[dict[str, Any]]:
    """So many rows, or those up to the second heartbeat."""
    found: list[dict[str, Any]] = []
    beats = 0
    for entry in feed:
        if isinstance(entry, Changes):
            found += entry.rows.to_pylist()
        beats += isinstance(entry, Heartbeat)
        if (len(found) >= rows and (rows or beats)) or beats > 3:
            break
    return found


def test_a_pattern_has_a_partition_for_each_log_and_none_for_what_rotation_left(tmp_path: Path, opened: Any) -> None:
    for name in ("access.log", "access.log.1", "access.log.2.gz", "error.log", "access-20260101.log", "job-1.log"):
        (tmp_path / name).write_bytes(b"")
    connector = FilesConnector(
        ConnectionConfig("logs", {"path": str(tmp_path / "*.log*")}, tables={"*": {"format": "lines"}})
    )
    (table,) = connector.tables.list()
    assert list(connector.feeds.partitions(table.table)) == ["access.log", "error.log", "job-1.log"]
    (tmp_path / "new.log").write_bytes(b"x\n")
    assert "new.log" in connector.feeds.partitions(table.table)
    (tmp_path / "access.log").rename(tmp_path / "access.log.3")
    assert "access.log" in connector.feeds.partitions(table.table), "it is being rotated"


def test_json_lines_over_rotation_and_with_columns_that_come_later(tmp_path: Path, opened: Any) -> None:
    log = tmp_path / "orders.jsonl"
    log.write_text('{"id": 1, "v": "a"}\n')
    feed = opened(tmp_path, "orders")
    assert said(feed, 1) == [{"id": 1, "v": "a"}]
    log.rename(tmp_path / "orders.jsonl.1")
    log.write_text('{"id": 2, "v": null, "more": 1.5}\n{"id": 3}\n')
    entries = []
    for entry in feed:
        entries.append(entry)
        if isinstance(entry, Changes):
            break
    assert [type(entry) for entry in entries[-2:]] == [SchemaChange, Changes]
    assert entries[-2].schema.names == ["id", "v", "more"]
    assert entries[-1].rows.to_pylist() == [{"id": 2, "v": None, "more": 1.5}, {"id": 3, "v": None, "more": None}]


def test_csv_knows_its_header_in_each_file(tmp_path: Path, opened: Any) -> None:
    log = tmp_path / "sales.csv"
    log.write_text("id,name\n1,one\n")
    feed = opened(tmp_path, "sales")
    assert said(feed, 1) == [{"id": 1, "name": "one"}]
    with log.open("a") as file:
        file.write('2,"two, and a half"\n')
    assert said(feed, 1) == [{"id": 2, "name": "two, and a half"}]
    log.rename(tmp_path / "sales.csv.1")
    log.write_text("id,name\n3,three\n")
    assert said(feed, 1) == [{"id": 3, "name": "three"}]


def test_csv_that_is_cut_and_written_on_without_a_header_has_all_its_rows(tmp_path: Path, opened: Any) -> None:
    """As `copytruncate` does it; and the last line of a file that was left needs no end."""
    log = tmp_path / "s.csv"
    log.write_text("a,b\n1,x\n")
    feed = opened(tmp_path, "s")
    assert said(feed, 1) == [{"a": 1, "b": "x"}]
    os.truncate(log, 0)
    with log.open("a") as file:
        file.write("2,y\n3,z")
    assert said(feed, 1) == [{"a": 2, "b": "y"}]
    log.rename(tmp_path / "s.csv.1")
    os.utime(tmp_path / "s.csv.1", (1, 1))
    log.write_text("a,b\n4,w\n")
    assert said(feed, 2) == [{"a": 3, "b": "z"}, {"a": 4, "b": "w"}]


def test_csv_whose_next_file_has_another_header_is_said(tmp_path: Path, opened: Any) -> None:
    log = tmp_path / "s.csv"
    log.write_text("a,b\n1,10\n")
    feed = opened(tmp_path, "s")
    assert said(feed, 1) == [{"a": 1, "b": 10}]
    log.rename(tmp_path / "s.csv.1")
    os.utime(tmp_path / "s.csv.1", (1, 1))
    log.write_text("b,a\n20,2\n")
    with pytest.raises(ProtocolError, match="its header is b, a, and was a, b before"):
        said(feed, 1)


def test_plain_lines_are_a_table_and_are_followed(tmp_path: Path, opened: Any) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"one\r\n\xff two\nhalf")
    connector = FilesConnector(ConnectionConfig("logs", {"path": str(log)}, tables={"*": {"format": "lines"}}))
    assert connector.tables.schema(TableRef("app.log")) == pa.schema([("line", pa.string())])
    feed = opened(log, "app.log", {"format": "lines"})
    assert said(feed, 2) == [{"line": "one"}, {"line": "\ufffd two"}]
    with log.open("ab") as file:
        file.write(b" and whole\n")
    assert said(feed, 1) == [{"line": "half and whole"}]


def test_a_line_that_is_none_is_said_with_its_place(tmp_path: Path, opened: Any) -> None:
    (tmp_path / "orders.jsonl").write_text('{"id": 1}\n{"id": \n')
    with pytest.raises(ProtocolError, match=r"orders\.jsonl has a line between the bytes 0 and 18") as caught:
        said(opened(tmp_path, "orders"), 1)
    assert "Mend it, or follow the file in the format `lines`" in str(caught.value)


def test_what_cannot_be_followed_says_so(tmp_path: Path, opened: Any) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "parts.parquet")
    (tmp_path / "old.csv").write_text("id\n1\n")
    with pytest.raises(Unsupported, match="follow parquet files"):
        opened(tmp_path, "parts")
    with pytest.raises(Unsupported, match="cp1252"):
        opened(tmp_path, "old", {"encoding": "cp1252"})
    with pytest.raises(UnknownTable):
        opened(tmp_path, "nothing")
    with pytest.raises(InvalidParameter, match="partition"):
        opened(tmp_path, "old", partition="elsewhere.csv")


def test_a_file_that_was_written_anew_has_lost_the_place(tmp_path: Path, opened: Any) -> None:
    log = tmp_path / "orders.jsonl"
    log.write_text("".join(json.dumps({"id": number}) + "\n" for number in range(5)))
    feed = opened(tmp_path, "orders")
    place = next(entry.last for entry in feed if isinstance(entry, Changes))
    log.write_text("".join(json.dumps({"id": number}) + "\n" for number in range(50, 99)))
    with pytest.raises(PositionLost, match="from the beginning"):
        opened(tmp_path, "orders", after=place)
    with pytest.raises(PositionLost, match="another file"):
        opened(tmp_path, "orders", after=Position("files:/elsewhere", place.value))


NAMES = st.lists(
    st.tuples(
        st.sampled_from(["", "a/", "a.b/"]),
        st.sampled_from(["x", "x-y", ".x", "x.log", "x-y.log"]),
        st.sampled_from(["", ".1", "-2", "-20260101", ".20260101", "_old", ".2026-01-01"]),
        st.sampled_from(["", ".log", ".jsonl", ".gz", ".log.gz"]),
    ).map("".join),
    max_size=12,
)


@given(NAMES)
def test_names_that_rotation_makes_are_those_of_any_two(names: list[str]) -> None:
    def of(one: str, other: str) -> bool:
        (folder, name), (at, live) = os.path.split(one), os.path.split(other)
        return folder == at and is_rotated(name, live)

    assert rotated(names) == {one for one in names if any(of(one, other) for other in names)}


def test_a_folder_of_many_files_is_listed(tmp_path: Path) -> None:
    for number in range(1_500):
        (tmp_path / f"host-{number}.jsonl").write_text('{"id": 1}\n')
        if number % 3 == 0:
            (tmp_path / f"host-{number}.jsonl.1").write_text('{"id": 0}\n')
    connector = FilesConnector(ConnectionConfig("logs", {"path": str(tmp_path / "*")}))
    assert len(connector.feeds.partitions(TableRef(connector.tables.list()[0].table.name))) == 1_500
