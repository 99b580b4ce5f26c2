"""What is particular to files: which of them are a table, guessed types, parts that differ, and what is refused."""

from __future__ import annotations

import datetime
import gzip
import json
import math
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from workbench.contract import (
    Changes,
    Column,
    Compare,
    ConnectionConfig,
    Guarantee,
    Literal,
    Position,
    Predicate,
    ScanRequest,
    TableRef,
    WriteSpec,
)
from workbench.contract.errors import (
    DataError,
    InvalidParameter,
    PathUnreachable,
    ProtocolError,
    QueryFailed,
    SnapshotChanged,
    StatementRefused,
    UnknownTable,
    Unsupported,
)
from workbench.testing.control import RecordingControl
from workbench_files.connector import FilesConnector


def connect(path: Path | str, writable: bool = False, **tables: dict[str, Any]) -> FilesConnector:
    return FilesConnector(ConnectionConfig("lake", {"path": str(path)}, writable=writable, tables=tables))


def names(connector: FilesConnector) -> list[str]:
    return [info.table.name for info in connector.tables.list()]


def rows(connector: FilesConnector, table: str, *predicates: Predicate, splits: int = 1) -> list[dict[str, Any]]:
    ref = TableRef(table)
    request = ScanRequest(ref, tuple(connector.tables.schema(ref).names), predicates, splits)
    plan = connector.tables.plan(request)
    assert not plan.residual
    found = []
    for split in plan.splits:
        for batch in connector.tables.read(split, RecordingControl()):
            assert batch.schema.equals(plan.schema)
            found += batch.to_pylist()
    return found


def types(connector: FilesConnector, table: str) -> dict[str, str]:
    return {column.name: str(column.type) for column in connector.tables.schema(TableRef(table))}


def is_(name: str, op: Any, value: Any, kind: pa.DataType) -> Compare:
    return Compare(Column((name,)), op, Literal(value, kind))


