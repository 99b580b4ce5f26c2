"""Plain values as text that gives them back with their types: what snapshots hold. No pickle: a file that others may
write makes nothing but values here.

JSON, in which a list is a list and every object is a mark with what it is of: `{"t": [1, 2]}` is a tuple. The standard
library only, but for Arrow tables.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import decimal
import json
import math
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

from workbench.streams.tuples import Tuple, tuple_class

__all__ = ["NotPlain", "canonical", "decoded", "encoded", "from_text", "to_text"]

_SELF = (str, int, bool, type(None))


class NotPlain(Exception):
    """`value` is of a type that is not kept; `key` is that of the state where it is, as text."""

    def __init__(self, value: object, key: str = "") -> None:
        kind = type(value)
        self.value, self.key = value, key
        self.kind = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
        super().__init__(
            f"holds a value of type `{self.kind}`{f' at key {key}' if key else ''}, which is not kept. Kept are None, "
            "bool, int, float, str, bytes, list, tuple, dict, set, deque, Counter, dates and times, Decimal, UUID and "
            "Arrow tables."
        )


def to_text(value: Any) -> str:
    """Raises NotPlain."""
    try:
        return json.dumps(encoded(value), separators=(",", ":"), allow_nan=False)
    except (RecursionError, ValueError):  # within itself; an int of more digits than Python writes
        raise NotPlain(value) from None


def from_text(text: str) -> Any:
    """Raises ValueError where the text is none that `to_text` gave."""
    try:
        return decoded(json.loads(text))
    except (KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def canonical(key: Any) -> str:
    """The same text for keys that are one key of a dict: 1, 1.0, True and Decimal("1.00"); the same moment in two
    zones; a stream's tuple and a plain one."""
    return to_text(_canonical(key))


def _canonical(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(map(_canonical, key))
    if isinstance(key, frozenset):
        return ("\0a frozenset", *sorted(map(canonical, key)))
    if type(key).__module__ == "numpy" and hasattr(key, "item"):
        return _canonical(key.item())
    if type(key) is bool or (type(key) is float and key.is_integer()):
        return int(key)
    if type(key) is decimal.Decimal:
        return _number(key)
    if type(key) is datetime.datetime:
        return (key if key.tzinfo is None else key.astimezone(datetime.UTC)).replace(fold=0)
    if type(key) is datetime.time:
        return key.replace(fold=0)
    return key


def _number(key: decimal.Decimal) -> Any:
    """As the int or the float that it is equal to, where there is one; else without zeros at its end."""
    if not key.is_finite():
        return key
    if key.adjusted() < 4000 and key == key.to_integral_value():
        return int(key)
    with contextlib.suppress(OverflowError):
        if float(key) == key:
            return _canonical(float(key))
    return key.normalize(decimal.Context(len(key.as_tuple().digits), Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX))


def encoded(value: Any) -> Any:
    """As JSON has it. Raises NotPlain."""
    kind = value.__class__
    if kind in _SELF:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"f": repr(value)}
    if kind is list:
        return [encoded(one) for one in value]
    make = _TO.get(kind)
    if make is not None:
        return make(value)
    if isinstance(value, Tuple):
        made = type(value)
        where = [made.source_component, made.source_stream, made.source_task, list(made.fields)]
        return {"r": [where, [encoded(one) for one in value]]}
    if kind.__module__ == "numpy" and getattr(value, "shape", None) == () and kind.__name__ != "ndarray":
        return encoded(value.item())  # a number is a number
    if kind.__module__.partition(".")[0] == "pyarrow" and hasattr(value, "to_batches"):
        return {"a": base64.b64encode(_stream(value)).decode()}
    raise NotPlain(value)


def decoded(body: Any) -> Any:
    """Raises ValueError, KeyError, TypeError for what `encoded` did not give."""
    if body.__class__ is list:
        return [decoded(one) for one in body]
    if body.__class__ is not dict:
        return body
    ((mark, inner),) = body.items()
    return _FROM[mark](inner)


