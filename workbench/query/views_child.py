"""The process that sorts, filters and searches results: it is asked over its stdin and answers with row numbers.

It is fenced: DuckDB without files, network and extensions, its configuration locked; a limit on the memory that the
process may have; an alarm. What it is asked is structure (`conditions.py`), read as JSON; the SQL is made here, with
names and values of ours alone. A frame is its length in four bytes and JSON; row numbers follow an answer as they are.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.contract.errors import DocumentError, UnknownResult

if TYPE_CHECKING:
    import duckdb

    from workbench.execution.shared_reading import SharedReader

__all__ = ["FRAME", "LARGEST", "main"]

FRAME = struct.Struct(">I")
LARGEST = 8 << 20
"""Bytes of the largest frame: conditions with a thousand long values fit."""
_ENGINE_MEMORY = "1GB"
_SAMPLE, _REPEATING = 100_000, 0.9
_ENGINE_DISK = "20GB"
_COMPARISONS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TEXTUAL = {"contains": "contains", "starts_with": "starts_with", "ends_with": "suffix"}


def main() -> None:
    folder = Path(sys.argv[1])
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not get between the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        engine = _engine(folder)
        while (asked := _frame(incoming)) is not None:
            answer, numbers = _answer(engine, asked)
            data = json.dumps(answer).encode()
            outgoing.write(FRAME.pack(len(data)) + data)
            for part in numbers:
                outgoing.write(part)
            outgoing.flush()
            signal.alarm(0)
    except BrokenPipeError:
        os._exit(0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _frame(incoming: BinaryIO) -> dict[str, Any] | None:
    """None at the end: whoever asked is gone."""
    head = incoming.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    (size,) = FRAME.unpack(head)
    data = incoming.read(size) if size <= LARGEST else b""
    found: dict[str, Any] | None = json.loads(data) if len(data) == size else None
    return found


def _engine(folder: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    engine = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "memory_limit": _ENGINE_MEMORY,
            "threads": str(min(4, os.cpu_count() or 1)),
            "temp_directory": os.fspath(folder / "sorting"),
            "max_temp_directory_size": _ENGINE_DISK,
            "preserve_insertion_order": "true",
        },
    )
    engine.execute("set lock_configuration = true")
    return engine


def _answer(engine: duckdb.DuckDBPyConnection, asked: dict[str, Any]) -> tuple[dict[str, Any], list[memoryview]]:
    """What is sent back: how many rows, or an error's class and facts."""
    import duckdb
    import pyarrow as pa

    from workbench.execution.shared_reading import SharedReader

    signal.alarm(int(asked["seconds"]) + 2)  # should nobody be there to end this process
    try:
        reader = SharedReader(Path(asked["folder"]), asked["result"])
        try:
            found = _rows(engine, reader, asked)
        finally:
            reader.close()
    except UnknownResult:
        return {"error": "UnknownResult"}, []
    except DocumentError as error:
        return {"error": "DocumentError", "name": error.document, "why": error.why}, []
    except (MemoryError, duckdb.OutOfMemoryException):
        return {"error": "memory"}, []
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        return {"error": "value", "why": str(error)[:500]}, []
    except (duckdb.Error, pa.ArrowException) as error:
        return {"error": "failed", "why": f"{type(error).__name__}: {str(error)[:500]}"}, []
    return {"rows": len(found)}, [memoryview(chunk).cast("B") for chunk in _plain(found)]


def _plain(found: Any) -> Iterator[memoryview]:
    for chunk in found.chunks:
        if len(chunk):
            yield memoryview(chunk.buffers()[1])[chunk.offset * 4 : (chunk.offset + len(chunk)) * 4]


def _rows(engine: duckdb.DuckDBPyConnection, reader: SharedReader, asked: dict[str, Any]) -> Any:
    import pyarrow as pa

    statement = Statement(reader.schema, asked)
    size = reader.bytes
    resource.setrlimit(resource.RLIMIT_AS, (int(asked["memory"]) + 2 * size, resource.getrlimit(resource.RLIMIT_AS)[1]))
    table = pa.Table.from_batches(list(_batches(reader, statement, asked["seen"])), statement.schema(reader.schema))
    if not statement.narrows:
        table = _ranked(table, statement.sorted_by)
    cursor = engine.cursor()
    try:
        cursor.register("result", table)
        found = cursor.sql(statement.text, params=statement.values).to_arrow_table()
    finally:
        cursor.close()
    assert found is not None
    return found.column(0)


