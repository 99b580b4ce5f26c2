"""Collections as tables: the catalog, what columns they have, and plans."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import QueryFailed, UnknownColumn, UnknownTable, Unsupported
from workbench.contract.predicate import Applied, columns_of
from workbench.contract.scan import BATCH_BYTES, Control, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.kit.like import like as fits
from workbench_mongodb.predicates import filtered, plain_name
from workbench_mongodb.reader import MongoDBReader
from workbench_mongodb.reducing import Groups, NotThere, first_of, groups, proof, proven
from workbench_mongodb.sample import SAMPLE, Sample
from workbench_mongodb.splits import between, ranges
from workbench_mongodb.types import Shape, columns, declared, sayable

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_mongodb.connector import MongoDBConnector

__all__ = ["MongoDBTables"]

_FRESH = 60.0
"""Seconds that a sample is believed."""
_SPLIT_ROWS = 2500
_WIDEST = 10_000
_FAR_OUT = 100
_GROUPS = 20_000
"""A reply has up to so many."""
_OURS = ("admin", "config", "local")


@dataclass(frozen=True)
class _Known:
    shapes: tuple[Shape, ...]
    rows: int | None
    bytes_each: int
    uuid: bytes | None
    collated: bool
    """Whether text is compared there by an order of its own, unless a command says otherwise."""
    view: bool
    """Whether it has no index of `_id`: a view, or a collection of a time series."""
    samples: bool
    """Whether the server has `$sample`."""
    notes: tuple[str, ...]
    at: float


class MongoDBTables:
    """See `workbench.contract.connector.Tables`."""

    def __init__(self, connector: MongoDBConnector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._samples: dict[TableRef, _Known] = {}
        self._sums: bool | None = None
        """Whether the server adds up as it should; None as long as it was not tried."""
        self._why = ""

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        match = fits(like)
        found = [(ref, kind) for ref, kind in self._all() if match(ref.name) and (after is None or str(ref) > after)]
        return [TableInfo(ref, kind) for ref, kind in sorted(found, key=lambda one: str(one[0]))[:limit]]

    def schema(self, table: TableRef) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([shape.field() for shape in self._known(table, renew=True).shapes])

    def native(self, text: str) -> ScanPlan:
        raise Unsupported("The MongoDB connector", "run the source's own text", "Write SQL over the collection.")

    def plan(self, request: ScanRequest) -> ScanPlan:
        import pyarrow as pa

        known = self._known(request.table)
        shapes = {shape.name: shape for shape in known.shapes}
        used = [column.name for one in request.predicates for column in columns_of(one)]
        for name in (*request.columns, *used):
            if name not in shapes:
                raise UnknownColumn(name, shapes)
        parts = {predicate: filtered(predicate, shapes) for predicate in request.predicates}
        again = [name for predicate, part in parts.items() if part.applied is not Applied.EXACT
                 for name in dict.fromkeys(column.name for column in columns_of(predicate))]  # fmt: skip
        extra = [name for name in dict.fromkeys(again) if name not in request.columns]
        names = (*request.columns, *extra)
        schema = pa.schema([shapes[name].field() for name in names])
        conditions = [dict(part.document) for part in parts.values() if part.applied is not Applied.NONE]
        exact = all(part.applied is Applied.EXACT for part in parts.values())
        notes, limit = list(known.notes), request.limit if exact else None
        if exact and request.aggregate is not None:
            try:
                return self._added_up(request, known, conditions)
            except NotThere as reason:
                notes.append(f"added up here: {reason}")
        splits: Sequence[Split] = ()
        if exact and request.top is not None:
            try:
                splits = self._first(request, known, conditions, names, schema)
            except NotThere as reason:
                notes.append(f"put in order here: {reason}")
        top_applied = bool(splits)
        if not splits:
            filters = [_all_of(*conditions, part) for part in self._parts(request, known, limit)]
            splits = [
                self._split(number, request.table, condition, names, schema, known, limit)
                for number, condition in enumerate(filters)
            ]
        return ScanPlan(
            request=request,
            splits=tuple(splits),
            schema=schema,
            native_text="\n".join(one.native_text for one in splits),
            applied={predicate: part.applied for predicate, part in parts.items()},
            reasons={predicate: part.reason for predicate, part in parts.items() if part.reason},
            extra=len(extra),
            estimate=known.rows,
            limit_applied=limit is not None,
            top_applied=top_applied,
            notes=tuple(notes),
        )

    def read(self, split: Split, control: Control) -> MongoDBReader:
        return MongoDBReader(self._connector, split, control)

    # -- for the reader --------------------------------------------------------------------------------------------

    def where(self, table: TableRef) -> tuple[str, str]:
        """Database and collection."""
        database = table.schema or self._connector.database
        if not database:
            raise UnknownTable(str(table), (), "Write connection.database.collection.")
        return database, table.name

    def about(self, table: TableRef) -> Mapping[str, Any]:
        """What the server says of the collection. Raises UnknownTable."""
        database, name = self.where(table)
        ask = {"listCollections": 1, "filter": {"name": name}, "cursor": {}}
        batch = self._connector.command(database, ask)["cursor"]["firstBatch"]
        found = next((one for one in batch if one.get("name") == name), None)
        if found is None:
            with self._lock:
                self._samples.pop(table, None)
            raise UnknownTable(str(table), [str(ref) for ref, _ in self._all()])
        return dict(found)

    def forget(self, table: TableRef) -> None:
        """Its documents are others now."""
        with self._lock:
            self._samples.pop(table, None)

    def shapes(self, table: TableRef) -> dict[str, Shape]:
        """As they are now."""
        return {shape.name: shape for shape in self._known(table, renew=True).shapes}

    # -- inside ----------------------------------------------------------------------------------------------------

    def _all(self) -> Sequence[tuple[TableRef, str]]:
        connector = self._connector
        databases: Sequence[tuple[str, str | None]]
        if connector.database:
            databases = [(connector.database, None)]
        else:
            answer = connector.command("admin", {"listDatabases": 1, "nameOnly": True, "authorizedDatabases": True})
            names = sorted(str(one["name"]) for one in answer["databases"])
            databases = [(name, name) for name in names if name not in _OURS]
        found = []
        for database, schema in databases:
            ask: dict[str, Any] = {"listCollections": 1, "cursor": {"batchSize": 100_000}, "nameOnly": True,
                                   "authorizedCollections": True}  # fmt: skip
            for one in self._documents(database, ask):
                name = str(one["name"])
                if not name.startswith("system."):
                    kind = "view" if one.get("type") == "view" else "table"
                    found.append((TableRef(name, schema), kind))
        return found

    def _documents(self, database: str, command: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """All that a command with a cursor gives, a reply at a time."""
        with self._connector.session() as session:
            cursor = self._connector.command(database, command, session=session)["cursor"]
            yield from cursor["firstBatch"]
            collection = str(cursor.get("ns", "")).partition(".")[2]
            size = command.get("batchSize") or command.get("cursor", {}).get("batchSize")
            while cursor["id"]:
                more = {"getMore": cursor["id"], "collection": collection, **({"batchSize": size} if size else {})}
                cursor = self._connector.command(database, more, session=session)["cursor"]
                yield from cursor["nextBatch"]

    def _known(self, table: TableRef, renew: bool = False) -> _Known:
        with self._lock:
            known = self._samples.get(table)
        about = self.about(table)
        uuid = (about.get("info") or {}).get("uuid")
        fresh = known is not None and known.uuid == uuid and time.monotonic() - known.at < _FRESH
        if known is None or renew or not fresh:
            known = self._sampled(table, about)
            with self._lock:
                self._samples[table] = known
        return known

    def _sampled(self, table: TableRef, about: Mapping[str, Any]) -> _Known:
        database, name = self.where(table)
        view = about.get("type", "collection") != "collection"
        rows, each = self._size(database, name)
        sample = Sample(self._documents, database, name, rows, each, view)
        shapes, notes = self._columns(table, columns(sample))
        options, uuid = about.get("options") or {}, (about.get("info") or {}).get("uuid")
        collated = bool(options.get("collation"))
        return _Known(shapes, rows, each, uuid, collated, view, sample.random, notes, time.monotonic())

    def _columns(self, table: TableRef, found: Sequence[Shape]) -> tuple[tuple[Shape, ...], tuple[str, ...]]:
        """Of those that the sample has, what can be said and is wanted; with sentences about it."""
        notes = [f"columns as a sample of up to {SAMPLE * 12 // 10:,} documents has them"]
        shapes = tuple(shape for shape in found if sayable(shape))
        if len(shapes) < len(found):
            notes.append(f"{len(found) - len(shapes)} fields are left out, whose names have more than 65,535 bytes")
        kinds = self._connector.config.tables.get(str(table), {}).get("columns", {})
        if len(shapes) > _WIDEST:
            if not kinds:
                told = f"read `{table}` as a table: {len(shapes):,} different fields are in a sample of it"
                hint = f"Declare those that are wanted, up to {_WIDEST:,}, in the table's parameter `columns`."
                raise Unsupported("The MongoDB connector", told, hint)
            notes, shapes = ["only the declared columns: the documents have too many different fields"], ()
        shapes = declared(kinds, shapes) if kinds else shapes
        if not shapes:  # it is empty, but for what each document has
            shapes = (Shape("_id", "json", said="of no document yet"),)
        if self._connector.config.parameters.get("hide_id"):
            shapes = tuple(shape for shape in shapes if shape.name != "_id")
        return shapes, tuple(notes)

    def _size(self, database: str, name: str) -> tuple[int | None, int]:
        """About how many documents, which a view does not say, and about how many bytes each has."""
        try:
            stats = self._connector.command(database, {"collStats": name})
        except QueryFailed:
            return None, 200
        rows = int(stats.get("count") or 0)
        return rows, max(1, int(stats.get("avgObjSize") or (stats.get("size") or 0) // max(rows, 1) or 200))

    def _parts(self, request: ScanRequest, known: _Known, limit: int | None) -> Sequence[dict[str, Any]]:
        """Filters on `_id`, one for each split."""
        parts = min(request.splits * 2, (known.rows or 0) // _SPLIT_ROWS, 256)
        if request.splits < 2 or parts < 2 or limit is not None or known.view:
            return [{}]
        where = self.where(request.table)
        size, only = parts * 10, {"_id": 1}
        if known.samples:
            pipeline = [{"$sample": {"size": size}}, {"$project": only}]
            ask: dict[str, Any] = {"aggregate": where[1], "pipeline": pipeline, "cursor": {"batchSize": size}}
            keys = [one.get("_id") for one in self._documents(where[0], ask)]
        else:
            keys = between(self._end(*where, 1), self._end(*where, -1), size)
        return ranges(keys, parts)

    def _end(self, database: str, name: str, direction: int) -> Any:
        """About the least or the greatest `_id`: some may lie far out."""
        ask = {"find": name, "sort": {"_id": direction}, "skip": _FAR_OUT, "limit": 1, "projection": {"_id": 1}}
        return next(self._documents(database, ask), {}).get("_id")

    def _first(
        self,
        request: ScanRequest,
        known: _Known,
        conditions: Sequence[Mapping[str, Any]],
        names: Sequence[str],
        schema: pa.Schema,
    ) -> Sequence[Split]:
        """The first documents by a column, and as many as may be the first of those that have nothing there."""
        assert request.top is not None
        sort, there = first_of(request.top, {shape.name: shape for shape in known.shapes}, known.bytes_each)
        rows = request.top.rows
        return [
            self._split(0, request.table, _all_of(*conditions, there), names, schema, known, rows, sort),
            self._split(1, request.table, _all_of(*conditions, {"$nor": [there]}), names, schema, known, rows),
        ]

    def _added_up(self, request: ScanRequest, known: _Known, conditions: Sequence[Mapping[str, Any]]) -> ScanPlan:
        """Parts of groups, made by the server; and such documents as are read as rows all the same. Raises NotThere."""
        import pyarrow as pa

        assert request.aggregate is not None
        shapes = {shape.name: shape for shape in known.shapes}
        found = groups(request.aggregate, shapes, pa.schema([shape.field() for shape in known.shapes]))
        self._try_sums(request.table)
        filters = [_all_of(*conditions, found.guard, part) for part in self._parts(request, known, None)]
        splits = [self._group(number, request.table, match, found, known) for number, match in enumerate(filters)]
        if found.guard:
            others = _all_of(*conditions, {"$nor": [found.guard]})
            columns = request.aggregate.columns
            rows = pa.schema([shapes[name].field() for name in columns])
            last = self._split(len(splits), request.table, others, columns, rows, known, None)
            state = {**last.state, "aggregate": request.aggregate}
            splits.append(Split(last.number, last.table, last.native_text, found.schema, state))
        return ScanPlan(
            request=request,
            splits=tuple(splits),
            schema=found.schema,
            native_text="\n".join(one.native_text for one in splits),
            applied=dict.fromkeys(request.predicates, Applied.EXACT),
            aggregated=True,
            notes=known.notes,
        )

    def _try_sums(self, table: TableRef) -> None:
        """Whether the server adds up as it should; asked once. Raises NotThere."""
        if self._sums is None:
            database, name = self.where(table)
            ask: dict[str, Any] = {"aggregate": name, "pipeline": proof(), "cursor": {}}
            try:
                answer = list(self._documents(database, ask))
            except QueryFailed as error:
                self._sums = False
                self._why = f"the server cannot ({error.why[:100]})"
            else:
                if not answer:
                    raise NotThere("the collection is empty")
                self._sums, self._why = proven(answer), "the server's sums are not those of the values"
        if not self._sums:
            raise NotThere(self._why)

    def _group(self, number: int, table: TableRef, match: Mapping[str, Any], found: Groups, known: _Known) -> Split:
        import bson

        pipeline = [*([{"$match": match}] if match else []), *found.stages]
        command: dict[str, Any] = {"aggregate": table.name, "pipeline": pipeline, "allowDiskUse": True}
        if known.collated:
            command["collation"] = {"locale": "simple"}
        state = {
            "command": bson.encode({**command, "cursor": {"batchSize": _GROUPS}}),
            "uuid": bytes(known.uuid) if known.uuid else None,
            "shapes": found.shapes,
            "groups": found,
        }
        return Split(number, table, _shown(command), found.schema, state)

    def _split(
        self,
        number: int,
        table: TableRef,
        condition: Mapping[str, Any],
        names: Sequence[str],
        schema: pa.Schema,
        known: _Known,
        limit: int | None,
        sort: Mapping[str, int] | None = None,
    ) -> Split:
        import bson

        command: dict[str, Any] = {"find": table.name, "filter": dict(condition)}
        if all(plain_name(name) for name in names):
            command["projection"] = {"_id": int("_id" in names), **{name: 1 for name in names if name != "_id"}}
            if not names:
                command["projection"] = {"_id": 1}
        if known.collated:
            command["collation"] = {"locale": "simple"}
        if sort is not None:
            command["sort"] = dict(sort)
        if limit is not None:
            command["limit"] = limit
        batch = max(1, min(50_000, BATCH_BYTES // known.bytes_each))
        by_name = {shape.name: shape for shape in known.shapes}
        state = {
            "command": bson.encode({**command, "batchSize": batch}),
            "uuid": bytes(known.uuid) if known.uuid else None,
            "shapes": tuple(by_name[name] for name in names),
        }
        return Split(number, table, _shown(command), schema, state)


def _all_of(*conditions: Mapping[str, Any]) -> dict[str, Any]:
    used = [dict(condition) for condition in conditions if condition]
    return {"$and": used} if len(used) > 1 else used[0] if used else {}


def _shown(command: Mapping[str, Any]) -> str:
    """As one would write it in the shell."""
    from bson import json_util

    def said(value: Any) -> str:
        return str(json_util.dumps(value, ensure_ascii=False))

    verb = "find" if "find" in command else "aggregate"
    inner = [said(value) for key, value in command.items() if key not in (verb, "limit", "sort", "allowDiskUse")]
    end = f".sort({said(command['sort'])})" if "sort" in command else ""
    end += f".limit({command['limit']})" if "limit" in command else ""
    return f"db[{json.dumps(command[verb], ensure_ascii=False)}].{verb}({', '.join(inner)}){end}"
