"""`kit.filter` against DuckDB itself: generated tables and predicate trees, both must keep the same rows."""

from __future__ import annotations

import datetime
import decimal
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import Unsupported
from workbench.contract.predicate import And, Column, Compare, In, IsNull, Literal, Not, Or, Predicate
from workbench.kit.filter import Filter, apply, can_apply, expression

UTC = datetime.UTC
EARLY, LATE = datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)


def _floats(width: int) -> st.SearchStrategy[float]:
    edges = [0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, -1.5]
    return st.sampled_from(edges) | st.floats(width=width)  # type: ignore[arg-type]


def _text() -> st.SearchStrategy[str]:
    return st.sampled_from(["", "a", "A", "a ", "ä", "\U0001f600", "\uffff", "a\x00b", "ab"]) | st.text(max_size=20)


def _moments(unit: int, zone: datetime.tzinfo | None = None) -> st.SearchStrategy[datetime.datetime]:
    def whole(value: datetime.datetime) -> datetime.datetime:
        return value.replace(microsecond=value.microsecond // unit * unit, tzinfo=zone)

    return st.datetimes(EARLY, LATE).map(whole)


def _times(unit: int) -> st.SearchStrategy[datetime.time]:
    return st.times().map(lambda t: t.replace(microsecond=t.microsecond // unit * unit))


def _decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    top = 10**precision - 1
    return st.integers(-top, top).map(lambda n: decimal.Decimal(n).scaleb(-scale, decimal.Context(prec=40)))


INTEGERS = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    name: (
        getattr(pa, name)(),
        st.integers(0, 2**bits - 1) if sign else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
    )
    for name, (sign, bits) in INTEGERS.items()
} | {
    "small": (pa.int32(), st.integers(-2, 2)),
    "bool": (pa.bool_(), st.booleans()),
    "float": (pa.float32(), _floats(32)),
    "double": (pa.float64(), _floats(64)),
    "decimal32": (pa.decimal32(7, 2), _decimals(7, 2)),
    "decimal64": (pa.decimal64(16, 6), _decimals(16, 6)),
    "decimal128": (pa.decimal128(38, 10), _decimals(38, 10)),
    "string": (pa.string(), _text()),
    "large_string": (pa.large_string(), _text()),
    "string_view": (pa.string_view(), _text()),
    "dictionary": (pa.dictionary(pa.int16(), pa.string()), _text()),
    "binary": (pa.binary(), st.binary(max_size=20)),
    "large_binary": (pa.large_binary(), st.binary(max_size=20)),
    "binary_view": (pa.binary_view(), st.binary(max_size=20)),
    "fixed_binary": (pa.binary(2), st.binary(min_size=2, max_size=2)),
    "date": (pa.date32(), st.dates()),
    "time_s": (pa.time32("s"), _times(1_000_000)),
    "time_ms": (pa.time32("ms"), _times(1_000)),
    "time_us": (pa.time64("us"), _times(1)),
    "time_ns": (pa.time64("ns"), _times(1)),
    "stamp_s": (pa.timestamp("s"), _moments(1_000_000)),
    "stamp_ms": (pa.timestamp("ms"), _moments(1_000)),
    "stamp_us": (pa.timestamp("us"), _moments(1)),
    "stamp_ns": (pa.timestamp("ns"), _moments(1)),
    "zoned_s": (pa.timestamp("s", "UTC"), _moments(1_000_000, UTC)),
    "zoned_ms": (pa.timestamp("ms", "UTC"), _moments(1_000, UTC)),
    "zoned_us": (pa.timestamp("us", "Europe/Berlin"), _moments(1, UTC)),
    "zoned_ns": (pa.timestamp("ns", "UTC"), _moments(1, UTC)),
}
OPS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])


