"""What a worker of a cluster does with the rows of its splits: the first of a `Distributed`'s three statements; and
how it opens a connection."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.contract.connector import ConnectionConfig, Connector
from workbench.execution.cluster_worker import AT_ONCE
from workbench.kit.slots import bound
from workbench.query.distributing import WHOLE, Distributed, parameters_of
from workbench.query.trees import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ByName", "Plain", "SqlFold", "fenced", "identity", "with_all"]

_lock = threading.Lock()
_kept: dict[Any, Connector] = {}
_catalogs: dict[str, Any] = {}
_engine: DuckDBPyConnection | None = None


@dataclass(frozen=True)
class Plain:
    """A connection without secrets: all that it takes goes with the task."""

    connection: str
    manifest: str
    config: ConnectionConfig
    register: str = ""

    @property
    def source(self) -> str:
        return identity(self.manifest, self.config)

    @property
    def at_once(self) -> int:
        return at_once(self.config)

    def unnoted(self) -> Plain:
        return replace(self, register="")

    def open(self) -> Connector:
        from workbench.catalog.connectors import manifest

        key = (self.manifest, repr(self.config))
        with _lock:
            if key not in _kept:
                _kept[key] = manifest(self.manifest).open(self.config)
                bound(_kept[key], self.config.parameters.get("connections"))
            return _kept[key]

    def native_started(self, run: str, native_id: str) -> None:
        _noted(self.register, run, self.connection, native_id, True)

    def native_ended(self, run: str, native_id: str) -> None:
        _noted(self.register, run, self.connection, native_id, False)


@dataclass(frozen=True)
class ByName:
    """A saved connection, whose secret the worker finds where it is kept: it is not in the task."""

    connection: str
    home: str
    register: str
    source: str
    at_once: int = AT_ONCE

    def unnoted(self) -> ByName:
        return replace(self, register="")

    def open(self) -> Connector:
        from workbench.catalog import Catalog

        with _lock:
            catalog = _catalogs.setdefault(self.home, Catalog(Path(self.home)))
        connector: Connector = catalog.open(self.connection)
        return connector

    def native_started(self, run: str, native_id: str) -> None:
        _noted(self.register, run, self.connection, native_id, True)

    def native_ended(self, run: str, native_id: str) -> None:
        _noted(self.register, run, self.connection, native_id, False)


def at_once(config: ConnectionConfig) -> int:
    """Tasks that read with such a connection at a time."""
    return min(AT_ONCE, int(config.parameters.get("connections", AT_ONCE)))


def identity(manifest: str, config: ConnectionConfig) -> str:
    """The same for connections that are opened the same way, whatever they are called. Without secrets."""
    given = {str(name): repr(value) for name, value in config.parameters.items() if name != "connections"}
    said = json.dumps([manifest, sorted(given.items())])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SqlFold:
    """A fold whose parts are tables (see `workbench.execution.fold.Regroup`). `tables` are those that each worker has
    whole. `schema` is of the columns that are read, `names` are all that the table has, where these are more."""

    sql: Distributed
    schema: pa.Schema
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(int(table.nbytes) for table in self.tables.values())

    def each(self, split: int, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        bare = [pa.RecordBatch.from_arrays(batch.columns, schema=self.schema) for batch in batches]
        rows = pa.Table.from_batches(bare, self.schema)
        with fenced() as engine:
            for name, table in self.tables.items():
                engine.register(name, table)
            engine.register(self.sql.driving, with_all(rows, self.names))
            found = _asked(engine, self.sql.first, self.parameters)
            return found if self.sql.groups else _by_position(found)

    def merge(self, parts: Sequence[pa.Table]) -> pa.Table:
        if len(parts) == 1:
            return parts[0]
        whole = pa.concat_tables(parts)
        # A sum of counts is wider than a count; parts of parts are parts all the same.
        return whole if self.sql.settled else self._of(whole, self.sql.merge).cast(parts[0].schema)

    def finish(self, whole: pa.Table) -> pa.Table:
        return self._of(whole, self.sql.last).rename_columns(self.sql.names)

    def rehearsed(self, found: pa.Table) -> None:
        """Asks all statements of a part without rows, which is what `first` found. Raises DuckDB's and Arrow's errors
        where they do not fit together."""
        part = found if self.sql.groups else _by_position(found)
        self.finish(self.merge([part, part]))
        if self.settled:
            self.gather([part, part])
        elif self.dealable:
            pieces = [self.merge([one, one]) for one in self.deal(part, 2)]
            after = self.then
            if after is None:
                self.gather([self.settle(one) for one in pieces])
            else:
                after.rehearsed(after.again(pieces[0]))

    # --- by key

    @property
    def settled(self) -> bool:
        return self.sql.settled

    @property
    def bounded(self) -> bool:
        return self.sql.bounded

    @property
    def dealable(self) -> bool:
        return self.sql.exchange is not None

    def deal(self, part: pa.Table, partitions: int) -> list[pa.Table]:
        assert self.sql.exchange is not None
        keys = ", ".join(f"c{at}" for at in self.sql.exchange.keys)
        number = f"(hash({keys}) % {partitions})::int"
        sql = f"select * from (select *, {number} p from {quoted(WHOLE)}) order by p"
        dealt = self._of(_by_position(part), sql)
        rows = dealt.drop_columns("p").rename_columns(part.schema.names).cast(part.schema)
        counted = dealt["p"].value_counts()
        counts = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
        found, at = [], 0
        for one in range(partitions):
            found.append(_copied(rows, at, counts.get(one, 0)))
            at += counts.get(one, 0)
        return found

    def settle(self, part: pa.Table) -> pa.Table:
        assert self.sql.exchange is not None
        return _by_position(self._of(part, self.sql.exchange.each))

    def gather(self, settled: Sequence[pa.Table]) -> pa.Table:
        exchange = self.sql.exchange
        sql = exchange.together if exchange is not None else self.sql.last
        return self._of(pa.concat_tables(settled), sql).rename_columns(self.sql.names)

    @property
    def then(self) -> SqlFold | None:
        exchange = self.sql.exchange
        found = exchange.then if exchange is not None else None
        return SqlFold(found, pa.schema([]), {}, self.parameters) if found is not None else None

    def again(self, whole: pa.Table) -> pa.Table:
        """The part of this fold that one partition, merged by the fold before it, comes to."""
        return self._of(whole, self.sql.first)

    def _of(self, table: pa.Table, sql: str) -> pa.Table:
        with fenced() as engine:
            engine.register(WHOLE, table)
            return _asked(engine, sql, self.parameters)


def with_all(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """With columns of nothing for those that are not read: `* exclude (x)` names them all the same."""
    known = set(table.column_names)
    if known.issuperset(names):
        return table
    nothing = pa.nulls(table.num_rows)
    return pa.table([table[name] if name in known else nothing for name in names], names=list(names))


def _by_position(table: pa.Table) -> pa.Table:
    return table.rename_columns([f"c{at}" for at in range(table.num_columns)])


def _copied(table: pa.Table, begin: int, count: int) -> pa.Table:
    """Some of its rows, without holding on to (or sending) the others."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.slice(begin, count))
    return pa.ipc.open_stream(sink.getvalue()).read_all()


