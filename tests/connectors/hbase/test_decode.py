"""The native core's reading beside Python's own writing: random rows, cut in all ways, and bytes that are changed."""

from __future__ import annotations

import contextlib
import itertools
import random
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.connectors.hbase.store import ENCODERS
from workbench.contract.errors import ProtocolError
from workbench.kit import thrift
from workbench_hbase.cells import cells as read_cells
from workbench_hbase.decode import Rows, Shape
from workbench_hbase.mapping import declared
from workbench_hbase.protobuf import flag, number, parse

_KINDS = {"a": "long", "b": "text", "é": "double", "flag": "boolean", "raw": "bytes", "when": "cell_time"}
_MAPPING = declared(
    {
        "key": [{"name": "one", "type": "text", "separator": "|"}, {"name": "two", "type": "sorted_int"}],
        "columns": {
            name: {"type": kind, "cell": "f:a" if kind == "cell_time" else f"f:{name}"} for name, kind in _KINDS.items()
        },
    }
)
_VALUES = {
    "a": st.integers(-(2**63), 2**63 - 1),
    "b": st.text(st.characters(exclude_categories=("Cs",)), max_size=9),
    "é": st.floats(allow_nan=False),
    "flag": st.booleans(),
    "raw": st.binary(max_size=20),
}
_ROWS = st.lists(
    st.tuples(
        st.text("xyz", max_size=2),
        st.integers(-(2**31), 2**31 - 1),
        st.fixed_dictionaries({}, optional=_VALUES),  # type: ignore[arg-type]
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[:2],
)
_Row = tuple[str, int, dict[str, Any], bool]


def shape() -> Shape:
    return Shape(_MAPPING.parts, _MAPPING.columns, pa.schema([column.arrow() for column in _MAPPING.columns]))


def written(row: _Row) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A row's key and cells; one that is not wanted is always among them."""
    one, two, values, _ = row
    cells = [(name.encode(), ENCODERS[_KINDS[name]](value)) for name, value in values.items()]
    return f"{one}|".encode() + ENCODERS["sorted_int"](two), sorted([*cells, (b"c", b"nobody asked")])


def cell(row: bytes, qualifier: bytes, value: bytes, time: int = 1_700_000_000_000) -> bytes:
    key = struct.pack(">H", len(row)) + row + b"\1f" + qualifier + struct.pack(">qB", time, 4)
    return struct.pack(">iii", len(key) + len(value) + 8, len(key), len(value)) + key + value


def replies(rows: list[_Row], cuts: list[int]) -> list[tuple[bytes, bytes]]:
    """The rows as replies to a scan, cut after so many cells, wherever that is."""
    flat = [(at, cell(key, *one)) for at, (key, some) in enumerate(map(written, rows)) for one in some]
    edges = sorted({0, len(flat), *(cut % (len(flat) + 1) for cut in cuts)})
    found = []
    for start, end in itertools.pairwise(edges):
        part = flat[start:end]
        counts = [sum(1 for one, _ in part if one == at) for at in dict.fromkeys(one for one, _ in part)]
        more = end < len(flat)
        partial = more and flat[end][0] == part[-1][0]
        message = b"".join(number(1, count) for count in counts) + number(2, 77) + flag(3, True)
        message += b"".join(flag(7, partial and index + 1 == len(counts)) for index in range(len(counts)))
        found.append((message + flag(8, more), b"".join(one for _, one in part)))
    return found


def through(parts: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    carry, carried = bytearray(), 0
    for message, block in parts:
        carry += block
        decoder = Rows(shape())
        told = decoder.cells(message, carry, carried)
        batch = decoder.batch({})
        batch.validate(full=True)
        assert batch.num_rows == told.rows
        rows += batch.to_pylist()
        carry, carried = bytearray(carry[told.used :]), told.carried
    assert not carried
    return rows


def expected(rows: list[_Row]) -> list[dict[str, Any]]:
    found = []
    for one, two, values, _ in rows:
        row = {"one": one, "two": two, **{name: values.get(name) for name in _KINDS}}
        row["when"] = None
        found.append(row)
    return found


def without_time(rows: list[dict[str, Any]], given_rows: list[_Row]) -> list[dict[str, Any]]:
    for row, (_, _, values, _) in zip(rows, given_rows, strict=True):
        assert (row["when"] is None) == ("a" not in values)
        row["when"] = None
    return rows


@settings(max_examples=150, deadline=None)
@given(_ROWS, st.lists(st.integers(0, 10**6), max_size=8))
def test_rows_come_as_they_were_written_wherever_replies_are_cut(rows: list[_Row], cuts: list[int]) -> None:
    assert without_time(through(replies(rows, cuts)), rows) == expected(rows)


@settings(max_examples=150, deadline=None)
@given(_ROWS, st.integers(0, 2**32))
def test_bytes_that_are_cut_or_changed_are_rows_or_a_typed_error(rows: list[_Row], seed: int) -> None:
    chance = random.Random(seed)
    ((message, block),) = replies(rows, [])
    with pytest.raises(ProtocolError):
        Rows(shape()).cells(message, bytearray(block[: chance.randrange(len(block))]), 0)
    for _ in range(10):
        changed, said = bytearray(block), bytearray(message)
        for _ in range(chance.randint(1, 3)):
            one = chance.choice((changed, said))
            one[chance.randrange(len(one))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        with contextlib.suppress(ProtocolError):
            decoder = Rows(shape())
            decoder.cells(bytes(said), changed, 0)
            decoder.batch({}).validate(full=True)
        with contextlib.suppress(ProtocolError):
            parse(bytes(said))
        with contextlib.suppress(ProtocolError):
            list(read_cells(bytes(changed)))


def gateway(rows: list[_Row]) -> bytes:
    """The list of rows of a reply, without what stands around it."""
    structs = []
    for key, some in map(written, rows):
        pairs = [(b"f:" + name, {1: (thrift.STRING, value), 2: (thrift.I64, 7)}) for name, value in some]
        structs.append({1: (thrift.STRING, key), 2: (thrift.MAP, (thrift.STRING, thrift.STRUCT, pairs))})
    whole = thrift.call("x", 1, {0: (thrift.LIST, (thrift.STRUCT, structs))})
    head = len(thrift.call("x", 1, {0: (thrift.LIST, (thrift.STRUCT, []))})) - 1
    return whole[head:-1]


@settings(max_examples=150, deadline=None)
@given(_ROWS, st.lists(st.integers(0, 10**6), max_size=4), st.integers(0, 2**32))
def test_rows_of_the_gateway_come_as_they_were_written(rows: list[_Row], cuts: list[int], seed: int) -> None:
    whole, decoder, at, done = bytearray(gateway(rows)), Rows(shape()), 0, 0
    for end in (*sorted(cut % len(whole) for cut in cuts), len(whole)):
        told = decoder.thrift(memoryview(whole)[at : max(at, end)], len(rows) - done)
        at, done = at + told.used, told.rows
    assert (at, done) == (len(whole), len(rows))
    assert without_time(decoder.batch({}).to_pylist(), rows) == expected(rows)
    chance = random.Random(seed)
    for _ in range(10):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(whole))] = chance.choice((0, 1, 11, 12, 13, 0x7F, 0x80, 0xFF))
        with contextlib.suppress(ProtocolError):
            decoder = Rows(shape())
            decoder.thrift(memoryview(changed), len(rows))
            decoder.batch({}).validate(full=True)


def test_cells_are_read_alike_by_python_and_the_core() -> None:
    rows: list[_Row] = [("x", 1, {"a": 5, "b": "é"}, True), ("y", -1, {"raw": b"\0\xff"}, True)]
    ((_, block),) = replies(rows, [])
    found = [(one.row, one.family, one.qualifier, one.value) for one in read_cells(block)]
    assert found == [(key, b"f", name, value) for key, some in map(written, rows) for name, value in some]


def test_values_of_another_width_are_null_and_counted() -> None:
    key = b"x|" + ENCODERS["sorted_int"](1)
    block = cell(key, b"a", b"short") + cell(key, b"b", b"\xff")
    decoder, lost = Rows(shape()), {}
    decoder.cells(number(1, 2) + flag(3, True) + flag(8, False), bytearray(block), 0)
    row = decoder.batch(lost).to_pylist()[0]
    assert (row["a"], row["b"], lost) == (None, None, {"a": 1, "b": 1})
