"""The route past HiveServer2: the same rows from a table's files, and no table whose files do not say all."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.connectors.hive.store import config
from tests.services.hive.server import Hive
from workbench.contract import Column, Compare, IsNull, Literal, ScanRequest, Split, TableRef
from workbench.contract.errors import DataError, InvalidParameter, PathUnreachable, SnapshotChanged
from workbench.testing.oracle import random_predicate, rows_of
from workbench.testing.proxy import free_port
from workbench.testing.scanning import read, scan
from workbench_hive import metastore
from workbench_hive.connector import HiveConnector
from workbench_hive.file_reader import FilesReader
from workbench_hive.files import listed
from workbench_hive.layouts import Refusal
from workbench_hive.metastore import Place, Stored
from workbench_hive.types import HiveType

ROWS = 12_000
PARQUET = (
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
)
TEXT = ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe")


def kept_at(location: str, form: tuple[str, str] = PARQUET, **parameters: str) -> Place:
    """One folder with a column `n`; `parameters` are the SerDe's, `__` for a dot."""
    said = {name.replace("__", "."): value for name, value in parameters.items()}
    return Place(location, form[0], (), form[1], (("n", "int"),), said)


@pytest.fixture(scope="module")
def both(hive: Hive) -> Iterator[tuple[HiveConnector, HiveConnector]]:
    """One that reads files, and one that does not."""
    by_files = HiveConnector(config(hive, files=True, metastore=f"127.0.0.1:{hive.metastore_port}"))
    by_server = HiveConnector(config(hive))
    yield by_files, by_server
    by_files.close()
    by_server.close()


@pytest.fixture(scope="module")
def parts(hive: Hive) -> Iterator[TableRef]:
    chance = random.Random(5)
    none = lambda value: None if chance.random() < 0.1 else value  # noqa: E731
    hive.load(
        "files_parts",
        pa.table(
            {
                "id": range(ROWS),
                "n": pa.array([none(chance.randrange(-100, 100)) for _ in range(ROWS)], pa.int32()),
                "f": pa.array([none(chance.choice((0.5, -0.0, 1e300, float("nan")))) for _ in range(ROWS)]),
                "t": pa.array([none(chance.choice(("a", "é", "", "z'"))) for _ in range(ROWS)]),
                "d": pa.array([none(dt.date(2000, 1, 1 + number % 28)) for number in range(ROWS)]),
                "m": pa.array(
                    [none(Decimal(chance.randrange(-999, 999)) / 100) for _ in range(ROWS)], pa.decimal128(9, 2)
                ),
                "b": pa.array([none(bool(number % 3)) for number in range(ROWS)]),
                "x": pa.array([none(bytes([number % 256])) for number in range(ROWS)]),
            }
        ),
        parts=5,
    )
    yield TableRef("files_parts")
    hive.execute("drop table files_parts")


def reason(connector: HiveConnector, table: str, *columns: str) -> str:
    plan = connector.tables.plan(ScanRequest(TableRef(table), columns))
    return plan.notes[0]


def test_the_rows_are_those_of_the_server(both: tuple[HiveConnector, HiveConnector], parts: TableRef) -> None:
    by_files, by_server = both
    names = by_server.tables.schema(parts).names
    plan = by_files.tables.plan(ScanRequest(parts, tuple(names), splits=4))
    assert plan.notes[0].startswith("read from 6 Parquet files, of 6 of 6 partitions")
    assert rows_of(read(by_files, plan)) == rows_of(scan(by_server, parts, names))
    assert by_files.tables.schema(parts).equals(by_server.tables.schema(parts), check_metadata=True)
    assert read(by_files, by_files.tables.plan(ScanRequest(parts, ()))).num_rows == ROWS