def _ranked(table: Any, names: list[str]) -> Any:
    """The table with ranks in place of texts that repeat: these sort in a tenth of the time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    for name in names:
        column = table[name]
        if not (pt.is_string(column.type) or pt.is_large_string(column.type)):
            continue
        sample = column.slice(0, _SAMPLE)
        if len(sample) < _SAMPLE or pc.count_distinct(sample).as_py() > _REPEATING * _SAMPLE:
            continue
        coded = column.combine_chunks().dictionary_encode()
        ranks = pc.rank(coded.dictionary).cast(pa.uint32())
        table = table.set_column(table.schema.get_field_index(name), name, ranks.take(coded.indices))
    return table


def _batches(reader: SharedReader, statement: Statement, seen: int) -> Iterator[Any]:
    """The columns that are asked of, with each row's number: as they are where their values count, else whether they
    have one."""
    import pyarrow as pa

    wanted = sorted(statement.values_of | statement.nulls_of)
    at = {column: place for place, column in enumerate(wanted)}
    schema = statement.schema(reader.schema)
    for number in range(reader.batches):
        first, rows = reader.span(number)
        if first >= seen:
            return
        batch = reader.batch(number, wanted)
        columns = [pa.arange(first, first + rows).cast(pa.uint32())]
        columns += [batch.column(at[column]) for column in sorted(statement.values_of)]
        columns += [batch.column(at[column]).is_valid() for column in sorted(statement.nulls_of)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema).slice(0, seen - first)


class Statement:
    """The SQL of conditions. Names of columns are `c` or `v` and their number; values are parameters."""

    def __init__(self, schema: Any, asked: dict[str, Any]) -> None:
        self.values: list[str] = []
        self.values_of: set[int] = set()
        self.nulls_of: set[int] = set()
        terms = [self._condition(one) for one in asked["filters"]]
        if asked["search"]:
            terms.append(self._search(schema, asked["search"]))
        self.narrows = bool(terms)
        self.sorted_by = list(dict.fromkeys(f"c{one['column']}" for one in asked["sort"]))
        order = [
            f"{self._value(one['column'])} {'desc' if one['descending'] else 'asc'} nulls last" for one in asked["sort"]
        ]
        where = f" where {' and '.join(terms)}" if terms else ""
        self.text = f"select n from result{where} order by {', '.join([*order, 'n'])}"

    def schema(self, schema: Any) -> Any:
        import pyarrow as pa

        values = [(f"c{column}", schema.field(column).type) for column in sorted(self.values_of)]
        return pa.schema(
            [("n", pa.uint32()), *values, *[(f"v{column}", pa.bool_()) for column in sorted(self.nulls_of)]]
        )

    def _condition(self, one: dict[str, Any]) -> str:
        column, op, kind = int(one["column"]), one["op"], one["kind"]
        if op in ("is_null", "not_null"):
            self.nulls_of.add(column)
            return f"v{column}" if op == "not_null" else f"not v{column}"
        name = self._value(column)
        places = [self._parameter(value, kind) for value in one["values"]]
        if op == "between":
            return f"{name} between {places[0]} and {places[1]}"
        if op == "in":
            return f"{name} in ({', '.join(places)})"
        if op in _TEXTUAL:
            return f"{_TEXTUAL[op]}({name}, {places[0]})"
        return f"{name} {_COMPARISONS[op]} {places[0]}"

    def _search(self, schema: Any, search: str) -> str:
        texts: list[str] = []
        others: list[str] = []
        place = f"lower({self._parameter(search, 'varchar')})"
        for column, one in enumerate(schema):
            shown, letters = _as_text(one.type, f"c{column}")
            if shown and (not letters or set(search.lower()) <= letters):
                self.values_of.add(column)
                (others if letters else texts).append(f"contains({shown}, {place})")
        return _any(texts + others) if texts or others else "false"

    def _value(self, column: int) -> str:
        self.values_of.add(int(column))
        return f"c{int(column)}"

    def _parameter(self, value: str, kind: str) -> str:
        self.values.append(value)
        return f"cast(${len(self.values)} as {_known(kind)})"


def _known(kind: str) -> str:
    """The name of a type: words and numbers only."""
    if not all(sign.isalnum() or sign in "_ (),+" for sign in kind):
        raise ValueError(kind)
    return kind


def _any(terms: list[str]) -> str:
    """One of many, as a tree that is not deep: there may be ten thousand."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_any(terms[:half])} or {_any(terms[half:])})"


def _as_text(kind: Any, name: str) -> tuple[str, frozenset[str]]:
    """What is searched of a column, in lower case, and the letters that it is made of, where these are few: making
    text of numbers costs most. Empty where it has no text of its own."""
    import pyarrow.types as pt

    if pt.is_string(kind) or pt.is_large_string(kind):
        return f"lower({name})", frozenset()
    shown = f"lower(cast({name} as varchar))"
    if pt.is_integer(kind) or pt.is_decimal128(kind):
        return shown, frozenset("0123456789-.")
    if pt.is_float32(kind) or pt.is_float64(kind):
        return shown, frozenset("0123456789-+.einfa")
    if pt.is_date32(kind) or (pt.is_timestamp(kind) and kind.tz is None):
        return shown, frozenset("0123456789-+.: infty(bc)")
    return "", frozenset()


if __name__ == "__main__":
    main()
