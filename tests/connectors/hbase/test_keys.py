"""Row keys as ranges, beside what the rows themselves say: no wanted row may lie outside of them."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import operator
import struct
from collections.abc import Callable, Mapping as Dictionary
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.connectors.hbase.store import ENCODERS
from workbench.contract import And, Applied, Column, Compare, In, IsNull, Literal, Or, Predicate
from workbench_hbase.encoding import KINDS, Cannot, arrow, points, ranges, successor
from workbench_hbase.keys import narrowed
from workbench_hbase.mapping import declared
from workbench_hbase.splits import halves, occupied_parts

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_COMPARE: Dictionary[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TEXT = st.text("ab!|~\x7f", max_size=3)
_TIMES = st.integers(0, 5).map(lambda step: _EPOCH + dt.timedelta(milliseconds=step))
_NUMBERS = st.sampled_from([-(2**63), -2, -1, 0, 1, 2, 2**63 - 1])
_VALUES: Dictionary[str, st.SearchStrategy[Any]] = {
    "text": _TEXT, "bytes": st.binary(max_size=2), "long": _NUMBERS, "sorted_long": _NUMBERS, "time": _TIMES,
    "reversed_time": _TIMES, "short": st.integers(-2, 2),
}  # fmt: skip
_PARTS = st.lists(
    st.sampled_from(["long", "sorted_long", "reversed_time", "short", "text|", "text2", "text"]), max_size=2
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[bytes, dict[str, Any]]], list[Predicate]]:
    """A mapping's key, rows with their values, and predicates on them."""
    kinds = [*draw(_PARTS), draw(st.sampled_from(["text", "bytes", "sorted_long"]))]
    salted = draw(st.booleans())
    key: list[dict[str, Any]] = [{"name": "salt", "salts": ["0", "1", "2"]}] if salted else []
    for index, kind in enumerate(kinds):
        part: dict[str, Any] = {"name": f"k{index}", "type": kind.rstrip("|2")}
        if index + 1 < len(kinds) and kind == "text":
            kind = "text|"
        if index + 1 < len(kinds) and kind == "text|":
            part["separator"] = "|"
        elif kind == "text2":
            part["width"] = 2
        key.append(part)
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        row, values = b"", {}
        for part in key:
            if "salts" in part:
                row += draw(st.sampled_from([b"0", b"1", b"2"]))
                continue
            value = draw(_VALUES[part["type"]])
            if part.get("separator"):
                value = value.replace("|", "")
            if "width" in part:
                value = (value + "aa")[:2]
            values[part["name"]] = value
            row += ENCODERS[part["type"]](value) + part.get("separator", "").encode()
        rows.append((row, values))
    predicates = draw(st.lists(st.sampled_from(key[salted:]).flatmap(lambda part: _predicates(part)), max_size=3))
    return {"key": key}, rows, predicates


def _predicates(part: dict[str, Any]) -> st.SearchStrategy[Predicate]:
    column, kind = Column((part["name"],)), part["type"]
    literal = _VALUES[kind].map(lambda value: Literal(value, arrow(kind)))
    leaf = st.one_of(
        st.builds(Compare, st.just(column), st.sampled_from(list(_COMPARE)), literal),
        st.lists(literal, min_size=1, max_size=3).map(lambda some: In(column, tuple(some))),
        st.just(IsNull(column, negated=True)),
    )
    return st.one_of(leaf, st.lists(leaf, min_size=2, max_size=2).map(lambda both: And(tuple(both))),
                     st.lists(leaf, min_size=2, max_size=2).map(lambda both: Or(tuple(both))))  # fmt: skip


def holds(predicate: Predicate, values: dict[str, Any]) -> bool:
    match predicate:
        case Compare(column=column, op=op, literal=literal):
            return _COMPARE[op](values[column.name], literal.value)
        case In(column=column, literals=literals):
            return any(values[column.name] == literal.value for literal in literals)
        case And(operands=operands):
            return all(holds(one, values) for one in operands)
        case Or(operands=operands):
            return any(holds(one, values) for one in operands)
    return True


@settings(max_examples=300, deadline=None)
@given(questions())
def test_no_wanted_row_is_outside_and_what_is_exact_is_just_that(
    asked: tuple[dict[str, Any], list[tuple[bytes, dict[str, Any]]], list[Predicate]],
) -> None:
    said, rows, predicates = asked
    found = narrowed(predicates, declared(said))
    assert list(found.ranges) == sorted(found.ranges, key=lambda one: one[0])
    for (_, stop), (start, _) in itertools.pairwise(found.ranges):
        assert stop is not None
        assert stop <= start
    exact = [predicate for predicate in predicates if found.applied.get(predicate) == Applied.EXACT]
    for row, values in rows:
        inside = any(low <= row and (high is None or row < high) for low, high in found.ranges)
        if all(holds(predicate, values) for predicate in predicates):
            assert inside, (row, found)
        if inside:
            assert all(holds(predicate, values) for predicate in exact), (row, found)


