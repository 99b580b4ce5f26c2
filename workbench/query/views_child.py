"""The process that sorts, filters and searches results: it is asked over its stdin and answers with row numbers.

It is fenced: DuckDB without files, network and extensions, its configuration locked; a limit on the memory that the
process may have; an alarm. What it is asked is structure (`conditions.py`), read as JSON; the SQL is made in
`views_statement.py`. A frame is its length in four bytes and JSON. An answer is several frames, the last with `over`;
after each come `rows` numbers as they are. They go on where the last ones ended, or with `again` take their place.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import shutil
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from workbench.contract.errors import DocumentError, UnknownResult
from workbench.query.views_statement import Part, Statement

if TYPE_CHECKING:
    import duckdb

    from workbench.execution.shared_reading import SharedReader

__all__ = ["FIRST", "FRAME", "LARGEST", "main"]

FRAME = struct.Struct(">I")
LARGEST = 8 << 20
"""Bytes of the largest frame: conditions with a thousand long values fit."""
FIRST = 1_000
"""Rows of a sorted view that are told before the others are in order."""
_AT_FIRST, _AT_ONCE = 65_536, 1 << 20
"""Rows that are looked at before something is told: first, and at most."""
_IDLE_SECONDS = 60.0
"""So long a result is kept open that nobody asks of: the disk gets back what was removed."""
_ENGINE_MEMORY = "1GB"
_ENGINE_DISK = "20GB"
_SAMPLE, _REPEATING = 100_000, 0.9

_Said: TypeAlias = "tuple[dict[str, Any], Any]"


def main() -> None:
    folder = Path(sys.argv[1])
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not get between the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.meta_path.insert(0, _WithoutPandas())
    worker = _Worker(folder)
    frames: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, frames, worker), daemon=True).start()
    try:
        while True:
            try:
                asked = frames.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                worker.let_go()
                continue
            if asked is None:
                return
            for answer, numbers in worker.answers(asked):
                _tell(outgoing, answer, numbers)
            signal.alarm(0)
    except BrokenPipeError:
        shutil.rmtree(folder, ignore_errors=True)  # an exit like the next one runs no `finally`
        os._exit(0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _listen(incoming: BinaryIO, frames: queue.SimpleQueue[dict[str, Any] | None], worker: _Worker) -> None:
    while (asked := _frame(incoming)) is not None:
        if "stop" in asked:
            worker.stop(int(asked["stop"]))
        else:
            frames.put(asked)
    worker.stop(None)  # whoever asked is gone
    frames.put(None)


def _frame(incoming: BinaryIO) -> dict[str, Any] | None:
    """None at the end."""
    head = incoming.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    (size,) = FRAME.unpack(head)
    data = incoming.read(size) if size <= LARGEST else b""
    found: dict[str, Any] | None = json.loads(data) if len(data) == size else None
    return found


def _tell(outgoing: BinaryIO, answer: dict[str, Any], numbers: Any) -> None:
    data = json.dumps({**answer, "rows": 0 if numbers is None else len(numbers)}).encode()
    outgoing.write(FRAME.pack(len(data)) + data)
    for chunk in [] if numbers is None else numbers.chunks:
        if len(chunk):
            outgoing.write(memoryview(chunk.buffers()[1])[chunk.offset * 4 : (chunk.offset + len(chunk)) * 4])
    outgoing.flush()


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


class _WithoutPandas:
    """pyarrow would load pandas with its first scalar, which takes seconds, and nothing here is for it."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


