"""Tuples and batches: what goes over a stream. The standard library only: it travels to Storm's workers.

A stream has a class of its own, made once from its fields: a `tuple` whose fields are attributes. So a row costs no
more than a tuple does, and who sent it stands in the class.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.contract.errors import UnknownField

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Batch", "Held", "Origin", "Row", "Tuple", "held_class", "row_of", "shown", "told", "tuple_class"]

Row = tuple[Any, ...]


class Tuple(Row):
    """What a bolt's `execute` gets: a tuple of the stream's values, each also an attribute of its field's name
    (`t.page`) and `t.value("page")`, which works for a field whose name is one of those below, too."""

    __slots__ = ()
    fields: ClassVar[tuple[str, ...]] = ()
    source_component: ClassVar[str] = ""
    source_stream: ClassVar[str] = ""
    source_task: ClassVar[int] = 0

    def value(self, field: str) -> Any:
        """The value of a field. Raises UnknownField."""
        try:
            return self[self.fields.index(field)]
        except ValueError:
            raise UnknownField(field, self.fields) from None

    def as_dict(self) -> dict[str, Any]:
        """Its values by field."""
        return dict(zip(self.fields, self, strict=True))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(self.fields, self, strict=True))
        return f"{self.source_component}.{self.source_stream}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (tuple, (tuple(self),))  # the class is made anew where the topology is


class Held(Tuple):
    """A tuple whose bolt acks it itself: it knows its edges in the ledger, and what was emitted with it as anchor."""

    edges: dict[int, int]
    emitted: int
    settled: str
    link: Any
    began: float


_RESERVED = frozenset(dir(Tuple)) | {"edges", "emitted", "settled", "link", "began"}


def tuple_class(component: str, stream: str, fields: Sequence[str], task: int = 0) -> type[Tuple]:
    """The class of a stream's tuples."""
    made: type[Tuple] = _made(Tuple, component, stream, fields, task, {"__slots__": ()})
    return made


def held_class(component: str, stream: str, fields: Sequence[str], task: int = 0) -> type[Held]:
    """The same for bolts that ack by themselves."""
    made: type[Held] = _made(Held, component, stream, fields, task, {})
    return made


