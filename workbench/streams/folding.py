"""What a view of a stream shows, worked out of the stream's rows. Plain code: rows go in; out come values that are
others now, and rows behind those of lists. What it keeps is bounded, whatever comes.

Of view `n` of a dashboard, `points/n` (of a series and a gauge) is a list of `[x, value, value, …]`, x in milliseconds,
a value for each line of `lines/n`; a point of an x that is there already stands in its place. `rows/n` are a table's
rows: when they came, how bad they are, and the `columns/n`. `value/n` is the top, or the funnel's counts, and `about/n`
how much was seen: `rows`, those that were `skipped`, `bad` ones that did not fit (`why`), the `first` and `last` time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.contract.errors import UnknownField
from workbench.streams.seeing import finite, milliseconds, plain, text
from workbench.streams.tuples import Row, told
from workbench.streams.views import FunnelNow, Gauge, LiveTable, Series, StreamView, TopN

__all__ = ["Fold", "fold"]

MOST_KEYS = 10_000
"""Values of a field that are told apart; of more, the smaller half is forgotten, and `about` says so."""
WHY = 200
OTHERS = "others"
_COMBINED: dict[str, Callable[[float, float], float]] = {
    "sum": lambda before, value: before + value,
    "last": lambda _, value: value,
    "max": max,
}


class Fold:
    """One view. `add` takes rows and when they came (milliseconds), `changes` gives what is new since it was asked
    last: `(values, appended)`. `keep` says how long its lists are."""

    def __init__(self, number: int, view: StreamView, names: Sequence[str]) -> None:
        self.number, self.view, self._names = number, view, tuple(names)
        self.keep: dict[str, int] = {}
        self._about: dict[str, Any] = {
            "rows": 0,
            "skipped": 0,
            "bad": 0,
            "why": "",
            "first": None,
            "last": None,
            "forgot": False,
        }

    def add(self, rows: Sequence[Row], now: float) -> None:
        about = self._about
        about["rows"] += len(rows)
        for row in rows:
            try:
                self._take(row, now)
            except Exception as error:  # noqa: BLE001  # whatever the value makes of it; it is counted and shown
                about["bad"] += 1
                about["why"] = told(error).partition(": ")[2][:WHY]

    def skip(self, rows: int) -> None:
        """So many were gone before they could be looked at."""
        self._about["skipped"] += rows

    def start(self) -> dict[str, Any]:
        """The state before the first row, but for `about`."""
        return {}

    def changes(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        values, appended = self._changes()
        return {**values, f"about/{self.number}": dict(self._about)}, appended

    def _take(self, row: Row, now: float) -> None:
        raise NotImplementedError

    def _changes(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        raise NotImplementedError

    def _place(self, name: str) -> int:
        if name not in self._names:
            raise UnknownField(name, self._names, f"It is not in stream `{self.view.stream}`.")
        return self._names.index(name)

    def _timed(self, name: str, otherwise: Callable[[float], float]) -> Callable[[Row, float], float]:
        """The row's time, which is noted."""
        place = self._place(name) if name else None
        about = self._about

        def at(row: Row, now: float) -> float:
            found = otherwise(now) if place is None else milliseconds(row[place])
            if about["first"] is None or found < about["first"]:
                about["first"] = found
            if about["last"] is None or found > about["last"]:
                about["last"] = found
            return found

        return at

    def _number(self, name: str) -> Callable[[Row], float]:
        if not name:
            return lambda row: 1
        place = self._place(name)
        return lambda row: finite(row[place])