def test_predicates_keep_what_the_server_keeps(both: tuple[HiveConnector, HiveConnector], parts: TableRef) -> None:
    chance = random.Random(11)
    columns: dict[str, tuple[pa.DataType, list[Any]]] = {
        "n": (pa.int32(), [-100, 0, 7, 99]),
        "f": (pa.float64(), [0.0, 0.5, float("nan")]),
        "t": (pa.string(), ["a", "é", "b"]),
        "d": (pa.date32(), [dt.date(2000, 1, 5), dt.date(2000, 2, 1)]),
        "m": (pa.decimal128(9, 2), [Decimal("0.00"), Decimal("1.50")]),
        "wbt_part": (pa.string(), ["p0", "p3", "q"]),
    }
    by_files, by_server = both
    for _ in range(15):
        predicate = random_predicate(chance, columns)
        found = rows_of(scan(by_files, parts, ("id", "wbt_part"), (predicate,), splits=3))
        assert found == rows_of(scan(by_server, parts, ("id", "wbt_part"), (predicate,))), str(predicate)


def test_partitions_that_cannot_match_are_not_opened(
    both: tuple[HiveConnector, HiveConnector], parts: TableRef
) -> None:
    by_files, _ = both
    for predicate, count in (
        (Compare(Column(("wbt_part",)), "=", Literal("p2", pa.string())), 1),
        (IsNull(Column(("wbt_part",))), 1),
        (Compare(Column(("wbt_part",)), "<>", Literal("p2", pa.string())), 4),
    ):
        plan = by_files.tables.plan(ScanRequest(parts, ("id",), (predicate,)))
        assert sum(len(split.state["files"]) for split in plan.splits) == count
        assert read(by_files, plan).num_rows == count * ROWS // 6


def test_the_metastore_is_asked_for_the_partitions_of_a_value(
    hive: Hive, both: tuple[HiveConnector, HiveConnector]
) -> None:
    by_files, by_server = both
    ref, values = TableRef("files_asked"), ("2024-01-01", "2024-01-02", "a_b", "aXb", "x%y", "A", "a", "a ")
    rows = ", ".join(f"({number}, '{value}', 'c{number % 2}')" for number, value in enumerate(values))
    hive.execute(
        "create table files_asked (n int) partitioned by (d string, c string) stored as parquet "
        "tblproperties ('transactional'='false')",
        f"insert into files_asked partition (d, c) values {rows}",
    )
    try:
        for number, value in enumerate(values):
            equal = Compare(Column(("d",)), "=", Literal(value, pa.string()))
            plan = by_files.tables.plan(ScanRequest(ref, ("n", "d"), (equal,)))
            assert read(by_files, plan).to_pylist() == [{"n": number, "d": value}]
            assert rows_of(scan(by_server, ref, ("n", "d"), (equal,))) == rows_of(read(by_files, plan))
        first = Compare(Column(("d",)), "=", Literal("2024-01-01", pa.string()))
        for place, count in (("c0", 1), ("c1", 0)):
            second = Compare(Column(("c",)), "=", Literal(place, pa.string()))
            plan = by_files.tables.plan(ScanRequest(ref, ("n",), (first, second)))
            assert f"{count} of {count} partitions with that value" in plan.notes[0]
            assert read(by_files, plan).num_rows == count
    finally:
        hive.execute("drop table files_asked")


def test_tables_whose_files_do_not_say_all_go_through_the_server(
    hive: Hive, both: tuple[HiveConnector, HiveConnector]
) -> None:
    by_files, _ = both
    made = {
        "files_orc": ("create table files_orc (n int) stored as sequencefile", "read by LazySimpleSerDe"),
        "files_json": ("create table files_json (n int) stored as jsonfile", "read by JsonSerDe"),
        "files_bin": ("create table files_bin (n binary) stored as textfile", "is binary in text"),
        "files_foot": (
            "create table files_foot (n int) stored as textfile tblproperties ('skip.footer.line.count'='1')",
            "skip.footer.line.count",
        ),
        "files_char": ("create table files_char (n char(3)) stored as parquet", "is char(3)"),
        "files_time": ("create table files_time (n timestamp) stored as parquet", "is timestamp"),
        "files_nest": ("create table files_nest (n array<int>) stored as parquet", "is array<int>"),
    }
    hive.execute(*(text for text, _ in made.values()), "create view files_view as select * from files_orc")
    try:
        for name, (_, told) in made.items():
            assert told in reason(by_files, name, "n"), name
        assert "virtual view" in reason(by_files, "files_view", "n")
        nobody = HiveConnector(config(hive, files=True, metastore="127.0.0.1:1", connect_timeout=1))
        assert "Cannot reach" in reason(nobody, "files_orc", "n")
        nobody.close()
    finally:
        hive.execute("drop view files_view", *(f"drop table {name}" for name in made))


