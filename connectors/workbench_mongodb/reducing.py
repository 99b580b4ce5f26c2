"""The first documents of an order, and sums, by the server: where its order and its sums are those of the columns.

A column's values of another type than its own are NULL, which the server's `$group` and `$sort` know nothing of. So
each of these is asked in two parts: documents whose columns all have their own types (or none, which is NULL, too), by
the server; and the few others as rows, each of which is a group by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import NotExact
from workbench.contract.reduction import Aggregate, Measure, Top
from workbench_mongodb.predicates import guarded, plain_name
from workbench_mongodb.types import Shape

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Groups", "NotThere", "first_of", "groups", "parts_of_rows", "proof", "proven"]

_ORDERED = ("long", "date", "objectId")
"""Kinds whose order is the same there and here. A double has NaN, text another order on some servers."""
_KEYS = (*_ORDERED, "bool", "string")
_COUNTED = (*_ORDERED, "bool")
_MOST_SORTED = 16 << 20
"""Bytes that a server is asked to hold for the first documents: it gives up at 32 MB, the older ones."""
_CERTAIN = 2.0**62
"""Of whole numbers whose sum may be beyond, it is not looked at."""
_WHOLE = 2**53 + 1
"""A number that is another one as a double."""


class NotThere(Exception):
    """Why the server is not asked; a few words for explain."""


@dataclass(frozen=True)
class Groups:
    """How an aggregate is asked: `stages` behind a `$match` with `guard` (empty where any document will do). `shapes`
    are of the server's answer, `said` being what they hold; `schema` is the aggregate's."""

    aggregate: Aggregate
    guard: Mapping[str, Any]
    stages: tuple[Mapping[str, Any], ...]
    shapes: tuple[Shape, ...]
    schema: pa.Schema

    def parts(self, batch: pa.RecordBatch, lost: Mapping[str, int]) -> pa.RecordBatch:
        """The server's groups as parts. Raises NotExact where its sums may not be those of the values."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if any(name.startswith("m") for name in lost):
            raise NotExact("its sums have values of another type")
        found = {shape.said: column for shape, column in zip(self.shapes, batch.columns, strict=True)}
        made = [found[f"key {at}"] for at in range(len(self.aggregate.keys))]
        for one, field in zip(self.aggregate.measures, list(self.schema)[len(made) :], strict=True):
            column = found["count"] if one.column is None else found[f"{one.kind} {one.column}"]
            if one.kind == "sum":
                counted = found[f"count {one.column}"]
                _certain(counted, found[f"min {one.column}"], found[f"max {one.column}"], str(one))
                column = pc.if_else(pc.equal(counted, 0), pa.scalar(None, column.type), column)
            made.append(column.cast(field.type))
        return pa.RecordBatch.from_arrays(made, schema=self.schema)


def groups(aggregate: Aggregate, shapes: Mapping[str, Shape], schema: pa.Schema) -> Groups:
    """`schema` is the table's. Raises NotThere."""
    keys = [_column(name, shapes, _KEYS) for name in aggregate.keys]
    if "_id" in aggregate.keys:
        raise NotThere("each document has its own `_id`")
    for one in aggregate.measures:
        if one.column is not None:
            _column(
                one.column, shapes, ("long",) if one.kind == "sum" else _COUNTED if one.kind == "count" else _ORDERED
            )
    sums = _sums([*aggregate.measures])
    named = [f"m{at}" for at in range(len(sums))]
    each = {name: _accumulator(kind, column) for name, (kind, column) in zip(named, sums, strict=True)}
    by = {f"k{at}": f"${shape.name}" for at, shape in enumerate(keys)}
    shown = {"_id": 0, **{name: f"$_id.{name}" for name in by}, **dict.fromkeys(named, 1)}
    answer = [Shape(f"k{at}", shape.kind, said=f"key {at}") for at, shape in enumerate(keys)]
    for name, (kind, column) in zip(named, sums, strict=True):
        of = shapes[column].kind if kind in ("min", "max") else "long"
        answer.append(Shape(name, of, said=f"{kind} {column}".strip()))
    guards = [_own(shapes[name]) for name in aggregate.columns]
    return Groups(
        aggregate,
        {"$and": guards} if guards else {},
        ({"$group": {"_id": by or None, **each}}, {"$project": shown}),
        tuple(answer),
        aggregate.schema(schema),
    )


def first_of(top: Top, shapes: Mapping[str, Shape], bytes_each: int) -> tuple[dict[str, int], dict[str, Any]]:
    """How the documents are sorted, and which of them have a value to sort by: of the others, which are NULL, any so
    many are asked for besides. Raises NotThere."""
    if len(top.order) != 1:
        raise NotThere("it is an order by several columns")
    (order,) = top.order
    shape = _column(order.column, shapes, _ORDERED)
    if top.rows * bytes_each > _MOST_SORTED:
        raise NotThere("so many documents are more than the server sorts in its memory")
    return {shape.name: -1 if order.descending else 1}, guarded(shape.name, shape, {})


