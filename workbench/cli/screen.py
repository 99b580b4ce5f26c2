"""What several verbs print: tables of text, and a progress line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from workbench.query.explain import amount

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ProgressLine", "aligned", "amount", "cells", "duration"]

_WIDEST = 60
_LOGGED = 10.0
"""Seconds between two lines of a log."""


class ProgressLine:
    """One line on stderr that is written over; where stderr is not a terminal, a line of `log` every ten seconds, or
    nothing. `report` is for `fraction` and a text, `query` for a query's progress."""

    def __init__(
        self, stream: TextIO | None = None, log: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._log, self._clock = stream or sys.stderr, log, clock
        self._on = self._stream.isatty()
        self._shown = 0
        self._began = self._clock()
        self._last = 0.0

    def report(self, what: str, fraction: float | None) -> None:
        now = self._clock()
        done = fraction is not None and fraction >= 1
        if not self._on:
            self._note(what, now)
        if not self._on or (now - self._last < 0.1 and not done) or now - self._began < 0.3:
            return
        self._last = now
        share = f"{fraction:4.0%} " if fraction is not None else ""
        self._write(f"{share}{what}")
        if done:
            self.clear()

    def _note(self, what: str, now: float) -> None:
        if self._log is not None and now - max(self._last, self._began) >= _LOGGED:
            self._last = now
            self._log.write(f"  … {now - self._began:.0f} s: {what}\n")
            self._log.flush()

    def query(self, progress: Any) -> None:
        """`progress` has seconds, rows, bytes, fraction and finished."""
        if progress.finished:
            self.clear()
            return
        text = f"{progress.rows:,} rows, {amount(progress.bytes)}, {duration(progress.seconds)}; Ctrl-C stops it"
        self.report(text, progress.fraction)

    def clear(self) -> None:
        if self._on and self._shown:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._shown))
        self._stream.flush()
        self._shown = len(text)


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """Columns under their names. Names and cells may be anything that a source holds: control characters, which a
    terminal would obey, are shown as `�`."""
    table = [[_plain(cell) for cell in row] for row in (head, *rows)]
    table = [[cell if len(cell) <= _WIDEST else cell[: _WIDEST - 1] + "…" for cell in row] for row in table]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    to_right = [*right, *([False] * (len(head) - len(right)))]
    lines = [
        "  ".join(
            cell.rjust(width) if on_the_right else cell.ljust(width)
            for cell, width, on_the_right in zip(row, widths, to_right, strict=True)
        ).rstrip()
        for row in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def cells(table: pa.Table) -> tuple[list[list[str]], list[bool]]:
    """The rows of an Arrow table as text, and which columns are numbers."""
    import pyarrow as pa

    from workbench.query.pylist import pylist
    from workbench.query.rendering import cell_text

    columns = [[cell_text(value) for value in pylist(column)] for column in table.columns]
    numbers = [
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        for kind in table.schema.types
    ]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(table.num_rows)]
    return rows, numbers


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in text[: _WIDEST + 1])