@pytest.mark.parametrize(
    ("kind", "parameters", "place", "told"),
    [
        ("MANAGED_TABLE", {"transactional": "true"}, "file:/nowhere", "transactional"),
        ("MATERIALIZED_VIEW", {}, "file:/nowhere", "materialized view"),
        ("EXTERNAL_TABLE", {}, "hdfs://name:8020/t", "hdfs://"),
        ("EXTERNAL_TABLE", {}, "file:///nowhere/at/all", "cannot be read here"),
        ("EXTERNAL_TABLE", {}, "file://elsewhere/t", "not read from here"),
    ],
)
def test_what_is_refused_says_why(kind: str, parameters: dict[str, str], place: str, told: str) -> None:
    stored = Stored(kind, parameters, (), (kept_at(place),))
    with pytest.raises(Refusal, match=told):
        listed(stored, {"n": HiveType.of_name("int")}, ("n",), ())


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (kept_at("file:/x", TEXT, line__delim="|"), "newline"),
        (kept_at("file:/x", TEXT, serialization__encoding="GBK"), "GBK"),
        (kept_at("file:/x", TEXT, serialization__last__column__takes__rest="true"), "takes.rest"),
        (kept_at("file:/x", TEXT, field__delim="é"), "é"),
        (kept_at("file:/x", TEXT, field__delim="\\", escape__delim="\\"), "told apart"),
        (kept_at("file:/x", TEXT, skip__header__line__count="many"), "header"),
        (kept_at("file:/x", parquet__column__index__access="true"), "index.access"),
        (kept_at("file:/x", ("x.IcebergInputFormat", "x.IcebergSerDe")), "IcebergSerDe"),
        (Place("file:/x", PARQUET[0], (), PARQUET[1], (("n", "bigint"),)), "other columns"),
        (Place("file:/x", PARQUET[0], (), PARQUET[1], ()), "other columns"),
    ],
)
def test_what_is_not_read_exactly_as_the_server_does_is_left_to_it(place: Place, told: str) -> None:
    with pytest.raises(Refusal, match=told):
        listed(Stored("EXTERNAL_TABLE", {}, (), (place,)), {"n": HiveType.of_name("int")}, ("n",), ())


@pytest.mark.parametrize(("kind", "text"), [("int", "1_0"), ("int", "007"), ("date", "20240101"), ("bigint", "x")])
def test_partitions_that_are_written_in_another_way_are_left_to_the_server(kind: str, text: str) -> None:
    place = dataclasses.replace(kept_at("file:/x"), values=(text,))
    types = {"n": HiveType.of_name("int"), "p": HiveType.of_name(kind)}
    with pytest.raises(Refusal, match=text):
        listed(Stored("EXTERNAL_TABLE", {}, ("p",), (place,)), types, ("n", "p"), ())


_KINDS = "a int, b bigint, c smallint, d tinyint, e float, f double, g decimal(9,3), h boolean, i date, j string"