def _array(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_decimal(kind) and not pa.types.is_decimal128(kind):
        return pa.array(values, pa.decimal128(kind.precision, kind.scale)).cast(kind)
    return pa.array(values, kind)


@st.composite
def cases(draw: st.DrawFn) -> tuple[pa.RecordBatch, Predicate]:
    """A batch of one to three columns, one of them perhaps inside a struct, and a predicate over it."""
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3, unique=True))
    count = draw(st.integers(1, 12))
    pools = {name: draw(st.lists(KINDS[name][1], min_size=1, max_size=4)) for name in names}
    data = {
        name: _array(
            KINDS[name][0],
            draw(st.lists(st.none() | st.sampled_from(pools[name]), min_size=count, max_size=count)),
        )
        for name in names
    }
    columns = {name: Column((name,)) for name in names}
    if names[0] != "fixed_binary" and draw(st.booleans()):
        holes = pa.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
        inner = pa.StructArray.from_arrays([data.pop(names[0])], [names[0]], mask=holes)
        data["outer"] = pa.StructArray.from_arrays([inner], ["in ner"])
        columns[names[0]] = Column(("outer", "in ner", names[0]))

    def leaf(name: str) -> st.SearchStrategy[Predicate]:
        kind = KINDS[name][0]
        literals = (st.sampled_from(pools[name]) | KINDS[name][1]).map(lambda value: Literal(value, kind))
        return st.one_of(
            st.builds(Compare, st.just(columns[name]), OPS, literals),
            st.builds(In, st.just(columns[name]), st.lists(literals, min_size=1, max_size=5).map(tuple)),
            st.builds(IsNull, st.just(columns[name]), st.booleans()),
        )

    def grown(below: st.SearchStrategy[Predicate]) -> st.SearchStrategy[Predicate]:
        several = st.lists(below, min_size=2, max_size=3).map(tuple)
        return st.builds(And, several) | st.builds(Or, several) | st.builds(Not, below)

    predicate = draw(st.recursive(st.one_of(*map(leaf, names)), grown, max_leaves=8))
    return pa.RecordBatch.from_pydict(data), predicate


def _kept_by_duckdb(batch: pa.RecordBatch, predicates: Sequence[Predicate]) -> list[list[int]]:
    """The rows that DuckDB keeps for each. Predicates stand in the SELECT list, so that nothing is pushed back into
    pyarrow; the literals are in a table too, in the very type of their column."""
    literals: list[pa.Array] = []

    def said(p: Predicate) -> str:
        match p:
            case And(operands=operands) | Or(operands=operands):
                word = " and " if isinstance(p, And) else " or "
                return "(" + word.join(map(said, operands)) + ")"
            case Not(operand=operand):
                return f"(not {said(operand)})"
            case IsNull(column=column, negated=negated):
                return f"({place(column)} is {'not ' if negated else ''}null)"
            case Compare(column=column, op=op, literal=literal):
                return f"({place(column)} {op} {constant(literal)})"
            case In(column=column, literals=several):
                return f"({place(column)} in ({', '.join(map(constant, several))}))"

    def place(column: Column) -> str:
        text = f'rows."{column.path[0]}"'
        for part in column.path[1:]:
            text = f"struct_extract({text}, '{part}')"
        return text

    def constant(literal: Literal) -> str:
        literals.append(_array(literal.type, [literal.value]))
        return f"constants.l{len(literals) - 1}"

    asked = ", ".join(f"({said(predicate)}) is true" for predicate in predicates)
    rows = pa.Table.from_batches([batch])
    constants = pa.table({f"l{n}": array for n, array in enumerate(literals)} | {"one": pa.array([1])})
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        connection.register("constants", constants)
        found = connection.execute(f"select {asked} from rows, constants").fetchall()
    return [[n for n, keep in enumerate(answers) if keep] for answers in zip(*found, strict=True)]


@given(cases())
@settings(max_examples=150, deadline=None)
def test_keeps_what_duckdb_keeps(case: tuple[pa.RecordBatch, Predicate]) -> None:
    batch, predicate = case
    assert can_apply(predicate, batch.schema)
    [expected] = _kept_by_duckdb(batch, [predicate])
    numbered = batch.append_column("n", pa.array(range(batch.num_rows)))
    kept = apply(numbered, [predicate])
    assert kept.schema.equals(numbered.schema)
    assert kept["n"].to_pylist() == expected
    if not any(pa.types.is_string_view(f.type) or pa.types.is_binary_view(f.type) for f in batch.schema):
        plain = numbered.drop_columns([f.name for f in batch.schema if pa.types.is_struct(f.type)])
        if all(column.path[0] != "outer" for column in _columns(predicate)):
            source = ds.dataset(pa.Table.from_batches([plain]))
            assert source.to_table(filter=expression(predicate, batch.schema))["n"].to_pylist() == expected


