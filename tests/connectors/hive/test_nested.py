"""Arrays, maps and structs as values, from files: the same that HiveServer2 prints, where that can be read back."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.connectors.hive.store import config
from tests.services.hive.server import Hive
from workbench.catalog import Catalog
from workbench.contract import Column, Compare, ConnectionConfig, Literal, ScanRequest, TableRef
from workbench.contract.errors import DataError, Unsupported
from workbench.query.session import Session
from workbench.runs import Register
from workbench.testing.scanning import read, scan
from workbench_hive.catalog import Known
from workbench_hive.connector import HiveConnector
from workbench_hive.nested import with_values
from workbench_hive.printed import readable, values
from workbench_hive.types import HiveType

TYPES = "id int, l array<bigint>, m map<string,int>, s struct<a:int,b:string,c:array<struct<d:double>>>"
COLUMNS = ("id", "l", "m", "s")
INSERTED = (
    "select 1, array(1L, cast(null as bigint), 3L), map('x', 1, 'y', cast(null as int)),"
    " named_struct('a', 7, 'b', 'é', 'c', array(named_struct('d', 0.5D), named_struct('d', cast(null as double))))"
    " union all select 2, array(9223372036854775807L), map('z', -1),"
    " named_struct('a', cast(null as int), 'b', '', 'c', array(named_struct('d', 1D)))"
)


def nested(hive: Hive, *tables: str, **parameters: object) -> HiveConnector:
    usual = config(hive, **{"files": True, "metastore": f"127.0.0.1:{hive.metastore_port}", **parameters})
    declared = {name: {"nested": "values"} for name in tables}
    return HiveConnector(ConnectionConfig(usual.name, usual.parameters, usual.secrets, tables=declared))


@pytest.fixture(scope="module")
def written(hive: Hive) -> Iterator[list[str]]:
    """The same rows in files that Hive wrote."""
    names = ["nested_parquet", "nested_orc"]
    for name in names:
        stored = name.partition("_")[2]
        hive.execute(
            f"drop table if exists {name}",
            f"create external table {name} ({TYPES}) stored as {stored} location 'file://{hive.files(name)}'",
            f"insert into {name} {INSERTED}",
        )
    yield names
    hive.execute(*(f"drop table {name}" for name in names))


def test_values_are_what_the_server_prints(hive: Hive, written: list[str]) -> None:
    values, texts = nested(hive, *written), nested(hive)
    for name in written:
        ref = TableRef(name)
        plan = values.tables.plan(ScanRequest(ref, COLUMNS))
        assert plan.notes[0].startswith("read from 1 "), plan.notes
        assert values.tables.schema(ref).types == plan.schema.types
        found = read(values, plan).sort_by("id").to_pylist(maps_as_pydicts="strict")
        printed = scan(texts, ref, COLUMNS).sort_by("id").to_pylist()
        assert found == [
            {key: value if key == "id" else json.loads(value) for key, value in row.items()} for row in printed
        ]
        assert found[0]["s"] == {"a": 7, "b": "é", "c": [{"d": 0.5}, {"d": None}]}
    values.close()
    texts.close()


def test_sql_reaches_inside(hive: Hive, written: list[str], tmp_path: Path) -> None:
    catalog, register = Catalog(tmp_path), Register(tmp_path / "runs.db")
    usual = config(hive, files=True, metastore=f"127.0.0.1:{hive.metastore_port}")
    tables = {name: {"nested": "values"} for name in written}
    catalog.connect("lake", hive.url(), secret=usual.secrets["password"], tables=tables,
                    parameters={"files": True, "metastore": usual.parameters["metastore"]})  # fmt: skip
    session = Session(catalog, register)
    for name in written:
        sql = f"select s.a, unnest(l) e, m['x'] x from lake.{name} where s.b = 'é' order by e"
        assert session.sql(sql).polars().rows() == [(7, 1, 1), (7, 3, 1), (7, None, 1)]
    catalog.close()
    register.close()


def test_files_of_others_and_of_other_times(hive: Hive) -> None:
    """Fewer and more fields in a struct, wider numbers, NULL at each level, another order; and what is no value."""
    folder = hive.files("nested_others")
    wanted = "struct<a:bigint,b:string,c:decimal(9,2),d:date>"
    hive.execute(
        "drop table if exists nested_others",
        f"create external table nested_others (s {wanted}, l array<{wanted}>) stored as parquet location 'file://{folder}'",
    )
    one = {"b": "x", "a": 1, "c": Decimal("1.50"), "more": 5, "d": dt.date(2024, 1, 2)}
    inner = pa.struct(
        [("b", pa.string()), ("a", pa.int32()), ("c", pa.decimal128(9, 2)), ("more", pa.int8()), ("d", pa.date32())]
    )
    rows = pa.table(
        {"s": pa.array([one, None, dict.fromkeys(one)], inner), "l": pa.array([[one, None], [], None], pa.list_(inner))}
    )
    marked = {"writer.date.proleptic": "true"}
    pq.write_table(rows.replace_schema_metadata(marked), folder / "a.parquet")
    fewer = pa.table({"s": pa.array([{"a": 2}], pa.struct([("a", pa.int64())])), "l": pa.array([[{"a": 3}]])})
    pq.write_table(fewer.replace_schema_metadata(marked), folder / "b.parquet")
    connector, ref = nested(hive, "nested_others"), TableRef("nested_others")
    whole: dict[str, Any] = {"a": 1, "b": "x", "c": Decimal("1.50"), "d": dt.date(2024, 1, 2)}
    found = scan(connector, ref, ("s", "l")).to_pylist()
    assert found == [
        {"s": whole, "l": [whole, None]},
        {"s": None, "l": []},
        {"s": dict.fromkeys(whole), "l": None},
        {"s": {**dict.fromkeys(whole), "a": 2}, "l": [{**dict.fromkeys(whole), "a": 3}]},
    ]
    inside = Compare(Column(("s", "a")), ">", Literal(1, pa.int64()))
    assert scan(connector, ref, ("s",), (inside,)).num_rows == 1
    odd: list[Any] = [pa.array([{"a": "1"}]), pa.array([{"A": 1}]), pa.array([5]), pa.array([{"a": 1.5}])]
    for content in odd:
        pq.write_table(pa.table({"s": content}).replace_schema_metadata(marked), folder / "b.parquet")
        with pytest.raises(DataError, match="files=false"):
            scan(connector, ref, ("s",))
    old = pa.table({"s": pa.array([{"d": dt.date(1500, 1, 1)}])})
    pq.write_table(old, folder / "b.parquet")
    with pytest.raises(DataError, match="1582"):
        scan(connector, ref, ("s",))
    connector.close()
    hive.execute("drop table nested_others")


def test_what_is_not_read_from_files_is_refused(hive: Hive, written: list[str]) -> None:
    hive.execute("drop view if exists nested_view", f"create view nested_view as select * from {written[0]}")
    connector, ref = nested(hive, "nested_view"), TableRef("nested_view")
    assert scan(connector, ref, ("id",)).num_rows == 2
    with pytest.raises(Unsupported, match=r"`m`, `s` of `nested_view` as values. It is .*a virtual view.*`nested`"):
        connector.tables.plan(ScanRequest(ref, ("l", "m", "s")))
    assert scan(connector, ref, ("id", "l")).sort_by("id").to_pylist() == [
        {"id": 1, "l": [1, None, 3]}, {"id": 2, "l": [2**63 - 1]}
    ]  # fmt: skip
    connector.close()
    by_server = nested(hive, written[0], files=False)
    with pytest.raises(Unsupported, match="`m` of"):
        by_server.tables.plan(ScanRequest(TableRef(written[0]), ("id", "m")))
    by_server.close()
    hive.execute("drop view nested_view")


PRINTED = (
    "id int, l array<array<int>>, m map<bigint,double>, s struct<a:tinyint,b:boolean,c:decimal(20,3)>, "
    "x array<struct<k:map<int,boolean>,v:double>>"
)


@pytest.fixture(scope="module")
def printed(hive: Hive) -> Iterator[TableRef]:
    """A table without text in it, as files that the connection may read."""
    kind = HiveType("struct", spelled=f"struct<{PRINTED.replace(', ', ',').replace(' ', ':')}>")
    known = with_values(Known(TableRef("t"), {"c": kind})).types["c"]
    nan, inf = float("nan"), float("inf")
    rows: list[dict[str, Any]] = [
        {
            "id": 1,
            "l": [[1, None], [], None],
            "m": [(-(2**63), 1e300), (5, nan), (7, -inf), (9, None), (10, 1e-7)],
            "s": {"a": 127, "b": True, "c": Decimal("-12345678901234567.125")},
            "x": [{"k": [(1, True), (-2, None)], "v": 1.0 / 3}, None],
        },
        {
            "id": 2,
            "l": [[2**31 - 1, -(2**31)]],
            "m": [(0, -0.0)],
            "s": {"a": None, "b": False, "c": Decimal("0.000")},
            "x": [{"k": [(0, False)], "v": inf}],
        },
        {"id": 3, "l": None, "m": None, "s": None, "x": None},
    ]
    folder = hive.files("nested_printed")
    pq.write_table(pa.table(pa.array(rows, known.arrow()).flatten(), names=list(rows[0])), folder / "a.parquet")
    hive.execute(
        "drop table if exists nested_printed",
        f"create external table nested_printed ({PRINTED}) stored as parquet location 'file://{folder}'",
    )
    yield TableRef("nested_printed")
    hive.execute("drop table nested_printed")


def test_what_prints_without_doubt_is_read_back_through_the_server(
    hive: Hive, printed: TableRef, tmp_path: Path
) -> None:
    by_files, by_server = nested(hive, printed.name), nested(hive, printed.name, files=False)
    names = ("id", "l", "m", "s", "x")
    plans = [one.tables.plan(ScanRequest(printed, names)) for one in (by_files, by_server)]
    assert [plan.notes[0].split(" ")[2] for plan in plans] == ["1", "HiveServer2"]
    assert plans[0].schema.equals(plans[1].schema)
    found, wanted = (
        read(one, plan).sort_by("id").to_pylist() for one, plan in zip((by_server, by_files), plans, strict=True)
    )
    assert repr(found) == repr(wanted)  # NaN, and the sign of zero
    assert found[0]["l"] == [[1, None], [], None]
    assert dict(found[0]["m"])[-(2**63)] == 1e300
    assert found[0]["s"] == {"a": 127, "b": True, "c": Decimal("-12345678901234567.125")}
    assert found[0]["x"] == [{"k": [(1, True), (-2, None)], "v": 1.0 / 3}, None]
    assert found[2] == {"id": 3, "l": None, "m": None, "s": None, "x": None}
    by_files.close()
    by_server.close()

    catalog, register = Catalog(tmp_path), Register(tmp_path / "runs.db")
    usual = config(hive)
    tables = {printed.name: {"nested": "values"}}
    catalog.connect("h", hive.url(), secret=usual.secrets["password"], tables=tables)
    session = Session(catalog, register)
    text = "select id, s.a, unnest(l[1]) i from h.nested_printed where s.b and m[5] is not null order by i nulls last"
    assert session.sql(text).polars().rows() == [(1, 127, 1), (1, 127, None)]
    assert session.sql("select id from h.nested_printed where l is null").polars().rows() == [(3,)]
    session.close()
    catalog.close()
    register.close()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("array<int>", "[1,"), ("array<int>", "[1.5]"), ("array<int>", '["1"]'), ("array<int>", "[true]"),
        ("array<int>", "{1:2}"), ("array<boolean>", "[1]"), ("array<double>", "[true]"), ("array<double>", '["NaN"]'),
        ("array<tinyint>", "[128]"), ("array<decimal(3,1)>", "[12.34]"), ("array<decimal(3,1)>", "[NaN]"),
        ("map<int,int>", '{"a":1}'), ("map<int,int>", "[1]"), ("struct<a:int>", '{"b":1}'), ("struct<a:int>", "{1:1}"),
        ("struct<a:int,b:int>", '{"a":1}'), ("array<int>", "[" * 100_000), ("array<int>", ""), ("array<int>", "1"),
    ],
)  # fmt: skip
def test_what_is_not_printed_so_is_an_error(kind: str, text: str) -> None:
    known = with_values(Known(TableRef("t"), {"c": HiveType(kind.partition("<")[0], spelled=kind)}))
    assert readable(known.types["c"])
    with pytest.raises(DataError, match="Column `c`"):
        values(pa.array([None, text]), known.types["c"], "c")


@pytest.mark.parametrize(
    "text",
    ["array<string>", "map<string,int>", "map<double,int>", "struct<a:int,b:date>", "array<float>", "map<int,binary>"],
)
def test_what_is_printed_with_doubt_is_not_read_back(text: str) -> None:
    known = with_values(Known(TableRef("t"), {"c": HiveType(text.partition("<")[0], spelled=text)}))
    assert not readable(known.types["c"])


@pytest.mark.parametrize(
    "text",
    [
        "array<timestamp>", "array<varchar(3)>", "uniontype<int,string>", "struct<a:int", "array<int", "array<>",
        "map<int>", "struct<`a b`:int>", "struct<a>", "array<int>>", "array<int>x", "struct<>", "nothing<int>",
        "array<" * 40 + "int" + ">" * 40, "array<decimal(99,2)>", "struct<a:int,,b:int>", "struct<a:int,a:int>",
    ],
)  # fmt: skip
def test_types_that_are_none_are_refused(text: str) -> None:
    kind = HiveType(
        text.partition("<")[0] if text.startswith(("array", "map", "struct", "union")) else "array", spelled=text
    )
    with pytest.raises(Unsupported, match="Leave `nested` out"):
        with_values(Known(TableRef("t"), {"c": kind}))


def test_types_are_read_as_they_are_spelled() -> None:
    text = "map<string,struct<a:array<decimal(10,2)>,b:binary,c_d:boolean>>"
    (kind,) = with_values(Known(TableRef("t"), {"c": HiveType.of_name(text)})).types.values()
    inner = pa.struct([("a", pa.list_(pa.decimal128(10, 2))), ("b", pa.binary()), ("c_d", pa.bool_())])
    assert kind.arrow() == pa.map_(pa.string(), inner)
    assert kind.spelled == text
