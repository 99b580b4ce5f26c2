"""What HiveServer2 says about tables: which there are, and what one consists of."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import QueryFailed, SqlSyntaxError, UnknownTable, UsageError
from workbench.contract.scan import TableInfo, TableRef
from workbench_hive.decode import Refused, Rows
from workbench_hive.predicates import quoted
from workbench_hive.session import Handle, Session
from workbench_hive.types import HiveType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Known", "counted", "find", "listed", "partitions", "rows_of", "target"]

_KINDS = {
    **dict.fromkeys(("TABLE", "MANAGED_TABLE", "EXTERNAL_TABLE", "SYSTEM TABLE"), "table"),
    **dict.fromkeys(("VIEW", "VIRTUAL_VIEW", "MATERIALIZED_VIEW"), "view"),
}
_PAGE = 10_000
_JSON = {"hive.ddl.output.format": "json"}
_SECONDS = 300.0
_LARGEST = 1 << 28
"""Bytes of an answer about tables: a million partitions' names are a fifth of it."""
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What Python raises where an answer has another shape."""


@dataclass(frozen=True)
class Known:
    """A table. `types` has its columns in order, those of its partitions last; `partitioned` are the latter's names. A
    table of the same name that was made anew has another `identity`, where the server says enough."""

    table: TableRef
    types: Mapping[str, HiveType]
    comments: Mapping[str, str] = field(default_factory=dict)
    partitioned: tuple[str, ...] = ()
    rows: int | None = None
    identity: str = ""

    def schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([kind.field(name, self.comments.get(name, "")) for name, kind in self.types.items()])


def target(table: TableRef, database: str) -> str:
    """The table in a statement. Without any database it is the session's own."""
    schema = table.schema or database
    return f"{quoted(schema)}.{quoted(table.name)}" if schema else quoted(table.name)


def rows_of(session: Session, operation: Handle, seconds: float = _SECONDS) -> pa.Table:
    """All rows of a small answer, its columns as the server names them. The operation is closed."""
    import pyarrow as pa

    try:
        columns = session.columns(operation)
        schema = pa.schema([kind.field(name) for name, kind, _ in columns])
        decoder, batches = Rows([kind for _, kind, _ in columns], schema), []
        until, left = time.monotonic() + seconds, _LARGEST
        while True:
            raw, number = session.fetch(operation, _PAGE, until - time.monotonic())
            left -= len(raw)
            try:
                found = decoder.reply(raw, number)
            except Refused:
                session.answer(raw, "FetchResults", number)
                raise session.faults.broken("a reply that is neither rows nor a refusal") from None
            if not found.batch.num_rows and not found.more:
                break
            if left < 0:
                raise session.faults.broken(f"an answer about tables of more than {_LARGEST:,} bytes")
            batches.append(found.batch)
    except (QueryFailed, UsageError):  # after all others the session is not used again
        session.close_operation(operation)
        raise
    session.close_operation(operation)
    return pa.Table.from_batches(batches, schema)


def listed(session: Session, database: str) -> list[TableInfo]:
    """All tables of the database, or of all where none is named, in no order."""
    operation = session.tables(_pattern(database) if database else "%", "%")
    found = rows_of(session, operation)
    try:
        texts = ([str(text or "") for text in found.column(index).to_pylist()] for index in (1, 2, 3, 4))
        return [
            TableInfo(TableRef(name, None if database else schema), _KINDS.get(kind, kind.lower()), comment=comment)
            for schema, name, kind, comment in zip(*texts, strict=True)
            if not database or schema == database.lower()
        ]
    except _MALFORMED:
        raise session.faults.broken("it lists no tables") from None


def _pattern(name: str) -> str:
    return re.sub(r"([%_\\])", r"\\\1", name)


def find(session: Session, table: TableRef, database: str) -> Known:
    """What there is to know. Raises UnknownTable with near names."""
    text = target(table, database)
    try:
        return _described(session, table, text)
    except UnknownTable:
        pass
    except (QueryFailed, SqlSyntaxError):
        if any(info.table == table for info in listed(session, table.schema or database)):
            raise
    known = [str(info.table) if not table.schema else f"{table.schema}.{info.table.name}"
             for info in listed(session, table.schema or database)]  # fmt: skip
    raise UnknownTable(str(table), known)


def _described(session: Session, table: TableRef, text: str) -> Known:
    try:
        operation = session.execute(f"describe extended {text}", seconds=_SECONDS, settings=_JSON, background=False)
        said = rows_of(session, operation)
        return _from_json(table, json.loads("".join(said.column(0).to_pylist())))
    except (QueryFailed, *_MALFORMED):  # it takes no setting, or says it in its own way
        operation = session.execute(f"describe {text}", seconds=_SECONDS, background=False)
        said = rows_of(session, operation)
    try:
        known = _spelled_out(table, said.to_pylist())
    except _MALFORMED:
        raise session.faults.broken("it describes no table") from None
    if not known.types:
        raise session.faults.broken("it describes a table without columns")
    return known


def _from_json(table: TableRef, about: Mapping[str, Any]) -> Known:
    info = about.get("tableInfo") or {}
    keys = [_column(one) for one in info.get("partitionKeys") or []]
    columns = [_column(one) for one in about.get("columns") or []]
    partitioned = tuple(name for name, _, _ in keys)
    every = [*(one for one in columns if one[0] not in partitioned), *keys]
    return Known(
        table,
        {name: dataclasses.replace(HiveType.of_name(kind), partition=name in partitioned) for name, kind, _ in every},
        {name: comment for name, _, comment in every if comment},
        partitioned,
        counted(info.get("parameters") or {}),
        f"{info.get('createTime')} {(info.get('sd') or {}).get('location')}",
    )


def _column(about: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(about["name"]), str(about["type"]), str(about.get("comment") or "")


def counted(parameters: Mapping[str, Any]) -> int | None:
    """Rows by a table's parameters, which say 0 or -1 where there are no statistics."""
    text = str(parameters.get("numRows") or "")
    return int(text) or None if re.fullmatch(r"[0-9]{1,18}", text) else None


def _spelled_out(table: TableRef, rows: Sequence[Mapping[str, Any]]) -> Known:
    """DESCRIBE as text: columns, then after a heading those of the partitions once more."""
    types: dict[str, HiveType] = {}
    comments, partitioned, heading = {}, [], False
    for row in rows:
        name, kind, comment = (str(value or "").strip() for value in row.values())
        if not kind or name.startswith("#"):
            heading = heading or name.startswith("# Partition Information")
        elif heading:
            partitioned.append(name)
        else:
            types[name] = HiveType.of_name(kind)
            if comment:
                comments[name] = comment
    for name in partitioned:
        types[name] = dataclasses.replace(types[name], partition=True)
    return Known(table, types, comments, tuple(partitioned))


def partitions(session: Session, text: str, most: int | None = None) -> list[str]:
    """The partitions' names, as their folders have them; none where there are more than `most`."""
    operation = session.execute(f"show partitions {text}", seconds=_SECONDS, background=False)
    said = rows_of(session, operation)
    if not said.num_columns:
        raise session.faults.broken("it lists no partitions")
    if most is not None and said.num_rows > most:
        return []
    return [str(name) for name in said.column(0).to_pylist()]
