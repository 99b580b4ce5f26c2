"""The decoder beside values that are known, on random columns, and on bytes that are cut or changed."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import random
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.connectors.hive.replies import column, fetched
from workbench.contract.errors import DataError, ProtocolError, SnapshotChanged, Unsupported
from workbench_hive.decode import Refused, Rows
from workbench_hive.types import HiveType

_EPOCH = dt.datetime(1970, 1, 1)
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
_DECIMAL = st.decimals(-(10**34) + 1, 10**34 - 1, places=4, allow_nan=False)


def bits(value: float) -> float | str:
    return "nan" if math.isnan(value) else value


def single(value: float) -> float:
    with contextlib.suppress(OverflowError):
        return float(struct.unpack("f", struct.pack("f", value))[0])
    return math.copysign(math.inf, value)


def moment(value: dt.datetime) -> bytes:
    text = value.isoformat(sep=" ")
    return text.encode()


_KINDS: dict[str, tuple[str, st.SearchStrategy[Any], Any, Any]] = {
    # type: union's field, values, how the server writes one, how it is delivered
    "boolean": ("bool", st.booleans(), bool, bool),
    "tinyint": ("byte", st.integers(-128, 127), int, int),
    "smallint": ("i16", st.integers(-(2**15), 2**15 - 1), int, int),
    "int": ("i32", st.integers(-(2**31), 2**31 - 1), int, int),
    "bigint": ("i64", st.integers(-(2**63), 2**63 - 1), int, int),
    "float": ("double", st.floats(width=32), float, lambda value: bits(single(value))),
    "double": ("double", st.floats(), float, bits),
    "string": ("string", _TEXT, str.encode, str),
    "varchar(40)": ("string", _TEXT, str.encode, str),
    "char(40)": ("string", _TEXT, lambda value: value.encode() + b"  ", lambda value: value.rstrip(" ")),
    "binary": ("binary", st.binary(max_size=40), bytes, bytes),
    "decimal(38,4)": ("string", _DECIMAL, lambda value: format(value, "f").encode(), Decimal),
    "date": ("string", st.dates(), lambda value: value.isoformat().encode(), lambda value: value),
    "timestamp": ("string", st.datetimes(), moment, lambda value: value),
    "array<int>": ("string", _TEXT, str.encode, str),
}


@st.composite
def results(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    kinds = draw(st.lists(st.sampled_from(sorted(_KINDS)), min_size=1, max_size=4))
    rows = draw(st.integers(0, 20))
    values = [draw(st.lists(st.none() | _KINDS[kind][1], min_size=rows, max_size=rows)) for kind in kinds]
    return kinds, values


def decoder(kinds: Sequence[str]) -> Rows:
    types = [HiveType.of_name(kind) for kind in kinds]
    return Rows(types, pa.schema([kind.field(f"c{number}") for number, kind in enumerate(types)]), "t")


def written(kinds: Sequence[str], values: Sequence[Sequence[Any]]) -> bytearray:
    columns = []
    for kind, column_ in zip(kinds, values, strict=True):
        field, _, write, _ = _KINDS[kind]
        columns.append(column(field, [None if value is None else write(value) for value in column_]))
    return bytearray(fetched(columns))


@settings(max_examples=400, deadline=None)
@given(results())
def test_what_was_written_is_delivered(result: tuple[list[str], list[list[Any]]]) -> None:
    kinds, values = result
    found = decoder(kinds).reply(written(kinds, values), 1)
    found.batch.validate(full=True)
    for kind, wanted, got in zip(kinds, values, found.batch.columns, strict=True):
        deliver = _KINDS[kind][3]
        given_ = [None if value is None else deliver(value) for value in wanted]
        delivered = got.to_pylist()
        if kind in ("float", "double"):
            delivered = [None if value is None else bits(value) for value in delivered]
        assert delivered == given_, kind
        assert got.null_count == sum(value is None for value in wanted)


@settings(max_examples=200, deadline=None)
@given(results(), st.integers(0, 2**32))
def test_bytes_that_are_cut_or_changed_are_rows_or_a_typed_error(
    result: tuple[list[str], list[list[Any]]], seed: int
) -> None:
    kinds, values = result
    raw, chance, rows = written(kinds, values), random.Random(seed), decoder(kinds)
    with pytest.raises(ProtocolError):
        rows.reply(raw[: chance.randrange(len(raw))], 1)
    for _ in range(20):
        changed = bytearray(raw)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(raw))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        with contextlib.suppress(ProtocolError, DataError, SnapshotChanged, Unsupported, Refused):
            rows.reply(changed, 1).batch.validate(full=True)


def test_a_bitmap_may_end_early_or_go_on() -> None:
    for nulls, wanted in ((b"", [1, 2, 3]), (b"\x02", [1, None, 3]), (b"\xf8\xff\xff", [1, 2, 3])):
        raw = bytearray(fetched([column("i32", [1, 2, 3], nulls)]))
        assert decoder(["int"]).reply(raw, 1).batch.column(0).to_pylist() == wanted


def test_an_empty_batch_says_whether_it_is_the_end() -> None:
    for more in (True, False):
        found = decoder(["int", "string"]).reply(
            bytearray(fetched([column("i32", []), column("string", [])], more=more)), 1
        )
        assert (found.batch.num_rows, found.more) == (0, more)


def test_digits_below_a_microsecond_are_cut_also_before_the_epoch() -> None:
    raw = bytearray(fetched([column("string", [b"1969-12-31 23:59:59.999999999", b"1970-01-01 00:00:00.000000999"])]))
    assert decoder(["timestamp"]).reply(raw, 1).batch.column(0).to_pylist() == [
        _EPOCH - dt.timedelta.resolution,
        _EPOCH,
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("date", b"0000-00-00"),
        ("timestamp", b"yesterday"),
        ("decimal(4,2)", b"123.45"),
        ("string", b"\xff"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_an_error_that_shows_it(kind: str, value: bytes) -> None:
    raw = bytearray(fetched([column("string", [None, value])]))
    with pytest.raises(DataError) as caught:
        decoder([kind]).reply(raw, 1)
    assert (caught.value.column, caught.value.row) == ("c0", 1)
    assert value.decode("utf-8", "backslashreplace") in caught.value.value


def test_a_column_of_another_type_is_a_table_that_has_changed() -> None:
    with pytest.raises(SnapshotChanged):
        decoder(["int"]).reply(bytearray(fetched([column("i64", [1])])), 1)


def test_what_is_no_success_is_left_to_who_reads_statuses() -> None:
    with pytest.raises(Refused):
        decoder(["int"]).reply(bytearray(fetched([], code=3)), 1)


def test_rows_that_tasks_have_packed_are_said_not_to_be_there() -> None:
    from workbench.kit import thrift

    raw = bytearray(
        thrift.call(
            "FetchResults",
            1,
            {
                0: (
                    thrift.STRUCT,
                    {
                        1: (thrift.STRUCT, {1: (thrift.I32, 0)}),
                        3: (thrift.STRUCT, {1: (thrift.I64, 0), 4: (thrift.STRING, b"packed")}),
                    },
                )
            },
        )
    )
    raw[3] = 2
    with pytest.raises(Unsupported, match=r"serialize\.in\.tasks"):
        decoder(["int"]).reply(raw, 1)


def test_a_claim_of_two_billion_rows_costs_nothing() -> None:
    raw = bytearray(fetched([column("i64", [1, 2, 3])]))
    at = raw.index(struct.pack(">bi", 10, 3)) + 1
    raw[at : at + 4] = struct.pack(">i", 2**31 - 1)
    with pytest.raises(ProtocolError):
        decoder(["bigint"]).reply(raw, 1)


def test_the_arrays_outlive_the_reply_and_the_decoder() -> None:
    raw = written(["string", "bigint"], [["a", None, "long enough to be on its own"], [1, 2, None]])
    batch = decoder(["string", "bigint"]).reply(raw, 1).batch
    raw[:] = b"\xff" * len(raw)
    assert batch.to_pydict() == {"c0": ["a", None, "long enough to be on its own"], "c1": [1, 2, None]}