class TestWhichFilesAreATable:
    def test_files_and_sub_folders_are_tables_and_the_hidden_ones_are_not(self, tmp_path: Path) -> None:
        one = pa.table({"a": [1]})
        for place in ('it\'s "a" 🦆.parquet', "parts/1.parquet", "parts/deep/2.pq", "_tmp/x.parquet", ".h/x.parquet"):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(one, tmp_path / place)
        (tmp_path / "README.md").write_text("no data")
        (tmp_path / "empty").mkdir()
        (tmp_path / "_SUCCESS.csv").write_text("")
        (tmp_path / "same.csv").write_text("a\n1\n")
        pq.write_table(one, tmp_path / "same.parquet")
        lake = connect(tmp_path)
        assert names(lake) == sorted(['it\'s "a" 🦆', "parts", "same.csv", "same.parquet"])
        assert rows(lake, 'it\'s "a" 🦆') == [{"a": 1}]
        assert rows(lake, "parts") == [{"a": 1}, {"a": 1}]
        assert rows(lake, "same.csv") == [{"a": 1}]

    def test_one_file_and_a_pattern_are_one_table(self, tmp_path: Path) -> None:
        for number in range(3):
            pq.write_table(pa.table({"n": [number]}), tmp_path / f"events [{number}].parquet")
        (tmp_path / "other.csv").write_text("x\n1\n")
        single = connect(tmp_path / "events [1].parquet")  # there is such a file, so it is no pattern
        assert names(single) == ["events [1]"]
        assert rows(single, "events [1]") == [{"n": 1}]
        pattern = connect(f"{tmp_path}/events*.parquet")
        (name,) = names(pattern)
        assert [row["n"] for row in rows(pattern, name)] == [0, 1, 2]
        with pytest.raises(UnknownTable):
            connect(f"{tmp_path}/nothing*.parquet").tables.schema(TableRef("x"))

    def test_folders_named_by_values_are_columns_and_prune_files(self, tmp_path: Path) -> None:
        for day, country in (
            ("2026-01-01", "de"),
            ("2026-01-02", "a%2Fb"),
            ("2026-01-03", "__HIVE_DEFAULT_PARTITION__"),
        ):
            folder = tmp_path / "events" / f"day={day}" / f"country={country}"
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"n": [1, 2]}), folder / "part.parquet")
        lake = connect(tmp_path)
        assert types(lake, "events") == {"n": "int64", "day": "date32[day]", "country": "string"}
        assert {(row["day"].day, row["country"]) for row in rows(lake, "events")} == {(1, "de"), (2, "a/b"), (3, None)}
        later = is_("day", ">", datetime.date(2026, 1, 1), pa.date32())
        plan = lake.tables.plan(ScanRequest(TableRef("events"), ("n",), (later,)))
        assert "1 of 3 files are left out" in plan.notes[0]
        assert {row["day"].day for row in rows(lake, "events", later)} == {2, 3}
        assert len(rows(lake, "events", is_("country", "<>", "de", pa.string()))) == 2
        for path in (tmp_path / "events", f"{tmp_path}/events/**/*.parquet"):
            itself = connect(path)
            assert names(itself) == ["events"]
            assert types(itself, "events") == types(lake, "events")

    def test_formats_are_not_mixed_in_one_table(self, tmp_path: Path) -> None:
        (tmp_path / "t").mkdir()
        (tmp_path / "t/a.csv").write_text("a\n1\n")
        (tmp_path / "t/b.jsonl").write_text('{"a": 1}\n')
        with pytest.raises(InvalidParameter, match="csv and jsonl"):
            connect(tmp_path).tables.schema(TableRef("t"))

    def test_links_that_lead_out_are_refused_and_names_are_no_paths(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret.csv"
        secret.write_text("canary\n1\n")
        root = tmp_path / "lake"
        (root / "parts").mkdir(parents=True)
        (root / "inside.csv").write_text("a\n1\n")
        (root / "leak.csv").symlink_to(secret)
        (root / "out").symlink_to(tmp_path)
        (root / "again.csv").symlink_to(root / "inside.csv")
        (root / "parts/1.csv").write_text("canary\n2\n")
        (root / "parts/2.csv").symlink_to(secret)
        (root / "loop").symlink_to(root)
        lake = connect(root)
        assert {"again", "inside", "parts"} <= set(names(lake))
        assert not {"leak", "out"} & set(names(lake))
        for name in ("leak", "leak.csv", "out", "parts"):
            with pytest.raises(StatementRefused, match="leads out"):
                lake.tables.schema(TableRef(name))
        for name in ("../secret", "../secret.csv", str(secret), "..", "parts/1", ""):
            with pytest.raises(UnknownTable):
                lake.tables.schema(TableRef(name))

    def test_rows_behind_a_link_within_a_table_are_never_missing_without_a_word(self, tmp_path: Path) -> None:
        for place in ("parts/1.parquet", "years/year=2025/1.parquet", "archive/year=2024/1.parquet"):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"a": [1]}), tmp_path / place)
        (tmp_path / "parts/older").symlink_to(tmp_path / "archive")
        (tmp_path / "years/year=2024").symlink_to(tmp_path / "archive/year=2024")
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken/gone.parquet").symlink_to("nowhere")
        lake = connect(tmp_path)
        kinds = {info.table.name: (info.kind, info.comment) for info in lake.tables.list()}
        for name in ("parts", "years"):
            assert kinds[name][0] == "unreadable"
            with pytest.raises(StatementRefused, match="a link to a folder, which is not followed within a table"):
                lake.tables.schema(TableRef(name))
        with pytest.raises(PathUnreachable, match=r"gone\.parquet"):
            lake.tables.schema(TableRef("broken"))
        assert len(rows(lake, "archive")) == 1

    def test_urls_and_missing_paths(self, tmp_path: Path) -> None:
        for path in ("file:///etc/passwd", "http://127.0.0.1/x.csv", "a\0b"):
            with pytest.raises(InvalidParameter):
                connect(path)
        with pytest.raises(PathUnreachable):
            connect(tmp_path / "nowhere").test()
        with pytest.raises(PathUnreachable):
            connect(tmp_path / "nowhere").tables.list()


