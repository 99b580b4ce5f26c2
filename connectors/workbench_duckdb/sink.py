"""Writing tables: one transaction from commit to commit, the stream's position in it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from workbench.contract import Changes, Guarantee, Position, Rejects, TableRef, WriteSpec
from workbench.contract.errors import InvalidParameter, QueryFailed, StatementRefused, UnknownTable, Unsupported
from workbench_duckdb.columns import identifier, qualified
from workbench_duckdb.instance import Database
from workbench_duckdb.trouble import named

__all__ = ["POSITIONS", "DuckDBSinks", "DuckDBWriter"]

POSITIONS = "_workbench_positions"
_MODES = ("insert", "upsert")
_BATCH, _OP, _ORDER = "_workbench_batch", "_workbench_op", "_workbench_order"
_THERE = """
select column_name, data_type from duckdb_columns()
where database_name = current_database() and schema_name = $1 and table_name = $2 order by column_index
"""


class DuckDBSinks:
    def __init__(self, database: Database, writable: bool, connection: str) -> None:
        self._database, self._writable, self._connection = database, writable, connection

    def open(self, table: TableRef, spec: WriteSpec) -> DuckDBWriter:
        if not self._writable:
            raise StatementRefused("writing", f"`{self._connection}` is read-only; connect it with writable=True.")
        if spec.mode not in _MODES:
            raise Unsupported("A DuckDB file", f"write in the mode `{spec.mode}`", f"Known are {', '.join(_MODES)}.")
        if spec.mode == "upsert" and not spec.key:
            raise InvalidParameter("key", "is needed for an upsert: it says which row is replaced.")
        for name in spec.key:
            if name not in spec.schema.names:
                raise InvalidParameter("key", f"names `{name}`, which the schema does not have.")
        if not spec.schema.names:
            raise InvalidParameter("schema", "has no columns.")
        return DuckDBWriter(self._database, table, spec, self._connection)


class DuckDBWriter:
    """Holds a cursor until it is closed. After an error the transaction is over, and nothing of it is kept."""

    def __init__(self, database: Database, table: TableRef, spec: WriteSpec, connection: str) -> None:
        self._database, self._table, self._spec, self._connection = database, table, spec, connection
        self._schema = pa.schema([column.remove_metadata() for column in spec.schema])
        self._last: int | None = None
        self._open = True
        self._broken = False
        self._cursor = database.acquire(True, connection)
        try:
            with named(connection):
                self._cursor.execute("begin")
                self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def guarantee(self) -> Guarantee:
        """TRANSACTIONAL with a stream, whose position is kept; else KEYED or APPEND."""
        if self._spec.stream:
            return Guarantee.TRANSACTIONAL
        return Guarantee.KEYED if self._spec.key else Guarantee.APPEND

    def position(self) -> Position | None:
        self._check()
        if not self._spec.stream:
            return None
        with named(self._connection):
            rows = self._cursor.execute(
                f"select source, value from {identifier(POSITIONS)} where stream = $1", [self._spec.stream]
            ).fetchall()
        return Position(*rows[0]) if rows else None

    def write(self, changes: Changes, sequence: int) -> Rejects:
        self._check()
        if changes.rows.schema.names != self._schema.names or changes.rows.schema.types != self._schema.types:
            raise InvalidParameter("rows", "must have the columns that the writer was opened with.")
        if self._last is not None and sequence <= self._last:
            return Rejects()  # the same batch again
        ops = changes.ops if changes.ops is not None else pa.repeat("insert", changes.rows.num_rows)
        if self._spec.mode == "insert" and len(ops) and not pc.all(pc.equal(ops, "insert")).as_py():
            raise Unsupported("The mode `insert`", "update or delete rows", "Write in the mode `upsert`.")
        order = pa.array(range(changes.rows.num_rows), pa.int64())
        batch = pa.Table.from_arrays([*changes.rows.columns, ops, order], names=[*self._schema.names, _OP, _ORDER])
        try:
            with named(self._connection):
                self._cursor.register(_BATCH, batch)
                try:
                    if self._spec.mode == "upsert":
                        self._cursor.execute(self._merge())
                    else:
                        self._insert()
                finally:
                    with contextlib.suppress(duckdb.Error):  # after an error, which is the one to be told
                        self._cursor.unregister(_BATCH)
        except BaseException:
            self._broken = True
            raise
        self._last = sequence
        return Rejects()

    def commit(self, upto: Position | None) -> None:
        self._check()
        try:
            with named(self._connection):
                if self._spec.stream and upto is not None:
                    self._cursor.execute(
                        f"insert or replace into {identifier(POSITIONS)} values ($1, $2, $3)",
                        [self._spec.stream, upto.source, upto.value],
                    )
                self._cursor.execute("commit")
                self._cursor.execute("begin")
        except BaseException:
            self._broken = True
            raise

    def close(self) -> None:
        if self._open:
            self._open = False
            self._database.release(self._cursor)  # closing rolls back

    def _prepare(self) -> None:
        """Makes the table if it is to be made, checks that the rows fit it, and that positions have a place."""
        place = [self._table.schema or "main", self._table.name]
        self._cursor.register(_BATCH, self._schema.empty_table())
        incoming = dict(self._cursor.execute(f"select column_name, column_type from (describe {_BATCH})").fetchall())
        self._cursor.unregister(_BATCH)
        there = dict(self._cursor.execute(_THERE, place).fetchall())
        if not there:
            if not self._spec.create:
                known = self._cursor.execute("select table_name from duckdb_tables() where not internal").fetchall()
                raise UnknownTable(str(self._table), (name for (name,) in known), "Write with create=True to make it.")
            self._create(incoming)
        else:
            self._check_fits(incoming, there)
        if self._spec.stream:
            self._cursor.execute(
                f"create table if not exists {identifier(POSITIONS)} "
                "(stream varchar primary key, source varchar not null, value varchar not null)"
            )

    def _create(self, types: dict[str, str]) -> None:
        columns = [f"{identifier(name)} {kind}" for name, kind in types.items()]
        if self._spec.key:
            columns.append(f"primary key ({_list(self._spec.key)})")
        if self._table.schema:
            self._cursor.execute(f"create schema if not exists {identifier(self._table.schema)}")
        self._cursor.execute(f"create table {qualified(self._table)} ({', '.join(columns)})")

    def _check_fits(self, incoming: dict[str, str], there: dict[str, str]) -> None:
        for name, kind in incoming.items():
            if name not in there:
                raise InvalidParameter("schema", f"has the column `{name}`, which `{self._table}` has not.")
            try:
                ((common,),) = self._cursor.execute(
                    f"select typeof(case when true then null::{kind} else null::{there[name]} end)"
                ).fetchall()
            except duckdb.BinderException:
                common = None
            if common != there[name]:
                raise InvalidParameter("schema", f"has `{name}` as {kind}; in `{self._table}` it is {there[name]}.")

    def _insert(self) -> None:
        if self._spec.key:
            same = " and ".join(f"t.{identifier(name)} = b.{identifier(name)}" for name in self._spec.key)
            keys = _list(self._spec.key)
            ((count,),) = self._cursor.execute(
                f"select (select count(*) from {_BATCH} b where exists (from {qualified(self._table)} t where {same}))"
                f" + (select count(*) from {_BATCH}) - (select count(*) from (select distinct {keys} from {_BATCH}))"
            ).fetchall()
            if count:
                raise QueryFailed(f"{count} of the rows have a key that is there already", connection=self._connection)
        listed = _list(self._schema.names)
        self._cursor.execute(f"insert into {qualified(self._table)} ({listed}) select {listed} from {_BATCH}")

    def _merge(self) -> str:
        """The last change of each key counts. Works with and without a constraint on the key."""
        key = self._spec.key
        rest = [name for name in self._schema.names if name not in key]
        same = " and ".join(f"t.{identifier(name)} = b.{identifier(name)}" for name in key)
        update = ", ".join(f"{identifier(name)} = b.{identifier(name)}" for name in rest)
        listed, values = _list(self._schema.names), ", ".join(f"b.{identifier(n)}" for n in self._schema.names)
        return (
            f"merge into {qualified(self._table)} t using (select * from {_BATCH} qualify row_number() over"
            f" (partition by {_list(key)} order by {_ORDER} desc) = 1) b on {same}"
            f" when matched and b.{_OP} = 'delete' then delete"
            f" when matched then {f'update set {update}' if rest else 'do nothing'}"
            f" when not matched and b.{_OP} <> 'delete' then insert ({listed}) values ({values})"
        )

    def _check(self) -> None:
        if not self._open:
            raise InvalidParameter("writer", "is closed.")
        if self._broken:
            raise QueryFailed("the transaction ended with an error; open the table anew", connection=self._connection)


def _list(names: Sequence[str]) -> str:
    return ", ".join(identifier(name) for name in names)
