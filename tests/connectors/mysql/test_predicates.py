"""Push-down against DuckDB on the same delivered rows: what is EXACT has to be just that, with everything that
makes MySQL and DuckDB disagree in the table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.connectors.mysql.store import MySQLStore, config
from tests.services.mysql.server import Server
from workbench.contract import (
    And,
    Applied,
    Column,
    Compare,
    In,
    IsNull,
    Literal,
    Not,
    Or,
    Predicate,
    ScanRequest,
    TableRef,
)
from workbench.testing.oracle import OPERATORS, Oracle
from workbench.testing.scanning import read
from workbench.testing.suite_predicates import Judge
from workbench_mysql.manifest import MANIFEST
from workbench_mysql.predicates import Source, fragment, positive

COLUMNS = """
  rid int primary key,
  ci varchar(20) character set utf8mb4 collate utf8mb4_general_ci, bin varchar(20) character set utf8mb4 collate
  utf8mb4_bin, fix char(6) character set utf8mb4, l1 varchar(20) character set latin1,
  sj varchar(20) character set sjis,
  u3 varchar(20) character set utf8mb3, uc varchar(20) character set ucs2,
  tiny tinyint(1), mid mediumint, un bigint unsigned, big bigint, deci decimal(12,4), wide decimal(50,10) unsigned,
  f float, dbl double, d date, dn date not null, dtm datetime(3), dtn datetime not null,
  ts timestamp(6) null default null,
  y year, t time(3), bits bit(5), vb varbinary(8), bn binary(4), bl blob, e enum('x','Y','?'), s set('p','q'), js json,
  gen int generated always as (mid + 1) virtual"""
ROWS = [
    "(1,'a','a','a','é','ア','é','é',1,-8388608,18446744073709551615,9223372036854775807,12345678.1234,1.5,0.1,0.1,"
    "'2024-02-29','2024-02-29','2024-02-29 12:00:00.123','2024-02-29','1970-01-01 00:00:01',2005,'-838:59:59',b'101',"
    "x'00ff','ab',x'','x','p,q','{\"a\":1}')",
    "(2,'A','A','A','e','?','e','e',0,8388607,0,-9223372036854775808,-0.0001,0,-0.0,1e300,"
    "'0000-00-00','0000-00-00','0000-00-00','0000-00-00','0000-00-00 00:00:00',0,'00:00:00',b'0',x'00','ab\\0',x'00',"
    "'Y','','[]')",
    "(3,'a ','a ','a ','?','a','?','?',5,0,9223372036854775808,0,0,99999999999.9999999999,3.5,-1.5,"
    "'2024-00-15','2024-00-15','2024-00-15 10:00:00','2024-02-00 10:00:00','2038-01-19 03:14:07.999999',2155,"
    "'838:59:59',b'11111',x'','',NULL,'?','q','\"a\"')",
    "(4,'á','á','á','ÿ','ﾊ','ß','ﾊ',-128,1,1,1,0.0001,0.0000000001,1e30,-1e-300,"
    "'2024-02-00','2024-02-00','2024-02-00 00:00:00','2024-12-31 23:59:59','2001-01-01',1901,'-00:00:00.001',b'1',"
    "x'ff','\\0\\0',x'00ff','x','p','1.0')",
    "(5,'','','','','','','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,"
    "'9999-12-31','9999-12-31','9999-12-31 23:59:59.999','0001-01-01',NULL,NULL,NULL,NULL,NULL,"
    "NULL,NULL,NULL,NULL,NULL)",
    "(6,NULL,NULL,NULL,NULL,NULL,NULL,NULL,127,5,2,2,12345678.1233,2,0.25,0.25,"
    "NULL,'0001-01-01',NULL,'2024-02-29 12:00:00','1999-12-31 23:59:59.5',2069,'12:00:00',b'10',x'0000','zzzz',x'ff',"
    "'Y','p','null')",
    "(7,'😀','😀','😀','A','A','A','A',1,-1,3,-1,-12345678.1234,3,2,2,"
    "'0001-01-01','2023-12-31','2024-02-29 11:59:59.999','2024-02-30','2024-02-29 12:00:00',1970,'00:00:00.001',b'100',"
    "x'61','ab',x'61','x','q','{}')",
    "(8,'ss','ss','ß','''','\\\\','''','\\\\',2,7,4,7,7,7,7,7,"
    "'2024-02-31','2024-02-31','2024-02-31 12:00:00','2024-03-01','2024-03-01',2024,'23:59:59.999',b'111',x'6161',"
    "'aaaa',x'6161','Y','p','[1]')",
]
EXTRA: dict[str, list[Any]] = {
    "ci": ["b", "ア", "a  ", "\ud800", "?", "A\u0301"],
    "l1": ["ア", "😀", "É"],
    "sj": ["é", "ｱ", "?"],
    "uc": ["😀"],
    "u3": ["😀"],
    "tiny": [-1, 3],
    "y": [5, 69, 70, 99, 1, 2000],
    "deci": [Decimal("0.5000"), Decimal("99999999.9999")],
    "d": [dt.date(2024, 2, 15), dt.date(2024, 3, 2), dt.date(1, 1, 1)],
    "dn": [dt.date(2024, 1, 1)],
    "dtm": [dt.datetime(2024, 2, 29, 12, 0, 0, 123_456), dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)],
    "dtn": [dt.datetime(2024, 3, 2), dt.datetime(2024, 2, 15)],
    "ts": [
        dt.datetime(1960, 1, 1, tzinfo=dt.UTC),
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2050, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2200, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=dt.UTC),
    ],
    "vb": [b"", b"\x00\xff\x00", b"a"],
    "bn": [b"ab", b"ab\0\0", b"a"],
}


@dataclass
class Case:
    judge: Judge
    trees: st.SearchStrategy[Predicate]
    values: dict[str, tuple[pa.DataType, list[Any]]]


@pytest.fixture(scope="module", params=["table", "view"])
def case(request: pytest.FixtureRequest, mysql_server: Server) -> Iterator[Case]:
    name = f"awkward_{request.param}"
    mysql_server.execute("drop view if exists awkward_view", "drop table if exists awkward_table")
    with mysql_server.connection() as link, link.cursor() as cursor:
        cursor.execute("set sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
        cursor.execute(
            f"create table awkward_table ({COLUMNS}, index (ci), index (d), index (ts), index (un), index (y))"
        )
        stored = [part.split()[0] for part in _parts(COLUMNS) if not part.startswith("gen ")]
        cursor.execute(f"insert into awkward_table ({', '.join(stored)}) values {', '.join(ROWS)}")
        cursor.execute("create view awkward_view as select * from awkward_table")
    connector = MANIFEST.open(config(mysql_server))
    ref = TableRef(name)
    rows = read(connector, connector.tables.plan(ScanRequest(ref, tuple(connector.tables.schema(ref).names))))
    assert rows.num_rows == len(ROWS)
    oracle = Oracle(rows, "rid")
    values = {
        field.name: (field.type, _constants(rows.column(field.name), field.name))
        for field in rows.schema
        if not pa.types.is_duration(field.type)
    }
    judge = Judge(MySQLStore(mysql_server), connector, ref, rows, oracle, MANIFEST.capabilities.predicates)
    yield Case(judge, _trees(values), values)
    oracle.close()
    connector.close()


def _parts(columns: str) -> list[str]:
    """Split at the commas that are not in parentheses or quotes."""
    parts, depth = [""], 0
    for character in columns:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _constants(column: pa.ChunkedArray, name: str) -> list[Any]:
    there = [value.as_py() for value in column.unique() if value.is_valid]
    return [*there, *EXTRA.get(name, [])]


def _trees(values: dict[str, tuple[pa.DataType, list[Any]]]) -> st.SearchStrategy[Predicate]:
    def leaf(name: str) -> st.SearchStrategy[Predicate]:
        kind, constants = values[name]
        literal = st.sampled_from([value for value in constants if not _lone(value)]).map(lambda v: Literal(v, kind))
        column = Column((name,))
        return st.one_of(
            st.builds(Compare, st.just(column), st.sampled_from(OPERATORS), literal),
            st.builds(In, st.just(column), st.lists(literal, min_size=1, max_size=4).map(tuple)),
            st.builds(IsNull, st.just(column), st.booleans()),
        )

    pairs = lambda below: st.lists(below, min_size=2, max_size=3).map(tuple)  # noqa: E731
    return st.recursive(
        st.sampled_from(sorted(values)).flatmap(leaf),
        lambda below: st.one_of(below.map(Not), pairs(below).map(And), pairs(below).map(Or)),
        max_leaves=6,
    )


def _lone(value: object) -> bool:
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def test_every_leaf(case: Case) -> None:
    if case.judge.ref.name.endswith("view"):
        pytest.skip("the view has the same columns; random trees are asked of it")
    for name, (kind, constants) in case.values.items():
        column = Column((name,))
        usable = [Literal(value, kind) for value in constants if not _lone(value)]
        case.judge.ask(IsNull(column))
        case.judge.ask(IsNull(column, negated=True))
        case.judge.ask(In(column, tuple(usable)))
        case.judge.ask(Not(In(column, tuple(usable))))
        for literal in usable:
            for op in OPERATORS:
                case.judge.ask(Compare(column, op, literal))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_trees(case: Case, data: st.DataObject) -> None:
    case.judge.ask(data.draw(case.trees))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_true_false_and_null_make_up_the_table(case: Case, data: st.DataObject) -> None:
    """TLP: no second engine is believed."""
    tree = data.draw(case.trees)
    plan = case.judge.connector.tables.plan(ScanRequest(case.judge.ref, ("rid",), (tree, Not(tree))))  # type: ignore[union-attr]
    if all(level is Applied.EXACT for level in plan.applied.values()):
        assert read(case.judge.connector, plan).num_rows == 0


def test_what_is_applied_and_why(case: Case) -> None:
    """The table of the documentation page."""

    def level(name: str, op: str, value: object) -> tuple[Applied, str]:
        predicate = Compare(Column((name,)), op, Literal(value, case.values[name][0]))  # type: ignore[arg-type]
        plan = case.judge.connector.tables.plan(ScanRequest(case.judge.ref, ("rid",), (predicate,)))  # type: ignore[union-attr]
        return plan.applied[predicate], plan.reasons.get(predicate, "")

    moment = dt.datetime(2024, 1, 1)
    for name, value in {"mid": 1, "un": 2**64 - 1, "deci": Decimal("1.0000"), "d": moment.date(), "dtm": moment,
                        "ts": moment.replace(tzinfo=dt.UTC), "y": 5, "vb": b"\0", "gen": 1}.items():  # fmt: skip
        assert level(name, "<", value) == (Applied.EXACT, ""), name
    for name in ("ci", "bin", "l1", "e", "s"):
        assert level(name, "=", "a")[0] is Applied.SUPERSET
        applied, reason = level(name, "<", "a")
        assert (applied, "collation" in reason) == (Applied.NONE, True)
    for name, value in {"f": 1.0, "dbl": 1.0, "wide": "1.0000000000", "bits": b"\x01"}.items():
        assert level(name, "=", value)[0] is Applied.NONE, name
        assert level(name, "=", value)[1]


def test_a_deep_predicate_is_not_sent(case: Case) -> None:
    tree: Predicate = IsNull(Column(("ci",)))
    for turn in range(200):
        tree = And((Or((tree, IsNull(Column(("mid",))))), IsNull(Column(("un",))))) if turn % 2 else Not(tree)
    found = fragment(tree, {name: Source(name, "int", pa.int32()) for name in ("ci", "mid", "un")})
    assert found.text.count("(") < 100


def test_not_is_pushed_down_without_recursion() -> None:
    leaf = Compare(Column(("a",)), "<", Literal(1, pa.int32()))
    tree: Predicate = leaf
    for _ in range(10_001):
        tree = Not(tree)
    assert positive(tree) == Compare(Column(("a",)), ">=", Literal(1, pa.int32()))
    assert positive(Not(And((leaf, Not(leaf))))) == Or((Compare(Column(("a",)), ">=", Literal(1, pa.int32())), leaf))


@pytest.mark.parametrize("value", ["\ud800", "x" * 100_000])
def test_a_constant_that_cannot_be_sent_is_not(value: str) -> None:
    source = Source("t", "varchar", pa.string(), "utf8mb4")
    found = fragment(Compare(Column(("t",)), "=", Literal(value, pa.string())), {"t": source})
    assert found.applied is Applied.NONE
    assert found.reason


@pytest.mark.parametrize(
    "value", [{"a": 1}, [1], b"x", Decimal("NaN"), 2.0, True, dt.datetime(2024, 1, 1), "1; drop table t -- "]
)
def test_a_constant_of_another_kind_is_never_written_into_the_statement(value: Any) -> None:
    columns = {"i": Source("i", "int", pa.int32()), "d": Source("d", "date", pa.date32()),
               "n": Source("n", "decimal", pa.decimal128(9, 2))}  # fmt: skip
    for name, source in columns.items():
        found = fragment(Compare(Column((name,)), "=", Literal(value, source.arrow)), columns)
        assert (found.text, found.applied) == ("", Applied.NONE)


@pytest.mark.parametrize("value", ["'; drop table t -- ", "%s", "%(x)s", "{x}", ":x", "?", "\\", "${HOME}", "\0", "*/"])
def test_text_is_sent_as_hexadecimal(value: str) -> None:
    found = fragment(
        Compare(Column(("t",)), "=", Literal(value, pa.string())), {"t": Source("t", "varchar", pa.string(), "utf8mb4")}
    )
    assert found.text == f"`t` = _utf8mb4 x'{value.encode().hex()}'"