class TestParquet:
    def test_statistics_leave_out_row_groups_and_nan_is_not_lost(self, tmp_path: Path) -> None:
        values = [1.0, 2.0, math.nan, 10.0, 11.0, 12.0, None, 0.5, -0.0]
        pq.write_table(pa.table({"x": values, "n": range(9)}), tmp_path / "t.parquet", row_group_size=3)
        lake = connect(tmp_path)
        plan = lake.tables.plan(ScanRequest(TableRef("t"), ("n",), (is_("n", ">=", 6, pa.int64()),)))
        assert "2 of 3 row groups are left out" in plan.notes[0]
        kind = pa.float64()
        assert [row["n"] for row in rows(lake, "t", is_("x", ">", 5.0, kind))] == [2, 3, 4, 5]
        assert [row["n"] for row in rows(lake, "t", is_("x", "<=", 2.0, kind))] == [0, 1, 7, 8]
        assert [row["n"] for row in rows(lake, "t", is_("x", "=", 0.0, kind))] == [8]

    def test_parts_of_other_schemas_are_one_table(self, tmp_path: Path) -> None:
        folder = tmp_path / "t"
        folder.mkdir()
        parts: list[dict[str, pa.Array]] = [
            {"n": pa.array([1], pa.int32()), "t": pa.array(["x"]), "d": pa.array(["a"]).dictionary_encode()},
            {"t": pa.array(["y"], pa.large_string()), "n": pa.array([2**40]), "more": pa.array([1.5])},
            {"n": pa.array([3], pa.uint32()), "t": pa.array([None]), "at": pa.array([datetime.date(2026, 1, 1)])},
        ]
        for number, part in enumerate(parts):
            pq.write_table(pa.table(part), folder / f"{number}.parquet")
        lake = connect(tmp_path)
        assert types(lake, "t") == {
            "n": "int64", "t": "large_string", "d": "string", "more": "double", "at": "date32[day]",
        }  # fmt: skip
        assert [tuple(row.values()) for row in rows(lake, "t")] == [
            (1, "x", "a", None, None),
            (2**40, "y", None, 1.5, None),
            (3, None, None, None, datetime.date(2026, 1, 1)),
        ]
        assert [row["n"] for row in rows(lake, "t", is_("n", ">", 2, pa.int64()))] == [2**40, 3]
        pq.write_table(pa.table({"n": ["text"]}), folder / "9.parquet")
        with pytest.raises(DataError, match=r"`n` is int64 in .*, and string in .*9\.parquet"):
            lake.tables.schema(TableRef("t"))

    def test_a_file_that_is_none_and_one_that_is_cut(self, tmp_path: Path) -> None:
        (tmp_path / "no.parquet").write_bytes(b"not parquet at all" * 10)
        pq.write_table(pa.table({"a": range(10_000)}), tmp_path / "cut.parquet")
        (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-20])
        listed = {info.table.name: info for info in connect(tmp_path).tables.list()}
        assert listed["no"].kind == listed["cut"].kind == "unreadable"
        for name in ("no", "cut"):
            with pytest.raises(ProtocolError, match=rf"{name}\.parquet cannot be read as a Parquet file"):
                connect(tmp_path).tables.schema(TableRef(name))

    def test_many_small_files_share_splits_and_a_large_one_has_several(self, tmp_path: Path) -> None:
        (tmp_path / "small").mkdir()
        for number in range(60):
            pq.write_table(pa.table({"n": [number]}), tmp_path / f"small/{number:02}.parquet")
        pq.write_table(pa.table({"n": range(1_000_000)}), tmp_path / "large.parquet", row_group_size=50_000)
        lake = connect(tmp_path)
        assert len(lake.tables.plan(ScanRequest(TableRef("small"), ("n",), splits=4)).splits) == 1
        assert len(lake.tables.plan(ScanRequest(TableRef("large"), ("n",), splits=4)).splits) > 4
        assert [row["n"] for row in rows(lake, "small", splits=4)] == list(range(60))
        counted = lake.tables.plan(ScanRequest(TableRef("large"), (), splits=4))
        assert counted.estimate == 1_000_000
        assert sum(b.num_rows for s in counted.splits for b in lake.tables.read(s, RecordingControl())) == 1_000_000


