"""Values for `$name`: bound, never pasted into the text."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter, UnknownVariable, UsageError, with_article

if TYPE_CHECKING:
    from workbench.query.lookup import Variables

__all__ = ["bound", "checked"]

_SCALARS = "None, bool, int, float, str, bytes, date, datetime, time, timedelta and Decimal"


def bound(
    names: Sequence[str], parameters: Mapping[str, object] | None, variables: Variables | None
) -> dict[str, object]:
    """A value for each name: of `parameters`, else of the notebook's variables. Raises UsageError,
    UnknownVariable, InvalidParameter."""
    if parameters is not None and not isinstance(parameters, Mapping):
        kind = with_article(type(parameters).__name__)
        raise UsageError(f"Values are given by name, as `sql('… $x', {{'x': 1}})`, not as {kind}.")
    given = dict(parameters or {})
    values: dict[str, object] = {}
    for name in names:
        if name in given:
            values[name] = checked(name, given[name])
            continue
        try:
            if variables is None:
                raise KeyError(name)
            value = variables(name)
        except KeyError:
            listed = getattr(variables, "names", None)
            known = [*given, *(listed() if listed is not None else ())]
            hint = f"Set it, or give it: `parameters={{'{name}': …}}`." if variables is not None else "Give it a value."
            raise UnknownVariable(name, known, hint) from None
        values[name] = checked(name, value)
    return values


def checked(name: str, value: object) -> object:
    """The value as DuckDB takes it: a scalar, or a list of scalars."""
    if isinstance(value, (list, tuple)):
        return [_scalar(name, item) for item in value]
    return _scalar(name, value)


def _scalar(name: str, value: Any) -> object:
    if (
        type(value).__module__.partition(".")[0] == "numpy"
        and hasattr(value, "item")
        and getattr(value, "ndim", 0) == 0
    ):
        value = value.item()
    match value:
        case None | bool() | bytes():
            return value
        case int():
            if not -(2**127) <= value < 2**127:
                raise InvalidParameter(name, "is an integer of more than 128 bits, which the engine cannot hold.")
            return int(value)
        case float():
            return float(value)
        case str():
            text = str.__str__(value)
            if any("\ud800" <= sign <= "\udfff" for sign in text):
                raise InvalidParameter(name, "holds half of a surrogate pair, which is no character.")
            if "\0" in text:
                raise InvalidParameter(name, "holds a NUL character; give it as bytes.")
            return text
        case decimal.Decimal():
            return _decimal(name, value)
        case datetime.datetime() | datetime.date() | datetime.time() | datetime.timedelta():
            return _moment(name, value)
    kind = with_article(type(value).__name__)
    raise InvalidParameter(name, f"is {kind}; a parameter is one of {_SCALARS}, or a list of them.")


def _decimal(name: str, value: decimal.Decimal) -> decimal.Decimal:
    if not value.is_finite():
        raise InvalidParameter(name, f"is Decimal('{value}'), which is no number; give a float.")
    _, digits, exponent = value.as_tuple()
    if max(len(digits) + max(int(exponent), 0), -int(exponent)) > 38:
        raise InvalidParameter(name, "is a Decimal of more than 38 digits, which the engine cannot hold.")
    return value


def _moment(name: str, value: Any) -> object:
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise InvalidParameter(name, "has nanoseconds, which would be lost; round it to microseconds.")
    for plain in ("to_pydatetime", "to_pytimedelta"):
        if hasattr(value, plain):
            return getattr(value, plain)()
    return value
