"""What is new in a table that is read again and again: plain code, without a source.

Rows are told apart by their cursor, a column that grows, and their key. Each time is asked for what is not below the
greatest cursor so far, less an overlap, because rows may be committed later than others with a greater cursor; what was
given of that before is known, and left out. What is remembered is the rows of the overlap alone.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import DataError, InvalidParameter, LimitExceeded
from workbench.streams.configuration import seconds

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Growing", "Polls", "cursor_value"]

_UNITS = {"s": 1_000_000, "ms": 1_000}
REMEMBERED = 1_000_000
"""Rows of the overlap."""


class Growing:
    """`type` is the cursor's Arrow type, `overlap` seconds for times, else a number; for texts there is none. Raises
    InvalidParameter."""

    def __init__(self, cursor: str, key: Sequence[str], type: pa.DataType, overlap: Any = None) -> None:  # noqa: A002
        import pyarrow.types as is_a

        self.cursor, self.key, self.type = cursor, tuple(key), type
        self._times, self._dates = is_a.is_timestamp(type), is_a.is_date(type)
        self._unsigned = is_a.is_unsigned_integer(type)
        numbers = is_a.is_integer(type) or is_a.is_decimal(type)
        if not (self._times or self._dates or numbers or is_a.is_string(type) or is_a.is_large_string(type)):
            why = f"is `{cursor}`, of type {type}: it is a column of whole numbers, decimals, times, days or texts."
            raise InvalidParameter("cursor", why)
        self._overlap = self._checked(overlap)
        self.greatest: Any = None
        """The greatest cursor so far, of what was read to its end."""
        self.nulls = self.jumps = 0
        """Rows without a cursor, which never come; and how often the row with the greatest cursor was gone."""
        self._seen: dict[tuple[Any, ...], None] = {}
        self._new: dict[tuple[Any, ...], None] = {}
        self._next: Any = None
        self._met = self._gone = False
        self._without = 0

    def _checked(self, overlap: Any) -> Any:
        import pyarrow.types as is_a

        if self._times or self._dates:
            length = 60.0 if overlap is None else seconds(overlap, "overlap") if overlap else 0.0
            return datetime.timedelta(days=math.ceil(length / 86_400)) if self._dates else datetime.timedelta(0, length)
        if is_a.is_string(self.type) or is_a.is_large_string(self.type):
            if overlap not in (None, 0):
                raise InvalidParameter("overlap", f"is {overlap!r}; of texts there is none.")
            return None
        overlap = 1_000 if overlap is None else overlap
        if isinstance(overlap, bool) or not isinstance(overlap, int) or overlap < 0:
            raise InvalidParameter("overlap", f"is {overlap!r}; of numbers it is a whole number, 0 or more.")
        return overlap

    def least(self, value: Any = None) -> Any:
        """From where on is to be read, with that greatest cursor or the one there is; None: all."""
        value = self.greatest if value is None else value
        if value is None:
            return None
        try:
            low = value - self._overlap if self._overlap else value
        except OverflowError:  # before the beginning of all times
            return None
        if self._times:
            unit = _UNITS.get(self.type.unit, 1)
            low = low.replace(microsecond=low.microsecond // unit * unit)
            return low if low.tzinfo is None else low.astimezone(datetime.UTC)
        if isinstance(low, int):
            return max(low, 0 if self._unsigned else -(1 << (self.type.bit_width - 1)))
        return low

    def begin(self) -> None:
        """Rows are read anew. What was read since the last `begin`, and not to its end, counts as never read."""
        self._new, self._next, self._without = {}, self.greatest, 0
        self._met = not self._seen

    def fresh(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that were not given before. Raises DataError, LimitExceeded."""
        import pyarrow as pa

        rows = zip(*(_plain(batch, name) for name in (self.cursor, *self.key)), strict=True)
        kept: list[int] = []
        for place, row in enumerate(rows):
            value = row[0]
            if value is None:
                self._without += 1
                continue
            self._met = self._met or value == self.greatest
            if row in self._seen or row in self._new:
                continue
            self._new[row] = None
            kept.append(place)
            if self._next is None or value > self._next:
                self._next = value
        if len(self._new) > REMEMBERED:
            self._new = self._within(self._new)
        return batch if len(kept) == batch.num_rows else batch.take(pa.array(kept, pa.int64()))

    def end(self) -> bool:
        """All is read; whether the row with the greatest cursor was gone, now for the first time."""
        first = not self._met and not self._gone
        self._gone = not self._met
        self.jumps += first
        self.greatest, self.nulls = self._next, self._without
        self._seen = self._within({**self._seen, **self._new})
        self._new = {}
        return first

    def _within(self, rows: dict[tuple[Any, ...], None]) -> dict[tuple[Any, ...], None]:
        """Those of the overlap."""
        least = self.least(self._next)
        found = rows if least is None else {row: None for row in rows if row[0] >= least}
        if len(found) > REMEMBERED:
            hint = "Say a smaller `overlap`, or another cursor: so many rows are not told from new ones."
            raise LimitExceeded("rows within the overlap", f"{REMEMBERED:,}", hint)
        return found