def parts_of_rows(batch: pa.RecordBatch, aggregate: Aggregate, schema: pa.Schema) -> pa.RecordBatch:
    """Each row as a group by itself. `schema` is the aggregate's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    made = [batch.column(name) for name in aggregate.keys]
    for one, field in zip(aggregate.measures, list(schema)[len(made) :], strict=True):
        if one.column is None:
            made.append(pa.repeat(1, batch.num_rows))
        elif one.kind == "count":
            made.append(pc.is_valid(batch.column(one.column)).cast(field.type))
        else:
            made.append(batch.column(one.column).cast(field.type))
    return pa.RecordBatch.from_arrays(made, schema=schema)


# --- trying the server


def proof() -> list[dict[str, Any]]:
    """A pipeline over a few values of our own, whose answer is known: behind any one document of a collection."""
    import bson

    long, date = bson.Int64, bson.DatetimeMS
    values: list[dict[str, Any]] = [
        {"k": 1, "x": long(_WHOLE), "d": date(-5)}, {"k": long(1), "x": 1, "d": date(7)}, {"k": "a", "x": None},
        {"k": "a", "d": None}, {"k": None, "x": -3}, {"x": long(5), "d": date(0)}, {"k": True}, {"k": False, "x": 0},
    ]  # fmt: skip
    shapes = {"x": Shape("v.x", "long"), "d": Shape("v.d", "date")}
    sums = _sums([Measure("count"), Measure("sum", "x"), Measure("max", "d"), Measure("min", "d")])
    each = {f"m{at}": _accumulator(kind, shapes[of].name if of else "") for at, (kind, of) in enumerate(sums)}
    return [
        {"$limit": 1},
        {"$project": {"_id": 0, "v": {"$literal": values}}},
        {"$unwind": "$v"},
        {"$match": {"$and": [_own(Shape("v.x", "long")), _own(Shape("v.d", "date"))]}},
        {"$group": {"_id": {"k0": "$v.k"}, **each}},
        {"$project": {"_id": 0, "k0": "$_id.k0", **dict.fromkeys(each, 1)}},
    ]


def proven(answer: Sequence[Mapping[str, Any]]) -> bool:
    """Whether that is the answer to `proof`, and each number of its own type."""
    import bson

    found: dict[Any, list[tuple[Any, ...]]] = {}
    for one in answer:
        key, values = one.get("k0"), [one.get(f"m{at}") for at in range(7)]
        whole = all(type(value) in (int, bson.Int64, bson.DatetimeMS, type(None)) for value in values)
        if not whole or type(key) not in (int, bson.Int64, str, bool, type(None)):
            return False
        numbers = tuple(None if value is None else int(value) for value in values)
        found.setdefault((isinstance(key, bool), key), []).append(numbers)
    wanted = {
        (False, 1): [(2, 2, _WHOLE + 1, 1, _WHOLE, 7, -5)],
        (False, "a"): [(2, 0, 0, None, None, None, None)],
        (True, True): [(1, 0, 0, None, None, None, None)],
        (True, False): [(1, 1, 0, 0, 0, None, None)],
    }
    none = found.pop((False, None), [])
    one_group, two_groups = [(2, 2, 2, -3, 5, 0, 0)], [(1, 1, -3, -3, -3, None, None), (1, 1, 5, 5, 5, 0, 0)]
    return found == wanted and (none == one_group or sorted(none, key=str) == sorted(two_groups, key=str))


# --- inside


def _column(name: str, shapes: Mapping[str, Shape], kinds: Sequence[str]) -> Shape:
    shape = shapes[name]
    if not plain_name(name) or name.isdigit():
        raise NotThere(f"`{name}` is a name that a stage cannot say")
    if shape.kind not in kinds:
        raise NotThere(f"`{name}` is {shape.kind}")
    return shape


def _own(shape: Shape) -> dict[str, Any]:
    """Its values of its own type, null, and none at all. Not text that begins with a dollar: some servers take a key
    that is such a text for the name of a field."""
    import bson

    nothing = {shape.name: {"$eq": None, "$not": {"$type": "array"}}}
    found = {"$or": [guarded(shape.name, shape, {}), nothing]}
    return {"$and": [found, {shape.name: {"$not": bson.Regex(r"^\$")}}]} if shape.kind == "string" else found


def _sums(measures: Sequence[Measure]) -> list[tuple[str, str]]:
    """What the server is asked for: of what is summed, how many, the least and the greatest as well."""
    wanted: dict[tuple[str, str], None] = {}
    for one in measures:
        of = one.column or ""
        kinds = ("count", "sum", "min", "max") if one.kind == "sum" else (one.kind,)
        wanted |= dict.fromkeys((kind, of) for kind in kinds)
    return list(wanted)


def _accumulator(kind: str, column: str) -> dict[str, Any]:
    if not column:
        return {"$sum": 1}
    if kind == "count":  # null is less than what has a type, and nothing is less than null
        return {"$sum": {"$cond": [{"$gt": [f"${column}", None]}, 1, 0]}}
    return {f"${kind}": f"${column}"}


def _certain(counts: pa.Array, least: pa.Array, greatest: pa.Array, said: str) -> None:
    """That no sum of so many values between those has left 64 bits on its way."""
    import pyarrow as pa
    import pyarrow.compute as pc

    most = pc.max_element_wise(*(pc.abs(one.cast(pa.float64(), safe=False)) for one in (least, greatest)))
    if (pc.max(pc.multiply(counts.cast(pa.float64(), safe=False), most)).as_py() or 0.0) >= _CERTAIN:
        raise NotExact(f"{said} may be beyond 64 bits there")
