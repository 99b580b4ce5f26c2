"""Lines of JSON, made a column at a time, against the same made a value at a time."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from workbench.query.jsonlines import lines

NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 5)
BERLIN = dt.timezone(dt.timedelta(hours=1))


def written(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    text = lines(batch).to_pybytes().decode()
    assert text.count("\n") == batch.num_rows
    assert text.endswith("\n") or not batch.num_rows
    return [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in text.split("\n")[:-1]]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.bool_(), [True, False], [True, False]),
        (pa.int8(), [-128, 127], [-128, 127]),
        (pa.uint64(), [2**64 - 1], [2**64 - 1]),
        (pa.float64(), [1.0, 1e300, 0.1, math.inf, -math.inf], [1.0, 1e300, 0.1, "inf", "-inf"]),
        (pa.float32(), [0.5, math.nan], [0.5, "nan"]),
        (pa.float16(), [0.5], [0.5]),
        (pa.string(), ["", "ünï 🦆", 'a"b\\c', "\0\x1f\n\\n", "\u2028null"], None),
        (pa.large_string(), ["x"], None),
        (pa.string_view(), ['"'], None),
        (pa.dictionary(pa.int8(), pa.string()), ["a", 'b"', "a"], None),
        (pa.run_end_encoded(pa.int32(), pa.int64()), [1, 1], None),
        (pa.binary(), [b"\0\xff"], [base64.b64encode(b"\0\xff").decode()]),
        (pa.decimal128(38, 10), [decimal.Decimal("-1.50")], ["-1.5000000000"]),
        (pa.date32(), [dt.date(2024, 2, 29)], ["2024-02-29"]),
        (pa.date64(), [dt.date(2024, 2, 29)], ["2024-02-29"]),
        (pa.time64("us"), [dt.time(1, 2, 3), dt.time(1, 2, 3, 4)], ["01:02:03", "01:02:03.000004"]),
        (pa.timestamp("us"), [NOON], ["2024-02-29T12:00:00.000005"]),
        (pa.timestamp("us"), [dt.datetime(1, 1, 1)], ["0001-01-01T00:00:00"]),
        (pa.timestamp("us", "UTC"), [NOON.replace(tzinfo=dt.UTC)], ["2024-02-29T12:00:00.000005+00:00"]),
        (pa.timestamp("us", "+01:00"), [NOON.replace(tzinfo=BERLIN)], ["2024-02-29T12:00:00.000005+01:00"]),
        (pa.null(), [], []),
        (pa.list_(pa.int64()), [[1, None], []], None),
        (pa.struct([("a", pa.string()), ("d", pa.date32())]), [{"a": '"', "d": dt.date(2024, 1, 1)}],
         [{"a": '"', "d": "2024-01-01"}]),
    ],
    ids=str,
)  # fmt: skip
def test_each_type_its_nulls_and_slices(kind: pa.DataType, values: list[Any], expected: list[Any] | None) -> None:
    name = 'the "name"\n'
    whole = [*(values if expected is None else expected), None]
    batch = pa.record_batch([pa.array([*values, None], kind)], names=[name])
    assert written(batch) == [{name: value} for value in whole]
    assert written(batch.slice(1)) == [{name: value} for value in whole[1:]]
    assert written(batch.slice(0, 0)) == []


def test_a_number_is_read_as_what_it_is() -> None:
    (line,) = written(pa.record_batch({"f": [-0.0], "i": [0]}))
    assert math.copysign(1, line["f"]) == -1
    assert isinstance(line["i"], int)


def test_rows_without_columns() -> None:
    assert written(pa.record_batch({"a": [1, 2]}).select([])) == [{}, {}]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "s": st.none() | st.text(),
            "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "l": st.none() | st.lists(st.text(max_size=3), max_size=3),
        }
    ),
    max_size=8,
)


@given(ROWS, st.integers(0, 8))
@settings(suppress_health_check=[HealthCheck.too_slow])  # pyarrow loads what it needs with the first array
def test_what_is_written_is_read_again(rows: list[dict[str, Any]], start: int) -> None:
    kinds = pa.schema([("s", pa.string()), ("f", pa.float64()), ("i", pa.int64()), ("l", pa.list_(pa.string()))])
    assert written(pa.RecordBatch.from_pylist(rows, kinds).slice(start)) == rows[start:]
