"""Errors of components and rows that were given up, as lists that show themselves: what happened, how often, and the
row of the last time, instead of a line for each."""

from __future__ import annotations

import html
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from workbench.streams.task import Fault
from workbench.streams.tuples import shown
from workbench.streams.weighing import weight

__all__ = ["DeadLetter", "DeadLetters", "Faults", "KeptLetters"]

T = TypeVar("T")
SHOWN, WIDEST = 20, 100
"""Lines of a table, and characters of a cell."""
KEPT, KEPT_BYTES = 1_000, 32 << 20
"""Dead letters of a run that are kept, and bytes of these, about; the newest is kept however large it is."""


class DeadLetter(tuple[Any, ...]):
    """A row that was given up: `row`, the `component` that failed with it, the `error`, and how many `tries` it had."""

    __slots__ = ()

    def __new__(cls, row: tuple[Any, ...], component: str, error: str, tries: int) -> DeadLetter:
        return super().__new__(cls, (row, component, error, tries))

    row = property(lambda self: self[0])
    component = property(lambda self: self[1])
    error = property(lambda self: self[2])
    tries = property(lambda self: self[3])


class _Grouped(list[T], Generic[T]):
    """Shows one line for each component and error, the one that happened last first."""

    none = ""
    columns: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the table that it shows."""
        found = itertools.islice(self._groups().items(), SHOWN)
        return [(component, error, f"{count:,}", *self._last(last)) for (component, error), (last, count) in found]

    def _groups(self) -> dict[tuple[str, str], tuple[T, int]]:
        """The last one of each kind, and how many there are."""
        groups: dict[tuple[str, str], tuple[T, int]] = {}
        for one in reversed(self):
            last, count = groups.get(self._key(one), (one, 0))
            groups[self._key(one)] = last, count + 1
        return groups

    def _key(self, one: T) -> tuple[str, str]:
        raise NotImplementedError

    def _last(self, one: T) -> tuple[str, ...]:
        raise NotImplementedError

    def __repr__(self) -> str:
        if not self:
            return self.none
        table = [self.columns, *(tuple(map(_short, row)) for row in self.rows())]
        widths = [max(len(row[place]) for row in table) for place in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([*lines, *self._more()])

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{html.escape(self.none)}</p>"
        head = _line(self.columns, "th")
        body = "".join(_line(map(_short, row), "td") for row in self.rows())
        more = "".join(f"<p>{html.escape(line)}</p>" for line in self._more())
        return f"<table class='mathjax_ignore'><thead>{head}</thead><tbody>{body}</tbody></table>{more}"

    def _more(self) -> Sequence[str]:
        left = len(self._groups()) - SHOWN
        return [f"and {left:,} others"] if left > 0 else []


class Faults(_Grouped[Fault]):
    """The last errors of components, the newest last. Each is a `Fault`."""

    none = "no errors"
    columns = ("component", "error", "times", "last at", "row")

    def __init__(
        self, faults: Iterable[Fault] = (), clock: Callable[[float], time.struct_time] = time.localtime
    ) -> None:
        super().__init__(faults)
        self._clock = clock

    def _key(self, one: Fault) -> tuple[str, str]:
        return one.component, one.error

    def _last(self, one: Fault) -> tuple[str, ...]:
        return time.strftime("%H:%M:%S", self._clock(one.at)), one.row


class DeadLetters(_Grouped[DeadLetter]):
    """The last rows that were given up, the newest last. Each is a `DeadLetter`."""

    none = "no row was given up"
    columns = ("component", "error", "rows", "tries", "last row")

    def __init__(self, letters: Iterable[DeadLetter] = (), dropped: int = 0) -> None:
        super().__init__(letters)
        self.dropped = dropped
        """How many there were before these, and are not kept."""

    def _key(self, one: DeadLetter) -> tuple[str, str]:
        return one.component, one.error

    def _last(self, one: DeadLetter) -> tuple[str, ...]:
        return str(one.tries), shown(one.row, 500)

    def _more(self) -> Sequence[str]:
        before = [f"{self.dropped:,} rows before these are not kept"] if self.dropped else []
        return [*super()._more(), *before]


class KeptLetters:
    """The newest dead letters of a run, bounded in number and bytes. Thread-safe."""

    def __init__(self, keep: int = KEPT, most: int = KEPT_BYTES) -> None:
        self._keep, self._most = keep, most
        self._letters: deque[tuple[DeadLetter, int]] = deque()
        self._bytes = self._dropped = 0
        self._lock = threading.Lock()

    def add(self, letter: DeadLetter) -> None:
        size = weight(letter.row) + len(letter.error)
        with self._lock:
            self._letters.append((letter, size))
            self._bytes += size
            while len(self._letters) > 1 and (len(self._letters) > self._keep or self._bytes > self._most):
                self._bytes -= self._letters.popleft()[1]
                self._dropped += 1

    def skip(self, number: int) -> None:
        """So many were let go before they came here."""
        with self._lock:
            self._dropped += number

    def all(self) -> DeadLetters:
        with self._lock:
            return DeadLetters([letter for letter, _ in self._letters], self._dropped)


def _short(text: str) -> str:
    plain = "".join(sign if sign.isprintable() else "�" for sign in " ".join(text.split()))
    return plain if len(plain) <= WIDEST else f"{plain[: WIDEST - 1]}…"


def _line(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag} style='text-align:left'>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