def _made(base: Any, component: str, stream: str, fields: Sequence[str], task: int, space: Mapping[str, object]) -> Any:
    inherited = frozenset(("count", "index"))  # a tuple's methods, which are worth less than a field of that name
    # Getters in C, those of a named tuple; the class is held, for vars() of one that is collected are empty.
    named: Any = namedtuple("Row", [f"f{place}" for place in range(len(fields))])  # type: ignore[misc]
    getters = vars(named)
    places = {
        name: getters[f"f{place}"]
        for place, name in enumerate(fields)
        if name.isidentifier() and (name not in _RESERVED or name in inherited)
    }
    described = {
        "fields": tuple(fields),
        "source_component": component,
        "source_stream": stream,
        "source_task": task,
        "__doc__": f"A tuple of stream `{stream}` of component `{component}`.",
    }
    return type(base.__name__, (base,), {**space, **places, **described})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a batch is from: of which `source` (a server, a topic, a file) and `partition`, from the position `first`
    to `last`. A batch with the same origin always has the same rows, in the same order; so whoever keeps the origins
    that it has applied can skip one that comes again."""

    source: str
    partition: str
    first: str
    last: str


class Batch:
    """Rows that go over a stream together, acked and failed as one. Made of rows, or of an Arrow table, and is the
    other one when asked: `rows` (a list of tuples), `table` (a pyarrow Table), `column("page")` (a list). `origin` is
    given by a spout whose source has the same batch again."""

    __slots__ = ("_rows", "_table", "fields", "origin", "source_component", "source_stream")

    def __init__(
        self,
        rows: Iterable[Sequence[Any]] | pa.Table | pa.RecordBatch,
        fields: Sequence[str] = (),
        origin: Origin | None = None,
    ) -> None:
        self.source_component = self.source_stream = ""
        self.origin = origin
        self._rows: list[Row] | None = None
        self._table: Any = None
        if hasattr(rows, "column_names") or hasattr(rows, "to_pydict"):
            self._table, names = rows, tuple(rows.schema.names)  # type: ignore[union-attr]
            self.fields = tuple(fields) or names
        else:
            self._rows = rows if isinstance(rows, list) else list(rows)
            self.fields = tuple(fields)

    @classmethod
    def of_rows(cls, rows: list[Row], fields: tuple[str, ...], component: str = "", stream: str = "") -> Batch:
        """Without looking at them: the runner's own way."""
        batch = cls.__new__(cls)
        batch._rows, batch._table, batch.fields = rows, None, fields
        batch.source_component, batch.source_stream = component, stream
        batch.origin = None
        return batch

    @property
    def columnar(self) -> bool:
        """Whether it was made of an Arrow table."""
        return self._table is not None

    @property
    def nbytes(self) -> int:
        """Of the Arrow table that it was made of; 0 where it was not."""
        return 0 if self._table is None else int(self._table.nbytes)

    @property
    def rows(self) -> list[Row]:
        if self._rows is None:
            columns = [column.to_pylist() for column in self._table.columns]
            self._rows = list(zip(*columns, strict=True))
        return self._rows

    def legible(self) -> list[Row]:
        """`rows`, for telling: a value of a table that Python has none of (a day after the year 9999, a text that is
        no UTF-8) is said as text."""
        try:
            return self.rows
        except Exception:  # noqa: BLE001  # whatever the values make of it
            return list(zip(*([_legible(value) for value in column] for column in self._table.columns), strict=True))

    @property
    def table(self) -> pa.Table:
        import pyarrow as pa

        if self._table is None:
            rows = self._rows or []
            columns = list(zip(*rows, strict=True)) if rows else [()] * len(self.fields)
            self._table = pa.table([pa.array(list(column)) for column in columns], names=list(self.fields))
        elif isinstance(self._table, pa.RecordBatch):
            self._table = pa.Table.from_batches([self._table])
        return self._table

    def column(self, field: str) -> list[Any]:
        """The values of a field. Raises UnknownField."""
        if field not in self.fields:
            raise UnknownField(field, self.fields)
        place = self.fields.index(field)
        if self._rows is None:
            values: list[Any] = self._table.column(place).to_pylist()
            return values
        return [row[place] for row in self._rows]

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches of about as many rows; for one that failed. What is cut has no origin: nobody gives it again."""
        middle = len(self) // 2
        if self._rows is not None:
            parts: tuple[Any, Any] = (self._rows[:middle], self._rows[middle:])
        else:
            parts = (self._table.slice(0, middle), self._table.slice(middle))
        return Batch(parts[0], self.fields), Batch(parts[1], self.fields)

    def __len__(self) -> int:
        return len(self._rows) if self._rows is not None else int(self._table.num_rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        kind = "an Arrow table" if self.columnar else "rows"
        return f"Batch of {len(self):,} {kind if not self.columnar else 'rows, ' + kind} ({', '.join(self.fields)})"


def _legible(scalar: Any) -> Any:
    import pyarrow as pa

    try:
        return scalar.as_py()
    except Exception:  # noqa: BLE001  # see `legible`
        pass
    try:
        if hasattr(scalar, "as_buffer"):
            return scalar.as_buffer().to_pybytes()
        return f"{scalar.cast(pa.int64()).as_py()} ({scalar.type})"
    except Exception:  # noqa: BLE001  # nested values
        return f"a value of type {scalar.type}"


def shown(value: object, most: int) -> str:
    """Its repr, of so many characters at most; what has none (an int of 5,000 digits) is told by its type."""
    try:
        return repr(value)[:most]
    except Exception as error:  # noqa: BLE001  # it is said where an error is told, which must not fail
        return f"a value of type `{type(value).__name__}` ({type(error).__name__}: {error})"[:most]


def told(error: BaseException, most: int = 2000) -> str:
    """An error as `Type: text`, of so many characters at most: a thousand dead letters may have it."""
    try:
        text = str(error)
    except Exception as other:  # noqa: BLE001  # an error whose text cannot be made is told all the same
        text = f"its text cannot be made ({type(other).__name__})"
    return f"{type(error).__name__}: {text[:most]}"[:most]


def row_of(values: object) -> Row:
    """A tuple or list is a row; anything else is a row of that one value."""
    if isinstance(values, tuple):
        return values
    return tuple(values) if isinstance(values, list) else (values,)
