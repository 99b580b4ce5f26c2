"""Filtering batches as DuckDB would: a row stays where every predicate is TRUE.

A predicate is first turned into a form without NOT, which DuckDB's total order of floats and De Morgan's laws allow:
`not (a < b)` is `a >= b`, NaN included. What is left is monotone, so a leaf may say NULL or FALSE alike where it is
not TRUE, and no third value has to be carried. Evaluation keeps a stack of its own, so that depth costs nothing;
the deeper operand goes first, so that few masks are alive at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from workbench.contract.errors import Unsupported
from workbench.contract.predicate import And, Column, Compare, In, IsNull, Literal, Not, Or, Predicate
from workbench.kit.literals import Impossible, exact, plain_type

__all__ = ["Filter", "apply", "can_apply", "expression"]

DEEPEST = 500
"""Levels of `expression` at most, where n operands are n - 1 levels: pyarrow recurses over them, rebuilds balanced
chains as one-sided ones, and its stack ends somewhere above 3,000."""

_COMPLEMENT = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_KERNEL = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
Mask = Any
"""A boolean array or a `pyarrow.compute.Expression`: the kernels take both."""


def can_apply(predicate: Predicate, schema: pa.Schema) -> bool:
    """Whether rows of `schema` can be filtered by `predicate` with just DuckDB's answer.

    False for a column that is not there or is there twice, a literal that is not exactly a value of the column's
    type, a type whose order is not DuckDB's (float16, date64, decimal256, lists, extension types …), and a schema
    with a column that pyarrow cannot filter at all.
    """
    try:
        Filter((predicate,), schema)
    except Unsupported:
        return False
    return True


def expression(predicate: Predicate, schema: pa.Schema) -> pc.Expression:
    """The predicate for pyarrow's datasets and tables: TRUE for the rows to keep, NULL or FALSE for the others, so
    it must not be negated. Raises Unsupported where `can_apply` is False, and for more than 500 levels of operands."""
    return Filter((predicate,), schema).expression()


def apply(batch: pa.RecordBatch, predicates: Iterable[Predicate]) -> pa.RecordBatch:
    """The rows of `batch` for which every predicate is TRUE, in their order. For many batches make a `Filter` once.
    Raises Unsupported where `can_apply` is False."""
    return Filter(tuple(predicates), batch.schema)(batch)


class Filter:
    """Predicates made ready for one schema; called with a batch of it, gives the batch of the rows to keep.
    Thread-safe. Raises Unsupported where `can_apply` is False."""

    def __init__(self, predicates: tuple[Predicate, ...], schema: pa.Schema) -> None:
        self._schema = schema
        try:
            self._widened = _widened(schema) if predicates else None
            self._nodes = _nodes(predicates, schema)
        except Impossible as why:
            raise Unsupported("The filter", "apply this predicate", str(why)) from None
        self._program = _program(self._nodes)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._program:
            return batch
        mask = self.mask(batch)
        if mask.true_count == batch.num_rows:
            return batch
        if self._widened is None:
            return batch.filter(mask)
        return batch.cast(self._widened).filter(mask).cast(self._schema)

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """TRUE for the rows to keep, NULL or FALSE for the others. Not for an empty conjunction."""
        columns: dict[tuple[int, ...], pa.Array] = {}
        stack: list[pa.Array] = []
        for step in self._program:
            if isinstance(step, _Leaf):
                array = columns.get(step.indices)
                if array is None:
                    array = columns[step.indices] = _column(batch, step.indices)
                stack.append(step.test(array))
            else:
                right = stack.pop()
                stack.append(step(stack.pop(), right))
        return stack.pop()

    def expression(self) -> pc.Expression:
        """All predicates as one expression; see the function of this name."""
        if self._nodes[0].depth > DEEPEST:
            raise Unsupported("The filter", f"make an expression of more than {DEEPEST} levels")
        made: dict[int, pc.Expression] = {}
        for node in reversed(self._nodes):  # children come after their parents
            operands = [made.pop(id(child)) if isinstance(child, _Node) else child.field() for child in node.operands]
            made[id(node)] = reduce(node.join, operands) if operands else pc.scalar(True)
        return made[id(self._nodes[0])]


@dataclass(frozen=True, slots=True)
class _Leaf:
    path: tuple[str, ...]
    indices: tuple[int, ...]
    decoded: pa.DataType | None
    test: Callable[[Any], Mask]

    def field(self) -> pc.Expression:
        column = pc.field(*self.path)
        return self.test(column if self.decoded is None else column.cast(self.decoded))


@dataclass(slots=True)
class _Node:
    """All (or any) of the operands; `depth` counts the levels of its expression."""

    conjunction: bool
    operands: list[_Node | _Leaf] = field(default_factory=list)
    depth: int = 1

    @property
    def join(self) -> Callable[[Any, Any], Mask]:
        return pc.and_kleene if self.conjunction else pc.or_kleene  # type: ignore[no-any-return]


def _nodes(predicates: tuple[Predicate, ...], schema: pa.Schema) -> list[_Node]:
    """The tree without NOT, operands of one kind flattened; parents before children."""
    root = _Node(conjunction=True)
    nodes = [root]
    waiting: list[tuple[Predicate, bool, _Node]] = [(p, False, root) for p in reversed(predicates)]
    while waiting:
        predicate, negated, parent = waiting.pop()
        match predicate:
            case Not(operand=operand):
                waiting.append((operand, not negated, parent))
            case And(operands=operands) | Or(operands=operands):
                if not operands:
                    raise Impossible("AND and OR need operands.")
                conjunction = isinstance(predicate, And) != negated
                if conjunction != parent.conjunction and len(operands) > 1:
                    child = _Node(conjunction)
                    parent.operands.append(child)
                    nodes.append(child)
                    parent = child
                waiting.extend((operand, negated, parent) for operand in reversed(operands))
            case _:
                parent.operands.append(_leaf(predicate, negated, schema))
    for node in reversed(nodes):
        below = max((child.depth for child in node.operands if isinstance(child, _Node)), default=1)
        node.depth = below + max(len(node.operands) - 1, 0)
    return nodes


def _program(nodes: list[_Node]) -> list[_Leaf | Callable[[Any, Any], Mask]]:
    """The tree as steps for a stack machine, the deepest operand of a node first."""
    steps: list[_Leaf | Callable[[Any, Any], Mask]] = []
    waiting: list[_Node | _Leaf | Callable[[Any, Any], Mask]] = [nodes[0]]
    while waiting:
        step = waiting.pop()
        if not isinstance(step, _Node):
            steps.append(step)
            continue
        operands = sorted(step.operands, key=lambda child: -child.depth if isinstance(child, _Node) else 0)
        for operand in reversed(operands[1:]):
            waiting += (step.join, operand)
        waiting += operands[:1]
    return steps


def _leaf(predicate: Compare | In | IsNull, negated: bool, schema: pa.Schema) -> _Leaf:
    found, indices = _find(predicate.column, schema)
    kind = plain_type(found)
    decoded = kind if kind != found else None
    if len(indices) > 1 and (pt.is_fixed_size_binary(kind) or isinstance(kind, pa.BaseExtensionType)):
        raise Impossible(f"DuckDB reads {predicate.column}, a field of {found}, without the nulls of its struct.")
    if isinstance(predicate, IsNull):
        if pt.is_union(kind) or pt.is_run_end_encoded(kind):
            raise Impossible(f"The nulls of {predicate.column}, a column of {found}, are not marked as such.")
        test = pc.is_valid if predicate.negated != negated else pc.is_null
    elif isinstance(predicate, In):
        test = _membership(kind, predicate.literals, negated)
    else:
        op = _COMPLEMENT[predicate.op] if negated else predicate.op
        test = _comparison(kind, op, exact(predicate.literal, kind))
    return _Leaf(predicate.column.path, indices, decoded, test)


def _comparison(kind: pa.DataType, op: str, value: Any) -> Callable[[Any], Mask]:
    kernel = _KERNEL[op]
    if pt.is_floating(kind):
        if math.isnan(value):
            return _against_nan(op)
        scalar = pa.scalar(value, kind)
        if op in (">", ">="):
            return lambda column: pc.or_kleene(kernel(column, scalar), pc.is_nan(column))
    else:
        scalar = pa.scalar(value, kind)
    return lambda column: kernel(column, scalar)


def _against_nan(op: str) -> Callable[[Any], Mask]:
    match op:
        case "=" | ">=":
            return pc.is_nan  # type: ignore[no-any-return]
        case "<>" | "<":
            return lambda column: pc.invert(pc.is_nan(column))
        case "<=":
            return pc.is_valid  # type: ignore[no-any-return]
        case _:
            return lambda column: pc.and_kleene(pc.is_valid(column), pc.is_null(column))


def _membership(kind: pa.DataType, literals: tuple[Literal, ...], negated: bool) -> Callable[[Any], Mask]:
    values = [exact(literal, kind) for literal in literals]
    nan = pt.is_floating(kind) and any(math.isnan(value) for value in values)
    if pt.is_floating(kind):
        values = [value for value in values if not math.isnan(value)]
        if 0.0 in values:
            values += [0.0, -0.0]  # the look-up is by bits
    searched = _searched(kind)
    known = pa.array(values, searched)

    def test(column: Any) -> Mask:
        found = pc.is_in(column if searched == kind else column.cast(searched), value_set=known)
        if nan:
            found = pc.or_kleene(found, pc.is_nan(column))
        return pc.and_kleene(pc.is_valid(column), pc.invert(found)) if negated else found

    return test


def _searched(kind: pa.DataType) -> pa.DataType:
    """The type in which pyarrow can look up values of `kind`."""
    if pt.is_string_view(kind):
        return pa.large_string()
    if pt.is_binary_view(kind):
        return pa.large_binary()
    if pt.is_decimal32(kind) or pt.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return kind


def _find(column: Column, schema: pa.Schema) -> tuple[pa.DataType, tuple[int, ...]]:
    """The type at the column's path, and the path as positions."""
    at = schema.get_all_field_indices(column.name)
    if len(at) != 1:
        raise Impossible(f"Column {column.name} is there {len(at)} times.")
    found, indices = schema.field(at[0]).type, at
    for part in column.path[1:]:
        if not pt.is_struct(found):
            raise Impossible(f"{column} leads into {found}, which has no fields.")
        at = found.get_all_field_indices(part)
        if len(at) != 1:
            raise Impossible(f"{column}: field {part} is there {len(at)} times.")
        found, indices = found.field(at[0]).type, indices + at
    return found, tuple(indices)


