"""Planning scans: columns, predicates, splits, limit; and the source's own SQL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.contract.errors import QueryFailed, UnknownColumn, UsageError
from workbench.contract.predicate import Applied, Column, Compare, Predicate, columns_of
from workbench.contract.reduction import Top
from workbench.contract.scan import Control, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.kit.levels import Fragment
from workbench_mysql import splits, statement, wire
from workbench_mysql.catalog import Known, about, find, listed, names
from workbench_mysql.link import Link
from workbench_mysql.predicates import fragment, quoted
from workbench_mysql.reader import MySQLReader

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_mysql.connector import MySQLConnector

__all__ = ["MySQLTables"]

_FRESH = 60.0
"""Seconds for which a table's keys and estimates are believed; its columns are asked for again."""
_CHECKED = 1.0
"""Seconds for which its columns are believed, too: each read compares them with what the server then sends."""
_NATIVE = TableRef("(native)")


class MySQLTables:
    """See `workbench.contract.connector.Tables`."""

    def __init__(self, connector: MySQLConnector) -> None:
        self._connector = connector
        self._checked: dict[TableRef, tuple[Known, float]] = {}

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        return self._connector.ask(lambda link: listed(link, self._connector.database, like, after, limit))

    def names(self, limit: int) -> Sequence[TableRef]:
        return self._connector.ask(lambda link: names(link, self._connector.database, "", None, limit))

    def about(self, tables: Sequence[TableRef]) -> Sequence[TableInfo]:
        return self._connector.ask(lambda link: about(link, self._connector.database, tables))

    def schema(self, table: TableRef) -> pa.Schema:
        return self._connector.ask(lambda link: self._find(link, table)).schema

    def plan(self, request: ScanRequest) -> ScanPlan:
        return self._connector.ask(lambda link: self._plan(link, request))

    def native(self, text: str) -> ScanPlan:
        writable = self._connector.config.writable
        asked = statement.single(text) if writable else statement.reading(text)
        return self._connector.ask(lambda link: self._native(link, asked))

    def read(self, split: Split, control: Control) -> MySQLReader:
        return MySQLReader(self._connector, split, control)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _find(self, link: Link, table: TableRef) -> Known:
        connector = self._connector
        connector.forget(table)
        return connector.remember(find(link, table, connector.database, connector.policy, connector.faults))

    def _current(self, link: Link, request: ScanRequest) -> Known:
        """The table, with columns as they are now: one small question where it was met lately."""
        known = self._connector.known(request.table)
        if known is None or time.monotonic() - known.seen > _FRESH:
            return self._find(link, request.table)
        checked, when = self._checked.get(request.table, (known, known.seen))
        if checked is known and time.monotonic() - when < _CHECKED:
            return known
        text = f"select * from {known.target}"
        with self._connector.faults.translated(text):
            try:
                now = wire.prepare(link, text, errors=self._connector.faults.made(text))
            except (QueryFailed, UsageError):  # the server's answer; after anything else the session may be amid one
                return self._find(link, request.table)
            now.close()
        if now.columns != known.definitions:
            return self._find(link, request.table)
        if len(self._checked) > 1000:
            self._checked.clear()
        self._checked[request.table] = known, time.monotonic()
        return known

    def _plan(self, link: Link, request: ScanRequest) -> ScanPlan:
        known = self._current(link, request)
        _check_columns(request, known)
        fragments = {predicate: fragment(predicate, known.sources) for predicate in request.predicates}
        names, extra = _columns(request, known, fragments)
        selected = known.selected(names)
        schema, base = selected.schema, selected.text
        where = [found.text for found in fragments.values() if found.text]
        exact = all(found.applied is Applied.EXACT for found in fragments.values())
        top = request.top if exact and request.top is not None and _ordered(request.top, known) else None
        order, limit = (_order(top, known), top.rows) if top is not None else ("", request.limit if exact else None)
        few = request.limit is not None or top is not None
        estimate, cuts = self._cuts(link, request, known, _text(base, where, None), fragments, few)
        texts = [_text(base, [*where, cut], limit) for cut in cuts] or [_text(base, where, limit, order)]
        ranges = (f"{len(texts)} ranges of `{known.key}`, each as of its own start: not one instant",)
        each = None if estimate is None else estimate // len(texts)
        return ScanPlan(
            request=request,
            splits=tuple(
                Split(number, request.table, text, schema, {"sql": text, "policy": self._connector.policy}, each)
                for number, text in enumerate(texts)
            ),
            schema=schema,
            native_text=_text(base, where, limit, order),
            applied={predicate: found.applied for predicate, found in fragments.items()},
            reasons={predicate: found.reason for predicate, found in fragments.items() if found.reason},
            extra=extra,
            estimate=estimate,
            limit_applied=limit is not None and top is None,
            top_applied=top is not None,
            clustered_by=(known.key,) if known.key and known.key in schema.names and len(texts) > 1 else (),
            notes=(ranges if len(texts) > 1 else ()) + selected.notes,
        )

    def _cuts(
        self,
        link: Link,
        request: ScanRequest,
        known: Known,
        text: str,
        fragments: dict[Predicate, Fragment],
        few: bool,
    ) -> tuple[int | None, Sequence[str]]:
        """The estimate of rows, and the conditions of the splits: none for a single one, as where `few` rows do."""
        estimate = known.rows
        if known.key is None or request.splits < 2 or few or (estimate or 0) < splits.SMALL:
            return estimate, ()
        if any(_pins(predicate, known.key) for predicate in request.predicates):
            return None, ()
        if any(found.text for found in fragments.values()):
            estimate = _expected(link, text, estimate)
            if estimate is None or estimate < splits.SMALL:
                return estimate, ()
        parts = splits.parts_for(estimate or 0, request.splits)
        nullable = known.key in known.nullable
        return estimate, splits.conditions(link.run, known.target, quoted(known.key), nullable, parts)

    def _native(self, link: Link, text: str) -> ScanPlan:
        import pyarrow as pa

        connector = self._connector
        with connector.faults.translated(text):
            link.guard(connector.guard)
            prepared = wire.prepare(link, text, errors=connector.faults.made(text))
            prepared.close()
        changes = not prepared.columns
        schema = pa.schema([("affected_rows", pa.uint64())]) if changes else prepared.schema(connector.policy)
        state = {"sql": text, "policy": connector.policy, "native": True, "changes": changes}
        split = Split(0, _NATIVE, text, schema, state)
        return ScanPlan(ScanRequest(_NATIVE, tuple(schema.names)), (split,), schema, text)


