"""One split's documents: a thread of its own asks for replies and decodes them, one ahead of who reads."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import (
    ConnectionLost,
    NotExact,
    ProtocolError,
    QueryFailed,
    SnapshotChanged,
    WorkbenchError,
)
from workbench.contract.scan import Control, Split
from workbench.kit.batches import pieces, rows_only
from workbench.kit.reading import GeneratedReader
from workbench_mongodb.decode import Documents, dated
from workbench_mongodb.reducing import Groups, parts_of_rows
from workbench_mongodb.types import Shape

if TYPE_CHECKING:
    import pyarrow as pa
    from pymongo.client_session import ClientSession

    from workbench_mongodb.connector import MongoDBConnector

__all__ = ["MongoDBReader"]

_LOOK = 0.05
_PLAN_KILLED = 175
"""The code of a server whose collection was dropped or renamed while it was read."""
_PATIENCE = 0.3
"""Seconds that the thread gets to end by itself, before its work is ended at the server."""


class MongoDBReader(GeneratedReader):
    """See `workbench.contract.scan.Reader`."""

    def __init__(self, connector: MongoDBConnector, split: Split, control: Control) -> None:
        self._connector = connector
        self._database, self._name = connector.tables.where(split.table)
        self._shapes: tuple[Shape, ...] = split.state["shapes"]
        self._groups: Groups | None = split.state.get("groups")
        self._documents = Documents(self._shapes, self._said())
        self._guard = control.guard or connector.guard
        self._replies: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._over = threading.Event()
        self._cursor = 0
        self.native_id = control.mark
        super().__init__(split, control)

    @property
    def lost(self) -> Mapping[str, int]:
        names = {shape.name: shape.name for shape in self._shapes}
        if self._groups is not None:
            names = {f"k{at}": name for at, name in enumerate(self._groups.aggregate.keys)}
        return {names[name]: count for name, count in self._documents.lost.items()}

    def _said(self) -> pa.Schema:
        """Of the documents as they come."""
        import pyarrow as pa

        return pa.schema([shape.field() for shape in self._shapes])

    def _made(self, found: pa.RecordBatch | int) -> pa.RecordBatch | int:
        """What is handed on of the documents of a reply."""
        aggregate = self._split.state.get("aggregate")
        if isinstance(found, int):
            return found
        if self._groups is not None:
            return self._groups.parts(found, self._documents.lost)
        if aggregate is not None:
            return parts_of_rows(found, aggregate, self._split.schema)
        return found

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        self._control.running(self._control.mark)
        worker = threading.Thread(target=self._fetch, name="workbench-mongodb", daemon=True)
        worker.start()
        try:
            while (found := self._next()) is not None:
                if isinstance(found, BaseException):
                    raise found
                if isinstance(found, int):
                    yield from rows_only(found)
                    continue
                for piece in pieces(found):
                    yield piece
                    self._check()
        finally:
            self._end(worker)

    def _next(self) -> Any:
        while True:
            self._check()
            with contextlib.suppress(queue.Empty):
                return self._replies.get(timeout=_LOOK)

    def _fetch(self) -> None:
        """In the thread: until the cursor is at its end, or somebody says that it is over."""
        try:
            with self._connector.session() as session:
                for found in self._replies_of(session):
                    self._put(found)
                    if self._over.is_set():
                        break
                else:
                    self._put(None)
                    return
        except BaseException as error:  # noqa: BLE001 - raised where it is read
            self._put(self._named(error))
            if isinstance(error, ConnectionLost):
                return  # nobody is there to be told
            if isinstance(error, ProtocolError):
                self._stop()  # the reply may have named a cursor that we did not understand
        self._kill()

    def _named(self, error: BaseException) -> BaseException:
        if isinstance(error, QueryFailed) and error.code == _PLAN_KILLED:
            return SnapshotChanged(str(self._split.table), error.why, self._connector.config.name)
        if self._groups is not None and type(error) is QueryFailed:
            return NotExact(error.why[:200], self._connector.config.name)
        return error

    def _replies_of(self, session: ClientSession | None) -> Iterator[pa.RecordBatch | int]:
        """What each reply holds; `_cursor` has more."""
        import bson

        command: dict[str, Any] = dict(bson.decode(self._split.state["command"], dated()))
        batch, limit = command.get("batchSize") or command["cursor"]["batchSize"], int(self._guard * 1000)
        command |= {"maxTimeMS": limit, "comment": self._control.mark}
        asked, first, replies = False, True, 0
        while self._cursor or not asked:
            replies += 1
            raw = self._connector.raw(self._database, command, self._guard, session)
            self._received += len(raw)
            found, self._cursor = self._documents.reply(raw)
            del raw
            if not asked:  # not before: what is dropped then has no rows, and no error
                asked = True
                self._is_there()
            if first and not isinstance(found, int) and found.num_rows:
                first = False
                self._still_the_same(found)
            yield self._made(found)
            command = {"getMore": bson.Int64(self._cursor), "collection": self._name, "batchSize": batch}
        if replies > 1:  # some servers take a cursor of what was dropped to be at its end
            self._is_there()

    def _put(self, item: Any) -> None:
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                self._replies.put(item, timeout=_LOOK)
                return

    def _kill(self) -> None:
        import bson

        if self._cursor:
            with contextlib.suppress(WorkbenchError):  # gone with its server, or ended by it after ten minutes
                ask = {"killCursors": self._name, "cursors": [bson.Int64(self._cursor)]}
                self._connector.raw(self._database, ask, 5)

    def _end(self, worker: threading.Thread) -> None:
        self._over.set()
        worker.join(_PATIENCE)
        if worker.is_alive():  # it waits for the server, which is told; if that does not answer, we do not wait either
            stopper = threading.Thread(target=self._stop, name="workbench-mongodb-stop", daemon=True)
            stopper.start()
            stopper.join(1.0)
        self._control.ended(self._control.mark)

    def _stop(self) -> None:
        with contextlib.suppress(WorkbenchError):  # the server is gone, or cannot end work from outside
            self._connector.cancel(self._control.mark)

    def _is_there(self) -> None:
        about = self._connector.tables.about(self._split.table)
        uuid, planned = (about.get("info") or {}).get("uuid"), self._split.state["uuid"]
        if planned is not None and uuid is not None and bytes(uuid) != planned:
            raise SnapshotChanged(str(self._split.table), "it was dropped and made again", self._connector.config.name)

    def _still_the_same(self, batch: pa.RecordBatch) -> None:
        """A column that every document had, and none of these: the collection is looked at again."""
        suspect = [shape for shape, column in zip(self._shapes, batch.columns, strict=True)
                   if shape.always and column.null_count == batch.num_rows]  # fmt: skip
        if not suspect:
            return
        now = self._connector.tables.shapes(self._split.table)
        for shape in suspect:
            if shape.name not in now or now[shape.name].kind != shape.kind:
                kind = now[shape.name].said if shape.name in now else "not there"
                told = f"`{shape.name}` was {shape.said}, and is {kind}"
                raise SnapshotChanged(str(self._split.table), told, self._connector.config.name)