def _columns(predicate: Predicate) -> list[Column]:
    match predicate:
        case And(operands=operands) | Or(operands=operands):
            return list(itertools.chain.from_iterable(map(_columns, operands)))
        case Not(operand=operand):
            return _columns(operand)
        case Compare(column=column) | In(column=column) | IsNull(column=column):
            return [column]


@pytest.mark.parametrize("name", sorted(KINDS))
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_every_type_and_operator(name: str, data: st.DataObject) -> None:
    kind, values = KINDS[name]
    held = data.draw(st.lists(st.none() | values, min_size=1, max_size=20))
    batch = pa.RecordBatch.from_arrays([_array(kind, held)], ["c"])
    among = [value for value in held if value is not None]
    literal = Literal(data.draw(st.sampled_from(among) if among else values), kind)
    column = Column(("c",))
    compared: list[Predicate] = [Compare(column, op, literal) for op in ("=", "<>", "<", "<=", ">", ">=")]
    plain = [*compared, In(column, (literal,)), IsNull(column)]
    tried = plain + [Not(p) for p in plain] + [Not(Not(p)) for p in plain]
    for predicate, expected in zip(tried, _kept_by_duckdb(batch, tried), strict=True):
        mask = Filter((predicate,), batch.schema).mask(batch)
        assert [n for n, keep in enumerate(mask.to_pylist()) if keep] == expected, predicate


NUMBERS = pa.record_batch({"a": pa.array([1, 2, None, 10_001])})
A = Column(("a",))


def _whole(value: int) -> Literal:
    return Literal(value, pa.int64())


def _alternating(depth: int) -> Predicate:
    """a = 1 or (a <> 0 and (a = 3 or (a <> 2 and … a = depth + 1)))"""
    predicate: Predicate = Compare(A, "=", _whole(depth + 1))
    for level in range(depth, 0, -1):
        leaf = Compare(A, "=", _whole(level)) if level % 2 else Compare(A, "<>", _whole(level - 2))
        predicate = Or((leaf, predicate)) if level % 2 else And((leaf, predicate))
    return predicate


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: _alternating(10_000), [1, 10_001]),
        (lambda: _negated(10_001), [2, 10_001]),
        (lambda: And(tuple(Compare(A, "<>", _whole(n)) for n in range(2, 10_002))), [1]),
        (lambda: _chain(Or, [Compare(A, "=", _whole(n)) for n in range(2, 10_002)]), [2, 10_001]),
    ],
    ids=["alternating", "negations", "wide", "one-sided"],
)
def test_ten_thousand_levels(make: Callable[[], Predicate], expected: list[int]) -> None:
    predicate = make()
    assert can_apply(predicate, NUMBERS.schema)
    assert apply(NUMBERS, [predicate])["a"].to_pylist() == expected


def _negated(times: int) -> Predicate:
    predicate: Predicate = Compare(A, "=", _whole(1))
    for _ in range(times):
        predicate = Not(predicate)
    return predicate


def _chain(kind: type[And] | type[Or], leaves: list[Predicate]) -> Predicate:
    predicate = leaves[0]
    for leaf in leaves[1:]:
        predicate = kind((leaf, predicate))
    return predicate


def test_an_expression_has_an_end() -> None:
    source = ds.dataset(pa.Table.from_batches([NUMBERS]))
    chain = _chain(Or, [Compare(A, "=", _whole(n)) for n in range(2, 490)])
    assert source.to_table(filter=expression(chain, NUMBERS.schema))["a"].to_pylist() == [2]
    for longer in (_chain(Or, [Compare(A, "=", _whole(n)) for n in range(2, 10_002)]), _alternating(10_000)):
        with pytest.raises(Unsupported, match="levels"):
            expression(longer, NUMBERS.schema)


