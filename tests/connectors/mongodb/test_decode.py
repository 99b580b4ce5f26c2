"""The decoder beside the driver's own, on random documents, and on bytes that are cut or changed."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import json_util
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import ProtocolError
from workbench_mongodb.decode import Documents
from workbench_mongodb.types import Shape, columns

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_NAMES = st.sampled_from(["a", "b", "c", "é", "long name"])
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(bson.Int64),
    st.floats(allow_nan=False),
    _TEXT,
    st.binary(max_size=9),
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(9999, 12, 31)).map(
        lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20).map(
        bson.Decimal128
    ),
    st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(bson.Regex, st.text("ab.*", max_size=4), st.just("i")),
    st.sampled_from([bson.MinKey(), bson.MaxKey()]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=3)),
    max_leaves=8,
)
_DOCUMENTS = st.lists(st.dictionaries(_NAMES, _VALUES, max_size=5), min_size=1, max_size=6)


def reply(documents: list[dict[str, Any]], cursor: int = 0) -> bytes:
    return bson.encode({"cursor": {"firstBatch": documents, "id": bson.Int64(cursor), "ns": "d.c"}, "ok": 1.0})


def decoded(shapes: tuple[Shape, ...], raw: bytes) -> tuple[pa.RecordBatch, Documents]:
    decoder = Documents(shapes, pa.schema([shape.field() for shape in shapes]))
    batch, _ = decoder.reply(raw)
    assert isinstance(batch, pa.RecordBatch)
    batch.validate(full=True)
    return batch, decoder


def expected(shape: Shape, value: Any) -> Any:
    """What the column should hold, by the driver's decoding."""
    if value is None:
        return None
    match shape.kind:
        case "object":
            return {child.name: expected(child, value.get(child.name)) for child in shape.children}
        case "array":
            return [expected(shape.children[0], item) for item in value]
        case "json":
            return json_util.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))
        case "objectId" | "decimal":
            return str(value)
        case "date":
            return value.replace(tzinfo=dt.UTC)
        case "double":
            return float(value)
        case _:
            return value


def opened(shape: Shape, value: Any) -> Any:
    """The column's value with its JSON text read."""
    if value is None:
        return None
    match shape.kind:
        case "object":
            return {child.name: opened(child, value[child.name]) for child in shape.children}
        case "array":
            return [opened(shape.children[0], item) for item in value]
        case "json":
            return json_util.loads(value)
        case _:
            return value


def sampled(documents: list[dict[str, Any]]) -> tuple[Shape, ...]:
    dated = bson.CodecOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_MS)
    return columns([bson.decode(bson.encode(document), dated) for document in documents])


@settings(max_examples=400, deadline=None)
@given(_DOCUMENTS)
def test_it_gives_what_the_driver_gives(documents: list[dict[str, Any]]) -> None:
    shapes = sampled(documents)
    if not shapes:
        return
    batch, decoder = decoded(shapes, reply(documents))
    plain = [bson.decode(bson.encode(document)) for document in documents]
    lost = sum(decoder.lost.values())
    for shape, column in zip(shapes, batch.columns, strict=True):
        got = [opened(shape, value) for value in column.to_pylist()]
        wanted = [expected(shape, document.get(shape.name)) for document in plain]
        if not lost:  # a long among doubles may not be one exactly
            assert got == wanted, shape


@settings(max_examples=300, deadline=None)
@given(_DOCUMENTS, st.integers(0, 2**32))
def test_bytes_that_are_cut_or_changed_are_rows_or_a_typed_error(documents: list[dict[str, Any]], seed: int) -> None:
    shapes, raw, chance = sampled(documents), reply(documents), random.Random(seed)
    if not shapes:
        return
    with pytest.raises(ProtocolError):
        decoded(shapes, raw[: chance.randrange(len(raw))])
    for _ in range(20):
        changed = bytearray(raw)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(raw))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        with contextlib.suppress(ProtocolError):
            decoded(shapes, bytes(changed))


def test_no_columns_are_a_number_of_rows() -> None:
    assert Documents((), pa.schema([])).reply(reply([{"a": 1}, {}], 7)) == (2, 7)
