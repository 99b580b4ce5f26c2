"""Opening a table for writing: is it there, does it fit, and how far can its engine be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.contract.change import Guarantee, WriteSpec
from workbench.contract.errors import InvalidParameter, StatementRefused, UnknownTable, Unsupported
from workbench.contract.scan import TableRef
from workbench_mysql.catalog import POSITIONS, find, literal, own, target
from workbench_mysql.link import Link, opened
from workbench_mysql.predicates import quoted
from workbench_mysql.values import column_type, fits
from workbench_mysql.writer import MySQLWriter

if TYPE_CHECKING:
    from workbench_mysql.connector import MySQLConnector

__all__ = ["MySQLSinks"]

_TRANSACTIONAL = ("innodb", "rocksdb", "tokudb", "ndbcluster")


class MySQLSinks:
    """See `workbench.contract.connector.Sinks`."""

    def __init__(self, connector: MySQLConnector) -> None:
        self._connector = connector

    def open(self, table: TableRef, spec: WriteSpec) -> MySQLWriter:
        connector = self._connector
        if not connector.config.writable:
            raise StatementRefused("Writing", f"`{connector.config.name}` is read-only; connect with writable=True")
        if spec.mode not in ("insert", "upsert"):
            raise Unsupported("The MySQL connector", f"write in mode `{spec.mode}`", "It knows insert and upsert.")
        if spec.mode == "upsert" and not spec.key:
            raise InvalidParameter("key", "is needed for an upsert: the columns that say which row is meant")
        if missing := [name for name in spec.key if name not in spec.schema.names]:
            raise InvalidParameter("key", f"names `{missing[0]}`, which is not among the columns")
        if not spec.schema.names:
            raise InvalidParameter("schema", "has no columns")
        database = table.schema or connector.database
        if not database:
            raise UnknownTable(str(table), (), "Write connection.database.table.")
        link = opened(connector.config, connector.faults)  # of its own: a transaction lives in it
        try:
            transactional = self._ready(link, table, database, spec)
            keyed = bool(spec.key) and _is_unique(link, database, table.name, spec.key)
            if spec.mode == "upsert" and not keyed:
                told = f"({', '.join(spec.key)}) is not unique in `{table}`, so it cannot say which row is meant"
                raise InvalidParameter("key", told)
            guarantee = _guarantee(spec, transactional, keyed)
            return MySQLWriter(connector, link, table, database, spec, guarantee, transactional)
        except BaseException:
            link.drop()
            raise

    def _ready(self, link: Link, table: TableRef, database: str, spec: WriteSpec) -> bool:
        """Makes what is missing; whether the table takes part in transactions."""
        connector = self._connector
        try:
            known = find(link, table, database, "null", connector.faults)
        except UnknownTable:
            if not spec.create:
                raise
            link.run(_creation(link, database, table.name, spec))
        else:
            if known.kind != "table":
                raise InvalidParameter("table", f"`{table}` is a {known.kind}, which is not written to")
            for field in spec.schema:
                if field.name not in known.sources:
                    raise InvalidParameter("schema", f"has column `{field.name}`, which `{table}` has not")
                there = known.sources[field.name].type
                if not fits(field.type, there):
                    told = f"has column `{field.name}` of type {field.type}, which is {there} in `{table}`"
                    raise InvalidParameter("schema", told)
        connector.forget(table)
        if spec.stream:
            link.run(
                f"create table if not exists {target(database, POSITIONS)} ("
                "stream varchar(255) character set utf8mb4 collate utf8mb4_bin not null primary key,"
                " source longtext character set utf8mb4 not null, value longtext character set utf8mb4 not null"
                ") engine=InnoDB comment='How far streams are written: kept by Analytics Workbench'"
            )
        engine = link.run(
            f"select engine from information_schema.tables where table_schema = {literal(database)}"
            f" and table_name = {literal(table.name)}"
        )
        return bool(engine) and str(engine[0][0]).lower() in _TRANSACTIONAL


def _guarantee(spec: WriteSpec, transactional: bool, keyed: bool) -> Guarantee:
    if spec.stream and transactional:
        return Guarantee.TRANSACTIONAL
    return Guarantee.KEYED if keyed else Guarantee.APPEND


def _creation(link: Link, database: str, name: str, spec: WriteSpec) -> str:
    nopad = "utf8mb4_nopad_bin" if link.mariadb else "utf8mb4_0900_bin" if link.version >= (8, 0, 17) else "utf8mb4_bin"
    lines = []
    for field in spec.schema:
        key = field.name in spec.key
        # Said for every column, for some servers give the first TIMESTAMP a default of their own.
        ending = "not null" if key else "null default null"
        lines.append(f"{quoted(field.name)} {column_type(field, key=key, nopad=nopad)} {ending}")
    if spec.key:
        lines.append(f"primary key ({', '.join(quoted(name) for name in spec.key)})")
    return f"create table {target(database, name)} ({', '.join(lines)}) engine=InnoDB"


def _is_unique(link: Link, database: str, name: str, key: tuple[str, ...]) -> bool:
    rows = link.run(
        "select table_name, index_name, column_name, sub_part from information_schema.statistics"
        f" where table_schema = {literal(database)} and table_name = {literal(name)} and non_unique = 0"
    )
    indexes: dict[str, set[str | None]] = {}
    for _, index, column, part in own(rows, name):
        # Where the values' beginnings or an expression are unique, the column is no key.
        indexes.setdefault(str(index), set()).add(None if column is None or part is not None else str(column))
    return set(key) in indexes.values()
