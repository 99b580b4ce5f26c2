"""Text that is not what it should be: other encodings, nothing at all, lines without an end; and what it costs."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.contract import ConnectionConfig, ScanRequest, TableRef
from workbench.contract.errors import DataError, InvalidParameter, ProtocolError
from workbench.testing.control import RecordingControl
from workbench_files.connector import FilesConnector


def rows(path: Path, table: str, **tables: dict[str, Any]) -> list[dict[str, Any]]:
    lake = FilesConnector(ConnectionConfig("lake", {"path": str(path)}, tables=tables))
    plan = lake.tables.plan(ScanRequest(TableRef(table), tuple(lake.tables.schema(TableRef(table)).names)))
    readers = [lake.tables.read(split, RecordingControl()) for split in plan.splits]
    return [row for reader in readers for batch in reader for row in batch.to_pylist()]


LATE = b"1,cafe\n" * 2000
"""More than a sample of 1,024 bytes."""


class TestEncodings:
    @pytest.mark.parametrize(
        ("name", "data", "where"),
        [
            ("t.csv", b"a,b\n1,x\n2,caf\xe9\n", r"Column `b`, row 1: 'caf\\xe9' is not UTF-8 \(t.csv, line 3\)"),
            ("t.csv", b"a,b\n" + LATE + b"2,caf\xe9\n", r"Column `b`, row 2000: 'caf\\xe9' .*t.csv, line 2002"),
            ("t.csv", b"a,caf\xe9\n1,x\n", r"Column `\(names\)`, row 0: 'caf\\xe9' is not UTF-8 \(t.csv, line 1\)"),
            ("t.csv.gz", gzip.compress(b"a,b\n1,\xff\n"), r"'\\xff' is not UTF-8 \(t.csv.gz, line 2\)"),
            ("t.jsonl", b'{"a": "x"}\n\n{"a": "caf\xe9"}\n', r"Column `a`, row 1: 'caf\\xe9' .*t.jsonl, line 3"),
        ],
        ids=["in the sample", "behind it", "in a name", "compressed", "JSON"],
    )
    def test_bytes_of_another_encoding_are_named_with_the_way_out(
        self, tmp_path: Path, name: str, data: bytes, where: str
    ) -> None:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=where) as caught:
            rows(tmp_path, "t", t={"sample_bytes": 1024})
        assert "`encoding`" in str(caught.value)
        assert caught.value.connection == "lake"

    def test_a_table_has_the_encoding_that_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_bytes("é,b\n1,caf€\n".encode("cp1252"))
        assert rows(tmp_path, "t", t={"encoding": "cp1252"}) == [{"é": 1, "b": "caf€"}]
        assert rows(tmp_path, "t", t={"encoding": "latin-1"}) == [{"é": 1, "b": "caf\x80"}]
        (tmp_path / "t.csv").write_bytes(b"a,b\n1,\x81\n")
        with pytest.raises(DataError, match=r"'\\x81' is not CP1252 \(t.csv, line 2\)"):
            rows(tmp_path, "t", t={"encoding": "cp1252"})
        for wrong in ("klingon", "base64"):
            with pytest.raises(InvalidParameter, match=wrong):
                rows(tmp_path, "t", t={"encoding": wrong})

    def test_a_line_that_is_refused_is_found_in_another_encoding(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_bytes("é,b\n".encode("cp1252") + LATE + "é,2\n".encode("cp1252"))
        with pytest.raises(DataError, match=r"Column `é`, row 2000: 'é' is not int64 \(t.csv, line 2002\)"):
            rows(tmp_path, "t", t={"encoding": "cp1252", "sample_bytes": 1024})

    @pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
    def test_what_has_its_mark_needs_no_setting(self, tmp_path: Path, codec: str) -> None:
        (tmp_path / "t.tsv").write_bytes('a\tb\n1\t"é\n∢"\n'.encode(codec))  # ∢ is 0x2222: two quotes, for who counts
        assert rows(tmp_path, "t") == [{"a": 1, "b": "é\n∢"}]

    def test_a_column_of_bytes_can_be_read_as_that(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_bytes(b"a,b\n1,caf\xe9\n")
        assert rows(tmp_path, "t", t={"types": {"b": "binary"}}) == [{"a": 1, "b": b"caf\xe9"}]


class TestNothing:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl"])
    @pytest.mark.parametrize("data", [b"", b"\n\n"])
    def test_a_table_of_an_empty_file_is_an_error_with_its_name(self, tmp_path: Path, suffix: str, data: bytes) -> None:
        (tmp_path / f"t.{suffix}").write_bytes(data)
        with pytest.raises(ProtocolError, match=rf"^lake: t\.{suffix} (is empty|has no columns)"):
            rows(tmp_path, "t")

    @pytest.mark.parametrize(("suffix", "full"), [("csv", "a\n1\n"), ("jsonl", '{"a": 1}\n')])
    def test_beside_others_it_has_no_rows(self, tmp_path: Path, suffix: str, full: str) -> None:
        (tmp_path / "t").mkdir()
        for number, content in enumerate(("", full, "\n")):
            (tmp_path / "t" / f"{number}.{suffix}").write_text(content)
        assert rows(tmp_path, "t") == [{"a": 1}]

    def test_with_columns_of_the_settings_it_is_a_table_without_rows(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("")
        lake = FilesConnector(ConnectionConfig("lake", {"path": str(tmp_path)}, tables={"t": {"columns": ["a", "b"]}}))
        assert lake.tables.schema(TableRef("t")).names == ["a", "b"]
        assert rows(tmp_path, "t", t={"columns": ["a", "b"]}) == []


class TestLongLines:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl"])
    def test_lines_up_to_16_megabytes(self, tmp_path: Path, suffix: str) -> None:
        """The rows before a long line are there once, although it makes the reader begin again."""
        texts = [f"{number:07}" for number in range(300_000)] + ["x" * (5 << 20), "last"]
        lines = texts if suffix == "csv" else [f'{{"a": "{text}"}}' for text in texts]
        head = ["a"] if suffix == "csv" else []
        (tmp_path / f"t.{suffix}").write_text("\n".join([*head, *lines]) + "\n")
        assert [row["a"] for row in rows(tmp_path, "t", t={"types": {"a": "string"}})] == texts
        longest = "y" * (40 << 20)
        (tmp_path / f"t.{suffix}").write_text(
            "\n".join([*head, *lines, longest if suffix == "csv" else f'{{"a": "{longest}"}}']) + "\n"
        )
        with pytest.raises(DataError, match="straddl"):
            rows(tmp_path, "t", t={"types": {"a": "string"}})

    def test_a_very_long_header(self, tmp_path: Path) -> None:
        names = [f"{'column':_>90}_{number}" for number in range(2_000)]
        (tmp_path / "t.csv").write_text(",".join(names) + "\n" + ",".join("1" * len(names)) + "\n")
        (only,) = rows(tmp_path, "t")
        assert list(only) == names


MEMORY = """
import resource, sys
from workbench.contract import ConnectionConfig, ScanRequest, TableRef
from workbench.testing.control import RecordingControl
from workbench_files.connector import FilesConnector

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

start = peak()
lake = FilesConnector(ConnectionConfig("lake", {"path": sys.argv[1]}))
plan = lake.tables.plan(ScanRequest(TableRef("t"), tuple(lake.tables.schema(TableRef("t")).names)))
rows = sum(b.num_rows for s in plan.splits for b in lake.tables.read(s, RecordingControl()))
print(rows, peak() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_large_file_takes_little_memory(tmp_path: Path, suffix: str) -> None:
    """pyarrow reads ahead; 160 MB must not become 400 MB."""
    row = ",".join(["1234567", '"some text, and more"', "3.25"]) if suffix == "csv" else '{"a": 1234567, "b": "text"}'
    block = (row + "\n") * 10_000
    with (tmp_path / f"t.{suffix}").open("w") as file:
        if suffix == "csv":
            file.write("a,b,c\n")
        count = 160_000_000 // len(block)
        for _ in range(count):
            file.write(block)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path], capture_output=True, text=True, check=True, timeout=120
    )
    read, megabytes = map(int, done.stdout.split())
    assert read == count * 10_000
    assert megabytes < 250