def _pairs(value: Any) -> list[Any]:
    return [[encoded(key), encoded(one)] for key, one in value.items()]


def _dict(inner: Any) -> dict[Any, Any]:
    return {decoded(key): decoded(one) for key, one in inner}


def _each(value: Any) -> list[Any]:
    return [encoded(one) for one in value]


def _moment(value: datetime.datetime) -> dict[str, Any]:
    zone = value.tzinfo
    if zone is None or isinstance(zone, datetime.timezone):
        return {"at": [value.isoformat(), value.fold, None]}
    name = getattr(zone, "key", None)
    if not isinstance(name, str):
        raise NotPlain(zone)
    return {"at": [value.replace(tzinfo=None).isoformat(), value.fold, name]}


def _hour(value: datetime.time) -> dict[str, Any]:
    if value.tzinfo is not None and not isinstance(value.tzinfo, datetime.timezone):
        raise NotPlain(value.tzinfo)  # what it is from UTC depends on the day
    return {"hm": [value.isoformat(), value.fold]}


def _at(inner: Any) -> datetime.datetime:
    text, fold, zone = inner
    value = datetime.datetime.fromisoformat(text).replace(fold=fold)
    if zone is None:
        return value
    from zoneinfo import ZoneInfo

    return value.replace(tzinfo=ZoneInfo(zone))


def _stream(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _arrow(inner: str) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(base64.b64decode(inner, validate=True)).read_all()


def _row(inner: Any) -> Tuple:
    (component, stream, task, fields), values = inner
    key = (str(component), str(stream), int(task), tuple(map(str, fields)))
    made = _classes.get(key)
    if made is None:
        made = _classes[key] = tuple_class(key[0], key[1], key[3], key[2])
    return made(map(decoded, values))


_classes: dict[tuple[str, str, int, tuple[str, ...]], type[Tuple]] = {}

_TO: dict[type, Callable[[Any], dict[str, Any]]] = {
    tuple: lambda value: {"t": _each(value)},
    dict: lambda value: {"d": _pairs(value)},
    OrderedDict: lambda value: {"o": _pairs(value)},
    Counter: lambda value: {"c": _pairs(value)},
    set: lambda value: {"s": _each(value)},
    frozenset: lambda value: {"z": _each(value)},
    deque: lambda value: {"q": [_each(value), value.maxlen]},
    bytes: lambda value: {"b": base64.b64encode(value).decode()},
    bytearray: lambda value: {"y": base64.b64encode(bytes(value)).decode()},
    datetime.datetime: _moment,
    datetime.date: lambda value: {"on": value.isoformat()},
    datetime.time: _hour,
    datetime.timedelta: lambda value: {"dt": [value.days, value.seconds, value.microseconds]},
    decimal.Decimal: lambda value: {"n": str(value)},
    uuid.UUID: lambda value: {"u": value.hex},
}
_FROM: dict[str, Callable[[Any], Any]] = {
    "t": lambda inner: tuple(map(decoded, inner)),
    "d": _dict,
    "o": lambda inner: OrderedDict(_dict(inner)),
    "c": lambda inner: Counter(_dict(inner)),
    "s": lambda inner: set(map(decoded, inner)),
    "z": lambda inner: frozenset(map(decoded, inner)),
    "q": lambda inner: deque(map(decoded, inner[0]), inner[1]),
    "b": lambda inner: base64.b64decode(inner, validate=True),
    "y": lambda inner: bytearray(base64.b64decode(inner, validate=True)),
    "f": float,
    "at": _at,
    "on": datetime.date.fromisoformat,
    "hm": lambda inner: datetime.time.fromisoformat(inner[0]).replace(fold=inner[1]),
    "dt": lambda inner: datetime.timedelta(*inner),
    "n": decimal.Decimal,
    "u": uuid.UUID,
    "a": _arrow,
    "r": _row,
}