class _Points(Fold):
    """Values by time and line: of the newest `keep` times, all lines; which of them are shown is said by their sums."""

    def __init__(self, number: int, view: Series | Gauge, names: Sequence[str]) -> None:
        super().__init__(number, view, names)
        self._at = self._timed(view.x, lambda now: math.floor(now / 1000) * 1000.0)
        self._y = self._number(view.y)
        by = view.by if isinstance(view, Series) else ""
        self._by = self._place(by) if by else None
        self._most = view.lines if isinstance(view, Series) else 1
        self._how, self._kept = view.how, view.keep
        self._points: dict[float, dict[str, float]] = {}
        self._sums: dict[str, float] = {}
        self._lines: list[str] = [] if by else [""]
        self._dirty: set[float] = set()
        self._order: list[float] = []
        """A heap of the times."""
        self._placed: dict[float, int] = {}
        """The number of the last point of each time, as they were told."""
        self._again, self._count = False, 0
        self.keep = {f"points/{number}": 2 * view.keep}  # a time is there again when its values change

    def start(self) -> dict[str, Any]:
        return {f"points/{self.number}": [], f"lines/{self.number}": list(self._lines)}

    def _take(self, row: Row, now: float) -> None:
        at, value = self._at(row, now), self._y(row)
        line = "" if self._by is None else text(row[self._by])
        points = self._points.get(at)
        if points is None:
            if len(self._points) >= self._kept:
                if at < self._order[0]:
                    return
                self._forget(heapq.heappop(self._order))
            points = self._points[at] = {}
            heapq.heappush(self._order, at)
        before = points.get(line)
        points[line] = value if before is None else _COMBINED[self._how](before, value)
        self._sums[line] = self._sums.get(line, 0.0) + points[line] - (before or 0.0)
        self._dirty.add(at)

    def _forget(self, at: float) -> None:
        for line, value in self._points.pop(at).items():
            left = self._sums[line] - value
            if any(line in points for points in self._points.values()):
                self._sums[line] = left
            else:
                del self._sums[line]
        self._dirty.discard(at)
        self._placed.pop(at, None)

    def _changes(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        values: dict[str, Any] = {}
        if self._by is not None and self._dirty:
            self._choose()
        name = f"points/{self.number}"
        count = self._count + len(self._dirty)
        oldest = min((place for at, place in self._placed.items() if at not in self._dirty), default=count)
        whole = self._again or count - oldest > self.keep[name]  # the list, as it is kept, is to hold all times
        self._placed |= {
            at: self._count + place for place, at in enumerate(sorted(self._points if whole else self._dirty))
        }
        self._count += len(self._points if whole else self._dirty)
        if whole:
            self._again = False
            self._dirty.clear()
            values[f"lines/{self.number}"] = [*self._lines, *([OTHERS] if self._rest else [])]
            values[name] = [self._point(at) for at in sorted(self._points)]
            return values, {}
        dirty, self._dirty = sorted(self._dirty), set()
        return values, {name: [self._point(at) for at in dirty]}

    _rest = False

    def _choose(self) -> None:
        """Lines change places only when one is clearly larger: each change sends all points anew."""
        largest = sorted(self._sums, key=lambda line: (-self._sums[line], line))
        rest = len(largest) > self._most
        shown_now = [line for line in self._lines if line in self._sums]
        least = min((self._sums[line] for line in shown_now), default=0.0)
        outside = [line for line in largest[: self._most] if line not in shown_now]
        if (
            len(shown_now) < min(self._most, len(largest))
            or len(shown_now) != len(self._lines)
            or any(self._sums[line] > least + 0.1 * abs(least) for line in outside)
            or rest != self._rest
        ):
            self._lines, self._rest, self._again = largest[: self._most], rest, True

    def _point(self, at: float) -> list[Any]:
        points = self._points[at]
        missing = 0 if self._how == "sum" else None
        made: list[Any] = [at, *(points.get(line, missing) for line in self._lines)]
        if self._rest:
            others = [value for line, value in points.items() if line not in self._lines]
            made.append(sum(others) if self._how == "sum" else max(others, default=None))
        return made


class _Totals(Fold):
    """Sums by a field's values, of all that came, or of the last so long."""

    def __init__(self, number: int, view: TopN | FunnelNow, names: Sequence[str]) -> None:
        super().__init__(number, view, names)
        self._key = self._place(view.by if isinstance(view, TopN) else view.step)
        self._at, self._y = self._timed(view.x, lambda now: now), self._number(view.y)
        self._over, self._last = 1000 * float(view.over), view.how == "last"
        self._sums: dict[str, float] = {}
        self._parts: dict[float, dict[str, tuple[float, int]]] = {}
        """What has to be taken away again, by time: sums, and how many rows they are of."""
        self._counts: dict[str, int] = {}
        self._newest, self._changed = -math.inf, True

    def _take(self, row: Row, now: float) -> None:
        at, value, key = self._at(row, now), self._y(row), text(row[self._key])
        if self._over:
            if at > self._newest:
                self._newest = at
                for old in [one for one in self._parts if one <= at - self._over]:
                    for name, (part, rows) in self._parts.pop(old).items():
                        self._add(name, -part, -rows)
            if at <= self._newest - self._over:
                return
            parts = self._parts.setdefault(at, {})
            before, rows = parts.get(key, (0.0, 0))
            parts[key] = (value if self._last else before + value), rows + 1
            value = parts[key][0] - before
        self._add(key, value, 1)

    def _add(self, key: str, value: float, rows: int) -> None:
        """Of a key without rows nothing is left, whatever its sum has lost on the way."""
        self._sums[key] = self._sums.get(key, 0.0) + value
        if self._over:
            self._counts[key] = self._counts.get(key, 0) + rows
            if self._counts[key] <= 0:
                del self._counts[key], self._sums[key]
        self._changed = True
        if len(self._sums) > MOST_KEYS:
            for name in sorted(self._sums, key=self._sums.__getitem__)[: MOST_KEYS // 2]:
                del self._sums[name]
                self._counts.pop(name, None)
                for parts in self._parts.values():
                    parts.pop(name, None)
            self._about["forgot"] = True

    def _changes(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        if not self._changed:
            return {}, {}
        self._changed = False
        return {f"value/{self.number}": self._value()}, {}

    def _value(self) -> dict[str, Any]:
        raise NotImplementedError


class _Top(_Totals):
    def _value(self) -> dict[str, Any]:
        view = self.view
        assert isinstance(view, TopN)
        largest = sorted(self._sums.items(), key=lambda one: (-one[1], one[0]))[: view.n]
        return {"rows": [[name, _short(value)] for name, value in largest], "all": _short(sum(self._sums.values()))}


class _Funnel(_Totals):
    def _value(self) -> dict[str, Any]:
        view = self.view
        assert isinstance(view, FunnelNow)
        counts = [self._sums.get(step, 0.0) for step in view.steps]
        if view.reached:
            counts = [sum(counts[place:]) for place in range(len(counts))]
        others = sum(value for step, value in self._sums.items() if step not in view.steps)
        return {"counts": [_short(one) for one in counts], "others": _short(others)}


class _Table(Fold):
    def __init__(self, number: int, view: LiveTable, names: Sequence[str]) -> None:
        super().__init__(number, view, names)
        columns = list(view.columns) or list(names)
        self._columns, self._places = columns, [self._place(name) for name in columns]
        self._levels = self._place(view.level) if view.level else None
        self._times = {place for place, name in zip(self._places, columns, strict=True) if name == view.x}
        self._rows: list[Any] = []
        self.keep = {f"rows/{number}": view.keep}
        if view.x:
            self._place(view.x)

    def start(self) -> dict[str, Any]:
        return {f"rows/{self.number}": [], f"columns/{self.number}": self._columns}

    def _take(self, row: Row, now: float) -> None:
        level = None if self._levels is None else text(row[self._levels])
        cells = [milliseconds(row[place]) if place in self._times else plain(row[place]) for place in self._places]
        self._rows.append([now, level, *cells])

    def _changes(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        rows, self._rows = self._rows[-self.keep[f"rows/{self.number}"] :], []
        return {}, {f"rows/{self.number}": rows}


_FOLDS: Mapping[str, Any] = {"series": _Points, "gauge": _Points, "top": _Top, "funnel": _Funnel, "table": _Table}


def fold(number: int, view: StreamView, names: Sequence[str]) -> Fold:
    """View `number` of a dashboard, of a stream with these fields. Raises UnknownField."""
    made: Fold = _FOLDS[view.kind](number, view, names)
    return made


def _short(value: float) -> float:
    return int(value) if float(value).is_integer() else round(value, 6)
