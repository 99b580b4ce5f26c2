"""Fuzzing the decoder of HBase's rows, of cell blocks and of the Thrift gateway; see `tests.native.fuzz`."""

from __future__ import annotations

import ctypes
import itertools
import struct
import time
from collections import Counter
from random import Random
from typing import Any

import pyarrow as pa

from tests.native.fence import Fence, mutated
from workbench.contract.errors import ProtocolError
from workbench.kit import thrift
from workbench_hbase.decode import Rows, Shape
from workbench_hbase.encoding import KINDS
from workbench_hbase.mapping import declared
from workbench_hbase.protobuf import flag, number

__all__ = ["fuzz"]

_MOST_INPUT = 1 << 18
_QUALIFIERS = ("a", "b", "", "é", "a:b")
_Row = tuple[bytes, list[tuple[bytes, bytes]]]


def fuzz(seconds: float, seed: int) -> Counter[str]:
    source, seen, end = Fence(_MOST_INPUT), Counter[str](), time.monotonic() + seconds
    for count in itertools.count():
        if time.monotonic() > end:
            return seen
        once = f"{seed}:{count}"
        try:
            _round(Random(once), source, seen)
        except (AssertionError, UnicodeDecodeError, pa.ArrowInvalid) as error:
            raise AssertionError(f"round {once}: {error}") from error
    raise AssertionError("unreachable")


def _round(random: Random, source: Fence, seen: Counter[str]) -> None:
    mapping = declared(_mapping(random))
    shape = Shape(mapping.parts, mapping.columns, pa.schema([column.arrow() for column in mapping.columns]))
    keys = sorted({random.randbytes(random.randint(0, 9)) for _ in range(random.randint(0, 6))})
    rows = [_row(random, key) for key in keys]
    whole, rest = random.random() < 0.2, random.random()
    decoder = Rows(shape)
    try:
        if rest < 0.5:
            message, block = _response(rows), b"".join(_cell(key, *one) for key, some in rows for one in some)
            carried = 0 if whole or rest < 0.4 else random.randint(0, 5)
            if not whole:
                message, block = (mutated(random, one) if random.random() < 0.7 else one for one in (message, block))
            decoder.cells(message[:_MOST_INPUT], _fenced(source, block), carried)
        else:
            content = _gateway(rows)
            decoder.thrift(_fenced(source, content if whole else mutated(random, content)), len(rows))
    except ProtocolError:
        assert not whole, "a good reply was refused"
        seen["refused"] += 1
        return
    found = decoder.batch({})
    found.validate(full=True)
    assert not whole or found.num_rows == len(rows)
    seen["read"] += 1
    seen["rows"] += found.num_rows


def _fenced(source: Fence, content: bytes) -> Any:
    content = content[:_MOST_INPUT]
    return (ctypes.c_char * len(content)).from_address(source.put(content)) if content else bytearray()


def _mapping(random: Random) -> dict[str, Any]:
    kinds = [kind for kind in KINDS if kind != "cell_time"]
    names = random.sample(_QUALIFIERS, random.randint(0, 4))
    columns: dict[str, Any] = {f"c{name}": {"type": random.choice(kinds), "cell": f"f:{name}"} for name in names}
    if names:
        columns["when"] = {"type": "cell_time", "cell": f"f:{names[0]}"}
    first = random.choice(({"width": 2}, {"separator": "\0"}, {"separator": "ab"}))
    return {"key": [{"name": "k", **first}, {"name": "l", "type": random.choice(kinds)}], "columns": columns}


def _row(random: Random, key: bytes) -> _Row:
    names = sorted(name.encode() for name in random.sample(_QUALIFIERS, random.randint(1, 5)))
    return key, [(name, random.randbytes(random.choice((0, 1, 2, 4, 8, 8, 20)))) for name in names]


def _cell(row: bytes, qualifier: bytes, value: bytes) -> bytes:
    key = struct.pack(">H", len(row)) + row + b"\1f" + qualifier + struct.pack(">qB", 7, 4)
    return struct.pack(">iii", len(key) + len(value) + 8, len(key), len(value)) + key + value


def _response(rows: list[_Row]) -> bytes:
    counts = b"".join(number(1, len(some)) for _, some in rows)
    return counts + number(2, 9) + flag(3, True) + b"".join(flag(7, False) for _ in rows) + flag(8, True)


def _gateway(rows: list[_Row]) -> bytes:
    structs = []
    for key, some in rows:
        pairs = [(b"f:" + name, {1: (thrift.STRING, value), 2: (thrift.I64, 7)}) for name, value in some]
        structs.append({1: (thrift.STRING, key), 2: (thrift.MAP, (thrift.STRING, thrift.STRUCT, pairs))})
    head = len(thrift.call("x", 1, {0: (thrift.LIST, (thrift.STRUCT, []))})) - 1
    return thrift.call("x", 1, {0: (thrift.LIST, (thrift.STRUCT, structs))})[head:-1]
