"""Predicates on cells as HBase's filters: only what is known to mean the same there, made from the tree by white-list.

The server compares bytes, and knows no NULL: a row whose cell is missing, or is no value of the column's kind, must
not be kept by a comparison. NOT is pushed down to the leaves first. What is equal is equal in bytes, so `=` and `in`
are exact; an order of bytes also keeps what is no value, and is looked at again here. Row keys are `keys.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.contract.predicate import Applied, Compare, In, IsNull, Literal, Predicate, Scalar
from workbench.kit.levels import folded
from workbench_hbase.encoding import KINDS, Cannot, points, ranges
from workbench_hbase.filters import Either, Every, Filter, Regex, Row, Value
from workbench_hbase.mapping import Field, Mapping, Part

__all__ = ["Pushed", "pushed"]

_DEEPEST = 40
_MOST = 1000
"""Comparisons in one predicate at most: the server makes each of them for every row."""
_TIMES = {"time": b"\\A\\x00[\\x00-\\x1F].{6}\\z", "reversed_time": b"\\A\\x7F[\\xE0-\\xFF].{6}\\z"}
"""Of their bytes, some are no time; these surely are."""
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_Cell = tuple[bytes, bytes]


@dataclass(frozen=True)
class Pushed:
    """A predicate in the server's words; `filter` is None where `applied` is NONE, and `reason` says why it is not
    EXACT. `cells` are compared; without all of `present` no row is kept."""

    filter: Filter | None
    applied: Applied
    reason: str = ""
    cells: frozenset[_Cell] = frozenset()
    present: frozenset[_Cell] = frozenset()
    size: int = 1
    depth: int = 0


def pushed(predicate: Predicate, mapping: Mapping, bytewise: bool) -> Pushed:
    """The predicate for the servers, and how far it is applied. `bytewise`: whether regular expressions see bytes,
    as they do by the native protocol."""
    return folded(predicate, lambda leaf, negated: _leaf(leaf, negated, mapping, bytewise), _joined)


def _joined(parts: list[Pushed], both: bool) -> Pushed:
    reason = "; ".join(dict.fromkeys(part.reason for part in parts if part.reason))
    used = [part for part in parts if part.filter is not None]
    size, depth = sum(part.size for part in used), 1 + max(part.depth for part in parts)
    if size > _MOST or depth > _DEEPEST:
        return _none(f"more than {_MOST:,} comparisons, or nested deeper than {_DEEPEST}")
    weakest = min(part.applied for part in parts)
    if not used or (not both and weakest is Applied.NONE):
        return _none(reason)
    filters = tuple(part.filter for part in used if part.filter is not None)
    cells = frozenset().union(*(part.cells for part in used))
    if both:
        level = Applied.EXACT if weakest is Applied.EXACT else Applied.SUPERSET
        present = frozenset().union(*(part.present for part in used))
        whole: Filter = Every(filters) if len(filters) > 1 else filters[0]
        return Pushed(whole, level, reason, cells, present, size, depth)
    present = frozenset.intersection(*(part.present for part in used))
    return Pushed(Either(filters), weakest, reason, cells, present, size, depth)


def _none(reason: str) -> Pushed:
    return Pushed(None, Applied.NONE, reason)


def _leaf(leaf: Predicate, negated: bool, mapping: Mapping, bytewise: bool) -> Pushed:
    assert isinstance(leaf, Compare | In | IsNull)
    field = mapping.find(leaf.column.path)
    try:
        if field is None:
            raise Cannot("a whole family is looked at here")
        if field.part is not None:
            if not isinstance(leaf, IsNull):
                raise Cannot("only some comparisons of a part of the row key are made there")
            kept, level = _key_is_null(field, mapping.parts, leaf.negated != negated, bytewise)
            return Pushed(kept, level, "" if level is Applied.EXACT else f"{leaf.column}: looked at again here")
        if field.kind == "cell_time":
            raise Cannot("the time of a cell is compared here")
        match leaf:
            case IsNull(negated=not_null):
                found = _is_null(field, not_null != negated, bytewise)
            case Compare(op=op, literal=literal):
                found = _compare(field, _OPPOSITE[op] if negated else op, literal.value)
            case In(literals=literals):
                found = _member(field, literals, negated)
    except Cannot as why:
        return _none(f"{leaf.column}: {why}")
    kept, level = found
    cell = frozenset({(field.family, field.qualifier)})
    reason = f"{leaf.column}: compared again here" if level is not Applied.EXACT else ""
    return Pushed(kept, level, reason, cell, frozenset() if _may_be_missing(kept) else cell, _size(kept))


def _may_be_missing(one: Filter) -> bool:
    if isinstance(one, Every):
        return all(map(_may_be_missing, one.filters))
    if isinstance(one, Either):
        return any(map(_may_be_missing, one.filters))
    return isinstance(one, Value) and one.missing


def _size(one: Filter) -> int:
    return sum(map(_size, one.filters)) if isinstance(one, Every | Either) else 1


def _is_null(field: Field, not_null: bool, bytewise: bool) -> tuple[Filter, Applied]:
    def matching(pattern: bytes, regex: Regex) -> Filter:
        return Value(field.family, field.qualifier, "=" if not_null else "<>", pattern, not not_null, regex)

    if field.kind == "bytes":
        return _there(field) if not_null else Value(field.family, field.qualifier, "<", b"", True), Applied.EXACT
    if bytewise and KINDS[field.kind].width is not None and field.kind not in _TIMES:
        return matching(b"\\A.{%d}\\z" % (KINDS[field.kind].width or 0), "bytes"), Applied.EXACT
    if not_null:
        return _there(field), Applied.SUPERSET
    if bytewise and field.kind in _TIMES:
        return matching(_TIMES[field.kind], "bytes"), Applied.SUPERSET
    return matching(_surely_values(field.kind), "text"), Applied.SUPERSET


def _surely_values(kind: str) -> bytes:
    """What is a value of the kind for sure, where bytes were read as text: what is none was replaced."""
    match kind:
        case "text" | "json":
            return b"\\A[^\\x{FFFD}]*\\z"
        case "text_integer":
            return b"\\A-?[0-9]{1,18}\\z"
        case "text_double":
            return b"\\A-?[0-9]{1,300}\\z"
        case "time":
            return b"\\A\\x00[\\x00-\\x1F][\\x00-\\x7F]{6}\\z"
        case "reversed_time":
            raise Cannot("whether there is a time is looked at here")
    return b"\\A[\\x00-\\x7F]{%d}\\z" % (KINDS[kind].width or 0)


def _key_is_null(field: Field, parts: Sequence[Part], not_null: bool, bytewise: bool) -> tuple[Filter, Applied]:
    """Parts of fixed width are there when the key is long enough."""
    widths = [part.width for part in parts[: (field.part or 0) + 1]]
    if any(width is None for width in widths) or KINDS[field.kind].width is None or field.kind in _TIMES:
        raise Cannot("whether a part of the row key is there is looked at here")
    end, op = sum(width or 0 for width in widths), "=" if not_null else "<>"
    if bytewise:
        return Row(op, b"\\A.{%d}" % end, "bytes"), Applied.EXACT
    if not_null:
        raise Cannot("whether a part of the row key is there is looked at here")
    return Row(op, b"\\A[\\x00-\\x7F]{%d}" % end, "text"), Applied.SUPERSET


def _there(field: Field) -> Filter:
    return Value(field.family, field.qualifier, ">=", b"")


def _compare(field: Field, op: str, value: Scalar) -> tuple[Filter, Applied]:
    def compared(op: str, content: bytes) -> Filter:
        return Value(field.family, field.qualifier, op, content)

    exact = field.kind == "bytes"
    if op == "=":
        return _equal(field, value)
    if op == "<>":
        if field.kind in ("text_integer", "text_double", "boolean"):
            return _there(field), Applied.SUPERSET
        try:
            others = tuple(compared("<>", content) for content in points(field.kind, value))
        except Cannot:
            return _there(field), Applied.SUPERSET
        return _every(others), Applied.EXACT if exact else Applied.SUPERSET
    parts: list[Filter] = []
    for low, high in ranges(field.kind, op, value):
        bounds = [compared(">=", low)] if low or high is None else []
        bounds += [compared("<", high)] if high is not None else []
        parts.append(_every(tuple(bounds)))
    if not parts:  # nothing can be so, and a filter that keeps nothing is none of the server's
        return _there(field), Applied.SUPERSET
    return Either(tuple(parts)) if len(parts) > 1 else parts[0], Applied.EXACT if exact else Applied.SUPERSET


def _every(filters: tuple[Filter, ...]) -> Filter:
    return filters[0] if len(filters) == 1 else Every(filters)


def _equal(field: Field, value: Scalar) -> tuple[Filter, Applied]:
    if field.kind == "boolean" and value is True:
        return _every((_there(field), Value(field.family, field.qualifier, "<>", b"\0"))), Applied.SUPERSET
    if field.kind == "text_integer":
        if not isinstance(value, int) or isinstance(value, bool):
            raise Cannot("a constant of another type")
        pattern = b"\\A-?0+\\z" if value == 0 else b"\\A%s0*%d\\z" % (b"-" if value < 0 else b"", abs(value))
        return Value(field.family, field.qualifier, "=", pattern, regex="text"), Applied.EXACT
    if field.kind == "text_double":
        raise Cannot("a number that is written as text is compared here")
    found = tuple(Value(field.family, field.qualifier, "=", content) for content in points(field.kind, value))
    return Either(found) if len(found) > 1 else found[0], Applied.EXACT


def _member(field: Field, literals: tuple[Literal, ...], negated: bool) -> tuple[Filter, Applied]:
    compare: Callable[[Scalar], tuple[Filter, Applied]] = lambda value: _equal(field, value)  # noqa: E731
    if negated:
        compare = lambda value: _compare(field, "<>", value)  # noqa: E731
    if len(literals) > _MOST:
        raise Cannot(f"more than {_MOST:,} constants")
    found = [compare(literal.value) for literal in literals]
    filters = tuple(one for one, _ in found)
    level = min(level for _, level in found)
    if len(filters) == 1:
        return filters[0], level
    return Every(filters) if negated else Either(filters), level
