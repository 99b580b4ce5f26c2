"""What the server has: tables, and what has to be known of one to plan a scan of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import QueryFailed, SqlSyntaxError, UnknownTable
from workbench.contract.scan import TableInfo, TableRef
from workbench_mysql import wire
from workbench_mysql.faults import Faults
from workbench_mysql.link import Link
from workbench_mysql.predicates import Source, quoted
from workbench_mysql.types import Definitions, Policy

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["POSITIONS", "Known", "about", "find", "listed", "literal", "names", "own", "target"]

POSITIONS = "_workbench_positions"
"""Our own table, in which streams keep their positions; it is not listed."""
_SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
_KINDS = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table", "VIEW": "view", "SYSTEM VIEW": "view"}
_ABOUT = (
    "select table_schema, table_name, table_type, table_rows, data_length + index_length, table_comment"
    " from information_schema.tables where "
)
_TOGETHER = 100
"""Questions in one statement."""
_NO_SUCH = {1049, 1059, 1102, 1103, 1146, 1300, 1366, 3988}
"""No such database or table, and names that cannot be one."""
_DENIED = {1044, 1142, 1143}
"""Also said of what is not there, to those who may not know."""
_MOST_SELECTED, _MOST_NAMED = 256, 8
_KEYS = {"tinyint", "smallint", "mediumint", "int", "bigint"}


@dataclass(frozen=True, slots=True)
class Selected:
    """Some columns of a table: the statement that reads them all, and what a read of them loses."""

    schema: pa.Schema
    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """A table as it was at `seen` (the monotonic clock). `key` is the integer column by which it may be split."""

    ref: TableRef
    database: str
    definitions: Definitions
    schema: pa.Schema
    sources: dict[str, Source]
    nullable: frozenset[str]
    kind: str = "table"
    rows: int | None = None
    key: str | None = None
    seen: float = field(default_factory=time.monotonic)
    _selected: dict[tuple[str, ...], Selected] = field(default_factory=dict, compare=False, repr=False)

    @property
    def target(self) -> str:
        return target(self.database, self.ref.name)

    def selected(self, names: tuple[str, ...]) -> Selected:
        """Made once: most statements about a table ask for the same columns."""
        import pyarrow as pa

        if (held := self._selected.get(names)) is not None:
            return held
        fields = [self.schema.field(name) for name in names]
        text = f"select {', '.join(map(quoted, names))} from {self.target}"
        if len(self._selected) >= _MOST_SELECTED:
            self._selected.clear()
        self._selected[names] = made = Selected(pa.schema(fields), text, tuple(_losses(fields)))
        return made


def _losses(fields: Sequence[pa.Field]) -> Iterator[str]:
    import pyarrow as pa

    about = [(one, one.metadata or {}) for one in fields]
    lossy = [one.name for one, metadata in about if metadata.get(b"lossy")]
    if lossy and len(lossy) <= _MOST_NAMED:
        yield f"dates that no calendar has become NULL and are counted: {', '.join(lossy)}"
    wide = [
        one.name
        for one, metadata in about
        if pa.types.is_string(one.type) and metadata.get(b"source_type", b"").startswith(b"decimal")
    ]
    if wide and len(wide) <= _MOST_NAMED:
        yield f"decimals of more than 38 digits come as text, and compare and sort as text: {', '.join(wide)}"


def target(database: str, name: str) -> str:
    return f"{quoted(database)}.{quoted(name)}"


def literal(text: str) -> str:
    """A constant of text, whatever is in it."""
    return f"_utf8mb4 x'{text.encode('utf-8', 'replace').hex()}'" if text else "''"


def listed(link: Link, database: str, like: str, after: str | None, limit: int) -> Sequence[TableInfo]:
    """A page of the catalog: the tables of `database`, or without one those of all that are not the server's own."""
    return about(link, database, names(link, database, like, after, limit))


def names(link: Link, database: str, like: str, after: str | None, limit: int) -> Sequence[TableRef]:
    """Their names alone, for which MariaDB opens no table: ten times as quick as what more there is to know."""
    name = "table_name" if database else "concat(table_schema, '.', table_name)"
    where = [f"table_schema = {literal(database)}" if database else f"table_schema not in {_SYSTEM}"]
    where.append(f"table_name <> '{POSITIONS}'")
    if like:
        pattern = like.replace("\\", "\\\\")  # a backslash is no escape in our patterns
        where.append(f"lower(convert(table_name using utf8mb4)) like lower({literal(pattern)}) collate utf8mb4_bin")
    if after is not None:
        where.append(f"cast(convert({name} using utf8mb4) as binary) > cast({literal(after)} as binary)")
    of, tables = link.texts(
        f"select table_schema, table_name from information_schema.tables where {' and '.join(where)}"
        f" order by cast(convert({name} using utf8mb4) as binary) limit {max(0, limit)}"
    )
    schemas: dict[str, str] = {}  # one text for all of its tables
    return [
        TableRef(table, None if database else schemas.setdefault(schema, schema))
        for schema, table in zip(of, tables, strict=True)
    ]


