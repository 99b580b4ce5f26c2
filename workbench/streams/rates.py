"""A spout that makes rows of its own, so many a second: to try a topology out, and to measure one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from workbench.contract.errors import InvalidParameter
from workbench.streams.component import IteratorSpout, Outputs

__all__ = ["Rate"]


class Rate(IteratorSpout):
    """`rows_per_second` rows, numbered from 0: `number`, and `at`, the milliseconds since the first one at which it was
    due. With `row`, a function of that number, what it gives for the `fields` that are said then.

    By the runner's clock. Rows that were due while the topology was busy come as soon as they are taken, so none is
    left out: `behind` of its counts is how many are due by now. `total` ends it after so many; several tasks share the
    numbers. `batch=N` sends batches of up to N. The same numbers come again in each run: what failed is emitted again.
    """

    def __init__(
        self,
        rows_per_second: float,
        row: Callable[[int], Any] | None = None,
        fields: Sequence[str] = ("number", "at"),
        *,
        total: int | None = None,
        batch: int = 0,
    ) -> None:
        if isinstance(rows_per_second, bool) or not 0 < rows_per_second < 1e9:
            raise InvalidParameter("rows_per_second", f"is {rows_per_second!r}; it is a number above 0.")
        if total is not None and total < 0:
            raise InvalidParameter("total", f"is {total!r}; it is how many rows there are in all, or None.")
        self._rate, self._row, self._fields = float(rows_per_second), row, fields
        self._total, self.batch = total, batch
        self._number = 0
        self._began: float | None = None

    def declared_outputs(self) -> Outputs:
        return self._fields

    def rows(self) -> Iterator[Any]:
        clock, rate, row, step = self.context.clock, self._rate, self._row, len(self.context.tasks)
        self._began, self._number = clock(), self.context.index
        began = self._began
        while self._total is None or self._number < self._total:
            number = self._number
            if number > (clock() - began) * rate:
                yield None
                continue
            self._number += step
            yield row(number) if row is not None else (number, number / rate * 1000)

    def counts(self) -> Mapping[str, float]:
        if self._began is None:
            return {}
        due = int((self.context.clock() - self._began) * self._rate) + 1
        due = due if self._total is None else min(due, self._total)
        return {"behind": max(0, due - self._number) // len(self.context.tasks)}