def test_a_point_in_a_salted_key_is_a_row_range_for_each_salt() -> None:
    mapping = declared({"key": [{"name": "s", "buckets": 3}, {"name": "id", "type": "sorted_long"}]})
    assert [column.name for column in mapping.columns] == ["id"]
    seven = Compare(Column(("id",)), "=", Literal(7, arrow("long")))
    found = narrowed([seven], mapping)
    key = ENCODERS["sorted_long"](7)
    assert [low for low, _ in found.ranges] == [bytes((salt,)) + key for salt in range(3)]
    assert all(high == successor(low) for low, high in found.ranges)
    assert found.applied == {seven: Applied.EXACT}
    assert narrowed([], mapping).ranges == ((b"", None),)


def test_what_cannot_be_has_no_rows() -> None:
    column = Column(("row_key",))
    both = [Compare(column, "=", Literal(text, arrow("text"))) for text in ("a", "b")]
    assert narrowed(both, declared({})).ranges == ()


_FLOATS = [-math.inf, -2.5, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, 2.5, math.inf, math.nan]


@pytest.mark.parametrize("kind", ["double", "float"])
@pytest.mark.parametrize("op", ["<", "<=", ">", ">="])
def test_ranges_of_floating_point_hold_all_that_compares_so(kind: str, op: str) -> None:
    form = ">d" if kind == "double" else ">f"
    forms = [struct.pack(form, value) for value in _FLOATS]
    forms += [struct.pack(form, math.nan)[:1].replace(b"\x7f", b"\xff") + struct.pack(form, math.nan)[1:]]
    for bound in _FLOATS:
        if math.isnan(bound):
            with pytest.raises(Cannot):
                ranges(kind, op, bound)
            continue
        bound = struct.unpack(form, struct.pack(form, bound))[0]
        found = ranges(kind, op, bound)
        for raw in forms:
            (value,) = struct.unpack(form, raw)
            # NaN is greater than everything.
            wanted = op in (">", ">=") if math.isnan(value) else _COMPARE[op](value, bound)
            inside = any(low <= raw and (high is None or raw < high) for low, high in found)
            assert inside or not wanted, (value, op, bound)


def test_equal_is_equal_in_bytes_but_for_zero_and_nan() -> None:
    assert len(points("double", 0.0)) == len(points("float", -0.0)) == 2
    assert points("double", 1.5) == [struct.pack(">d", 1.5)]
    with pytest.raises(Cannot):
        points("double", math.nan)
    for kind in ("long", "short", "sorted_int", "text", "time"):
        with pytest.raises(Cannot):
            points(kind, 1.5)
    with pytest.raises(Cannot):
        points("short", 2**15)
    assert KINDS["time"].width == 8


def test_the_successor_of_a_prefix_is_after_all_that_begin_so() -> None:
    assert (successor(b"ab"), successor(b"a\xff\xff"), successor(b"\xff"), successor(b"")) == (b"ac", b"b", None, None)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=4), min_size=1, max_size=60, unique=True), st.integers(1, 20))
def test_parts_are_disjoint_and_complete_and_have_rows(keys: list[bytes], parts: int) -> None:
    keys = sorted(keys)

    def ends(low: bytes, high: bytes | None) -> tuple[bytes, bytes] | None:
        inside = [key for key in keys if low <= key and (high is None or key < high)]
        return (inside[0], inside[-1]) if inside else None

    found = occupied_parts((b"", None), parts, ends)
    assert (found[0][0], found[-1][1]) == (b"", None)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(found))
    assert all(any(low <= key and (high is None or key < high) for key in keys) for low, high in found)
    if parts > 1 and halves(keys[0], keys[-1], 2):  # neighbours have nothing between them
        assert len(found) > 1


def test_halves_lie_between() -> None:
    assert halves(b"\0", b"\x80", 2) == [b"\x40"]
    assert halves(b"user1", b"user9", 3) == [
        b"user3\xaa\xaa\xaa\xaa\xaa\xaa\xaa"[:13],
        b"user6\x55\x55\x55\x55\x55\x55\x55"[:13],
    ]
    assert halves(b"a", b"a", 4) == []