@pytest.mark.parametrize("form", ["orc", "textfile", "parquet"])
def test_what_hive_itself_writes_is_read_as_it_reads_it(
    hive: Hive, both: tuple[HiveConnector, HiveConnector], form: str
) -> None:
    ref = TableRef(f"files_own_{form}")
    rows = (
        "select 1, 9223372036854775807, cast(-32768 as smallint), cast(127 as tinyint), cast(0.1 as float), 1e300, "
        "-1.5, true, date '2024-02-29', 'é,\\t\\\\ \"x\"'",
        "select -2147483648, -9223372036854775807 - 1, cast(32767 as smallint), cast(-128 as tinyint), "
        "cast(3.4028235e38 as float), 4.9e-324, 999999.999, false, date '1583-01-01', ''",
        "select cast(null as int), cast(null as bigint), cast(null as smallint), cast(null as tinyint), "
        "cast(null as float), cast(null as double), cast(null as decimal(9,3)), cast(null as boolean), "
        "cast(null as date), cast(null as string)",
        "select 0, 0, cast(0 as smallint), cast(0 as tinyint), cast(-0.0 as float), -0.0, 0.001, true, "
        "date '9999-12-31', '客户'",
    )
    hive.execute(
        f"create external table {ref.name} ({_KINDS}) partitioned by (p date) stored as {form}",
        f"insert into {ref.name} partition (p) "
        + " union all ".join(f"{row}, date '2024-01-0{1 + at % 2}'" for at, row in enumerate(rows)),
    )
    try:
        compared(both, ref)
    finally:
        hive.execute(f"drop table {ref.name}")


def compared(both: tuple[HiveConnector, HiveConnector], ref: TableRef) -> list[dict[str, Any]]:
    """The rows, which are the same by files as by the server, as a whole and column by column."""
    by_files, by_server = both
    names = by_server.tables.schema(ref).names
    plan = by_files.tables.plan(ScanRequest(ref, tuple(names), splits=2))
    assert plan.notes[0].startswith("read from"), plan.notes
    found = read(by_files, plan)
    assert rows_of(found) == rows_of(scan(by_server, ref, names))
    for name in (names[0], names[-1]):
        assert rows_of(scan(by_files, ref, (name,))) == rows_of(found.select([name]))
    assert read(by_files, by_files.tables.plan(ScanRequest(ref, ()))).num_rows == found.num_rows
    return found.to_pylist()


_BOM = b"\xef\xbb\xbf"
_LINES = (
    _BOM
    + b"""1|a|1.5|true|2024-01-01\r
2|b\\|b|-0.25|FALSE|2024-02-29|more|than there are
3|\\N|\\N|\\N|\\N
4
\\N|x\\ny\\r\\\\z\\q||||
||1e3||\r5|\xe5\xae\xa2 "quoted"|007.50|true|1969-12-31

-6|  blank |-1|false|0001-01-01
7|end\\"""
)


@pytest.mark.parametrize(
    ("clauses", "lines"),
    [
        ("row format delimited fields terminated by '|' escaped by '\\\\'", _LINES),
        ("row format delimited fields terminated by '|'", _LINES.replace(b"b\\|b", b"b")),
        (
            "row format delimited fields terminated by '124' null defined as 'x'",
            _LINES.replace(b"b\\|b", b"b").replace(b"\\N", b"x"),
        ),
        (
            "row format delimited fields terminated by '\\t' null defined as ''",
            _LINES.replace(b"b\\|b", b"b").replace(b"|", b"\t").replace(b"\\N", b""),
        ),
        ("", _LINES.replace(b"b\\|b", b"b").replace(b"|", b"\x01") + b"\n"),
        ("tblproperties ('skip.header.line.count'='2', 'field.delim'='|')", _LINES.replace(b"b\\|b", b"b")),
    ],
)
def test_text_is_read_as_the_server_reads_it(
    hive: Hive, both: tuple[HiveConnector, HiveConnector], clauses: str, lines: bytes
) -> None:
    folder = hive.files("text")
    (folder / "rows.txt").write_bytes(lines)
    (folder / "more").write_bytes((lines.removeprefix(_BOM) + b"\n").replace(b"\n", b"\r\n") * 300)
    columns = "n int, t string, f double, b boolean, d date"
    form = clauses if clauses.startswith("row") else ""
    rest = clauses if not form else ""
    hive.execute(
        "drop table if exists files_lines",
        f"create external table files_lines ({columns}) {form} stored as textfile location 'file://{folder}' {rest}",
    )
    try:
        rows = compared(both, TableRef("files_lines"))
        assert len(rows) > 2000
        assert {None, 5, -6} <= {row["n"] for row in rows}
    finally:
        hive.execute("drop table files_lines")


