"""Ranges of a partition column: disjoint and complete for any values, also for those that were not known."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from workbench.contract import Column, Compare, IsNull, Literal
from workbench_hive.predicates import NULL_PARTITION
from workbench_hive.splits import conditions, kept, parsed
from workbench_hive.types import HiveType

_LITERAL = r"'((?:[^'\\]|\\u[0-9a-f]{4})*)'"


def test_names_of_partitions_are_values_by_column() -> None:
    assert parsed("day=2024-01-01/place=a%2Fb%3D%25/x=") == {"day": "2024-01-01", "place": "a/b=%", "x": ""}
    assert parsed(f"a={NULL_PARTITION}/b=%C3%A9") == {"a": NULL_PARTITION, "b": "é"}


def holds(condition: str, value: Any, kind: str) -> bool:
    """Whether a row with this value of `p` fits the condition, by a reader of such texts alone."""

    def compared(hit: re.Match[str]) -> str:
        text = hit[2].encode("ascii").decode("unicode_escape") if kind == "string" else hit[2]
        other = text.encode("utf-16", "surrogatepass").decode("utf-16") if kind == "string" else int(text.rstrip("L"))
        return str(value is not None and {"<": value < other, ">=": value >= other}[hit[1]])

    constant = _LITERAL if kind == "string" else r"(?:cast\()?'?(-?\d+L?)'?(?: as \w+\))?"
    text = re.sub(rf"`p` (<|>=) {constant}", compared, condition)
    return bool(eval(text.replace("`p` is null", str(value is None))))


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
_WHOLE = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(("kind", "values"), [("string", _TEXT), ("bigint", _WHOLE)])
def test_each_value_is_in_just_one_range(kind: str, values: st.SearchStrategy[Any]) -> None:
    @given(st.lists(values, max_size=30), st.lists(values, max_size=10), st.integers(2, 9))
    def check(known: list[Any], later: list[Any], parts: int) -> None:
        rows = [{"p": str(value)} for value in known] + [{"p": NULL_PARTITION}]
        found = conditions(rows, {"p": HiveType.of_name(kind)}, parts)
        assert len(found) != 1
        assert len(found) <= parts
        for value in (*known, *later, None) if found else ():
            assert sum(holds(one, value, kind) for one in found) == 1, (value, found)

    check()


def test_the_column_with_the_most_values_is_cut() -> None:
    rows = [{"year": "2024", "day": f"{day:02d}"} for day in range(1, 29)]
    found = conditions(rows, {"year": HiveType.of_name("int"), "day": HiveType.of_name("string")}, 4)
    assert len(found) == 4
    assert all("`day`" in one for one in found)


@pytest.mark.parametrize("kind", ["double", "boolean", "timestamp", "char(3)"])
def test_other_types_are_not_cut(kind: str) -> None:
    assert conditions([{"p": "1"}, {"p": "2"}], {"p": HiveType.of_name(kind)}, 4) == []


def test_parts_have_about_as_many_partitions() -> None:
    rows = [{"p": str(number % 10), "q": str(number)} for number in range(1000)]
    found = conditions(rows, {"p": HiveType.of_name("int")}, 5)
    counts = [sum(holds(one, number % 10, "int") for number in range(1000)) for one in found]
    assert counts == [200] * 5


def test_partitions_that_cannot_have_rows_make_no_cuts() -> None:
    types = {"day": HiveType.of_name("date"), "n": HiveType.of_name("int"), "odd": HiveType.of_name("double")}
    rows = [{"day": f"2024-01-{day:02d}", "n": str(day), "odd": "1.5"} for day in range(1, 31)]
    rows += [{"day": NULL_PARTITION, "n": "x", "odd": "2"}]
    above = Compare(Column(("n",)), ">", Literal(27, pa.int32()))
    assert [row["n"] for row in kept(rows, types, (above,))] == ["28", "29", "30"]
    assert [row["n"] for row in kept(rows, types, (IsNull(Column(("n",))),))] == ["x"]
    elsewhere = Compare(Column(("v",)), "=", Literal(1, pa.int64()))
    assert kept(rows, types, (elsewhere,)) == rows
