"""What a view sees of a value: a text, a number, a time. And rows as other processes send them for views: JSON in which
what is no plain value has been looked at already, so that whoever shows it runs nobody's code and needs no classes.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from workbench.streams.tuples import Row, shown, told

__all__ = ["TEXT", "Seen", "decoded", "encoded", "finite", "milliseconds", "plain", "text"]

TEXT = 200
"""Characters of a text that are shown."""
_EARLIEST, _LATEST = -62_135_596_800_000.0, 253_402_300_799_999.0
_AS_IS = frozenset((int, float, bool, type(None)))


class Seen:
    """A value of another process, and all that a view may ask of it: its text, what a table shows, its milliseconds,
    its number; a text in place of the latter two says why there is none."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = parts

    def __sizeof__(self) -> int:
        return 200 + sum(len(one) for one in self.parts if isinstance(one, str))


def plain(value: Any) -> Any:
    """As JSON: numbers, truth and nothing as they are, a moment as text, all else as text of 200 characters."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if -(2**53) < value < 2**53 else shown(value, TEXT)
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="milliseconds" if value.microsecond else "seconds")
    return value.parts[1] if isinstance(value, Seen) else text(value)


def text(value: Any) -> str:
    if isinstance(value, str):
        return value[:TEXT]
    if isinstance(value, Seen):
        return str(value.parts[0])
    return "" if value is None else shown(value, TEXT)


def milliseconds(at: Any) -> float:
    """Of the epoch. Raises ValueError."""
    if isinstance(at, Seen):
        return _or_raise(at.parts[2])
    if isinstance(at, datetime.datetime):
        at = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp() * 1000
    if isinstance(at, int | float) and not isinstance(at, bool) and _EARLIEST < at < _LATEST:
        return float(at)
    raise ValueError(f"{shown(at, 80)} is no time: that is milliseconds or a datetime.")


def finite(value: Any) -> float:
    """Raises TypeError, ValueError, OverflowError, ArithmeticError."""
    if isinstance(value, Seen):
        return _or_raise(value.parts[3])
    found = float(value) if not isinstance(value, int) or abs(value) >= 2**53 else value
    if not math.isfinite(found):
        raise ValueError(f"{shown(value, 80)} is no number that can be drawn.")
    return found


def _or_raise(found: float | str) -> float:
    if isinstance(found, str):
        raise ValueError(found)
    return found


def encoded(rows: Iterable[Row]) -> bytes:
    return json.dumps([list(map(_sent, row)) for row in rows], separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )


def decoded(values: bytes) -> Iterator[Row]:
    for row in json.loads(values):
        yield tuple(Seen(value) if value.__class__ is list else value for value in row)


def _sent(value: Any) -> Any:
    kind = value.__class__
    if kind is str:
        return value[:TEXT]
    if kind is int:
        return value if -(2**63) < value < 2**63 else _looked_at(value)
    if kind in _AS_IS:
        return value
    return value.parts if kind is Seen else _looked_at(value)


def _looked_at(value: Any) -> list[Any]:
    found: list[Any] = [text(value)]
    for look in (plain, milliseconds, finite):
        try:
            found.append(look(value))
        except Exception as error:  # noqa: BLE001  # what a value says of itself is anybody's code
            found.append(told(error).partition(": ")[2][:TEXT])
    return found