class _Worker:
    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self._engine = _engine(folder)
        self._reader: SharedReader | None = None
        self._numbers = pa.arange(0, _AT_FIRST).cast(pa.uint32())
        self._stopped = False
        self._asked = -1
        self._gone = False
        self._cursor: duckdb.DuckDBPyConnection | None = None
        # What is loaded or made with the first question should not be waited for.
        self._ask("select n from result where n = cast($1 as integer)", ["1"], pa.table({"n": self._numbers}))

    def stop(self, asked: int | None) -> None:
        """Ends the question of that number, from any thread."""
        if asked is None or asked == self._asked:
            self._gone = self._gone or asked is None
            self._stopped = True
            if (cursor := self._cursor) is not None:
                cursor.interrupt()

    def let_go(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def answers(self, asked: dict[str, Any]) -> Iterator[_Said]:
        """What is sent back: rows as they are found, at last that it is over, or an error's class and facts."""
        import duckdb
        import pyarrow as pa

        self._stopped, self._asked = self._gone, int(asked["number"])
        signal.alarm(int(asked["seconds"]) + 2)  # should nobody be there to end this process
        try:
            yield from self._rows(asked)
        except UnknownResult:
            self.let_go()
            yield {"over": True, "error": "UnknownResult"}, None
        except DocumentError as error:
            self.let_go()
            yield {"over": True, "error": "DocumentError", "name": error.document, "why": error.why}, None
        except (_Stopped, duckdb.InterruptException):
            yield {"over": True, "error": "stopped"}, None
        except (MemoryError, duckdb.OutOfMemoryException):
            yield {"over": True, "error": "memory"}, None
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            yield {"over": True, "error": "value", "why": str(error)[:500]}, None
        except (duckdb.Error, pa.ArrowException) as error:
            why = f"{type(error).__name__}: {str(error)[:500]}"
            kind = "memory" if "MemoryError" in why else "failed"  # DuckDB says what pyarrow has raised below it
            # DuckDB answers nothing any more after an error of its own.
            broken = isinstance(error, (duckdb.FatalException, duckdb.InternalException)) or "INTERNAL Error" in why
            yield {"over": True, "error": kind, "why": why, "broken": broken}, None

    def _opened(self, asked: dict[str, Any]) -> SharedReader:
        from workbench.execution.shared_reading import SharedReader

        if self._reader is None or self._reader.id != asked["result"]:
            self.let_go()
            self._reader = SharedReader(Path(asked["folder"]), asked["result"])
        else:
            self._reader.refresh()
        return self._reader

    def _rows(self, asked: dict[str, Any]) -> Iterator[_Said]:
        import pyarrow as pa

        reader, seen = self._opened(asked), int(asked["seen"])
        statement = Statement(reader.schema, asked)
        most = int(asked["memory"]) + 2 * reader.bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
        sorting = bool(statement.sorted_by)
        kept: list[Any] = []
        for group in _groups(reader, seen):
            self._check()
            table = self._table(reader, group, Part("", frozenset(statement.sorted_by), frozenset()), seen)
            end = reader.span(group[-1])[0] + reader.span(group[-1])[1]
            if statement.parts:
                numbers = self._fitting(reader, group, statement, seen)
                if not sorting:
                    yield {"seen": min(end, seen)}, numbers
                    continue
                first, last = reader.span(group[0])[0], min(end, seen) - 1
                table = table if len(numbers) == last - first + 1 else table.take(_less(numbers, first))
                yield {"seen": min(end, seen)}, None
            kept.append(table)
        if sorting or not statement.parts:
            yield from self._sorted(pa.concat_tables(kept), statement) if kept else ()
        yield {"over": True}, None

    def _check(self) -> None:
        if self._stopped:
            raise _Stopped

    def _fitting(self, reader: SharedReader, group: list[int], statement: Statement, seen: int) -> Any:
        """The numbers of the rows that fit, ascending."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = []
        for part in statement.parts:
            table = self._table(reader, group, part, seen)
            found.append(self._ask(f"select n from result where {part.where}", statement.values, table))
        if len(found) == 1:
            return found[0]
        all_of = pc.unique(pa.chunked_array([chunk for one in found for chunk in one.chunks], pa.uint32()))
        return pa.chunked_array([all_of.take(pc.sort_indices(all_of))])

    def _sorted(self, table: Any, statement: Statement) -> Iterator[_Said]:
        total = len(table)
        order = f"select n from result order by {statement.order}"
        if total > 20 * FIRST:
            yield {"total": total}, self._ask(f"{order} limit {FIRST}", [], table)
            self._check()
            table = _ranked(table, [f"c{column}" for column in statement.sorted_by])
        yield {"total": total, "again": True}, self._ask(order, [], table)

    def _ask(self, text: str, values: list[str], table: Any) -> Any:
        self._cursor = cursor = self._engine.cursor()
        try:
            self._check()
            cursor.register("result", table)
            found = cursor.sql(text, params=values) if values else cursor.sql(text)
            return found.to_arrow_table().column(0)
        finally:
            self._cursor = None
            cursor.close()

    def _table(self, reader: SharedReader, group: list[int], part: Part, seen: int) -> Any:
        """The columns that are asked of, with each row's number: as they are where their values count, else whether
        they have one."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = sorted(part.values_of | part.nulls_of)
        at = {column: place for place, column in enumerate(wanted)}
        schema = part.schema(reader.schema)
        batches = []
        for number in group:
            first, rows = reader.span(number)
            batch = reader.batch(number, wanted) if wanted else None
            if rows <= len(self._numbers):
                numbers = pc.add(self._numbers.slice(0, rows), pa.scalar(first, pa.uint32()))
            else:
                numbers = pa.arange(first, first + rows).cast(pa.uint32())
            columns = [numbers]
            if batch is not None:
                columns += [batch.column(at[column]) for column in sorted(part.values_of)]
                columns += [batch.column(at[column]).is_valid() for column in sorted(part.nulls_of)]
            batches.append(pa.RecordBatch.from_arrays(columns, schema=schema).slice(0, seen - first))
        return pa.Table.from_batches(batches, schema)


class _Stopped(Exception):
    """Nobody wants the answer any more."""


def _groups(reader: SharedReader, seen: int) -> Iterator[list[int]]:
    """Batches that are looked at together: few at first, so that something can be told soon."""
    group: list[int] = []
    rows, wanted = 0, _AT_FIRST
    for number in range(reader.batches):
        first, count = reader.span(number)
        if first >= seen:
            break
        group.append(number)
        rows += count
        if rows >= wanted:
            yield group
            group, rows, wanted = [], 0, min(4 * wanted, _AT_ONCE)
    if group:
        yield group


def _less(numbers: Any, first: int) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.subtract(numbers, pa.scalar(first, pa.uint32()))


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


if __name__ == "__main__":
    main()
