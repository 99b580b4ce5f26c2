"""Predicates on the row key as ranges of rows: what lies outside of them is never read.

Parts of the key are taken from the left, as long as each is held to certain values; the first one that is held to a
range ends it. Ranges are half open, in the order of the bytes, and do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from workbench.contract.predicate import And, Applied, Compare, In, Predicate
from workbench_hbase.encoding import Cannot, Range, points, ranges, successor
from workbench_hbase.mapping import Mapping, Part

__all__ = ["Narrowed", "cut", "narrowed"]

_MOST = 1000
"""Ranges at most: each is asked for by itself."""
_ALL: list[Range] = [(b"", None)]


@dataclass(frozen=True)
class Narrowed:
    """`ranges` of rows that have to be read, and the predicates that they apply, with how far."""

    ranges: tuple[Range, ...]
    applied: dict[Predicate, Applied]


@dataclass
class _Held:
    """What predicates say of one part: certain values (`exact`: their bytes), or ranges of bytes."""

    ranges: list[Range]
    exact: list[bytes] | None
    predicates: list[tuple[Predicate, bool]]


def narrowed(predicates: Iterable[Predicate], mapping: Mapping) -> Narrowed:
    held: dict[int, _Held] = {}
    for predicate in predicates:
        for one, whole in _conjuncts(predicate):
            _hold(held, predicate, one, whole, mapping)
    found, used = _rows(mapping.parts, held)
    applied: dict[Predicate, Applied] = {}
    for index, exact in used:
        for predicate, whole in held[index].predicates:
            level = Applied.EXACT if exact and whole else Applied.SUPERSET
            applied[predicate] = min(applied.get(predicate, level), level)
    return Narrowed(tuple(found), applied)


def _conjuncts(predicate: Predicate) -> Iterator[tuple[Predicate, bool]]:
    """The predicate, or those that it joins by AND; whether it is the whole."""
    waiting: list[tuple[Predicate, bool]] = [(predicate, True)]
    while waiting:
        one, whole = waiting.pop()
        if isinstance(one, And):
            waiting.extend((operand, False) for operand in one.operands)
        else:
            yield one, whole


def _hold(held: dict[int, _Held], predicate: Predicate, one: Predicate, whole: bool, mapping: Mapping) -> None:
    if not isinstance(one, Compare | In) or (field := mapping.find(one.column.path)) is None or field.part is None:
        return
    exact: list[bytes] | None = None
    try:
        if isinstance(one, In):
            exact = sorted({content for literal in one.literals for content in points(field.kind, literal.value)})
        elif one.op == "=":
            exact = sorted(points(field.kind, one.literal.value))
        elif one.op == "<>":
            return
        if field.kind in ("boolean", "text_integer", "text_double"):
            return  # read from several forms
        width = mapping.parts[field.part].width
        if exact is not None:
            exact = [content for content in exact if width in (None, len(content))]
            between = _of_points(exact, width)
        else:
            assert isinstance(one, Compare)
            between = ranges(field.kind, one.op, one.literal.value)
    except Cannot:
        return
    before = held.get(field.part)
    if before is None:
        held[field.part] = _Held(between, exact, [(predicate, whole)])
        return
    before.predicates.append((predicate, whole))
    before.ranges = _both(before.ranges, between)
    if exact is not None or before.exact is not None:
        both = exact if before.exact is None else before.exact if exact is None else sorted({*exact} & {*before.exact})
        before.exact = [one for one in both or () if any(_within(one, part) for part in before.ranges)]


def _of_points(exact: Sequence[bytes], width: int | None = None) -> list[Range]:
    return [(one, one + b"\0" if width is None else successor(one)) for one in exact]


def _within(key: bytes, part: Range) -> bool:
    return part[0] <= key and (part[1] is None or key < part[1])


def _both(some: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    return [part for one in some for part in cut([one], others)]


def cut(some: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """What lies in both."""
    found = []
    for low, high in some:
        for start, stop in others:
            first = max(low, start)
            after = high if stop is None else stop if high is None else min(high, stop)
            if after is None or first < after:
                found.append((first, after))
    return sorted(found, key=lambda one: one[0])


def _rows(parts: Sequence[Part], held: dict[int, _Held]) -> tuple[list[Range], list[tuple[int, bool]]]:
    """Ranges of rows, and the parts that made them, with whether just these rows are meant."""
    prefixes: list[bytes] = [b""]
    alone: list[Range] = []
    used: list[tuple[int, bool]] = []
    for index, part in enumerate(parts):
        if index == 0 and part.salts:
            if 1 not in held:
                break
            prefixes = sorted(part.salts)
            continue
        here = held.get(index)
        if here is None:
            break
        if here.exact is not None and len(prefixes) * len(here.exact) <= _MOST:
            used.append((index, not part.separator))
            keys = [prefix + one for prefix in prefixes for one in here.exact]
            if part.width is None and not part.separator:
                return _merged(_of_points(keys)), used
            if part.separator:  # a key that ends here has no separator
                alone += _of_points(keys)
                keys = [key + part.separator for key in keys]
            prefixes = keys
            continue
        between = here.ranges
        if len(prefixes) * len(between) > _MOST:
            between = [(between[0][0], between[-1][1])]
        if len(prefixes) * len(between) <= _MOST:
            used.append((index, False))
            found = [_below(prefix, one, part) for prefix in prefixes for one in between]
            return _merged([*found, *alone]), used
        break
    if not used:
        return list(_ALL), []
    return _merged([*((prefix, successor(prefix)) for prefix in prefixes), *alone]), used


def _below(prefix: bytes, between: Range, part: Part) -> Range:
    """The rows that begin so and have such a part. With a separator after it, a value that is the beginning of
    another one may come after that one; and so it is with a bound that is longer than the part."""
    low, high = between
    if high is None:
        return prefix + low, successor(prefix)
    stop: bytes | None = prefix + high
    if part.width is not None and len(high) > part.width:
        stop = successor(prefix + high[: part.width])
    if part.separator:
        for length in range(len(high)):
            after = successor(prefix + high[:length] + part.separator)
            if after is None:
                return prefix + low, None
            stop = max(stop or b"", after)
    return prefix + low, stop


def _merged(some: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    for low, high in sorted(some, key=lambda one: one[0]):
        if high is not None and high <= low:
            continue
        if found and (found[-1][1] is None or low <= found[-1][1]):
            last = found[-1][1]
            found[-1] = (found[-1][0], None if last is None or high is None else max(last, high))
        else:
            found.append((low, high))
    return found
