"""What lies beside the data of a folder does not spoil it."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.contract import ConnectionConfig, ScanRequest, TableRef
from workbench.contract.errors import InvalidParameter, PathUnreachable
from workbench.testing.control import RecordingControl
from workbench_files.connector import FilesConnector


def values(connector: FilesConnector, table: str) -> list[int]:
    plan = connector.tables.plan(ScanRequest(TableRef(table), ("a",)))
    readers = [connector.tables.read(split, RecordingControl()) for split in plan.splits]
    return [value for reader in readers for batch in reader for value in batch["a"].to_pylist()]


def test_a_link_in_a_circle_does_not_spoil_what_is_beside_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "ok.parquet")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "parts").mkdir()
    pq.write_table(pa.table({"a": [2]}), tmp_path / "parts" / "one.parquet")
    (tmp_path / "parts" / "loop").symlink_to("loop")
    connector = FilesConnector(ConnectionConfig("lake", {"path": str(tmp_path)}))
    assert [info.table.name for info in connector.tables.list()] == ["ok", "parts"]
    assert values(connector, "ok") == [1]
    assert values(connector, "parts") == [2]


def test_a_folder_that_cannot_be_read_spoils_no_list_and_is_named_when_it_is_read(tmp_path: Path) -> None:
    """One whose path is too long to be opened: that holds for root, too."""
    pq.write_table(pa.table({"a": [1]}), tmp_path / "ok.parquet")
    for table in ("empty", "parts"):
        at = os.open(tmp_path, os.O_RDONLY)
        for name in (table, *("d" * 250 for _ in range(17))):
            os.mkdir(name, dir_fd=at)
            below = os.open(name, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
    pq.write_table(pa.table({"a": [2]}), tmp_path / "parts" / "one.parquet")
    connector = FilesConnector(ConnectionConfig("lake", {"path": str(tmp_path)}))
    assert [info.table.name for info in connector.tables.list()] == ["ok", "parts"]
    assert values(connector, "ok") == [1]
    with pytest.raises(PathUnreachable, match=r"parts/d.*File name too long"):
        values(connector, "parts")


def test_a_file_whose_name_says_no_format(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0\n")
    connector = FilesConnector(ConnectionConfig("one", {"path": str(tmp_path / "passwd")}))
    with pytest.raises(InvalidParameter, match=r"format.*ends with none of"):
        connector.tables.schema(TableRef("passwd"))
