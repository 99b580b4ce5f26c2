"""Fuzzing the decoder of MongoDB's replies; see `tests.native.fuzz`."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from random import Random
from typing import Any

import bson
import pyarrow as pa

from tests.native.fence import Fence, mutated
from workbench.contract.errors import ProtocolError
from workbench_mongodb import decode
from workbench_mongodb.types import Shape

__all__ = ["fuzz"]

_MOST_INPUT = 1 << 18
_KINDS = ("json", "bool", "long", "double", "date", "string", "objectId", "decimal", "binData", "object", "array")
_NAMES = ("a", "b", "c", "é", "", "_id")


def fuzz(seconds: float, seed: int) -> Counter[str]:
    source, seen, end = Fence(_MOST_INPUT), Counter[str](), time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > end:
            return seen
        once = f"{seed}:{number}"
        try:
            _round(Random(once), source, seen)
        except (AssertionError, UnicodeDecodeError, pa.ArrowInvalid) as error:
            raise AssertionError(f"round {once}: {error}") from error
    raise AssertionError("unreachable")


def _round(random: Random, source: Fence, seen: Counter[str]) -> None:
    shapes = tuple(_shape(random, name, 0) for name in random.sample(_NAMES, random.randint(1, 4)))
    documents = [_document(random, 0) for _ in range(random.randint(0, 6))]
    batch = random.choice(("firstBatch", "nextBatch"))
    cursor = {batch: documents, "id": bson.Int64(random.choice((0, 1, 2**62))), "ns": "d.c"}
    content = bson.encode({"cursor": cursor, "ok": 1.0})
    whole = random.random() < 0.2
    if not whole:
        content = random.randbytes(random.randint(0, 300)) if random.random() < 0.05 else mutated(random, content)
    content = content[:_MOST_INPUT]
    decoder = decode.Documents(shapes, pa.schema([shape.field() for shape in shapes]))
    try:
        found, at = decoder.at(source.put(content), len(content))
    except ProtocolError:
        assert not whole, "a good reply was refused"
        seen["refused"] += 1
        return
    assert isinstance(found, pa.RecordBatch)
    found.validate(full=True)
    if whole:
        assert (found.num_rows, at) == (len(documents), cursor["id"])
    seen["read"] += 1
    seen["rows"] += found.num_rows


def _shape(random: Random, name: str, depth: int) -> Shape:
    kind = random.choice(_KINDS if depth < 3 else _KINDS[:-2])
    if kind == "object":
        inner = random.sample(_NAMES, random.randint(1, 3))
        return Shape(name, kind, tuple(_shape(random, one, depth + 1) for one in inner))
    return Shape(name, kind, (_shape(random, "", depth + 1),) if kind == "array" else ())


def _document(random: Random, depth: int) -> dict[str, Any]:
    return {name: _value(random, depth) for name in random.sample(_NAMES, random.randint(0, 5))}


def _value(random: Random, depth: int) -> Any:
    made = (
        lambda: None,
        lambda: random.random() < 0.5,
        lambda: random.randint(-(2**31), 2**31 - 1),
        lambda: bson.Int64(random.randint(-(2**63), 2**63 - 1)),
        lambda: random.choice((0.5, -0.0, float("nan"), float("inf"), 2.0**53 + 2)),
        lambda: "".join(random.choices('a\0é🦆\\"', k=random.randint(0, 9))),
        lambda: random.randbytes(random.randint(0, 9)),
        lambda: bson.ObjectId(random.randbytes(12)),
        lambda: bson.Decimal128.from_bid(random.randbytes(16)),
        lambda: bson.DatetimeMS(random.randint(-(2**63), 2**63 - 1)),
        lambda: bson.Timestamp(random.randrange(2**32), random.randrange(2**32)),
        lambda: bson.Regex("a", "i"),
        lambda: random.choice((bson.MinKey(), bson.MaxKey(), bson.Code("f"))),
        lambda: _document(random, depth + 1),
        lambda: [_value(random, depth + 1) for _ in range(random.randint(0, 3))],
    )
    return random.choice(made if depth < 4 else made[:-2])()