def about(link: Link, database: str, tables: Sequence[TableRef]) -> Sequence[TableInfo]:
    """What `listed` says of these. MariaDB opens each table for it, and all of a database unless one is named."""
    asked: list[str] = []
    if link.mariadb or link.version < (8,):
        asked += [
            f"table_schema = {literal(ref.schema or database)} and table_name = {literal(ref.name)}" for ref in tables
        ]
    else:
        for schema, refs in itertools.groupby(tables, lambda ref: ref.schema or database):
            inside = ", ".join(literal(ref.name) for ref in refs)
            asked.append(f"table_schema = {literal(schema)} and table_name in ({inside})")
    found: dict[tuple[str, str], TableInfo] = {}
    for first in range(0, len(asked), _TOGETHER):
        for row in link.run(" union all ".join(_ABOUT + where for where in asked[first : first + _TOGETHER])):
            schema, name = _text(row[0]), _text(row[1])
            found[schema, name] = TableInfo(
                TableRef(name, None if database else schema),
                _KINDS.get(_text(row[2]), _text(row[2]).lower()),
                _count(row[3]),
                _count(row[4]),
                "" if _text(row[2]) == "VIEW" else _text(row[5]),
            )
    wanted = ((ref.schema or database, ref.name) for ref in tables)
    return [found[key] for key in wanted if key in found]


def find(link: Link, ref: TableRef, default: str, policy: Policy, faults: Faults) -> Known:
    """What there is to know, in a few small questions. Raises UnknownTable with near names."""
    database = ref.schema or default
    if not database:
        hint = "Write connection.database.table, or connect with a database in the URL."
        raise UnknownTable(str(ref), (), hint)
    definitions = _definitions(link, ref, database, faults)
    columns = own(
        link.run(
            "select table_name, column_name, data_type, column_type, is_nullable, character_set_name, column_comment"
            f" from information_schema.columns where table_schema = {literal(database)}"
            f" and table_name = {literal(ref.name)} order by ordinal_position"
        ),
        ref.name,
    )
    about = {_text(row[1]): row for row in columns}
    schema = definitions.schema(policy, {name: _text(row[3]) for name, row in about.items()})
    sources = {
        column.name: Source(
            column.name,
            _text(about[column.name][2]).lower() if column.name in about else "",
            column.type,
            _text(about[column.name][5]).lower() if column.name in about else "",
            min(definition.decimals, 6),
        )
        for column, definition in zip(schema, definitions.columns, strict=True)
    }
    kind, rows = _kind(link, database, ref.name)
    return Known(
        ref=ref,
        database=database,
        definitions=definitions.columns,
        schema=_commented(schema, {name: _text(row[6]) for name, row in about.items()}),
        sources=sources,
        nullable=frozenset(name for name, row in about.items() if _text(row[4]) != "NO"),
        kind=kind,
        rows=rows,
        key=_key(link, database, ref.name, sources) if kind == "table" else None,
    )


def _definitions(link: Link, ref: TableRef, database: str, faults: Faults) -> wire.Statement:
    try:
        if "\0" in ref.name or "\0" in database or not ref.name:
            raise QueryFailed("a name that cannot be", 1103)
        text = f"select * from {target(database, ref.name)}"
        with faults.translated(text):
            statement = wire.prepare(link, text, errors=faults.made(text))
            statement.close()
            return statement
    except SqlSyntaxError:
        hint = ""
    except QueryFailed as error:
        if error.code not in _NO_SUCH | _DENIED:
            raise
        hint = "Or this user may not see it." if error.code in _DENIED else ""
        if hint and _kind(link, database, ref.name)[1] is not None:
            raise
    here = [one.name for one in names(link, database, "", None, 10_000)]
    raise UnknownTable(str(ref), here if ref.schema is None else [f"{ref.schema}.{name}" for name in here], hint)


def _kind(link: Link, database: str, name: str) -> tuple[str, int | None]:
    found = own(
        link.run(
            "select table_name, table_type, table_rows from information_schema.tables"
            f" where table_schema = {literal(database)} and table_name = {literal(name)}"
        ),
        name,
    )
    if not found:  # information_schema itself on some servers
        return "view", None
    return _KINDS.get(_text(found[0][1]), "view"), _count(found[0][2])


def _key(link: Link, database: str, name: str, sources: dict[str, Source]) -> str | None:
    """The integer column that leads the primary key, else another unique key."""
    found = own(
        link.run(
            "select table_name, column_name, index_name from information_schema.statistics"
            f" where table_schema = {literal(database)} and table_name = {literal(name)} and seq_in_index = 1"
            " and (non_unique = 0) and index_type = 'BTREE' and sub_part is null"
        ),
        name,
    )
    leads = sorted((_text(row[2]) != "PRIMARY", _text(row[1])) for row in found)
    return next((column for _, column in leads if column in sources and sources[column].type in _KEYS), None)


def own(rows: tuple[tuple[Any, ...], ...], name: str) -> list[tuple[Any, ...]]:
    """Without those of a table whose name differs in case only, where the server tells them apart."""
    exact = [row for row in rows if _text(row[0]) == name]
    return exact or list(rows)


def _commented(schema: pa.Schema, comments: dict[str, str]) -> pa.Schema:
    for index, column in enumerate(schema):
        if comment := comments.get(column.name):
            metadata = {**(column.metadata or {}), b"comment": comment.encode()}
            schema = schema.set(index, column.with_metadata(metadata))
    return schema


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)


def _count(value: Any) -> int | None:
    return None if value is None else int(value)
