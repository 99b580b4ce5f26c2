"""Windows: Storm's eight kinds, and sessions. Plain code in which rows and watermarks go in and windows come out.

Times are milliseconds. A window by time ends at a multiple of its slide, counted from 1970, and holds what is later
than its end minus its length, up to its end and including it: the first one ends at `ceil(first / slide) * slide`. A
row is late when the last window that it belongs to was handed out before.

The standard library only: they travel to Storm's workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.contract.errors import InvalidParameter
from workbench.streams.configuration import seconds

__all__ = ["LATE", "LATE_FIELDS", "WindowSpec", "session", "sliding", "tumbling"]

LATE = "late"
LATE_FIELDS = ("component", "stream", "row")


@dataclass(frozen=True)
class WindowSpec:
    """A kind of window. `length` and `every` are a number of rows (int) or milliseconds (float); `gap` is of a session,
    whose key are the fields `by`. `time` is the field with the event time (milliseconds, or a datetime), `lag` for
    how many milliseconds rows out of order are waited for; without `time` it is when a row comes."""

    kind: str
    length: int | float = 0
    every: int | float = 0
    gap: float = 0.0
    by: tuple[str, ...] = ()
    time: str = ""
    lag: float = 0.0
    early: float = 0.0

    @property
    def counted(self) -> bool:
        """Whether time has no part in it."""
        return self.kind != "session" and isinstance(self.length, int) and isinstance(self.every, int)

    def longest(self) -> float:
        """Seconds that a row may be held."""
        if self.kind == "session":
            return (self.gap + self.lag) / 1000
        parts = [part for part in (self.length, self.every) if isinstance(part, float)]
        return (sum(parts) + self.lag) / 1000

    def document(self) -> dict[str, Any]:
        return {**self.__dict__, "by": list(self.by)}

    @classmethod
    def of_document(cls, body: Mapping[str, Any]) -> WindowSpec:
        return cls(**{**body, "by": tuple(body["by"])})

    def __str__(self) -> str:
        def told(part: int | float) -> str:
            return f"{part:,} rows" if isinstance(part, int) else f"{part / 1000:g} s"

        by = f" by {', '.join(self.by)}" if self.by else ""
        time = f" of {self.time}" if self.time else ""
        time += f", early every {told(self.early)}" if self.early else ""
        if self.kind == "session":
            return f"session({told(self.gap)}{by}){time}"
        slide = "" if self.kind == "tumbling" else f" every {told(self.every)}"
        return f"{self.kind}({told(self.length)}{slide}){time}"


def tumbling(length: Any, *, time: str = "", lag: Any = 0, early: Any = 0) -> WindowSpec:
    """Windows of so many rows (`tumbling(100)`) or so long (`tumbling("1m")`), each row in one. `early="1s"`: of one by
    time that is not complete, what there is so far, every so long while rows come; its `final` is False."""
    part = _part(length, "length")
    return _spec(WindowSpec("tumbling", part, part, time=time, lag=_lag(lag), early=_early(early)))


def sliding(length: Any, every: Any = 1, *, time: str = "", lag: Any = 0) -> WindowSpec:
    """The last so many rows, or what came in the last so long, `every` so many rows or so long; without `every`, with
    each row: `sliding("1m", every="5s")`, `sliding(100, every="5s")`, `sliding("1m", every=10)`, `sliding(100)`."""
    return _spec(WindowSpec("sliding", _part(length, "length"), _part(every, "every"), time=time, lag=_lag(lag)))


def session(gap: Any, *, by: Any = (), time: str = "", lag: Any = 0, early: Any = 0) -> WindowSpec:
    """Rows of which none is later than the one before by more than `gap`; for each key of the fields `by` apart.
    `early` as of `tumbling`."""
    keys = (by,) if isinstance(by, str) else tuple(by)
    gap = seconds(gap, "gap") * 1000
    return _spec(WindowSpec("session", gap=gap, by=keys, time=time, lag=_lag(lag), early=_early(early)))


def _part(value: Any, name: str) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise InvalidParameter(name, f'of a window is {value}; it is rows, 1 or more, or a time such as "1m".')
        return value
    return seconds(value, name) * 1000


def _lag(value: Any) -> float:
    return 0.0 if value == 0 else seconds(value, "lag") * 1000


def _early(value: Any) -> float:
    return 0.0 if value == 0 else seconds(value, "early") * 1000


def _spec(spec: WindowSpec) -> WindowSpec:
    if spec.time and spec.counted:
        raise InvalidParameter("time", f"is `{spec.time}`, and a window of rows alone has none. Leave it out.")
    if spec.early and spec.counted:
        raise InvalidParameter(
            "early", "is said of a window of rows alone, which is there when they are. Leave it out."
        )
    if spec.lag and not spec.time:
        raise InvalidParameter("lag", "is said without `time`; rows that are stamped when they come are in order.")
    return spec
