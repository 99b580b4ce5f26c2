"""Planning scans: columns, predicates, splits, limit; and HiveQL of one's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.contract.errors import QueryFailed, SourceError, UnknownColumn, UsageError
from workbench.contract.predicate import Applied, Predicate, columns_of
from workbench.contract.scan import Control, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.kit.levels import Fragment
from workbench.kit.like import like as fits
from workbench_hive import statement
from workbench_hive.catalog import Known, find, listed, partitions, target
from workbench_hive.file_reader import FilesReader
from workbench_hive.files import plan_files
from workbench_hive.layouts import Refusal
from workbench_hive.nested import refused, with_values
from workbench_hive.predicates import fragment, hint, operand
from workbench_hive.printed import readable
from workbench_hive.reader import HiveReader
from workbench_hive.session import Session
from workbench_hive.splits import conditions, kept, parsed
from workbench_hive.types import HiveType

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_hive.connector import HiveConnector

__all__ = ["HiveTables"]

_FRESH = 60.0
"""Seconds for which the names of a table's partitions are believed; ranges made of them are complete in any case."""
_CHECKED = 0.25
"""Seconds for which its description is believed: each read compares it with what then comes, and whose table it was."""
_MOST_SPLITS = 64
"""Each is a session at the server."""
_NATIVE = TableRef("(native)")


