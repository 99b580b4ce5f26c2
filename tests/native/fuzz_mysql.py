"""Fuzzing the decoder of MySQL's rows; see `tests.native.fuzz`."""

from __future__ import annotations

import ctypes
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.native import rows
from tests.native.fence import Fence, mutated
from workbench.kit import native
from workbench.kit.columns import Slot
from workbench_mysql.types import Kind

__all__ = ["fuzz"]

_ENDS = (b"\xfe\0\0\x02\0", b"\xfe\0\0\x02\0\0\0", b"\xff\x15\x04#28000no", b"")


@dataclass
class _Output:
    """One column's buffers, each at a fence; filled with rubbish first."""

    validity: Fence
    fixed: Fence
    offsets: Fence
    data: Fence

    def point(self, column: native.Column, slot: Slot, slots: int, room: int) -> None:
        column.kind, column.precision, column.scale = slot.kind, slot.precision, slot.scale
        column.nulls = column.lost = 0
        for name, fence, size in (
            ("validity", self.validity, (slots + 7) // 8),
            ("values", self.fixed, slots * (slot.width or 0)),
            ("offsets", self.offsets, (slots + 1) * 4),
            ("data", self.data, room),
        ):
            address = fence.at(size)
            ctypes.memset(address, 0xA5, size)
            setattr(column, name, address)
        column.capacity = room


_MOST_ROWS, _MOST_COLUMNS, _MOST_INPUT = 24, 20, 1 << 18


def fuzz(seconds: float, seed: int) -> Counter[str]:
    """Runs for that long and counts what the core answered. Raises AssertionError with the seed of the round."""
    source = Fence(_MOST_INPUT)
    outputs = [
        _Output(Fence(16), Fence(16 * _MOST_ROWS), Fence(4 * _MOST_ROWS + 4), Fence(_MOST_INPUT))
        for _ in range(_MOST_COLUMNS)
    ]
    seen: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > end:
            return seen
        once = f"{seed}:{number}"
        try:
            _round(Random(once), source, outputs, seen)
        except (AssertionError, UnicodeDecodeError) as error:
            raise AssertionError(f"round {once}: {error}") from error
    raise AssertionError("unreachable")


def _round(random: Random, source: Fence, outputs: Sequence[_Output], seen: Counter[str]) -> None:
    slots = [rows.random_slot(random) for _ in range(random.randint(1, _MOST_COLUMNS))]
    payloads = [
        rows.row([rows.random_value(random, slot) for slot in slots], slots) for _ in range(random.randint(0, 12))
    ]
    first = random.randint(0, 255)
    content, whole = _input(random, payloads, first)
    content = content[:_MOST_INPUT]
    room = len(content) if random.random() < 0.8 else random.randint(0, len(content))
    if any(slot.kind in (Kind.DATE_TEXT, Kind.DATETIME_TEXT) for slot in slots):
        room = min(room + 32 * _MOST_ROWS, _MOST_INPUT)
    most = random.choice((len(payloads), len(payloads) + 3, random.randint(0, _MOST_ROWS)))
    most = min(most, _MOST_ROWS)
    columns = (native.Column * len(slots))()
    for column, slot, output in zip(columns, slots, outputs, strict=False):
        output.point(column, slot, most, room)
    progress = native.Progress(rows=0, slots=most, sequence=first, strict=random.random() < 0.2)
    function = "workbench_mysql_packets"
    if random.random() < 0.1:
        function, content, whole = "workbench_mysql_long_row", content[4:], False
    # In two calls, as bytes come: what the first left over is seen again by the second.
    cut = random.randint(0, len(content)) if random.random() < 0.5 and function.endswith("packets") else len(content)
    native.call(function, source.put(content[:cut]), cut, columns, progress)
    _check(columns, slots, progress, cut, most, room)
    if cut < len(content) and progress.state == 0:
        rest = content[progress.used :]
        native.call(function, source.put(rest), len(rest), columns, progress)
        _check(columns, slots, progress, len(rest), most, room)
    seen[f"state {progress.state}"] += 1
    seen["rows"] += progress.rows
    if whole and progress.state not in (4, 6, 7):
        assert progress.rows == len(payloads), f"{progress.rows} of {len(payloads)} good rows, state {progress.state}"


def _input(random: Random, payloads: list[bytes], first: int) -> tuple[bytes, bool]:
    """A reply, and whether it is still as a server sends it."""
    kind = random.random()
    if kind < 0.05:
        return random.randbytes(random.randint(0, 400)), False
    end = random.choice(_ENDS)
    if kind < 0.2:
        content = rows.packets([*payloads, end] if end else payloads, first)
        return content, len(content) <= _MOST_INPUT
    if kind < 0.6:  # the frames stay right
        broken = [mutated(random, payload) if random.random() < 0.5 else payload for payload in payloads]
        return rows.packets(broken, first), False
    return mutated(random, rows.packets([*payloads, end], first)), False


def _check(
    columns: Sequence[native.Column],
    slots: Sequence[Slot],
    progress: native.Progress,
    length: int,
    most: int,
    room: int,
) -> None:
    count = progress.rows
    assert 0 <= count <= most, f"{count} rows in {most} slots"
    assert 0 <= progress.used <= length, f"{progress.used} of {length} bytes used"
    assert 0 <= progress.state <= 8, f"state {progress.state}"
    assert 0 <= progress.column <= len(slots), f"column {progress.column}"
    assert -1 <= progress.at <= length, f"value at {progress.at}"
    for column, slot in zip(columns, slots, strict=True):
        bits = int.from_bytes(ctypes.string_at(column.validity, (count + 7) // 8), "little")
        assert bits >> count == 0, "validity of rows that are not there"
        assert count - bits.bit_count() == column.nulls, f"{column.nulls} NULLs counted, bits {bits:b} of {count}"
        assert 0 <= column.lost <= column.nulls, f"{column.lost} lost of {column.nulls} NULLs"
        if slot.width != 0 or not count:
            continue
        offsets = (ctypes.c_int32 * (count + 1)).from_address(column.offsets)
        assert offsets[0] == 0, "the first offset"
        assert all(low <= high for low, high in itertools.pairwise(offsets)), "offsets that fall"
        assert offsets[count] <= room, "offsets past the data"
        if slot.kind == Kind.TEXT and not progress.strict:
            content = ctypes.string_at(column.data, offsets[count])
            for low, high in itertools.pairwise(offsets):
                content[low:high].decode()