def _check_columns(request: ScanRequest, known: Known) -> None:
    read = [column.name for predicate in request.predicates for column in columns_of(predicate)]
    for name in (*request.columns, *read):
        if name not in known.sources:
            raise UnknownColumn(name, known.schema.names, f"In table `{request.table}`.")


def _columns(request: ScanRequest, known: Known, fragments: dict[Predicate, Fragment]) -> tuple[tuple[str, ...], int]:
    """What is asked for, and after it what is needed to filter again; one column at least."""
    names = dict.fromkeys(request.columns)
    wanted = len(names)
    for predicate, found in fragments.items():
        if found.applied is not Applied.EXACT:
            names.update(dict.fromkeys(column.name for column in columns_of(predicate)))
    read = tuple(names) or (_cheapest(known),)
    return read, len(read) - wanted


def _cheapest(known: Known) -> str:
    """A column to count rows with: the key, else the narrowest."""
    if known.key is not None:
        return known.key

    def width(name: str) -> int:
        try:
            return int(known.schema.field(name).type.bit_width)
        except ValueError:  # of no fixed width
            return 1 << 20

    return str(min(known.schema.names, key=width))


def _ordered(top: Top, known: Known) -> bool:
    """Whether the server's order is DuckDB's: of whole numbers and decimals. Text has collations, dates have zeros, and
    of doubles not all come back as they were."""
    import pyarrow.types as types

    kinds = [known.schema.field(one.column).type for one in top.order]
    return all(types.is_integer(kind) or types.is_decimal128(kind) for kind in kinds)


def _order(top: Top, known: Known) -> str:
    """Qualified, for a name alone would be that of what is selected. NULLs are the least there."""
    parts = []
    for one in top.order:
        column, way = f"{known.target}.{quoted(one.column)}", " desc" if one.descending else ""
        if one.column in known.nullable and one.descending == one.nulls_first:
            parts.append(f"{column} is null{' desc' if one.nulls_first else ''}")
        parts.append(f"{column}{way}")
    return f" order by {', '.join(parts)}"


def _text(base: str, where: Sequence[str], limit: int | None, order: str = "") -> str:
    text: str = base + (" where " + " and ".join(where) if where else "") + order
    return text if limit is None else f"{text} limit {limit}"


def _pins(predicate: Predicate, key: str) -> bool:
    """Whether all rows have one value of the key, so that ranges of it would be one range."""
    return isinstance(predicate, Compare) and predicate.op == "=" and predicate.column == Column((key,))


def _expected(link: Link, text: str, otherwise: int | None) -> int | None:
    """How many rows the server thinks it will look at."""
    line = link.explained(text)
    if "rows" not in line:
        return otherwise
    return 0 if line["rows"] is None else int(line["rows"])
