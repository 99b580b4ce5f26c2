"""Random tables, read by the native decoder and by pymysql: the same values."""

from __future__ import annotations

import datetime
import decimal
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.connectors.mysql.sessions import answer, session
from tests.services.mysql.server import Server
from workbench_mysql import wire


@dataclass(frozen=True)
class Kind:
    """A column type and values for it, as pymysql takes and gives them."""

    declared: str
    values: st.SearchStrategy[Any]


def _integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(low, high) | st.sampled_from((low, high, 0))


@st.composite
def _decimal_kind(draw: st.DrawFn) -> Kind:
    precision = draw(st.integers(1, 65))
    scale = draw(st.integers(0, min(precision, 30)))
    unsigned = draw(st.booleans())
    most = 10**precision - 1
    unscaled = st.integers(0 if unsigned else -most, most) | st.sampled_from((most, 0, 0 if unsigned else -most))
    exact = decimal.Context(prec=70)
    values = unscaled.map(lambda number: decimal.Decimal(number).scaleb(-scale, exact))
    return Kind(f"decimal({precision},{scale}){' unsigned' if unsigned else ''}", values)


def _letters(most: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=most)


_MOMENTS = st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59))
_STAMPS = st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2037, 12, 31))
_LONGEST = datetime.timedelta(hours=838, minutes=59, seconds=59)
_TIMES = st.timedeltas(-_LONGEST, _LONGEST)
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
KINDS: st.SearchStrategy[Kind] = st.one_of(
    st.sampled_from(
        [
            *(Kind(name, _integers(bits, True)) for name, bits in _BITS.items()),
            *(Kind(f"{name} unsigned", _integers(bits, False)) for name, bits in _BITS.items()),
            Kind("double", st.floats(allow_nan=False, allow_infinity=False)),
            Kind("year", st.integers(1901, 2155)),
            Kind("date", st.dates(datetime.date(1000, 1, 1))),
            Kind("datetime(6)", _MOMENTS),
            Kind("datetime", _MOMENTS.map(lambda moment: moment.replace(microsecond=0))),
            Kind("timestamp(6) null", _STAMPS),
            Kind("time(6)", _TIMES),
            Kind("varchar(40)", _letters(40)),
            Kind("mediumtext", _letters(300) | st.integers(0, 70_000).map("é".__mul__)),
            Kind("varbinary(40)", st.binary(max_size=40)),
            Kind("mediumblob", st.binary(max_size=300) | st.integers(0, 70_000).map(b"\xff".__mul__)),
            Kind("enum('a','b','é')", st.sampled_from("abé")),
            Kind("bit(64)", st.binary(min_size=8, max_size=8)),
        ]
    ),
    _decimal_kind(),
)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[Kind], list[list[Any]]]:
    kinds = draw(st.lists(KINDS, min_size=1, max_size=12))
    row = st.tuples(*(st.none() | kind.values for kind in kinds)).map(list)
    return kinds, draw(st.lists(row, max_size=8))


@pytest.fixture(scope="module", params=["mariadb", "mysql9"])
def connection(request: pytest.FixtureRequest) -> Iterator[wire.Connection]:
    server: Server = request.getfixturevalue(request.param)
    with session(server, "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'") as opened:
        yield opened


def _plain(value: Any, arrow: pa.DataType) -> Any:
    """pymysql's value as Arrow gives it."""
    if isinstance(value, decimal.Decimal) and pa.types.is_string(arrow):
        return format(value, "f")
    if isinstance(value, datetime.datetime) and getattr(arrow, "tz", None):
        return value.replace(tzinfo=datetime.UTC)
    return value


def _bits(value: Any) -> Any:
    """Floats by their bits, for -0.0."""
    return struct.pack("<d", value) if isinstance(value, float) else value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=_tables())
def test_the_same_as_pymysql(connection: wire.Connection, table: tuple[list[Kind], list[list[Any]]]) -> None:
    kinds, values = table
    names = [f"c{number}" for number in range(len(kinds))]
    columns = ", ".join(f"{name} {kind.declared}" for name, kind in zip(names, kinds, strict=True))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS random_table")
        cursor.execute(f"CREATE TABLE random_table (k int primary key, {columns}) CHARACTER SET utf8mb4")
        holes = ", ".join(["%s"] * (len(kinds) + 1))
        for number, row in enumerate(values):
            cursor.execute(f"INSERT INTO random_table VALUES ({holes})", [number, *row])
        text = f"SELECT {', '.join(names)} FROM random_table ORDER BY k"
        cursor.execute(text)
        expected = cursor.fetchall()
    read, lost = answer(connection, text)
    assert lost == {}
    arrow = read.schema.types
    assert read.num_rows == len(values)
    for got, due in zip(zip(*(column.to_pylist() for column in read.columns), strict=True), expected, strict=True):
        assert [*map(_bits, got)] == [_bits(_plain(value, kind)) for value, kind in zip(due, arrow, strict=True)]
    assert wire.query(connection, text).equals(read)
