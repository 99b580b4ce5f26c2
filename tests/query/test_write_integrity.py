"""Written files: their bytes can be checked, and what a killed process left of one is swept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.query.support import World
from workbench.query.write import whole_file


def test_parquet_has_checksums(world: World, tmp_path: Path) -> None:
    target = tmp_path / "x.parquet"
    world.session.sql("select range as n from range(10000)").write(target)
    column = pq.read_metadata(target).row_group(0).column(0)
    data = bytearray(target.read_bytes())
    at = column.data_page_offset + column.total_compressed_size // 2
    data[at : at + 8] = bytes(8)
    with pytest.raises(OSError, match="checksum"):
        pq.read_table(pa.BufferReader(bytes(data)), page_checksum_verification=True)


KILLED = """
import sys, time
from workbench.query.write import whole_file

with whole_file(sys.argv[1]) as file:
    file.write(b"half")
    print("begun", flush=True)
    time.sleep(600)
"""


def test_the_next_write_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".workbench-notes").write_text("the user's")
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "x.csv")], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            with whole_file(tmp_path / "y.csv"):
                pass
            assert len(list(tmp_path.iterdir())) == 3, "its writer lives"
        finally:
            process.kill()
    with whole_file(tmp_path / "y.csv"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"y.csv", ".workbench-notes"}
