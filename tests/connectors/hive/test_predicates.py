"""What predicates become in HiveQL, and that no constant and no name gets out of its quotes."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from workbench.contract import Applied, Column, Compare, In, IsNull, Literal, Not, Predicate
from workbench.contract.errors import Unsupported
from workbench_hive.predicates import fragment, quoted, text_literal
from workbench_hive.types import HiveType

COLUMNS = {
    name: HiveType.of_name(name.replace("_", "(").replace("x", ",") + (")" if "_" in name else ""))
    for name in (
        "boolean",
        "tinyint",
        "int",
        "bigint",
        "double",
        "string",
        "date",
        "timestamp",
        "decimal_9x4",
        "binary",
    )
}
A = Column(("string",))


@given(st.text())
def test_a_text_constant_holds_only_plain_letters_and_escapes(value: str) -> None:
    try:
        value.encode("utf-16-be", "surrogatepass")
    except UnicodeEncodeError:
        return
    written = text_literal(value)
    assert re.fullmatch(r"'(?:[A-Za-z0-9 _.,:/+*()=<>-]|\\u[0-9a-f]{4})*'", written)
    units = re.findall(r"\\u([0-9a-f]{4})|(.)", written[1:-1])
    read = b"".join(int(code, 16).to_bytes(2, "big") if code else letter.encode("utf-16-be") for code, letter in units)
    assert read.decode("utf-16-be", "surrogatepass") == value


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_a_name_stays_in_its_quotes(name: str) -> None:
    try:
        written = quoted(name)
    except Unsupported:
        assert "${" in name or "\0" in name
        return
    assert re.fullmatch(r"`(?:[^`]|``)*`", written, re.DOTALL)
    assert "${" not in written
    assert written[1:-1].replace("``", "`") == name


def test_what_the_server_would_replace_is_in_no_statement() -> None:
    found = fragment(Compare(A, "=", Literal("${env:HOME}", pa.string())), COLUMNS)
    assert found.applied == Applied.EXACT
    assert "${" not in found.text
    with pytest.raises(Unsupported, match="replaces"):
        quoted("${system:user.name}")


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (Compare(Column(("int",)), "<", Literal(-5, pa.int32())), "(`int` < -5)"),
        (Compare(Column(("int",)), "=", Literal(-(2**31), pa.int32())), "(`int` = cast('-2147483648' as int))"),
        (Compare(Column(("bigint",)), ">=", Literal(2**63 - 1, pa.int64())), "(`bigint` >= 9223372036854775807L)"),
        (
            Compare(Column(("bigint",)), "=", Literal(-(2**63), pa.int64())),
            "(`bigint` = cast('-9223372036854775808' as bigint))",
        ),
        (Compare(Column(("boolean",)), "=", Literal(True, pa.bool_())), "(`boolean` = true)"),
        (Compare(A, "<>", Literal("it's", pa.string())), "(`string` <> 'it\\u0027s')"),
        (Compare(A, "=", Literal("é", pa.string())), "(`string` = '\\u00e9')"),
        (Compare(A, ">", Literal("z", pa.string())), "(`string` > 'z')"),
        (In(A, (Literal("a", pa.string()), Literal("b", pa.string()))), "(`string` in ('a', 'b'))"),
        (Not(IsNull(A)), "(not (`string` is null))"),
        (
            Compare(Column(("date",)), ">", Literal(dt.date(2024, 2, 29), pa.date32())),
            "(`date` > date '2024-02-29')",
        ),
        (
            Compare(Column(("decimal_9x4",)), "=", Literal(Decimal("1.5000"), pa.decimal128(9, 4))),
            "(`decimal_9x4` = cast('1.5000' as decimal(9,4)))",
        ),
        (
            Compare(Column(("timestamp",)), "=", Literal(dt.datetime(2024, 1, 1), pa.timestamp("us"))),
            "(`timestamp` >= cast('2024-01-01 00:00:00.000000' as timestamp) and "
            "`timestamp` < cast('2024-01-01 00:00:00.000001' as timestamp))",
        ),
    ],
)
def test_predicates_as_the_server_is_asked(predicate: Predicate, text: str) -> None:
    found = fragment(predicate, COLUMNS)
    assert (found.text, found.applied) == (text, Applied.EXACT)


@pytest.mark.parametrize(
    "predicate",
    [
        Compare(Column(("boolean",)), "<", Literal(True, pa.bool_())),
        Compare(Column(("double",)), "<>", Literal(1.0, pa.float64())),
        Compare(Column(("double",)), ">", Literal(float("nan"), pa.float64())),
        Compare(Column(("binary",)), "=", Literal(b"x", pa.binary())),
        Compare(A, "=", Literal("\ufffd", pa.string())),
        Compare(A, "<", Literal("é", pa.string())),  # bytes that are no UTF-8 are before it there, and after it here
        Not(Compare(A, ">=", Literal("zé", pa.string()))),
        Compare(A, "=", Literal(1, pa.int64())),
        Compare(Column(("tinyint",)), "=", Literal(200, pa.int64())),
        Compare(Column(("string", "inner")), "=", Literal("x", pa.string())),
        Compare(Column(("timestamp",)), "<=", Literal(dt.datetime.max, pa.timestamp("us"))),
        In(A, tuple(Literal(str(number), pa.string()) for number in range(3000))),
    ],
)
def test_what_is_not_known_to_mean_the_same_is_done_here(predicate: Predicate) -> None:
    found = fragment(predicate, COLUMNS)
    assert (found.text, found.applied) == ("", Applied.NONE)
    assert found.reason


def test_floating_point_keeps_too_many_rather_than_too_few() -> None:
    column = Column(("double",))
    above = fragment(Compare(column, ">", Literal(1.5, pa.float64())), COLUMNS)
    assert above.applied == Applied.SUPERSET
    assert "'NaN'" in above.text
    zero = fragment(Compare(column, "=", Literal(0.0, pa.float64())), COLUMNS)
    assert zero.text == "(`double` = cast('0.0' as double) or abs(`double`) = cast('0.0' as double))"
    assert fragment(Not(Compare(column, ">", Literal(1.5, pa.float64()))), COLUMNS).applied == Applied.NONE
