"""Opening a collection for writing: is it there, do the columns fit, and is the key one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Guarantee, WriteSpec
from workbench.contract.errors import InvalidParameter, StatementRefused, UnknownTable, Unsupported
from workbench.contract.scan import TableRef
from workbench_mongodb.predicates import plain_name
from workbench_mongodb.types import Shape
from workbench_mongodb.values import target
from workbench_mongodb.writer import MongoDBWriter

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_mongodb.connector import MongoDBConnector

__all__ = ["MongoDBSinks"]

_KEYS = ("bool", "long", "double", "decimal", "string", "binData", "objectId", "date")


class MongoDBSinks:
    """See `workbench.contract.connector.Sinks`. A row is a document: an upsert sets its fields in the document with
    that key and leaves the others, or makes one."""

    def __init__(self, connector: MongoDBConnector) -> None:
        self._connector = connector

    def open(self, table: TableRef, spec: WriteSpec) -> MongoDBWriter:
        connector = self._connector
        if not connector.config.writable:
            raise StatementRefused("Writing", f"`{connector.config.name}` is read-only; connect with writable=True")
        if spec.mode not in ("insert", "upsert"):
            raise Unsupported("The MongoDB connector", f"write in mode `{spec.mode}`", "It knows insert and upsert.")
        _check_names(spec)
        database, name = connector.tables.where(table)
        known = self._known(table, spec)
        shapes = tuple(_shapes(table, spec, known))
        for key in spec.key:
            if (kind := shapes[spec.schema.names.index(key)].kind) not in _KEYS:
                raise InvalidParameter("key", f"names `{key}`, which is {kind}: no key can be")
        keyed = bool(spec.key) and self._is_unique(database, name, spec)
        if spec.key and not keyed:
            told = f"({', '.join(spec.key)}) has no unique index in `{table}`, so it cannot say which document is meant"
            raise InvalidParameter("key", f"{told}; make one, or write by `_id`")
        guarantee = Guarantee.KEYED if keyed else Guarantee.APPEND
        return MongoDBWriter(connector, table, spec, shapes, guarantee)

    def _known(self, table: TableRef, spec: WriteSpec) -> Mapping[str, Shape]:
        """The collection's columns; it is made when that is asked for."""
        connector, (database, name) = self._connector, self._connector.tables.where(table)
        try:
            about = connector.tables.about(table)
        except UnknownTable:
            if not spec.create:
                raise
            with connector.faults.named("create"):
                connector.client()[database].create_collection(name)
                if spec.key and spec.key != ("_id",):
                    connector.client()[database][name].create_index(list(spec.key), unique=True)
            return {}
        if about.get("type", "collection") != "collection":
            raise InvalidParameter("table", f"`{table}` is a {about['type']}, which is not written to")
        return connector.tables.shapes(table)

    def _is_unique(self, database: str, name: str, spec: WriteSpec) -> bool:
        if spec.key == ("_id",):
            return True
        with self._connector.faults.named("listIndexes"):
            indexes = list(self._connector.client()[database][name].list_indexes())
        return any(
            one.get("unique") and "partialFilterExpression" not in one and set(one["key"]) == set(spec.key)
            for one in indexes
        )


def _check_names(spec: WriteSpec) -> None:
    names = spec.schema.names
    if not names:
        raise InvalidParameter("schema", "has no columns")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidParameter("schema", f"has the column `{twice}` twice")
    if spec.mode == "upsert" and not spec.key:
        raise InvalidParameter("key", "is needed for an upsert: the columns that say which document is meant")
    if missing := [name for name in spec.key if name not in names]:
        raise InvalidParameter("key", f"names `{missing[0]}`, which is not among the columns")
    for name in _all_names(spec.schema):
        if not plain_name(name):
            raise InvalidParameter("schema", f"has the name `{name}`, which an update cannot say: rename it")


def _all_names(fields: Any) -> Iterator[str]:
    for field in fields:
        yield field.name
        yield from _inner_names(field.type)


def _inner_names(kind: pa.DataType) -> Iterator[str]:
    import pyarrow.types as pt

    if pt.is_struct(kind):
        yield from _all_names(kind.field(at) for at in range(kind.num_fields))
    elif pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        yield from _inner_names(kind.value_type)


def _shapes(table: TableRef, spec: WriteSpec, known: Mapping[str, Shape]) -> Iterator[Shape]:
    """As what each column is written."""
    for field in spec.schema:
        if known and field.name not in known and field.name != "_id" and not spec.create:
            told = f"has column `{field.name}`, which no document of `{table}` has; write with create=True to add it"
            raise InvalidParameter("schema", told)
        yield target(field, known.get(field.name))
