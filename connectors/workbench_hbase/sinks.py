"""Opening a table for writing: is it there, is it said what its bytes mean, and do the columns fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.contract.change import WriteSpec
from workbench.contract.errors import InvalidParameter, StatementRefused, UnknownTable, Unsupported
from workbench.contract.scan import TableRef
from workbench_hbase.mapping import Field, Mapping, binary, declared
from workbench_hbase.mutations import create
from workbench_hbase.native import Native
from workbench_hbase.values import fits, proposed
from workbench_hbase.writer import HBaseWriter

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_hbase.connector import HBaseConnector

__all__ = ["HBaseSinks"]


class HBaseSinks:
    """See `workbench.contract.connector.Sinks`. A row is written by its key, cell by cell: cells of columns that the
    write does not have stay as they are."""

    def __init__(self, connector: HBaseConnector) -> None:
        self._connector = connector

    def open(self, table: TableRef, spec: WriteSpec) -> HBaseWriter:
        connector = self._connector
        if not connector.config.writable:
            raise StatementRefused("Writing", f"`{connector.config.name}` is read-only; connect with writable=True")
        if spec.mode != "upsert":
            raise Unsupported("The HBase connector", f"write in mode `{spec.mode}`", "It knows upsert alone.")
        said = connector.config.tables.get(str(table), {})
        if not said.get("columns") and not spec.create:
            self._there(table)
        mapping = _mapping(table, spec, said)
        _check(table, spec, mapping)
        try:
            self._there(table)
        except UnknownTable:
            if not spec.create:
                raise
            self._make(table, mapping, [binary(key) for key in said.get("split_keys", ())])
        return HBaseWriter(connector, table, spec, mapping)

    def _there(self, table: TableRef) -> None:
        connector = self._connector
        with connector.faults.named(str(table)):
            try:
                connector.route.identity(connector.tables.full_name(table))
            except UnknownTable:
                raise UnknownTable(str(table), [str(one.table) for one in connector.tables.list()]) from None

    def _make(self, table: TableRef, mapping: Mapping, keys: list[bytes]) -> None:
        connector = self._connector
        cells = [field.cell for column in mapping.columns for field in column.fields if field.cell is not None]
        families = sorted({family for family, _ in [*cells, *([mapping.marker] if mapping.marker else [])]})
        if not families:
            raise InvalidParameter("schema", "has no column but the row key, and a table needs a family")
        if not keys and isinstance(connector.route, Native):  # a salted table has a region for each salt
            keys = sorted(salt for part in mapping.parts for salt in part.salts)[1:]
        if keys and not isinstance(connector.route, Native):
            raise InvalidParameter("split_keys", "cannot be said through the gateway: make the table beforehand")
        with connector.faults.named(str(table)):
            create(connector.route, connector.tables.full_name(table), families, keys)


def _mapping(table: TableRef, spec: WriteSpec, said: Any) -> Mapping:
    """The one that is declared: what is guessed from a sample is not written by."""
    if not said.get("columns") and any(name not in spec.key for name in spec.schema.names):
        key = [{"name": name, "type": proposed(spec.schema.field(name).type, True)} for name in spec.key]
        columns = {
            field.name: {"type": proposed(field.type, False), "cell": f"f:{field.name}"}
            for field in spec.schema
            if field.name not in spec.key
        }
        settings = json.dumps({str(table): {"key": key, "columns": columns}}, ensure_ascii=False)
        told = f"says nothing about `{table}`, so its bytes have no meaning; connect again with tables={settings}"
        raise InvalidParameter("tables", told)
    return declared(said)


def _check(table: TableRef, spec: WriteSpec, mapping: Mapping) -> None:
    written = [pair for field in spec.schema for pair in _pairs(table, field, mapping)]
    for field, kind in written:
        if not fits(kind, field.kind):
            raise InvalidParameter("schema", f"has column `{field.name}` of type {kind}, which is no {field.kind}")
    cells = {field.cell for field, _ in written if field.kind != "cell_time"}
    alone = next((field.name for field, _ in written if field.kind == "cell_time" and field.cell not in cells), None)
    if alone is not None:
        raise InvalidParameter("schema", f"has column `{alone}`, the time of a cell that is not written")
    salted = next((part for part in mapping.parts if part.salts), None)
    if salted is not None and not salted.hash:
        told = f"of `{table}` is salted, and how is not known: give its part `{salted.name}` a `hash`"
        raise InvalidParameter("key", told)
    parts = [part.name for part in mapping.parts if not part.salts]
    missing = [name for name in parts if name not in spec.schema.names]
    if missing:
        raise InvalidParameter("schema", f"lacks `{missing[0]}`, a part of the row key")
    if set(spec.key) != set(parts):
        told = f"is ({', '.join(spec.key)}), and the row key of `{table}` is ({', '.join(parts)})"
        raise InvalidParameter("key", told)


def _pairs(table: TableRef, field: pa.Field, mapping: Mapping) -> list[tuple[Field, pa.DataType]]:
    """What a column is written to, and as what: several cells for a family."""
    import pyarrow as pa

    column = next((one for one in mapping.columns if one.name == field.name), None)
    if column is None:
        raise InvalidParameter("schema", f"has column `{field.name}`, which the settings of `{table}` have not")
    if not column.struct:
        return [(column.fields[0], field.type)]
    if not pa.types.is_struct(field.type):
        told = f"has column `{field.name}` of type {field.type}; it is a family, so a struct of its cells is due"
        raise InvalidParameter("schema", told)
    found = []
    for inner in field.type:
        cell = mapping.find((field.name, inner.name))
        if cell is None:
            told = f"has `{field.name}.{inner.name}`, which the settings of `{table}` have not"
            raise InvalidParameter("schema", told)
        found.append((cell, inner.type))
    return found
