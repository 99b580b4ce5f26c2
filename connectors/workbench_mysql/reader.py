"""Reading one split: a session, a statement with our mark in it, batches, and an end that leaves nothing running."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.contract.change import Position
from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    InvalidParameter,
    QueryFailed,
    SourceError,
    SourceTimeout,
    Unsupported,
    UsageError,
)
from workbench.contract.scan import Control, Split
from workbench_mysql import wire
from workbench_mysql.link import Link
from workbench_mysql.types import Policy

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_mysql.connector import MySQLConnector

__all__ = ["MySQLReader", "marked"]

_MARK = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LET_GO = 2.0


def marked(text: str, mark: str) -> str:
    """The statement with the mark in front: both servers keep a comment there, in the process list too, also while
    they execute a prepared statement."""
    if not _MARK.fullmatch(mark):
        raise InvalidParameter("mark", f"has to match {_MARK.pattern}")
    return f"/* {mark} */ {text}"


class _Watch:
    """The control as the wire sees it: closing a reader lets go who waits, wherever it waits."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.closed = False

    @property
    def mark(self) -> str:
        return self._control.mark

    @property
    def guard(self) -> float | None:
        return self._control.guard

    def cancelled(self) -> bool:
        return self.closed or self._control.cancelled()

    def running(self, native_id: str) -> None:
        self._control.running(native_id)

    def ended(self, native_id: str) -> None:
        self._control.ended(native_id)

    def working(self, said: str, fraction: float | None = None) -> None:
        self._control.working(said, fraction)


class MySQLReader:
    """See `workbench.contract.scan.Reader`. The session is there when it is made; the statement is sent by the first
    `next`, which waits for the server's answer and so has to be stoppable."""

    def __init__(self, connector: MySQLConnector, split: Split, control: Control) -> None:
        self._connector, self._split = connector, split
        self._control = _Watch(control)
        self._text = marked(str(split.state["sql"]), control.mark)
        self._changes = bool(split.state.get("changes"))
        self._native = bool(split.state.get("native"))
        self._policy: Policy = split.state.get("policy", "null")
        self._lock = threading.Lock()
        self._inside = threading.RLock()
        self._over = self._announced = False
        self._native_id: str | None = None
        self._link: Link
        self._statement: wire.Statement
        self._rows: wire.Rows | None = None
        with self._inside:
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
        return dict(self._rows.lost) if self._rows is not None else {}

    @property
    def received(self) -> int:
        return self._rows.received if self._rows is not None else 0

    def __iter__(self) -> MySQLReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        with self._inside:
            if self._control.closed:
                raise Cancelled
            if self._over:
                raise StopIteration
            try:
                return self._next()
            except StopIteration:
                raise
            except BaseException as error:  # noqa: BLE001 (whatever it is, the server is told)
                raise self._failed(error) from None

    def close(self) -> None:
        with self._lock:
            self._control.closed = True
            if self._over:
                return
        rows = self._rows
        if rows is not None:
            rows.abandon()  # lets go who waits, before the server is told
        self._end(answered=False if rows is None else rows.finished)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        while True:
            if self._control.cancelled():
                raise Cancelled
            self._link = self._connector.pool.take()
            rested, self._link.uses = self._link.uses > 0, self._link.uses + 1
            self._native_id = f"{self._link.thread_id()}:{self._control.mark}"
            try:
                self._prepare()
            except ConnectionLost as error:
                if not rested:
                    raise self._failed(error) from None
                # It had gone stale in the pool, and nothing was run.
                self._connector.pool.discard(self._link)
                self._control.ended(self._native_id)
            except BaseException as error:  # noqa: BLE001 (whatever it is, the server is told)
                raise self._failed(error) from None
            else:
                return

    def _prepare(self) -> None:
        assert self._native_id is not None
        connector = self._connector
        self._control.running(self._native_id)
        self._announced = True
        with connector.faults.translated(self._text):
            self._link.guard(self._control.guard or connector.guard)
            errors = connector.faults.made(self._text)
            self._statement = wire.prepare(self._link, self._text, self._control, errors)

    def _next(self) -> pa.RecordBatch:
        if self._control.cancelled():
            raise Cancelled
        if self._rows is None:
            planned = None if self._changes else self._split.schema
            self._rows = self._statement.execute(self._control, planned, self._policy)
        if self._changes:
            return self._affected(self._rows)
        try:
            return next(self._rows)
        except StopIteration:
            self._end(answered=True)
            # MySQL's SLEEP and the like answer KILL QUERY with a value: that is not the result.
            if self._control.cancelled() or self._connector.was_cancelled(self._native_id):
                raise Cancelled from None
            raise

    def _affected(self, rows: wire.Rows) -> pa.RecordBatch:
        """The one row of a statement that changes things."""
        import pyarrow as pa

        if rows.definitions:
            count = sum(batch.num_rows for batch in rows)
            told = f"hand on the {count:,} rows of a statement that does not say its columns before it runs"
            raise Unsupported("The MySQL connector", told, "It has run. Read what it changed with a SELECT.")
        self._end(answered=True)
        return pa.RecordBatch.from_arrays([pa.array([rows.affected], pa.uint64())], schema=self._split.schema)

    def _failed(self, error: BaseException) -> BaseException:
        """Ends the work and says what to raise."""
        answered = isinstance(error, QueryFailed | UsageError) if self._rows is None else self._rows.finished
        self._end(answered=answered)
        stopped = self._control.cancelled() or self._connector.was_cancelled(self._native_id)
        if stopped and isinstance(error, SourceError | Cancelled):
            return Cancelled()
        if not isinstance(error, SourceError):
            return error
        error.connection = error.connection or self._connector.config.name
        if isinstance(error, SourceTimeout):
            return SourceTimeout(error.what, self._control.guard or self._connector.guard, error.connection)
        self._connector.forget(self._split.table)
        if self._changes and isinstance(error, ConnectionLost):
            why = "the connection was lost before the answer, so nobody knows whether it took effect"
            return QueryFailed(why, "", self._text, self._connector.config.name)
        return error

    def _end(self, answered: bool) -> None:
        """Once: the server works no more on it (`answered`: it does not already), and the session is pooled or
        dropped."""
        with self._lock:
            if self._over:
                return
            self._over = True
            # A `close` may be about to shut the socket down, and a KILL QUERY be on its way to what runs there next.
            keep = answered and not self._control.cancelled() and not self._connector.was_cancelled(self._native_id)
        native_id = self._native_id
        assert native_id is not None
        try:
            if not answered and self._announced:
                self._connector.stop(native_id)  # also where the connection is gone: the server may not know it
        except SourceError:
            # It cannot be reached to be told, so it notices when it writes, or by its guard.
            pass
        finally:
            # Whoever waits on the socket has to be out before it is closed: its number may be another's then.
            inside = self._inside.acquire(timeout=_LET_GO)
            try:
                self._release(keep)
            finally:
                if inside:
                    self._inside.release()

    def _release(self, keep: bool) -> None:
        """The native id is out of the register before somebody else's work is on that session."""
        pool, ready = self._connector.pool, False
        try:
            # A native statement may have left locks or variables in its session.
            if keep and not self._native and self._link.open:
                if hasattr(self, "_statement"):
                    self._statement.close()
                self._tell_ended()
                ready = True
        except SourceError:
            pass  # the session is gone
        finally:
            if ready:
                pool.give(self._link)
            else:
                pool.discard(self._link)
                self._tell_ended()

    def _tell_ended(self) -> None:
        if self._announced and self._native_id is not None:
            self._announced = False
            self._control.ended(self._native_id)