@pytest.mark.parametrize("escaped", ["", "escaped by '\\\\'"])
def test_any_text_is_read_as_the_server_reads_it(
    hive: Hive, both: tuple[HiveConnector, HiveConnector], escaped: str
) -> None:
    folder, chance = hive.files("anything"), random.Random(8)
    letters = ("a", "|", "|", "\\", "\\N", "n", "r", "\r", "\t", '"', "é", " ", "\0", "\u2028")
    lines = ("".join(chance.choices(letters, k=chance.randrange(12))) for _ in range(3000))
    (folder / "rows").write_bytes("\n".join(lines).encode())
    hive.execute(
        "create external table files_any (a string, b string, c string) row format delimited fields terminated by '|' "
        f"{escaped} stored as textfile location 'file://{folder}'"
    )
    try:
        assert len(compared(both, TableRef("files_any"))) > 3000
    finally:
        hive.execute("drop table files_any")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("int", "1.5"), ("int", " 1"), ("tinyint", "300"), ("double", "1d"), ("boolean", "yes"), ("date", "2024-1-1"),
     ("decimal(4,2)", "1.234"), ("decimal(4,2)", "123.4"), ("float", "NaN"), ("date", "2024-02-30")],
)  # fmt: skip
def test_text_that_means_something_to_the_server_only_is_an_error(tmp_path: Path, kind: str, text: str) -> None:
    (tmp_path / "x").write_text(f"\\N\n{text}\n")
    place = dataclasses.replace(kept_at(f"file:{tmp_path}", TEXT), columns=(("n", kind),))
    types = {"n": HiveType.of_name(kind)}
    files, *_ = listed(Stored("EXTERNAL_TABLE", {}, (), (place,)), types, ("n",), ())
    schema = pa.schema([types["n"].field("n")])
    state = {"columns": types, "keys": (), "predicates": (), "files": tuple(files)}
    reader = FilesReader("hive", Split(0, TableRef("t"), "", schema, state), _control())
    with pytest.raises(DataError, match="files=false") as caught:
        list(reader)
    assert (caught.value.column, caught.value.row, caught.value.value) == ("n", 1, repr(text))


def test_partitions_whose_columns_are_others_are_left_to_the_server(
    hive: Hive, both: tuple[HiveConnector, HiveConnector]
) -> None:
    """The server reads NULL where a partition's own description lacks a column that its files have."""
    by_files, by_server = both
    ref, names = TableRef("files_evolved"), ("n", "t", "p")
    hive.execute(
        "create external table files_evolved (n int) partitioned by (p int) stored as parquet",
        "insert into files_evolved partition (p=1) values (1)",
        "alter table files_evolved add columns (t string)",
        "insert into files_evolved partition (p=1) values (2, 'there, but not read')",
        "insert into files_evolved partition (p=2) values (3, 'read')",
    )
    try:
        assert "other columns" in reason(by_files, ref.name, *names)
        assert rows_of(scan(by_files, ref, names)) == rows_of(scan(by_server, ref, names))
        only = Compare(Column(("p",)), "=", Literal(2, pa.int32()))
        plan = by_files.tables.plan(ScanRequest(ref, names, (only,)))
        assert plan.notes[0].startswith("read from ")
        hive.execute("alter table files_evolved partition (p=1) add columns (t string)")
        assert reason(by_files, ref.name, *names).startswith("read from ")
        assert rows_of(scan(by_files, ref, names)) == rows_of(scan(by_server, ref, names))
    finally:
        hive.execute("drop table files_evolved")


