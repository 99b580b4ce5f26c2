"""Bytes that changed on the disk, and what killed processes leave there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.contract import Changes, ConnectionConfig, Position, ScanRequest, TableRef, WriteSpec
from workbench.contract.errors import ProtocolError
from workbench.testing.control import RecordingControl
from workbench_files.connector import FilesConnector

TOTALS = TableRef("totals")
ROWS = pa.table({"n": pa.array(range(100_000), pa.int64())})


def connect(path: Path) -> FilesConnector:
    return FilesConnector(ConnectionConfig("lake", {"path": str(path)}, writable=True))


def write(lake: FilesConnector) -> None:
    writer = lake.sinks.open(TOTALS, WriteSpec(ROWS.schema, create=True))
    place = Position("s", "0")
    writer.write(Changes(TOTALS, ROWS.combine_chunks().to_batches()[0], None, place, place), 1)
    writer.commit(None)
    writer.close()


def numbers(lake: FilesConnector) -> list[int]:
    plan = lake.tables.plan(ScanRequest(TOTALS, ("n",)))
    return [n for split in plan.splits for b in lake.tables.read(split, RecordingControl()) for n in b["n"].to_pylist()]


def zero(path: Path) -> None:
    """Some bytes in the midst of the only column's last page."""
    column = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    at = column.data_page_offset + column.total_compressed_size // 2
    data[at : at + 64] = bytes(64)
    path.write_bytes(data)


def test_what_we_wrote_has_checksums_so_that_changed_bytes_are_an_error(tmp_path: Path) -> None:
    lake = connect(tmp_path)
    write(lake)
    (part,) = (tmp_path / "totals").iterdir()
    assert numbers(lake) == ROWS["n"].to_pylist()
    zero(part)
    with pytest.raises(ProtocolError, match=rf"^lake: totals/{part.name} cannot be read .*checksum"):
        numbers(lake)


def test_pages_that_decode_to_other_values_are_found_by_their_checksum_only(tmp_path: Path) -> None:
    """Without compression nothing else would notice."""
    (tmp_path / "totals").mkdir()
    for checksums in (False, True):
        path = tmp_path / "totals" / "part.parquet"
        pq.write_table(ROWS, path, compression="none", use_dictionary=False, write_page_checksum=checksums)
        zero(path)
        if checksums:
            with pytest.raises(ProtocolError, match="checksum"):
                numbers(connect(tmp_path))
        else:
            assert numbers(connect(tmp_path)).count(0) > 1


KILLED = """
import os, sys, time
sys.path.insert(0, sys.argv[2])
from test_integrity import *
lake = connect(Path(sys.argv[1]))
writer = lake.sinks.open(TOTALS, WriteSpec(ROWS.schema, create=True))
place = Position("s", "0")
writer.write(Changes(TOTALS, ROWS.to_batches()[0], None, place, place), 1)
print("written", flush=True)
time.sleep(600)
"""


def test_the_next_writer_sweeps_what_a_killed_one_left_and_not_a_living_one_s(tmp_path: Path) -> None:
    def hidden() -> list[Path]:
        return sorted((tmp_path / "totals").glob(".part-*.tmp"))

    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"written\n"
            left = hidden()
            assert len(left) == 1
            write(connect(tmp_path))
            assert hidden() == left, "its writer lives"
        finally:
            process.kill()
    assert hidden() == left
    write(connect(tmp_path))
    assert hidden() == []
    assert len(numbers(connect(tmp_path))) == 2 * ROWS.num_rows


def test_a_test_names_what_cannot_be_read(tmp_path: Path) -> None:
    """In a table of more parts than the catalog looks into, too."""
    (tmp_path / "days").mkdir()
    for number in range(20):
        pq.write_table(ROWS.slice(0, 10), tmp_path / "days" / f"{number:02}.parquet")
    (tmp_path / "fine.csv").write_text("a\n1\n")
    lake = connect(tmp_path)
    assert "unreadable" not in lake.test().details
    cut = tmp_path / "days" / "13.parquet"
    cut.write_bytes(cut.read_bytes()[:-9])
    assert "days/13.parquet cannot be read as a Parquet file" in lake.test().details["unreadable"]
    (tmp_path / "fine.csv").unlink()
    with pytest.raises(ProtocolError, match=r"days/13\.parquet"):
        connect(tmp_path).test()
    with pytest.raises(ProtocolError, match=r"13\.parquet"):
        connect(cut).test()
