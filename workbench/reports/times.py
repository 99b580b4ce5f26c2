"""How a table keeps its times, and how to ask for those of a period."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.contract.errors import InvalidParameter
from workbench.reports.zones import DAY

if TYPE_CHECKING:
    from workbench.reports.scan import Source

__all__ = ["Clock", "clock_of"]

_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
# Below the first, a number of that unit would be before 1973 or so, and of the one before after the year 5000.
_SIZES = {"s": (10**8, 10**11), "ms": (10**11, 10**14), "us": (10**14, 10**17), "ns": (10**17, 2**63)}
_OFFSET = r":\d\d([.,]\d+)?\s*([+-]\d\d(:?\d\d)?|Z|UTC)\s*$"
"""After a time of day: the end of `2026-01-15` is none."""


@dataclass(frozen=True)
class Clock:
    """`value` is the time in a select list; `unit` that of plain numbers; `within(low, high)` the conditions that the
    table can check. `finite`: values that are no number are there, and are no time."""

    value: str
    unit: str | None
    within: Callable[[int, int], list[str]]
    finite: bool = False


def clock_of(source: Source) -> Clock:
    """Raises InvalidParameter for a column that holds no times, or times of several units."""
    sql, zone = source.sql("time"), source.events.zone
    kind = source.kind("time")
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            return Clock(sql, None, lambda low, high: _between(sql, "timestamptz", low, high, "+00"))
        if zone == "UTC":
            return Clock(sql, None, lambda low, high: _between(sql, "timestamp", low, high, ""))
        value = f"timezone('{zone}', {sql})"
        # Local times are up to a day away from UTC; what is too much is dropped later.
        return Clock(value, None, lambda low, high: _between(sql, "timestamp", low - DAY, high + DAY, ""))
    if pa.types.is_date(kind):
        value = sql if zone == "UTC" else f"timezone('{zone}', cast({sql} as timestamp))"
        return Clock(value, None, lambda low, high: _dates(sql, low, high))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        unit = source.events.unit or _unit(source, sql)
        floating = bool(pa.types.is_floating(kind))
        return Clock(sql, unit, lambda low, high: _numbers(sql, unit, low, high), finite=floating)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        _check_text(source, sql)
        zoned = f"case when regexp_matches({sql}, '{_OFFSET}') then try_cast({sql} as timestamptz)"
        value = f"{zoned} else timezone('{zone}', try_cast({sql} as timestamp)) end"
        return Clock(value, None, lambda low, high: [])
    raise InvalidParameter("time", f"is {sql}, a column of type {kind}, which is no time.")


def _between(sql: str, kind: str, low: int, high: int, suffix: str) -> list[str]:
    return [f"{sql} {op} {kind} '{_shown(at)}{suffix}'" for op, at in ((">=", low), ("<", high))]


def _shown(at: int) -> str:
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=at)
    except OverflowError:
        raise InvalidParameter("period", "reaches beyond the calendar's years 1 to 9999.") from None
    return moment.isoformat(" ", "milliseconds")


def _dates(sql: str, low: int, high: int) -> list[str]:
    first, last = (_shown(at)[:10] for at in (low - DAY, high + DAY))
    return [f"{sql} >= date '{first}'", f"{sql} <= date '{last}'"]


def _numbers(sql: str, unit: str, low: int, high: int) -> list[str]:
    per = _PER_SECOND[unit]
    return [f"{sql} >= {low * per // 1000}", f"{sql} < {-(-high * per // 1000)}"]


def _unit(source: Source, sql: str) -> str:
    """The one unit that all numbers are of, from their size."""
    counts = [
        f"count(*) filter (where abs({sql}) >= {low} and abs({sql}) < {high}) as {unit}"
        for unit, (low, high) in _SIZES.items()
    ]
    counts.append(f"count(*) filter (where abs({sql}) < {10**8}) as small")
    row: dict[str, Any] = source.run(f"select {', '.join(counts)} from {source.table}").arrow().to_pylist()[0]
    small = row.pop("small")
    units = [unit for unit, count in row.items() if count]
    if len(units) == 1 and not small:
        return units[0]
    if not units and not small:
        return "ms"  # there is none
    shown = ", ".join(f"{row[unit]:,} look like {unit}" for unit in units)
    shown += (", " if shown and small else "") + (f"{small:,} are too small to tell" if small else "")
    hint = 'Say it, `unit="ms"`, or map an `Expr(…)` that mends them.'
    why = f"is {sql}, whose numbers are not of one unit: {shown}. {hint}"
    raise InvalidParameter("time", why)


def _check_text(source: Source, sql: str) -> None:
    bad = f"{sql} is not null and try_cast({sql} as timestamp) is null"
    text = f"select count(*) filter (where {bad}) as bad, count(*) as rows, min({sql}) filter (where {bad}) as one"
    row = source.run(f"{text} from {source.table}").arrow().to_pylist()[0]
    if row["bad"]:
        why = (
            f"is {sql}, text of which {row['bad']:,} of {row['rows']:,} are no time, {row['one']!r:.60} for one. "
            'Map an expression that reads them: `time=Expr("strptime(…)")`.'
        )
        raise InvalidParameter("time", why)
