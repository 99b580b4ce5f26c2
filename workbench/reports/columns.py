"""Columns of a batch as arrays of whole numbers: times in ms, and codes with a dictionary for everything else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workbench.contract.errors import InvalidParameter

__all__ = ["Codes", "Ints", "changes", "codes", "distinct", "host_of", "milliseconds", "places", "ranked", "unified"]

Ints = NDArray[np.int64]
_FACTORS = {"s": 1000, "ms": 1, "us": -1000, "ns": -1_000_000}


def milliseconds(column: pa.Array, unit: str | None) -> tuple[Ints, NDArray[np.bool_] | None]:
    """Times in ms since 1970 (rounded down), and which of them are there; None when all are. `unit` is that of plain
    numbers."""
    kind = column.type
    valid = None if column.null_count == 0 else column.is_valid().to_numpy(zero_copy_only=False)
    filled = column if valid is None else column.fill_null(0) if _plain(kind) else _zeroed(column)
    if pa.types.is_timestamp(kind):
        return _scaled(_numbers(filled.view(pa.int64())), kind.unit), valid
    if pa.types.is_date32(kind):
        return _numbers(filled.view(pa.int32())).astype(np.int64) * 86_400_000, valid
    if pa.types.is_date64(kind):
        return _numbers(filled.view(pa.int64())), valid
    if pa.types.is_integer(kind):
        try:
            numbers = _numbers(filled.cast(pa.int64()))
        except pa.ArrowInvalid as error:
            raise InvalidParameter("time", f"has numbers that are no time: {error}.") from None
        return _scaled(numbers, unit or "ms"), valid
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        factor = _FACTORS[unit or "ms"]
        floats = _numbers(filled.cast(pa.float64()))
        scaled = np.floor(floats * factor if factor > 0 else floats / -factor)
        fine = np.isfinite(scaled) & (np.abs(scaled) < 2**62)
        valid = fine if valid is None else valid & fine
        return np.where(fine, scaled, 0).astype(np.int64), None if valid.all() else valid
    raise InvalidParameter("time", f"names a column of type {kind}, which is no time.")


def _plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _zeroed(column: pa.Array) -> pa.Array:
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64()).fill_null(0.0)
    width = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
    return column.view(width).fill_null(0).view(column.type)


def _numbers(column: pa.Array) -> NDArray[Any]:
    made: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return made


def _scaled(numbers: Ints, unit: str) -> Ints:
    factor = _FACTORS[unit]
    if factor == 1:
        return numbers
    return numbers * factor if factor > 0 else numbers // -factor


class Codes:
    """A column as `codes` into `values` (an Arrow array without NULL); -1 is none."""

    def __init__(self, codes: Ints, values: pa.Array) -> None:
        self.codes, self.values = codes, values


def codes(column: pa.Array) -> Codes:
    """Raises InvalidParameter for a type whose values cannot be told apart by a hash (a struct, a list)."""
    if not pa.types.is_dictionary(column.type):
        if pa.types.is_string_view(column.type):
            column = column.cast(pa.large_string())
        try:
            column = column.dictionary_encode()
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
            why = f"is of type {column.type}: map one of its fields, as in `device.category`."
            raise InvalidParameter("column", why) from None
    index = column.indices
    found = _numbers(index.fill_null(-1) if index.null_count else index).astype(np.int64)
    values = column.dictionary
    if values.null_count:  # a NULL within the dictionary is none as well
        found = np.where(_numbers(values.is_valid())[found] & (found >= 0), found, -1)
        values = values.fill_null("") if pa.types.is_string(values.type) else values
    return Codes(found, values)


def ranked(one: Codes, change: Callable[[str], str | None] = lambda text: text) -> Codes:
    """The values as text in the order of the alphabet, changed one by one; empty text is none."""
    texts = [None if value is None else change(str(value)) for value in one.values.to_pylist()]
    names = sorted({text for text in texts if text})
    place = {name: number for number, name in enumerate(names)}
    table = np.array([*(place.get(text or "", -1) for text in texts), -1], np.int64)
    return Codes(table[one.codes], pa.array(names, pa.string()))


def unified(dictionaries: Sequence[pa.Array], ordered: bool = False) -> tuple[pa.Array, list[Ints]]:
    """One dictionary for all, and for each the new code of each of its codes."""
    if not dictionaries:
        return pa.array([], pa.string()), []
    kinds = {one.type for one in dictionaries}
    if len(kinds) > 1:  # the one type that all of them go into
        dictionaries = [one.cast(pa.string()) for one in dictionaries]
    whole = pa.chunked_array(dictionaries).combine_chunks()
    encoded = whole.dictionary_encode()
    place, values = _numbers(encoded.indices).astype(np.int64), encoded.dictionary
    if ordered:
        order = _numbers(pc.array_sort_indices(values)).astype(np.int64)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        place, values = rank[place], values.take(pa.array(order))
    ends = itertools.accumulate((len(one) for one in dictionaries), initial=0)
    return values, [place[low:high] for low, high in itertools.pairwise(ends)]


def changes(ordered: Ints) -> Ints:
    """The distinct values of what is in order."""
    kept = np.empty(len(ordered), np.bool_)
    kept[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=kept[1:])
    found: Ints = ordered[kept]
    return found


def places(ordered: Ints, values: Ints) -> Ints:
    """Where each value is in `ordered`, which has it. Evenly spaced ones are counted, the others looked for."""
    step = int(ordered[1] - ordered[0]) if len(ordered) > 1 else 1
    if len(ordered) and (np.diff(ordered) == step).all():
        return (values - int(ordered[0])) // step
    return np.searchsorted(ordered, values)


def distinct(group: Ints, user: Ints, count: int) -> Ints:
    """How many different users each of `count` groups has."""
    if len(user) and (int(user.max()) + 1) * count < 2**62 and user.min() >= 0:
        pairs = group * (int(user.max()) + 1) + user
        pairs.sort()
        kept = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
        group = pairs[kept] // (int(user.max()) + 1)
        return np.bincount(group, minlength=count)
    order = np.lexsort((user, group))
    group, user = group[order], user[order]
    new = np.ones(len(group), np.bool_)
    new[1:] = (group[1:] != group[:-1]) | (user[1:] != user[:-1])
    return np.bincount(group[new], minlength=count)


def host_of(url: str, own: frozenset[str] = frozenset()) -> str | None:
    """The host of a referrer, without `www.`; None for none, for `-`, and for the site's own."""
    text = url.strip().casefold()
    if text in ("", "-"):
        return None
    rest = text.partition("://")[2] or text
    host = rest
    for end in "/?#":
        host = host.partition(end)[0]
    host = host.rpartition("@")[2]
    host = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    host = host.removeprefix("www.")
    return None if not host or host in own else host