def test_membership_of_thousands_is_quick() -> None:
    batch = pa.record_batch({"a": pa.array(range(65_536))})
    wanted = In(A, tuple(_whole(n) for n in range(0, 40_000, 4)))
    ready = Filter((wanted,), batch.schema)
    began = time.process_time()
    for _ in range(20):
        assert ready(batch).num_rows == 10_000
    assert time.process_time() - began < 1.0


def test_a_batch_that_stays_whole_is_not_copied() -> None:
    assert apply(NUMBERS.slice(0, 2), [IsNull(A, negated=True)]).column(0).buffers()[1].address == (
        NUMBERS.column(0).buffers()[1].address
    )


def test_columns_of_views_are_filtered_wherever_they_are() -> None:
    words = pa.array(["x", None, "long enough to lie outside"], pa.string_view())
    nested = pa.ListArray.from_arrays(pa.array([0, 1, 3, 3], pa.int32()), words)
    data = {"a": pa.array([1, 2, 3]), "w": words, "l": nested, "s": pa.StructArray.from_arrays([words], ["w"])}
    batch = pa.record_batch(data)
    kept = apply(batch, [Compare(A, ">", _whole(1))])
    assert kept.schema.equals(batch.schema)
    assert kept.to_pylist() == batch.slice(1).to_pylist()


def test_nulls_inside_a_dictionary_are_nulls() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array(["x", None]))
    batch = pa.RecordBatch.from_arrays([words, pa.array(range(4))], ["w", "n"])
    assert apply(batch, [IsNull(Column(("w",)))])["n"].to_pylist() == [1, 2]
    assert apply(batch, [Not(In(Column(("w",)), (Literal("y", pa.string()),)))])["n"].to_pylist() == [0, 3]


def _one(kind: pa.DataType, value: Any) -> tuple[Predicate, pa.Schema]:
    return Compare(A, "=", Literal(value, kind)), pa.schema([("a", kind)])


@pytest.mark.parametrize(
    ("predicate", "schema"),
    [
        _one(pa.int8(), 128),
        _one(pa.int8(), True),
        _one(pa.int64(), 1.0),
        _one(pa.uint64(), -1),
        _one(pa.float32(), 0.1),
        _one(pa.float32(), 1e300),
        _one(pa.float16(), 1.0),
        _one(pa.decimal128(5, 2), decimal.Decimal("1.005")),
        _one(pa.decimal128(5, 2), decimal.Decimal("12345")),
        _one(pa.decimal256(50, 2), decimal.Decimal("1")),
        _one(pa.date64(), datetime.date(2020, 1, 1)),
        _one(pa.timestamp("s"), datetime.datetime(2020, 1, 1, microsecond=1)),
        _one(pa.timestamp("ns"), datetime.datetime(9999, 1, 1)),
        _one(pa.timestamp("us"), datetime.datetime(2020, 1, 1, tzinfo=UTC)),
        _one(pa.timestamp("us", "UTC"), datetime.datetime(2020, 1, 1)),
        _one(pa.timestamp("us"), datetime.date(2020, 1, 1)),
        _one(pa.time32("s"), datetime.time(microsecond=1)),
        _one(pa.binary(2), b"abc"),
        _one(pa.string(), "\ud800"),
        _one(pa.string(), b"a"),
        _one(pa.uuid(), "a"),
        (IsNull(Column(("b",))), pa.schema([("a", pa.int8())])),
        (IsNull(Column(("a", "b"))), pa.schema([("a", pa.int8())])),
        (IsNull(A), pa.schema([("a", pa.int8()), ("a", pa.int8())])),
        (IsNull(Column(("a", "b"))), pa.schema([("a", pa.struct([("b", pa.binary(2))]))])),
        (IsNull(A), pa.schema([("a", pa.int8()), ("b", pa.large_list(pa.string_view()))])),
        (Not(Or((IsNull(A), Compare(A, "=", Literal("x", pa.string()))))), pa.schema([("a", pa.int8())])),
    ],
)
def test_what_cannot_be_promised_is_refused(predicate: Predicate, schema: pa.Schema) -> None:
    assert not can_apply(predicate, schema)
    with pytest.raises(Unsupported):
        expression(predicate, schema)
