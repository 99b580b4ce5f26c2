"""A file, a folder or a pattern as a connection: its tables, their schemas and plans."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from workbench.contract import (
    Applied,
    ConnectionConfig,
    Control,
    Predicate,
    ScanPlan,
    ScanRequest,
    ServerInfo,
    Split,
    TableInfo,
    TableRef,
)
from workbench.contract.errors import (
    DataError,
    ProtocolError,
    SourceError,
    UnknownColumn,
    UnknownTable,
    Unsupported,
    WorkbenchError,
)
from workbench.contract.predicate import columns_of
from workbench.kit.filter import Filter, can_apply
from workbench.kit.like import like as matching
from workbench_files.feeds import FilesFeeds
from workbench_files.folder import DataFile, Folder, FoundTable
from workbench_files.parts import Footer, Footers, pruned
from workbench_files.reader import FilesReader
from workbench_files.sink import FilesSinks
from workbench_files.unify import Conflict, key_type, key_value, settled, unified

__all__ = ["FilesConnector"]

SPLIT_BYTES = 1 << 20
"""No split of less than about this, so that small files are read together."""
OVERSPLIT = 4
COUNTED_FILES = 16
"""Only tables of so few files have their rows in the catalog: each costs a footer."""
FAULTS = 5
"""So many tables that cannot be read are named."""


class FilesConnector:
    """Opened with the parameter `path`. Reads nothing until asked, holds nothing open."""

    def __init__(self, config: ConnectionConfig) -> None:
        self.name = config.name
        self.folder = Folder(str(config.parameters["path"]), config.tables, config.name)
        self.tables = FilesTables(self.name, self.folder)
        self.feeds = FilesFeeds(self.name, self.folder, self.tables)
        self.sinks = FilesSinks(self.name, self.folder, self.tables, config.writable)

    def test(self) -> ServerInfo:
        """Looks at the footers of all Parquet and Arrow files, and at the first text file of each table. Raises when
        no table can be read; when some cannot, they are `unreadable` in the details."""
        names = self.folder.names()
        details = {"path": self.folder.path, "tables": str(len(names))}
        faults = self.tables.faults(names)
        if faults and len(faults) == len(names):
            raise faults[0]
        if faults:
            details["unreadable"] = "; ".join(
                fault.message if isinstance(fault, SourceError) else str(fault) for fault in faults[:FAULTS]
            ) + (f"; and {len(faults) - FAULTS} more tables" if len(faults) > FAULTS else "")
        return ServerInfo("files", pa.__version__, details)

    def cancel(self, native_id: str) -> None:
        raise Unsupported("A connection to files", "end work in another process", "Stop the run that reads them.")

    def close(self) -> None:
        """Nothing is held open."""


class FilesTables:
    def __init__(self, connection: str, folder: Folder) -> None:
        self._connection, self._folder = connection, folder
        self._footers = Footers(connection)

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        matches = matching(like)
        names = (name for name in self._folder.names() if matches(name) and (after is None or name > after))
        return [self._info(name) for name in itertools.islice(names, limit)]

    def schema(self, table: TableRef) -> pa.Schema:
        found = self._found(table)
        return self._schema(found, self._footers.of(found))

    def plan(self, request: ScanRequest) -> ScanPlan:
        table = self._found(request.table)
        footers = self._footers.of(table)
        schema = self._schema(table, footers)
        there = frozenset(schema.names)
        for name in (*request.columns, *(c.name for p in request.predicates for c in columns_of(p))):
            if name not in there:
                raise UnknownColumn(name, schema.names)
        applied = {p: Applied.EXACT if can_apply(p, schema) else Applied.NONE for p in request.predicates}
        reasons = {p: "not a type that is compared exactly here" for p in applied if applied[p] is Applied.NONE}
        pushed = tuple(p for p in request.predicates if applied[p] is Applied.EXACT)
        out = _selected(schema, request.columns, [p for p in request.predicates if applied[p] is Applied.NONE])
        parts, notes = _parts(table, footers, schema, pushed)
        limit = request.limit if len(pushed) == len(request.predicates) else None
        state = {
            "format": table.format,
            "settings": dict(table.settings),
            "needed": _selected(schema, out.names, pushed),
            "full": pa.schema([column for column in schema if column.name not in _keys(table)]),
            "predicates": pushed,
            "limit": limit,
        }
        bundles = _bundles(parts, 1 if limit is not None else request.splits)
        splits = tuple(
            Split(
                number,
                request.table,
                _text(table, bundle, out, pushed),
                out,
                {**state, "parts": tuple(bundle)},
                _estimate(bundle),
            )
            for number, bundle in enumerate(bundles)
        )
        return ScanPlan(
            request,
            splits,
            out,
            _text(table, parts, out, pushed),
            applied,
            reasons,
            extra=len(out.names) - len(request.columns),
            estimate=_estimate(parts),
            limit_applied=limit is not None,
            notes=notes,
        )

    def native(self, text: str) -> ScanPlan:
        raise Unsupported("A connection to files", "run native text", "Ask in SQL: the files are tables there.")

    def read(self, split: Split, control: Control) -> FilesReader:
        return FilesReader(split, control, self._connection)

    def faults(self, names: Sequence[str]) -> tuple[WorkbenchError, ...]:
        """Why tables of these names cannot be read: one error for each such table."""
        found = []
        for name in names:
            try:
                table = self._folder.table(name)
                if table.format in ("csv", "jsonl", "lines"):
                    table = replace(table, files=table.files[:1])
                self._footers.of(table)
            except WorkbenchError as error:
                found.append(error)
        return tuple(found)

    def _found(self, table: TableRef) -> FoundTable:
        if table.schema is not None:
            raise UnknownTable(str(table), self._folder.names(), "Files have no schemas.")
        return self._folder.table(table.name)

    def _info(self, name: str) -> TableInfo:
        """A table that cannot be read is listed with the reason, and keeps no other one from being listed."""
        try:
            table = self._folder.table(name)
            rows: int | None = None
            if table.format == "parquet" and len(table.files) <= COUNTED_FILES:
                rows = sum(footer.rows or 0 for footer in self._footers.of(table))
        except WorkbenchError as error:
            return TableInfo(TableRef(name), "unreadable", comment=str(error))
        return TableInfo(TableRef(name), table.format, rows, sum(file.size for file in table.files))

    def _schema(self, table: FoundTable, footers: Sequence[Footer]) -> pa.Schema:
        keys = _keys(table)
        named = []
        for file, footer in zip(table.files, footers, strict=True):
            names = footer.schema.names
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise DataError(twice, 0, "the name", f"is there twice ({file.shown})", self._connection)
            named.append((file.shown, footer.schema))
        try:
            schema = unified(named, guessed=table.format == "csv")
        except Conflict as conflict:
            raise DataError("(all)", 0, "the parts", f"do not fit together: {conflict}", self._connection) from None
        if table.format in ("csv", "jsonl"):
            schema = pa.schema([column.with_type(settled(column.type)) for column in schema])
        fields = [_described(column, str(column.type)) for column in schema if column.name not in keys]
        fields += [_described(pa.field(name, kind), f"folder {name}=…") for name, kind in keys.items()]
        if not len(schema):
            shown = table.files[0].shown if table.files else table.name
            what = "is empty" if table.files and not any(file.size for file in table.files) else "has no columns"
            raise ProtocolError(
                f"{shown} {what}{_others(table)}: there is nothing to ask for. Remove it, or wait until it is written.",
                self._connection,
            )
        return pa.schema(fields)


def _others(table: FoundTable) -> str:
    more = len(table.files) - 1
    return f" (and so {'are' if more > 1 else 'is'} {more} more of `{table.name}`)" if more > 0 else ""


def _described(column: pa.Field, source_type: str) -> pa.Field:
    return pa.field(column.name, column.type, metadata={b"source_type": source_type.encode()})


def _keys(table: FoundTable) -> dict[str, pa.DataType]:
    """The columns that come from the folders' names; they win over columns of the files."""
    names = dict.fromkeys(name for file in table.files for name, _ in file.keys)
    return {name: key_type(dict(file.keys).get(name) for file in table.files) for name in names}


