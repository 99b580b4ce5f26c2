"""Values at the edges of every type, on both servers: right, or NULL and counted."""

from __future__ import annotations

import datetime
import decimal
import struct
from collections.abc import Iterator

import pyarrow as pa
import pytest

from tests.connectors.mysql.sessions import answer, session
from tests.services.mysql.server import Server
from workbench.contract.errors import DataError
from workbench_mysql import wire

D = decimal.Decimal
UTC = datetime.UTC


def single(value: float) -> float:
    """As 32 bits hold it."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


# type of the column, what is inserted, its Arrow type, what is read, how many are lost
EDGES: dict[str, tuple[str, str, pa.DataType, list[object], int]] = {
    "bigint_unsigned": ("bigint unsigned", "18446744073709551615, 0, 9223372036854775808", pa.uint64(),
                        [2**64 - 1, 0, 2**63], 0),
    "bigint": ("bigint", "-9223372036854775808, 9223372036854775807", pa.int64(), [-(2**63), 2**63 - 1], 0),
    "int_unsigned": ("int unsigned", "4294967295, 0", pa.uint32(), [2**32 - 1, 0], 0),
    "int": ("int", "-2147483648, 2147483647", pa.int32(), [-(2**31), 2**31 - 1], 0),
    "mediumint": ("mediumint", "-8388608, 8388607", pa.int32(), [-(2**23), 2**23 - 1], 0),
    "mediumint_unsigned": ("mediumint unsigned", "16777215", pa.uint32(), [2**24 - 1], 0),
    "smallint": ("smallint", "-32768, 32767", pa.int16(), [-(2**15), 2**15 - 1], 0),
    "smallint_unsigned": ("smallint unsigned", "65535", pa.uint16(), [65535], 0),
    "tinyint": ("tinyint", "-128, 127", pa.int8(), [-128, 127], 0),
    "tinyint_unsigned": ("tinyint unsigned", "255, 0", pa.uint8(), [255, 0], 0),
    "a_boolean": ("tinyint(1)", "1, 0, 5", pa.int8(), [1, 0, 5], 0),
    "zerofill": ("int(8) unsigned zerofill", "42", pa.uint32(), [42], 0),
    "decimal_38_10": ("decimal(38,10)", "'1234567890123456789012345678.0123456789', -0.0000000001, 1",
                      pa.decimal128(38, 10),
                      [D("1234567890123456789012345678.0123456789"), D("-1E-10"), D(1)], 0),
    "decimal_12_2": ("decimal(12,2)", "9999999999.99, -9999999999.99, -0.01", pa.decimal128(12, 2),
                     [D("9999999999.99"), D("-9999999999.99"), D("-0.01")], 0),
    "decimal_20_12": ("decimal(20,12)", "1.123456789012", pa.decimal128(20, 12), [D("1.123456789012")], 0),
    "decimal_38_0": ("decimal(38,0)", "'-99999999999999999999999999999999999999'", pa.decimal128(38, 0),
                     [D("-99999999999999999999999999999999999999")], 0),
    "decimal_all_places": ("decimal(30,30)", "'0.123456789012345678901234567890'", pa.decimal128(30, 30),
                           [D("0.123456789012345678901234567890")], 0),
    "decimal_unsigned": ("decimal(10,3) unsigned", "1234567.891", pa.decimal128(10, 3), [D("1234567.891")], 0),
    "decimal_zerofill": ("decimal(10,3) unsigned zerofill", "1.5", pa.decimal128(10, 3), [D("1.5")], 0),
    "decimal_65_30": ("decimal(65,30)", "'12345678901234567890123456789012345.123456789012345678901234567890', -1",
                      pa.string(), ["12345678901234567890123456789012345.123456789012345678901234567890",
                                    "-1.000000000000000000000000000000"], 0),
    "decimal_39": ("decimal(39,0)", "'123456789012345678901234567890123456789'", pa.string(),
                   ["123456789012345678901234567890123456789"], 0),
    "float": ("float", "1.1, -3.4e38, 0.3333333, 1e-38", pa.float32(),
              [single(1.1), single(-3.4e38), single(0.3333333), single(1e-38)], 0),
    "double": ("double", "0.1, 1.7976931348623157e308, 3.141592653589793, 2.2250738585072014e-308", pa.float64(),
               [0.1, 1.7976931348623157e308, 3.141592653589793, 2.2250738585072014e-308], 0),
    "any_day": ("date", "'2023-02-31'", pa.date32(), [None], 1),
    "zero_date": ("date", "'0000-00-00', '2024-00-00', '2024-02-00', '2024-02-29', '1000-01-01', '9999-12-31'",
                  pa.date32(), [None, None, None, datetime.date(2024, 2, 29), datetime.date(1000, 1, 1),
                                datetime.date(9999, 12, 31)], 3),
    "datetime_6": ("datetime(6)", "'0000-00-00', '2024-02-29 23:59:59.999999', '1000-01-01', '1969-12-31 23:59:59.5'",
                   pa.timestamp("us"), [None, datetime.datetime(2024, 2, 29, 23, 59, 59, 999999),
                                        datetime.datetime(1000, 1, 1),
                                        datetime.datetime(1969, 12, 31, 23, 59, 59, 500000)], 1),
    "datetime_3": ("datetime(3)", "'9999-12-31 23:59:59.999'", pa.timestamp("us"),
                   [datetime.datetime(9999, 12, 31, 23, 59, 59, 999000)], 0),
    "datetime_partial": ("datetime", "'2024-00-10 01:02:03', '2024-01-02 03:04:05'", pa.timestamp("us"),
                         [None, datetime.datetime(2024, 1, 2, 3, 4, 5)], 1),
    "timestamp_6": ("timestamp(6) null", "'2038-01-19 03:14:07', '2024-07-01 12:00:00.000001', '0000-00-00'",
                    pa.timestamp("us", tz="UTC"),
                    [datetime.datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),
                     datetime.datetime(2024, 7, 1, 12, 0, 0, 1, tzinfo=UTC), None], 1),
    "time_6": ("time(6)", "'838:59:59', '-838:59:59', '-12:30:00.5', '00:00:00', '-00:00:00.000001'", pa.duration("us"),
               [datetime.timedelta(hours=838, minutes=59, seconds=59),
                -datetime.timedelta(hours=838, minutes=59, seconds=59),
                -datetime.timedelta(hours=12, minutes=30, milliseconds=500), datetime.timedelta(0),
                -datetime.timedelta(microseconds=1)], 0),
    "year": ("year", "1901, 2155, 0, 2024", pa.int16(), [1901, 2155, 0, 2024], 0),
    "json": ("json", """'{"a": [1, 2], "b": "客"}', 'null', '"s"'""", pa.string(),
             ['{"a": [1, 2], "b": "客"}', "null", '"s"'], 0),
    "bit_10": ("bit(10)", "b'1010101010', b'0'", pa.binary(), [b"\x02\xaa", b"\0\0"], 0),
    "bit_1": ("bit(1)", "b'1', b'0'", pa.binary(), [b"\x01", b"\0"], 0),
    "bit_64": ("bit(64)", "18446744073709551615", pa.binary(), [b"\xff" * 8], 0),
    "enum": ("enum('a','客')", "'客', 'a'", pa.string(), ["客", "a"], 0),
    "set": ("set('x','y','z')", "'x,z', '', 'y'", pa.string(), ["x,z", "", "y"], 0),
    "blob": ("blob", "x'00ff10', ''", pa.binary(), [b"\x00\xff\x10", b""], 0),
    "varbinary": ("varbinary(8)", "x'00ff'", pa.binary(), [b"\x00\xff"], 0),
    "binary": ("binary(4)", "x'00ff'", pa.binary(), [b"\x00\xff\0\0"], 0),
    "longtext": ("longtext", "'客户 🎉 text', repeat('x', 70000), ''", pa.string(),
                 ["客户 🎉 text", "x" * 70000, ""], 0),
    "char": ("char(4)", "'ab', ''", pa.string(), ["ab", ""], 0),
    "latin1": ("varchar(20) character set latin1", "'café', 'ÿ'", pa.string(), ["café", "ÿ"], 0),
    "utf16": ("varchar(20) character set utf16", "'é🎉'", pa.string(), ["é🎉"], 0),
    "geometry": ("geometry", "point(1, 2)", pa.binary(),
                 [b"\0\0\0\0\x01\x01\0\0\0" + struct.pack("<dd", 1.0, 2.0)], 0),
}  # fmt: skip

OWN: dict[str, dict[str, tuple[str, str, pa.DataType, list[object], int]]] = {
    "mariadb": {
        "uuid": ("uuid", "'123e4567-e89b-12d3-a456-426614174000'", pa.string(),
                 ["123e4567-e89b-12d3-a456-426614174000"], 0),
        "inet6": ("inet6", "'2001:db8::1'", pa.string(), ["2001:db8::1"], 0),
        "inet4": ("inet4", "'127.0.0.1'", pa.string(), ["127.0.0.1"], 0),
    },
    "mysql": {
        "vector": ("vector(2)", "to_vector('[1,2]')", pa.binary(), [struct.pack("<ff", 1.0, 2.0)], 0),
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue({"mariadb": "mariadb", "mysql": "mysql9"}[request.param])
    return found


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[wire.Connection]:
    with session(server, "SET sql_mode = 'ALLOW_INVALID_DATES'") as opened:
        yield opened


def _split(values: str) -> list[str]:
    """At the commas that are not inside quotes or parentheses."""
    parts, depth, quoted = [""], 0, False
    for letter in values:
        quoted ^= letter == "'"
        depth += (letter == "(") - (letter == ")") if not quoted else 0
        if letter == "," and not quoted and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


CASES = [(product, name) for product, own in OWN.items() for name in sorted({**EDGES, **own})]


@pytest.mark.parametrize(("server", "name"), CASES, indirect=["server"], scope="module")
def test_edge_values(server: Server, name: str, connection: wire.Connection) -> None:
    declared, values, arrow, expected, lost = {**EDGES, **OWN[server.product]}[name]
    for text in ("DROP TABLE IF EXISTS edge", f"CREATE TABLE edge (k int primary key, v {declared} NULL)"):
        wire.query(connection, text)
    for key, value in enumerate([*_split(values), "NULL"]):
        wire.query(connection, f"INSERT INTO edge VALUES ({key}, {value})")
    text = "SELECT v FROM edge ORDER BY k"
    table, counted = answer(connection, text)
    assert table.schema.field("v").type == arrow
    assert table["v"].to_pylist() == [*expected, None]
    assert counted == ({"v": lost} if lost else {})
    # The text protocol says the same, but for the digits that MariaDB and MySQL leave out of a float.
    plain = wire.query(connection, text)
    plain.validate(full=True)
    assert plain.schema.field("v").type == arrow
    if arrow != pa.float32():
        assert plain["v"].to_pylist() == table["v"].to_pylist()


@pytest.fixture
def strange(server: Server, connection: wire.Connection) -> str:
    for text in (
        "DROP TABLE IF EXISTS strange",
        "CREATE TABLE strange (k int primary key, d date, v datetime(3), t varchar(10))",
        "INSERT INTO strange VALUES (1, '2024-02-29', '2024-02-29 12:13:14.5', 'a'),"
        " (2, '0000-00-00', '0000-00-00', 'b'), (3, '2024-00-05', '2024-10-00 01:02:03.004', NULL),"
        " (4, NULL, NULL, 'd')",
    ):
        wire.query(connection, text)
    return "SELECT k, d, v, t FROM strange ORDER BY k"


def test_policy_error_says_column_row_and_value(strange: str, connection: wire.Connection) -> None:
    statement = wire.prepare(connection, strange)
    with pytest.raises(DataError, match=r"Column `d`, row 1: 0000-00-00 is no date"):
        list(statement.execute(policy="error"))
    assert not connection.open  # rows were still to come
    connection.connect()
    wire.query(connection, "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
    statement = wire.prepare(connection, "SELECT v FROM strange ORDER BY k DESC")
    with pytest.raises(DataError, match=r"Column `v`, row 1: 2024-10-00 01:02:03.004000 is no date"):
        list(statement.execute(policy="error"))
    connection.connect()
    wire.query(connection, "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")


def test_policy_string_prints_as_the_server_does(strange: str, connection: wire.Connection) -> None:
    table, lost = answer(connection, strange, "string")
    assert lost == {}
    assert table.schema.field("d").type == pa.string()
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONCAT(d), CONCAT(v) FROM strange ORDER BY k")
        assert list(zip(table["d"].to_pylist(), table["v"].to_pylist(), strict=True)) == list(cursor.fetchall())
    assert table["d"].to_pylist() == ["2024-02-29", "0000-00-00", "2024-00-05", None]


def test_text_that_is_not_utf8_is_null_and_counted(connection: wire.Connection) -> None:
    text = "SELECT CONVERT('grün' USING utf8mb4) AS good, 'a' AS other"
    wire.query(connection, "SET character_set_results = latin1")
    try:
        statement = wire.prepare(connection, text)
        rows = statement.execute()
        table = pa.Table.from_batches(list(rows))
        table.validate(full=True)
        assert table.to_pylist() == [{"good": None, "other": "a"}]
        assert rows.lost == {"good": 1}
        with pytest.raises(DataError, match=r"Column `good`, row 0: b'gr\\xfcn' is not UTF-8"):
            list(statement.execute(policy="error"))
    finally:
        if not connection.open:
            connection.connect()
        wire.query(
            connection, "SET character_set_results = utf8mb4, sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'"
        )


def test_expressions_have_types_too(connection: wire.Connection) -> None:
    table, lost = answer(
        connection,
        "SELECT NULL AS n, 1/3 AS third, 1 + 1 AS two, -1.50 AS d, 'x' AS s, x'ff' AS b, true AS t,"
        " CAST(5 AS unsigned) AS u, CAST('2024-01-02' AS date) AS day, CAST('01:02:03.5' AS time(1)) AS t1, 1e0 AS f,"
        " COUNT(*) AS c, CONCAT('a', 1) AS cc",
    )
    assert lost == {}
    row = table.to_pylist()[0]
    assert row["n"] is None
    assert row["third"] == D("0.3333")
    assert (row["two"], row["d"], row["s"], row["b"], row["t"], row["u"]) == (2, D("-1.50"), "x", b"\xff", 1, 5)
    assert (row["day"], row["t1"], row["f"], row["c"]) == (
        datetime.date(2024, 1, 2),
        datetime.timedelta(hours=1, minutes=2, seconds=3.5),
        1.0,
        1,
    )
    assert row["cc"] == "a1"
