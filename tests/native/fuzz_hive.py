"""Fuzzing the decoder of HiveServer2's rows and the walk over messages without a frame; see `tests.native.fuzz`."""

from __future__ import annotations

import ctypes
import itertools
import time
from collections import Counter
from random import Random
from typing import Any

import pyarrow as pa

from tests.connectors.hive.replies import column, fetched
from tests.native.fence import Fence, mutated
from workbench.contract.errors import DataError, ProtocolError, SnapshotChanged, Unsupported
from workbench.kit import native
from workbench_hive.decode import Refused, Rows
from workbench_hive.types import HiveType

__all__ = ["fuzz"]

_MOST_INPUT = 1 << 18
_TEXTS = ("", "a", "é", "2024-02-29", "1969-12-31 23:59:59.999999999", "-12.50", "x" * 40, "\U0010ffff")
_KINDS: dict[str, tuple[str, Any]] = {
    "boolean": ("bool", lambda random: random.random() < 0.5),
    "tinyint": ("byte", lambda random: random.randrange(-128, 128)),
    "smallint": ("i16", lambda random: random.randrange(-(2**15), 2**15)),
    "int": ("i32", lambda random: random.randrange(-(2**31), 2**31)),
    "bigint": ("i64", lambda random: random.randrange(-(2**63), 2**63)),
    "float": ("double", lambda random: random.choice((0.5, -0.0, float("nan")))),
    "double": ("double", lambda random: random.gauss(0, 1e9)),
    "string": ("string", lambda random: random.choice(_TEXTS).encode()),
    "char(9)": ("string", lambda random: random.choice(_TEXTS).encode() + b"  "),
    "binary": ("binary", lambda random: random.randbytes(random.randrange(40))),
    "date": ("string", lambda random: b"%04d-02-28" % random.randrange(1, 10_000)),
    "timestamp": (
        "string",
        lambda random: b"2024-01-01 00:00:%02d.%d" % (random.randrange(60), random.randrange(10**9)),
    ),
    "decimal(12,3)": (
        "string",
        lambda random: b"%d.%03d" % (random.randrange(-(10**8), 10**8), random.randrange(1000)),
    ),
}


def fuzz(seconds: float, seed: int) -> Counter[str]:
    source, seen, end = Fence(_MOST_INPUT), Counter[str](), time.monotonic() + seconds
    for count in itertools.count():
        if time.monotonic() > end:
            return seen
        once = f"{seed}:{count}"
        try:
            _round(Random(once), source, seen)
        except (AssertionError, pa.ArrowInvalid) as error:
            raise AssertionError(f"round {once}: {error}") from error
    raise AssertionError("unreachable")


def _round(random: Random, source: Fence, seen: Counter[str]) -> None:
    kinds = random.choices(sorted(_KINDS), k=random.randint(1, 5))
    rows, whole = random.randint(0, 30), random.random() < 0.2
    columns = []
    for kind in kinds:
        field, make = _KINDS[kind]
        values = [None if random.random() < 0.2 else make(random) for _ in range(rows)]
        nulls = random.randbytes(random.randrange(9)) if random.random() < 0.1 and not whole else None
        columns.append(column(field, values, nulls))
    content = fetched(columns, 7, more=random.random() < 0.5)
    if not whole:
        content = mutated(random, content)[:_MOST_INPUT]
    held = (ctypes.c_char * len(content)).from_address(source.put(content))
    _walk(random, source, content, whole)
    types = [HiveType.of_name(kind) for kind in kinds]
    decoder = Rows(types, pa.schema([kind.field(f"c{number}") for number, kind in enumerate(types)]))
    try:
        found = decoder.reply(held, 7)
    except (ProtocolError, DataError, SnapshotChanged, Unsupported, Refused) as error:
        if whole:
            raise AssertionError("a good reply was refused") from error
        seen["refused"] += 1
        return
    found.batch.validate(full=True)
    assert not whole or found.batch.num_rows == rows
    seen["read"] += 1
    seen["rows"] += found.batch.num_rows


def _walk(random: Random, source: Fence, content: bytes, whole: bool) -> None:
    """The end of the message, as it comes in pieces, each at the fence."""
    state, answer, there = (ctypes.c_uint64 * 256)(), ctypes.c_int64(), 0
    while there < len(content):
        there = min(len(content), there + random.randint(1, 400))
        place = source.put(content[:there])
        walk = native.library().workbench_thrift_end
        walk.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
        assert walk(place, there, ctypes.addressof(state), ctypes.addressof(answer)) == 0
        assert answer.value <= there
        if answer.value >= 0:
            break
        assert -answer.value > there
    assert not whole or answer.value == len(content)
    source.put(content)