def test_folders_inside_and_hidden_files(tmp_path: Path) -> None:
    for name in ("a.parquet", "_SUCCESS", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").touch()
    stored = Stored("EXTERNAL_TABLE", {}, (), (kept_at(f"file:{tmp_path}"),))
    types = {"n": HiveType.of_name("int")}
    assert [Path(file.path).name for file in listed(stored, types, ("n",), ())[0]] == ["a.parquet"]
    (tmp_path / "HIVE_UNION_SUBDIR_1").mkdir()
    with pytest.raises(Refusal, match="folders inside"):
        listed(stored, types, ("n",), ())


def test_files_that_are_not_as_the_table_says_are_errors(hive: Hive, both: tuple[HiveConnector, HiveConnector]) -> None:
    by_files, _ = both
    hive.load("files_odd", pa.table({"n": pa.array([1, 2], pa.int64()), "d": [dt.date(1500, 1, 1), None]}))
    ref = TableRef("files_odd")
    try:
        plan = by_files.tables.plan(ScanRequest(ref, ("n", "d")))
        (file,) = plan.splits[0].state["files"]
        assert read(by_files, plan).num_rows == 2
        pq.write_table(pa.table({"n": [1, 2, 3], "d": [dt.date(1500, 1, 1), None, None]}), file.path)
        with pytest.raises(SnapshotChanged):
            read(by_files, plan)
        again = by_files.tables.plan(ScanRequest(ref, ("d",)))
        with pytest.raises(DataError, match="calendar"):
            read(by_files, again)
        pq.write_table(pa.table({"n": ["a", "b"]}), file.path)
        with pytest.raises(DataError, match="files=false"):
            read(by_files, by_files.tables.plan(ScanRequest(ref, ("n",))))
        missing = read(by_files, by_files.tables.plan(ScanRequest(ref, ("d",))))
        assert missing.column("d").to_pylist() == [None, None]
        assert isinstance(by_files.tables.read(again.splits[0], _control()), FilesReader)
    finally:
        hive.execute("drop table files_odd")


def _control() -> Any:
    from workbench.testing.control import RecordingControl

    return RecordingControl()


def test_a_metastore_that_is_silent_is_asked_once(hive: Hive, parts: TableRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metastore, "_FIRST", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        connector = HiveConnector(config(hive, files=True, metastore=where, connect_timeout=0.5))
        try:
            for _ in range(2):
                plan = connector.tables.plan(ScanRequest(parts, ("id",)))
                assert "read through HiveServer2, not from files" in plan.notes[0]
                assert where in plan.notes[0]
            silent.settimeout(5)
            silent.accept()[0].close()
            silent.setblocking(False)
            with pytest.raises(BlockingIOError):
                silent.accept()
        finally:
            connector.close()


def test_what_is_said_of_the_metastore(hive: Hive, both: tuple[HiveConnector, HiveConnector]) -> None:
    assert both[0].test().details["metastore"].startswith("answers as ")
    assert "metastore" not in both[1].test().details
    nobody = HiveConnector(config(hive, files=True, metastore=f"127.0.0.1:{free_port()}"))
    assert "nothing is read from files: Cannot reach" in nobody.test().details["metastore"]
    nobody.close()
    with pytest.raises(InvalidParameter, match="metastore"):
        HiveConnector(config(hive, files=True))


def test_a_broken_file_is_named_with_the_way_out(hive: Hive, both: tuple[HiveConnector, HiveConnector]) -> None:
    folder = hive.files("files_broken")
    whole = folder / "rows.parquet"
    pq.write_table(pa.table({"id": range(1000)}), whole)
    hive.execute(
        "drop table if exists files_broken",
        f"create external table files_broken (id bigint) stored as parquet location 'file://{folder}'",
    )
    good = whole.read_bytes()
    for broken in (good[:-20], b"PAR1garbagePAR1", b"x", good[:4] + bytes(200) + good[204:]):
        whole.write_bytes(broken)
        with pytest.raises(PathUnreachable, match=r"rows.parquet.*files=false") as caught:
            scan(both[0], TableRef("files_broken"), ("id",))
        assert "\n" not in str(caught.value)
    hive.execute("drop table files_broken")