class HiveTables:
    """See `workbench.contract.connector.Tables`."""

    def __init__(self, connector: HiveConnector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._known: dict[TableRef, tuple[Known, float]] = {}
        self._partitions: dict[TableRef, tuple[list[str], float]] = {}

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        match = fits(like)
        every = self._connector.ask(lambda session: listed(session, self._connector.database))
        found = [info for info in every if match(info.table.name) and (after is None or str(info.table) > after)]
        return sorted(found, key=lambda info: str(info.table))[:limit]

    def schema(self, table: TableRef) -> pa.Schema:
        return self._connector.ask(lambda session: self._find(session, table, renew=True)).schema()

    def plan(self, request: ScanRequest) -> ScanPlan:
        route = "read through HiveServer2"
        if self._connector.metastore is not None:
            try:
                return plan_files(
                    request,
                    self._connector.metastore,
                    self._connector.database,
                    lambda known: self._seen(request, known),
                    self._connector.hdfs,
                )
            except (Refusal, SourceError) as reason:
                route += f", not from files: {reason}"
        return self._connector.ask(lambda session: self._plan(session, request, route))

    def native(self, text: str) -> ScanPlan:
        asked = statement.reading(text)
        return self._connector.ask(lambda session: self._native(session, asked))

    def read(self, split: Split, control: Control) -> HiveReader | FilesReader:
        if "files" in split.state:
            return FilesReader(self._connector.config.name, split, control, self._connector.hdfs)
        return HiveReader(self._connector, split, control)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _seen(self, request: ScanRequest, known: Known) -> Known:
        """What the table is for this connection."""
        known = self._as_declared(known)
        _check_columns(request, known)
        return known

    def _as_declared(self, known: Known) -> Known:
        declared = self._connector.config.tables.get(str(known.table), {})
        return with_values(known) if declared.get("nested") == "values" else known

    def _find(self, session: Session, table: TableRef, renew: bool = False) -> Known:
        with self._lock:
            found = self._known.get(table)
        if found is None or renew or time.monotonic() - found[1] > _CHECKED:
            found = self._as_declared(find(session, table, self._connector.database)), time.monotonic()
            with self._lock:
                if len(self._known) > 1000:
                    self._known.clear()
                self._known[table] = found
        return found[0]

    def _plan(self, session: Session, request: ScanRequest, route: str) -> ScanPlan:
        import pyarrow as pa

        known = self._find(session, request.table)
        _check_columns(request, known)
        _check_route(request, known, route)
        fragments = {predicate: fragment(predicate, known.types) for predicate in request.predicates}
        names, extra = _columns(request, fragments)
        schema = pa.schema([known.types[name].field(name, known.comments.get(name, "")) for name in names])
        where = [found.text for found in fragments.values() if found.text]
        where += filter(None, (hint(predicate, known.types) for predicate in request.predicates))
        wanted = [operand(name, known.types[name]) for name in names]
        exact = all(found.applied is Applied.EXACT for found in fragments.values())
        limit = request.limit if exact else None
        cuts, notes = self._cuts(session, request, known) if limit is None else ([], ())
        text = target(request.table, self._connector.database)
        texts = [_text(text, wanted, [*where, cut], limit) for cut in cuts] or [_text(text, wanted, where, limit)]
        state = {
            "types": tuple(known.types[name] for name in names) or (HiveType("bigint"),),
            "counts": not names,
            "identity": known.identity,
            "partitioned": bool(known.partitioned),
        }
        return ScanPlan(
            request=request,
            splits=tuple(
                Split(number, request.table, sql, schema, {**state, "sql": sql}) for number, sql in enumerate(texts)
            ),
            schema=schema,
            native_text=_text(text, wanted, where, limit),
            applied={predicate: found.applied for predicate, found in fragments.items()},
            reasons={predicate: found.reason for predicate, found in fragments.items() if found.reason},
            extra=extra,
            estimate=known.rows,
            limit_applied=limit is not None,
            notes=(route, *notes),
        )

    def _cuts(self, session: Session, request: ScanRequest, known: Known) -> tuple[Sequence[str], tuple[str, ...]]:
        """The conditions of the splits, none for a single one; and what explain says of it."""
        if request.splits < 2 or not known.partitioned:
            return (), ()
        types = {name: known.types[name] for name in known.partitioned}
        every = [parsed(name) for name in self._names(session, request.table)]
        wanted = kept(every, types, request.predicates)
        found = conditions(wanted, types, min(request.splits * 2, _MOST_SPLITS))
        parts = f"{len(found)} parts" if len(found) > 1 else "one part"
        return found, (f"{len(wanted):,} of {len(every):,} partitions, in {parts}",)

    def _names(self, session: Session, table: TableRef) -> Sequence[str]:
        with self._lock:
            found = self._partitions.get(table)
        if found is None or time.monotonic() - found[1] > _FRESH:
            found = partitions(session, target(table, self._connector.database)), time.monotonic()
            with self._lock:
                if len(self._partitions) > 100:
                    self._partitions.clear()
                self._partitions[table] = found
        return found[0]

    def _native(self, session: Session, text: str) -> ScanPlan:
        import pyarrow as pa

        columns = self._result(session, text)
        schema = pa.schema([kind.field(name) for name, kind in columns])
        state = {"types": tuple(kind for _, kind in columns), "sql": text}
        split = Split(0, _NATIVE, text, schema, state)
        return ScanPlan(ScanRequest(_NATIVE, tuple(schema.names)), (split,), schema, text)

    def _result(self, session: Session, text: str) -> Sequence[tuple[str, HiveType]]:
        """The columns of a statement's result. A query is asked about without being run, where the server lets it be
        put into another one."""
        seconds = self._connector.guard
        if statement.verb(text) in ("SELECT", "WITH"):
            try:
                operation = session.execute(f"select * from (\n{text}\n) as wb limit 0", seconds=seconds)
                columns = session.columns(operation)
                session.close_operation(operation)
            except (QueryFailed, UsageError):
                pass  # columns without or with the same names; or what is wrong with it as such
            else:
                return [(name.removeprefix("wb."), kind) for name, kind, _ in columns]
        own = self._connector.opened()  # it is started, and ended with its session, which nobody waits for
        try:
            return [(name, kind) for name, kind, _ in own.columns(own.execute(text, seconds=seconds))]
        finally:
            own.close()


def _check_columns(request: ScanRequest, known: Known) -> None:
    read = [column.name for predicate in request.predicates for column in columns_of(predicate)]
    for name in (*request.columns, *read):
        if name not in known.types:
            raise UnknownColumn(name, known.types, f"In table `{request.table}`.")


def _check_route(request: ScanRequest, known: Known, route: str) -> None:
    read = {column.name for predicate in request.predicates for column in columns_of(predicate)}
    nested = {name: known.types[name] for name in (*request.columns, *read) if known.types[name].inner}
    nested = {name: kind for name, kind in nested.items() if not readable(kind)}
    if nested:
        raise refused(str(request.table), nested, route)


def _columns(request: ScanRequest, fragments: dict[Predicate, Fragment]) -> tuple[tuple[str, ...], int]:
    """What is asked for, and after it what is needed to filter again."""
    names = dict.fromkeys(request.columns)
    wanted = len(names)
    for predicate, found in fragments.items():
        if found.applied is not Applied.EXACT:
            names.update(dict.fromkeys(column.name for column in columns_of(predicate)))
    return tuple(names), len(names) - wanted


def _text(table: str, columns: Sequence[str], where: Sequence[str], limit: int | None) -> str:
    condition = " where " + " and ".join(where) if where else ""
    if columns:
        text = f"select {', '.join(columns)} from {table}{condition}"
        return text if limit is None else f"{text} limit {limit}"
    if limit is None:
        return f"select count(*) from {table}{condition}"
    return f"select count(*) from (select 1 as one from {table}{condition} limit {limit}) as limited"