def _selected(schema: pa.Schema, columns: Sequence[str], predicates: Sequence[Predicate]) -> pa.Schema:
    names = list(dict.fromkeys([*columns, *(c.name for p in predicates for c in columns_of(p))]))
    return pa.schema([schema.field(name) for name in names])


Part = dict[str, object]


def _parts(
    table: FoundTable, footers: Sequence[Footer], schema: pa.Schema, pushed: tuple[Predicate, ...]
) -> tuple[list[Part], tuple[str, ...]]:
    """What is to be read: files whose folders' values fit, and of Parquet the row groups whose statistics do."""
    keys = _keys(table)
    by_folder = tuple(p for p in pushed if all(c.name in keys for c in columns_of(p)))
    parts: list[Part] = []
    left_out = groups_in_all = groups_kept = 0
    for file, footer in zip(table.files, footers, strict=True):
        if by_folder and not _folder_fits(file, keys, schema, by_folder):
            left_out += 1
            continue
        if footer.groups is None:
            if footer.batches is None:
                parts.append(_part(file, None, None, file.size))
            else:
                parts += [_part(file, (at,), None, file.size // footer.batches) for at in range(footer.batches)]
            continue
        kept = pruned(footer, pushed)
        groups_in_all, groups_kept = groups_in_all + len(footer.groups), groups_kept + len(kept)
        for group in kept:
            rows, size = footer.groups[group]
            parts.append(_part(file, (group,), rows, size))
    notes = [f"{left_out} of {len(table.files)} files are left out by their folders' names."] if left_out else []
    if groups_kept < groups_in_all:
        notes.append(f"{groups_in_all - groups_kept} of {groups_in_all} row groups are left out by their statistics.")
    return parts, tuple(notes)


def _part(file: DataFile, groups: tuple[int, ...] | None, rows: int | None, size: int) -> Part:
    about = (file.path, file.shown, file.size, file.mtime_ns, file.inode, file.keys)
    return {"file": about, "groups": groups, "rows": rows, "bytes": size}


def _folder_fits(
    file: DataFile, keys: dict[str, pa.DataType], schema: pa.Schema, predicates: tuple[Predicate, ...]
) -> bool:
    values = dict(file.keys)
    row = {name: [key_value(values.get(name), kind)] for name, kind in keys.items()}
    only_keys = pa.schema([schema.field(name) for name in keys])
    return bool(Filter(predicates, only_keys)(pa.RecordBatch.from_pydict(row, schema=only_keys)).num_rows)


def _bundles(parts: list[Part], workers: int) -> list[list[Part]]:
    """Parts for each split: neighbours, of about the same size; a few more than there are workers. Row groups of one
    file that are neighbours become one part."""
    whole = sum(_size(part) for part in parts)
    target = max(SPLIT_BYTES, whole // (workers * OVERSPLIT)) if workers > 1 else whole
    bundles: list[list[Part]] = [[]]
    filled = 0
    for part in parts:
        if bundles[-1] and filled + _size(part) > target:
            bundles.append([])
            filled = 0
        filled += _size(part)
        last = bundles[-1][-1] if bundles[-1] else None
        if last is not None and last["file"] == part["file"] and last["groups"] and part["groups"]:
            bundles[-1][-1] = _joined(last, part)
        else:
            bundles[-1].append(part)
    return bundles


def _joined(one: Part, other: Part) -> Part:
    rows = None if one["rows"] is None or other["rows"] is None else int(str(one["rows"])) + int(str(other["rows"]))
    return {**one, "groups": (*_groups(one), *_groups(other)), "rows": rows, "bytes": _size(one) + _size(other)}


def _groups(part: Part) -> tuple[int, ...]:
    groups = part["groups"]
    assert isinstance(groups, tuple)
    return groups


def _size(part: Part) -> int:
    size = part["bytes"]
    assert isinstance(size, int)
    return size


def _estimate(parts: Sequence[Part]) -> int | None:
    rows = [part["rows"] for part in parts]
    return sum(count for count in rows if isinstance(count, int)) if None not in rows else None


def _text(table: FoundTable, parts: Sequence[Part], out: pa.Schema, pushed: tuple[Predicate, ...]) -> str:
    files = len({part["file"] for part in parts})
    groups = sum(len(_groups(part)) for part in parts if part["groups"])
    unit = {"parquet": "row groups", "arrow": "batches"}.get(table.format)
    what = f"{files} of {len(table.files)} files" + (f", {groups} {unit}" if groups and unit else "")
    where = f" where {' and '.join(map(str, pushed))}" if pushed else ""
    return f"read {table.format} {table.name} ({what}): {', '.join(out.names) or 'number of rows'}{where}"