class TestText:
    def test_types_come_from_a_sample_and_settings(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text(
            'id;when;price;name;none;zip\n1;2026-01-01 10:00:00;1,5;"a;b";;007\n2;2026-01-02 11:30:00;2,25;"";;\n'
        )
        lake = connect(tmp_path, t={"delimiter": ";", "decimal_point": ",", "types": {"zip": "string"}})
        assert types(lake, "t") == {
            "id": "int64", "when": "timestamp[us]", "price": "double", "name": "string", "none": "string",
            "zip": "string",
        }  # fmt: skip
        first, second = rows(lake, "t")
        assert (first["name"], first["zip"], first["price"]) == ("a;b", "007", 1.5)
        assert (second["name"], second["zip"]) == ("", None)
        with pytest.raises(InvalidParameter, match="known are bool"):
            connect(tmp_path, t={"types": {"zip": "varchar(3)"}}).tables.schema(TableRef("t"))

    def test_headers_nulls_tabs_and_compression(self, tmp_path: Path) -> None:
        (tmp_path / "bare.csv").write_text("# made by hand\n1,NA\n2,x\n")
        with gzip.open(tmp_path / "tabs.tsv.gz", "wt") as file:
            file.write("a\tb\n1\tä\n")
        (tmp_path / "names.csv").write_text("a,b\n")
        settings = {"header": False, "columns": ["n", "t"], "skip_rows": 1, "null_values": ["NA"]}
        lake = connect(tmp_path, bare=settings)
        assert rows(lake, "bare") == [{"n": 1, "t": None}, {"n": 2, "t": "x"}]
        assert rows(lake, "tabs") == [{"a": 1, "b": "ä"}]
        assert rows(lake, "names") == []
        everywhere = connect(tmp_path, **{"*": settings})
        assert rows(everywhere, "bare")[0] == {"n": 1, "t": None}

    def test_only_the_columns_wanted_and_the_number_of_rows(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("a,b,c\n" + "1,2,3\n" * 1000)
        (tmp_path / "j.jsonl").write_text('{"a": 1, "b": {"c": [1, 2]}}\n' * 1000)
        lake = connect(tmp_path)
        for table, columns in (("t", ("c", "a")), ("t", ()), ("j", ("b",)), ("j", ())):
            plan = lake.tables.plan(ScanRequest(TableRef(table), columns))
            batches = list(lake.tables.read(plan.splits[0], RecordingControl()))
            assert sum(batch.num_rows for batch in batches) == 1000
            assert batches[0].schema.names == list(columns)
        assert rows(lake, "j")[0] == {"a": 1, "b": {"c": [1, 2]}}

    def test_a_line_that_does_not_fit_is_named(self, tmp_path: Path) -> None:
        head = '{"a": 1, "t": "x"}\n' * 300
        cases = {
            "type.csv": (
                "a,t\n" + '1,"two\nlines"\n' * 100 + "x,y\n",
                "a",
                r"'x' is not int64 \(type\.csv, line 202\)",
            ),
            "fields.csv": ("a,t\n" + "1,x\n" * 300 + "1\n", "(whole line)", r"fields\.csv, line 302"),
            "type.jsonl": (head + '{"a": "one"}\n', "a", r"'one' is not int64 \(type\.jsonl, line 301\)"),
            "field.jsonl": (head + '{"a": 1, "b": 2}\n', "b", r"2 is a field that the sample did not have .*line 301"),
            "broken.jsonl": (head + '{"a": 1\n', "(whole line)", r"is not JSON.*broken\.jsonl, line 301"),
            "array.jsonl": (head + "[1, 2]\n", "(whole line)", r"not a JSON object.*array\.jsonl, line 301"),
            "float.jsonl": (head + '{"a": 1.5}\n', "a", r"1\.5 is not int64 \(float\.jsonl, line 301\)"),
        }
        for name, case in cases.items():
            (tmp_path / name).write_text(case[0])
        lake = connect(tmp_path, **{"*": {"sample_bytes": 1024}})
        for name, (_, column, message) in cases.items():
            with pytest.raises(DataError, match=message) as caught:
                rows(lake, name if name.startswith("type") else name.partition(".")[0])
            assert caught.value.column == column, name
            assert caught.value.connection == "lake"

    def test_csv_parts_whose_guesses_differ_are_read_as_what_holds_all(self, tmp_path: Path) -> None:
        (tmp_path / "t").mkdir()
        (tmp_path / "t/1.csv").write_text("n,m,e\n1,1,\n")
        (tmp_path / "t/2.csv").write_text("m,n\n1.5,007\n")
        (tmp_path / "t/3.csv").write_text("n,m,e\nx,2,5\n")
        lake = connect(tmp_path)
        assert types(lake, "t") == {"n": "string", "m": "double", "e": "int64"}
        assert [tuple(row.values()) for row in rows(lake, "t")] == [("1", 1.0, None), ("007", 1.5, None), ("x", 2.0, 5)]

    def test_predicates_on_text_formats_are_exact(self, tmp_path: Path) -> None:
        (tmp_path / "t.jsonl").write_text("".join(json.dumps({"n": n, "t": "aA"[n % 2]}) + "\n" for n in range(10)))
        lake = connect(tmp_path)
        assert [row["n"] for row in rows(lake, "t", is_("t", "=", "A", pa.string()))] == [1, 3, 5, 7, 9]


def _vanishes(path: Path) -> None:
    path.unlink()


def _is_replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    pq.write_table(pa.table({"n": pa.array(range(200_000), pa.int64()), "t": ["other"] * 200_000}), other)
    os.replace(other, path)


def _is_cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(100)


@pytest.mark.parametrize("change", [_vanishes, _is_replaced, _is_cut])
@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "jsonl"])
def test_a_file_that_changes_is_an_error_and_never_fewer_rows(
    tmp_path: Path, change: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / f"t.{suffix}"
    table = pa.table({"n": range(200_000), "t": ["some text to fill it up"] * 200_000})

    def write() -> None:
        if suffix == "parquet":
            pq.write_table(table, path, row_group_size=50_000)
        elif suffix == "arrow":
            with ipc.new_file(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=50_000)
        elif suffix == "csv":
            path.write_text("n,t\n" + "".join(f"{n},some text to fill it up\n" for n in range(200_000)))
        else:
            path.write_text("".join(f'{{"n": {n}, "t": "some text to fill it up"}}\n' for n in range(200_000)))

    lake = connect(tmp_path)
    write()
    plan = lake.tables.plan(ScanRequest(TableRef("t"), ("n", "t")))
    change(path)
    with pytest.raises(SnapshotChanged, match=r"t\.\w+ "):  # between plan and read
        list(lake.tables.read(plan.splits[0], RecordingControl()))
    write()
    plan = lake.tables.plan(ScanRequest(TableRef("t"), ("n", "t")))
    reader = lake.tables.read(plan.splits[0], RecordingControl())
    next(reader)
    change(path)
    with pytest.raises(SnapshotChanged):  # in the midst of it
        list(reader)


class TestNeverFewerRowsWithoutAWord:
    """What pyarrow reads as the end, and is none."""

    @pytest.mark.parametrize(
        "text", ['a,b\n1,x\n2,"y\n3,z\n', 'a,b\n1,x\n2,"y', 'a,b\n1,"x ""y"" z"\n2,"y\n3,z\n4,w\n', 'a\n1\n"']
    )
    @pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
    def test_a_quote_that_is_never_closed(self, tmp_path: Path, text: str, suffix: str) -> None:
        data = text.encode()
        (tmp_path / f"t{suffix}").write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
        with pytest.raises(DataError, match=r"a quote is never closed.*line \d+"):
            rows(connect(tmp_path), "t")

    @pytest.mark.parametrize("quote", ['"', ""])
    def test_quotes_that_need_no_end(self, tmp_path: Path, quote: str) -> None:
        (tmp_path / "t.csv").write_text('a,b\n5" pipe,x\n7,y\n')
        assert len(rows(connect(tmp_path, t={"quote": quote}), "t")) == 2

    def test_a_stream_without_its_end_or_with_more_behind_it(self, tmp_path: Path) -> None:
        table = pa.table({"a": list(range(1000))})
        ends = []
        with pa.OSFile(str(tmp_path / "t.arrows"), "wb") as file, ipc.new_stream(file, table.schema) as writer:
            for batch in table.to_batches(100):
                writer.write_batch(batch)
                ends.append(file.tell())
        data = (tmp_path / "t.arrows").read_bytes()
        lake = connect(tmp_path)
        assert len(rows(lake, "t")) == 1000
        for cut in (ends[0], ends[-1], len(data) - 4):
            (tmp_path / "t.arrows").write_bytes(data[:cut])
            with pytest.raises(ProtocolError, match=r"its end is missing|cannot be read"):
                rows(lake, "t")
        (tmp_path / "t.arrows").write_bytes(data + data)
        with pytest.raises(ProtocolError, match="something follows behind the end"):
            rows(lake, "t")


class TestSink:
    ref = TableRef("totals")
    rows = pa.table({"id": pa.array([1, 2], pa.int64()), "t": pa.array(["a", None])})

    def changes(self, at: int = 0) -> Changes:
        place = Position("s", str(at))
        return Changes(self.ref, self.rows.to_batches()[0], None, place, place)

    def write(self, lake: FilesConnector, stream: str = "", create: bool = False, sequence: int = 1) -> None:
        writer = lake.sinks.open(self.ref, WriteSpec(self.rows.schema, create=create, stream=stream))
        assert writer.guarantee is Guarantee.FILE
        writer.write(self.changes(), sequence)
        writer.commit(None)
        writer.close()

    def test_a_table_is_made_and_added_to_and_a_repeat_of_a_stream_overwrites(self, tmp_path: Path) -> None:
        lake = connect(tmp_path, writable=True)
        with pytest.raises(UnknownTable):
            self.write(lake)
        self.write(lake, create=True)
        assert len(rows(lake, "totals")) == 2
        self.write(lake)
        assert len(rows(lake, "totals")) == 4
        for _ in range(2):
            self.write(lake, stream="shop/orders")
        assert len(rows(lake, "totals")) == 6
        self.write(lake, stream="shop/orders", sequence=2)
        assert len(rows(lake, "totals")) == 8
        (first,) = (tmp_path / "totals").glob("part-shop-orders-*-000000000001.parquet")
        assert len(rows(connect(tmp_path / "totals"), first.stem)) == 2

    def test_what_is_not_committed_leaves_nothing(self, tmp_path: Path) -> None:
        lake = connect(tmp_path, writable=True)
        writer = lake.sinks.open(self.ref, WriteSpec(self.rows.schema, create=True))
        writer.write(self.changes(), 1)
        assert names(lake) == []
        writer.close()
        assert list(tmp_path.iterdir()) == []
        writer = lake.sinks.open(self.ref, WriteSpec(self.rows.schema, create=True))
        writer.commit(None)  # no rows: an empty table
        writer.close()
        assert types(lake, "totals") == {"id": "int64", "t": "string"}
        assert rows(lake, "totals") == []

    def test_a_disk_that_is_full_leaves_nothing(self, tmp_path: Path) -> None:
        lake = connect(tmp_path, writable=True)
        schema = pa.schema([("b", pa.binary())])
        writer = lake.sinks.open(self.ref, WriteSpec(schema, create=True))
        batch = pa.record_batch([pa.array([os.urandom(1 << 20)])], schema)
        place = Position("s", "0")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        try:
            with pytest.raises(QueryFailed, match="totals cannot be written"):
                writer.write(Changes(self.ref, batch, None, place, place), 0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        with pytest.raises(QueryFailed, match="an earlier write failed"):  # there is room again, and rows are missing
            writer.commit(None)
        writer.close()
        assert list(tmp_path.iterdir()) == []

    def test_names_places_and_schemas_that_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file.csv").write_text("id\n1\n")
        lake = connect(tmp_path, writable=True)
        for name in ("../out", "/tmp/x", "a/b", ".hidden", "_tmp", "a\\b", "day=1", "", "x" * 300):
            with pytest.raises(InvalidParameter):
                lake.sinks.open(TableRef(name), WriteSpec(self.rows.schema, create=True))
        with pytest.raises(InvalidParameter, match="not a folder of Parquet parts"):
            lake.sinks.open(TableRef("file"), WriteSpec(self.rows.schema, create=True))
        self.write(lake, create=True)
        for wrong in (pa.schema([("other", pa.int64())]), pa.schema([("id", pa.string())])):
            with pytest.raises(InvalidParameter, match="schema"):
                lake.sinks.open(self.ref, WriteSpec(wrong))
        with pytest.raises(StatementRefused):
            connect(tmp_path).sinks.open(self.ref, WriteSpec(self.rows.schema))
        with pytest.raises(Unsupported):
            connect(tmp_path / "file.csv", writable=True).sinks.open(self.ref, WriteSpec(self.rows.schema))