def _plain(batch: pa.RecordBatch, name: str) -> list[Any]:
    import pyarrow as pa

    column = batch.column(batch.schema.names.index(name))
    if pa.types.is_timestamp(column.type):
        # Python has no nanoseconds: they are left out here, so such rows tie, and the key tells them apart.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        found: list[Any] = column.to_pylist()
    except (ValueError, OverflowError) as error:
        raise DataError(name, 0, "a time", f"cannot be compared: {error}") from None
    return found


def cursor_value(value: Any, type: pa.DataType, name: str = "since") -> Any:  # noqa: A002
    """What is said for a cursor of that type, as it is compared: texts are read as ISO times. Raises
    InvalidParameter."""
    import pyarrow as pa

    try:
        if isinstance(value, str) and pa.types.is_timestamp(type):
            value = datetime.datetime.fromisoformat(value)
        elif isinstance(value, str) and pa.types.is_date(type):
            value = datetime.date.fromisoformat(value)
        elif isinstance(value, str) and pa.types.is_decimal(type):
            value = decimal.Decimal(value)
        if isinstance(value, datetime.datetime) and pa.types.is_timestamp(type):
            if (value.tzinfo is None) != (type.tz is None):
                raise ValueError("it has a time zone" if type.tz is None else "it has no time zone")
            return value if value.tzinfo is None else value.astimezone(datetime.UTC)
        if isinstance(value, bool):
            raise ValueError("it is no value to begin with")
        return pa.scalar(value, type).as_py()
    except (ValueError, TypeError, OverflowError, ArithmeticError, pa.ArrowException) as error:
        why = f"is {value!r}, and the cursor is of type {type}: {str(error)[:200]}."
        raise InvalidParameter(name, why) from None


class Polls:
    """Which times of reading are wholly done, from message ids and verdicts. `end` closes one of them with what may be
    kept once it, and all before it, are done; `done` and `end` give that when it is so far."""

    def __init__(self) -> None:
        self._poll = 0
        self._of: dict[Any, int] = {}
        self._left: dict[int, int] = {}
        self._ends: deque[tuple[int, Any]] = deque()

    def add(self, number: Any) -> None:
        self._of[number] = self._poll
        self._left[self._poll] = self._left.get(self._poll, 0) + 1

    def split(self, number: Any, parts: Sequence[Any]) -> None:
        """Others are in its place."""
        poll = self._of.pop(number)
        for part in parts:
            self._of[part] = poll
        self._left[poll] += len(parts) - 1

    def done(self, number: Any) -> Any:
        poll = self._of.pop(number, None)
        if poll is None:
            return None
        self._left[poll] -= 1
        return self._settled()

    def end(self, position: Any) -> Any:
        self._ends.append((self._poll, position))
        self._poll += 1
        return self._settled()

    def _settled(self) -> Any:
        found = None
        while self._ends and not self._left.get(self._ends[0][0]):
            poll, found = self._ends.popleft()
            self._left.pop(poll, None)
        return found
