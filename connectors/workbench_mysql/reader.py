"""Reading one split: a session, a statement with our mark in it, batches, and an end that leaves nothing running."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.contract.change import Position
from workbench.contract.errors import Cancelled, ConnectionLost, InvalidParameter, QueryFailed, SourceError, UsageError
from workbench.contract.scan import Control, Split
from workbench_mysql import wire
from workbench_mysql.link import Link
from workbench_mysql.types import Policy

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_mysql.connector import MySQLConnector

__all__ = ["MySQLReader", "marked"]

_MARK = re.compile(r"[A-Za-z0-9_-]{1,64}")


def marked(text: str, mark: str) -> str:
    """The statement with the mark in front: both servers keep a comment there, in the process list too, also while
    they execute a prepared statement."""
    if not _MARK.fullmatch(mark):
        raise InvalidParameter("mark", f"has to match {_MARK.pattern}")
    return f"/* {mark} */ {text}"


class MySQLReader:
    """See `workbench.contract.scan.Reader`."""

    def __init__(self, connector: MySQLConnector, split: Split, control: Control) -> None:
        self._connector, self._split, self._control = connector, split, control
        self._text = marked(str(split.state["sql"]), control.mark)
        self._changes = bool(split.state.get("changes"))
        self._native = bool(split.state.get("native"))
        self._policy: Policy = split.state.get("policy", "null")
        self._lock = threading.Lock()
        self._over = self._closed = self._announced = False
        self._native_id: str | None = None
        self._link: Link
        self._statement: wire.Statement
        self._rows: wire.Rows
        self._start()

    @property
    def schema(self) -> pa.Schema:
        return self._split.schema

    @property
    def native_id(self) -> str | None:
        return self._native_id

    @property
    def snapshot(self) -> Position | None:
        return None

    @property
    def lost(self) -> Mapping[str, int]:
        return dict(self._rows.lost)

    @property
    def received(self) -> int:
        return self._rows.received

    def __iter__(self) -> MySQLReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._closed:
            raise Cancelled
        if self._over:
            raise StopIteration
        if self._changes:
            return self._affected()
        try:
            if self._control.cancelled():
                raise Cancelled
            return next(self._rows)
        except StopIteration:
            self._end(reusable=True)
            # MySQL's SLEEP and the like answer KILL QUERY with a value: that is not the result.
            if self._control.cancelled() or self._connector.was_cancelled(self._native_id):
                raise Cancelled from None
            raise
        except BaseException as error:  # noqa: BLE001 (whatever it is, the server is told)
            raise self._failed(error) from None

    def close(self) -> None:
        with self._lock:
            if self._closed or self._over:
                self._closed = True
                return
            self._closed = True
        finished = self._rows.finished
        self._rows.abandon()  # lets go who waits, before the server is told
        self._end(reusable=finished)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        while True:
            if self._control.cancelled():
                raise Cancelled
            self._link = self._connector.pool.take()
            rested = self._link.uses > 0
            self._link.uses += 1
            self._native_id = f"{self._link.thread_id()}:{self._control.mark}"
            try:
                self._send()
                return
            except ConnectionLost as error:
                if rested and not hasattr(self, "_statement"):  # stale in the pool, and nothing was run
                    self._connector.pool.discard(self._link)
                    if self._announced:
                        self._control.ended(self._native_id)
                    self._announced = False
                    continue
                raise self._failed(error) from None
            except BaseException as error:  # noqa: BLE001 (whatever it is, the server is told)
                raise self._failed(error) from None

    def _send(self) -> None:
        assert self._native_id is not None
        connector = self._connector
        errors = connector.faults.made(self._text)
        with connector.faults.translated(self._text):
            self._link.guard(self._control.guard or connector.guard)
            self._control.running(self._native_id)
            self._announced = True
            self._statement = wire.prepare(self._link, self._text, self._control, errors)
            planned = None if self._changes else self._split.schema
            self._rows = self._statement.execute(self._control, planned, self._policy)

    def _affected(self) -> pa.RecordBatch:
        """The one row of a statement that changes things."""
        import pyarrow as pa

        count = self._rows.affected
        self._end(reusable=True)
        return pa.RecordBatch.from_arrays([pa.array([count], pa.uint64())], schema=self._split.schema)

    def _failed(self, error: BaseException) -> BaseException:
        """Ends the work and says what to raise."""
        rows = getattr(self, "_rows", None)
        answered = rows.finished if rows is not None else isinstance(error, QueryFailed | UsageError)
        self._end(reusable=answered)
        if self._closed or (isinstance(error, SourceError) and self._control.cancelled()):
            return Cancelled()
        if isinstance(error, SourceError):
            error.connection = error.connection or self._connector.config.name
            self._connector.forget(self._split.table)
        if self._changes and isinstance(error, ConnectionLost):
            why = "the connection was lost before the answer, so nobody knows whether it took effect"
            return QueryFailed(why, "", self._text, self._connector.config.name)
        return error

    def _end(self, reusable: bool) -> None:
        """Once: the server works no more on it, and the session is pooled or dropped."""
        with self._lock:
            if self._over:
                return
            self._over = True
        pool, native_id = self._connector.pool, self._native_id
        assert native_id is not None
        try:
            if not reusable and self._announced:
                self._connector.cancel(native_id)  # also where the connection is gone: the server may not know it
        except SourceError:
            # It cannot be reached to be told, so it notices when it writes, or by its guard.
            pass
        finally:
            if reusable and not self._native and self._link.open:
                self._release()
            else:
                # A native statement may have left locks or variables in its session.
                pool.discard(self._link)
            if self._announced:
                self._control.ended(native_id)

    def _release(self) -> None:
        try:
            if hasattr(self, "_statement"):
                self._statement.close()
        except SourceError:
            self._connector.pool.discard(self._link)
        else:
            self._connector.pool.give(self._link)