def _column(batch: pa.RecordBatch, indices: tuple[int, ...]) -> pa.Array:
    array = batch.column(indices[0])
    if len(indices) > 1:
        array = pc.struct_field(array, list(indices[1:]))  # NULL where a struct on the way is
    return array.dictionary_decode() if pt.is_dictionary(array.type) else array


def _widened(schema: pa.Schema) -> pa.Schema | None:
    """The schema in which pyarrow can filter (it cannot filter views), or None where it is this one."""
    kinds = schema.types
    filterable = [_filterable(kind) for kind in kinds]
    if filterable == kinds:
        return None
    fields = [column.with_type(kind) for column, kind in zip(schema, filterable, strict=True)]
    return pa.schema(fields, schema.metadata)


@lru_cache(maxsize=1024)
def _filterable(kind: pa.DataType) -> pa.DataType:
    if pt.is_string_view(kind) or pt.is_binary_view(kind):
        return _searched(kind)
    if pt.is_struct(kind):
        return pa.struct([inner.with_type(_filterable(inner.type)) for inner in kind])
    if pt.is_list(kind):
        return pa.list_(kind.value_field.with_type(_filterable(kind.value_type)))
    try:
        pa.nulls(0, kind).filter(pa.array([], pa.bool_()))
    except pa.ArrowNotImplementedError:
        raise Impossible(f"pyarrow cannot filter a column of {kind}.") from None
    return kind
