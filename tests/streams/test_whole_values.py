"""What goes into a sink's columns and into a state's keys is what it was, or is refused by name."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from workbench.streams.encoding import canonical
from workbench.streams.tuples import tuple_class
from workbench.streams.writing import _columns, _misfit
from workbench_files.sink import _stem

AT = datetime(2026, 1, 1, 23, 30, 0, 5, tzinfo=UTC)
CUT = [
    (1.5, pa.int64()),
    (np.float32(1.5), pa.int64()),
    ([1, 1.5], pa.list_(pa.int64())),
    ({"a": [1.5]}, pa.struct([("a", pa.list_(pa.int64()))])),
    ([("a", 1.5)], pa.map_(pa.string(), pa.int64())),
    ([None, AT], pa.list_(pa.timestamp("ms"))),
    (1e300, pa.float32()),
    (AT, pa.timestamp("ms")),
    (AT.replace(microsecond=5_000), pa.timestamp("s")),
    (AT, pa.date32()),
    (AT.replace(tzinfo=None), pa.date32()),
    (timedelta(microseconds=5), pa.duration("ms")),
    (time(1, 2, 3, 5), pa.time32("s")),
]
WHOLE = [
    (2.0, pa.int64()),
    (np.float32(2.0), pa.int64()),
    ([1, None, 2.0], pa.list_(pa.int64())),
    ({"a": [2.0], "b": "x"}, pa.struct([("a", pa.list_(pa.int64())), ("b", pa.string())])),
    ([("a", 1)], pa.map_(pa.string(), pa.int64())),
    (7, pa.float64()),
    (0.1, pa.float32()),
    (float("inf"), pa.float32()),
    (AT, pa.timestamp("us", "UTC")),
    (AT.replace(microsecond=5_000), pa.timestamp("ms", "UTC")),
    (date(2026, 1, 1), pa.date32()),
    (datetime(2026, 1, 1), pa.date32()),
    (timedelta(milliseconds=5), pa.duration("ms")),
    (Decimal("1.23"), pa.decimal128(10, 2)),
    (None, pa.int64()),
]


@pytest.mark.parametrize(("value", "kind"), CUT, ids=[f"{value!r} as {kind}" for value, kind in CUT])
def test_a_value_that_would_be_cut_off_is_refused_by_name(value: Any, kind: pa.DataType) -> None:
    schema = pa.schema([("x", kind)])
    with pytest.raises(ValueError, match="unless something is cut off it"):
        _columns([(None,), (value,)], schema)
    assert _misfit((value,), schema).startswith(f"`x`: {value!r} is no value of type {kind}")


@pytest.mark.parametrize(("value", "kind"), WHOLE, ids=[f"{value!r} as {kind}" for value, kind in WHOLE])
def test_a_value_that_fits_is_taken(value: Any, kind: pa.DataType) -> None:
    schema = pa.schema([("x", kind)])
    assert _columns([(value,)], schema).num_rows == 1
    assert _misfit((value,), schema) == ""


BERLIN = timezone(timedelta(hours=1))
ROW = tuple_class("views", "default", ("page", "n"))
ALIKE = [
    (Decimal("1.50"), Decimal("1.5")),
    (Decimal("1.50"), 1.5),
    (Decimal("100"), 100),
    (Decimal("1E+2"), 100.0),
    (Decimal("0"), Decimal("-0")),
    (Decimal("0.10"), Decimal("0.1")),
    (np.int64(7), 7),
    (np.float64(2.0), 2),
    (datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=BERLIN)),
    (datetime(2026, 1, 1), datetime(2026, 1, 1, fold=1)),
    (ROW(("/", 1)), ("/", True)),
    (frozenset({1, "a", "b"}), frozenset({"b", 1.0, "a"})),
    ((1, (2.0,)), (Decimal(1), (Decimal("2.00"),))),
]
OTHERS = [
    (Decimal("0.1"), 0.1),
    (Decimal("1." + "0" * 40 + "1"), Decimal("1." + "0" * 40 + "2")),
    (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),
    (frozenset({"a"}), ("a",)),
    ("1", 1),
]


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=[f"{one!r} {other!r}" for one, other in ALIKE])
def test_what_is_one_key_of_a_dict_is_one_in_a_snapshot(one: Any, other: Any) -> None:
    assert len({one: 1, other: 2}) == 1
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), OTHERS, ids=[f"{one!r} {other!r}" for one, other in OTHERS])
def test_what_are_two_keys_of_a_dict_are_two_in_a_snapshot(one: Any, other: Any) -> None:
    assert len({one: 1, other: 2}) == 2
    assert canonical(one) != canonical(other)


def test_parts_of_two_streams_never_have_one_name() -> None:
    assert _stem("counting-save-1") == "counting-save-1"
    assert len({_stem("save-1"), _stem("save_1"), _stem("save 1"), _stem("save.1")}) == 4