@contextlib.contextmanager
def fenced() -> Iterator[DuckDBPyConnection]:
    """A connection for some statements, on one thread, that reads nothing but what is registered with it. All of a
    process are of one engine, for starting one costs more than many a statement."""
    import duckdb

    global _engine
    with _lock:
        if _engine is None:
            _engine = _started()
        cursor = _engine.cursor()
    try:
        yield cursor
    except duckdb.FatalException:
        with _lock:
            _engine = None  # it answers nobody any more
        raise
    finally:
        cursor.close()


def _started() -> DuckDBPyConnection:
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    engine = duckdb.connect(":memory:", config=settings)
    engine.execute("set global timezone = 'UTC'")
    engine.execute("set lock_configuration = true")
    return engine


def _asked(engine: DuckDBPyConnection, sql: str, parameters: Mapping[str, object]) -> pa.Table:
    named = parameters_of(sql, engine) if parameters else set()
    given = {name: value for name, value in parameters.items() if name in named}
    return engine.sql(sql, params=given or None).to_arrow_table()


def _noted(register: str, run: str, connection: str, native_id: str, begins: bool) -> None:
    """In the register of whoever asked, where that can be reached: any process can end the work then."""
    if not register:
        return
    from workbench.runs import Register

    with _lock:
        if register not in _catalogs:
            _catalogs[register] = Register(Path(register))
        found: Register = _catalogs[register]
    (found.native_started if begins else found.native_ended)(run, connection, native_id)
