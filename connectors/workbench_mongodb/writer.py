"""Writing a collection: rows are kept until they are committed, then sent in bulks, in any order within one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.errors import ConnectionLost, InvalidParameter, QueryFailed
from workbench.contract.scan import TableRef
from workbench.kit.operations import operations
from workbench_mongodb.refusing import refused_apart
from workbench_mongodb.types import Shape
from workbench_mongodb.values import Unwritable, values

if TYPE_CHECKING:
    from workbench_mongodb.connector import MongoDBConnector

__all__ = ["MongoDBWriter"]

_IN_MEMORY = 32 << 20
_ROWS, _BYTES = 1000, 8 << 20
_LARGEST = (16 << 20) - 4096
"""Bytes of a document that is written; the server's own limit is 16 MB with the command around it."""
_SAMPLES = 5


class MongoDBWriter:
    """See `workbench.contract.connector.Writer`. Without transactions a commit that fails midway leaves what it had
    written, and says how much that is; rows that are to be refused `apart` are given back. No position is kept."""

    def __init__(
        self,
        connector: MongoDBConnector,
        table: TableRef,
        spec: WriteSpec,
        shapes: tuple[Shape, ...],
        guarantee: Guarantee,
    ) -> None:
        self._connector, self._table, self._spec, self._shapes = connector, table, spec, shapes
        self._guarantee = guarantee
        self._kept = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - until close()
        self._count = self._given = 0
        """Rows that are kept, and that came, since the last commit."""
        self._sequence: int | None = None
        self._rejects = Rejects()
        self._open, self._broken = True, False

    @property
    def guarantee(self) -> Guarantee:
        return self._guarantee

    def position(self) -> Position | None:
        return None

    def write(self, changes: Changes, sequence: int) -> Rejects:
        self._usable()
        if self._sequence is not None and sequence <= self._sequence:
            return self._rejects if sequence == self._sequence else Rejects()
        if changes.rows.schema.names != self._spec.schema.names:
            raise InvalidParameter("changes", f"have other columns than `{self._table}` was opened with")
        refused: list[str] = []
        each: list[tuple[int, str]] = []
        count = 0
        for row, operation in zip(self._rows(changes), operations(changes, self._spec), strict=True):
            reason = self._keep(row, operation)
            self._given += 1
            if reason:
                count += 1
                if self._spec.apart:
                    each.append((self._given - 1, reason))
                if len(refused) < _SAMPLES:
                    refused.append(f"{_shown(row, self._spec)}: {reason}")
        self._sequence, self._rejects = sequence, Rejects(count, tuple(refused), tuple(each))
        return self._rejects

    def commit(self, upto: Position | None) -> Rejects | None:
        import pymongo.errors

        self._usable()
        database, name = self._connector.tables.where(self._table)
        done, self._broken = 0, True
        refused: dict[int, str] = {}
        with self._connector.faults.named("bulkWrite"):
            collection = self._connector.client()[database][name]
            try:
                for bulk in self._bulks():
                    try:
                        collection.bulk_write([_operation(one) for one in bulk], ordered=False)
                    except pymongo.errors.BulkWriteError as error:
                        details = error.details or {}
                        apart = refused_apart(collection, self._spec.key, bulk, details) if self._spec.apart else None
                        if apart is None:
                            raise self._refused(details, done, len(bulk), len(refused)) from None
                        refused.update({bulk[place]["at"]: why for place, why in apart.items()})
                    done += len(bulk)
            except pymongo.errors.ConnectionFailure as error:
                told = f"The connection ended while {self._count:,} rows were written: {done:,} are there, of the next "
                told += f"{len(bulk):,} nobody knows ({str(error)[:200]}). {self._again()}"
                raise ConnectionLost(told, self._connector.config.name) from None
        self._kept.seek(0)
        self._kept.truncate()
        self._count, self._given, self._broken = 0, 0, False
        self._connector.tables.forget(self._table)
        each = tuple(sorted(refused.items()))
        return Rejects(len(each), tuple(why for _, why in each[:_SAMPLES]), each)

    def close(self) -> None:
        self._open = False
        self._kept.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _usable(self) -> None:
        if not self._open or self._broken:
            raise ConnectionLost("The write failed before, or was closed; open it again", self._connector.config.name)

    def _again(self) -> str:
        keyed = self._guarantee is Guarantee.KEYED and self._spec.mode == "upsert"
        return "Write them again: each is there once then." if keyed else "Look which are there before you write again."

    def _rows(self, changes: Changes) -> Iterator[tuple[Any, ...]]:
        columns = [values(column, shape) for column, shape in zip(changes.rows.columns, self._shapes, strict=True)]
        yield from zip(*columns, strict=True)

    def _keep(self, row: tuple[Any, ...], operation: str) -> str:
        """Why the row is not kept, or nothing."""
        import bson
        import bson.errors

        bad = next((value for value in row if type(value) is Unwritable), None)
        if bad is not None:
            return str(bad)
        document = dict(zip(self._spec.schema.names, row, strict=True))
        key = {name: document[name] for name in self._spec.key}
        if any(value is None for value in key.values()) or ("_id" in document and document["_id"] is None):
            return "NULL in its key, so it cannot say which document is meant"
        kept: dict[str, Any]
        if operation == "insert":
            kept = {"insert": document}
        elif operation == "delete":
            kept = {"key": key}
        else:
            rest = {name: value for name, value in document.items() if name not in key}
            kept = {"key": key, "set": {"$set": rest or key}}
        try:
            encoded = bson.encode({"at": self._given, **kept})
        except (bson.errors.InvalidDocument, OverflowError, RecursionError) as error:
            return f"no document of MongoDB's can hold it: {str(error)[:200]}"
        if len(encoded) > _LARGEST:
            return f"{len(encoded):,} bytes, more than a document may have"
        self._kept.write(encoded)
        self._count += 1
        return ""

    def _bulks(self) -> Iterator[list[Any]]:
        """What was kept, in bulks in which no key is there twice: their operations are done in any order."""
        import bson
        from bson.raw_bson import RawBSONDocument

        self._kept.seek(0)
        bulk: list[Any] = []
        keys: set[bytes] = set()
        size = 0
        options: Any = bson.CodecOptions(document_class=RawBSONDocument)
        for one in bson.decode_file_iter(self._kept, options):
            key = one["key"].raw if "key" in one else None
            if len(bulk) == _ROWS or size > _BYTES or key in keys:
                yield bulk
                bulk, keys, size = [], set(), 0
            if key is not None:
                keys.add(key)
            bulk.append(one)
            size += len(one.raw)
        if bulk:
            yield bulk

    def _refused(self, details: Any, done: int, tried: int, before: int) -> QueryFailed:
        errors = details.get("writeErrors") or details.get("writeConcernErrors") or [{}]
        reasons = "; ".join(str(one.get("errmsg", "no reason given"))[:200] for one in errors[:3])
        there = done + tried - len(errors) - before
        told = f"The server refused {len(errors):,} of {self._count:,} rows ({reasons}); {there:,} were written, "
        told += f"{self._count - done - tried:,} were not sent. {self._again()}"
        return QueryFailed(told, errors[0].get("code", ""), "", self._connector.config.name)


def _operation(one: Any) -> Any:
    """What is sent for a row that was kept."""
    import pymongo

    if "insert" in one:
        return pymongo.InsertOne(one["insert"])
    if "set" in one:
        return pymongo.UpdateOne(one["key"], one["set"], upsert=True)
    return pymongo.DeleteOne(one["key"])


def _shown(row: tuple[Any, ...], spec: WriteSpec) -> str:
    names = spec.key or spec.schema.names[:1]
    return ", ".join(f"{name} = {str(row[spec.schema.names.index(name)])[:60]}" for name in names)
