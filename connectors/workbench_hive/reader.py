"""One split's rows: a session of its own, in which a thread asks for replies and decodes them, one ahead of who reads.

HiveServer2 blocks in CancelOperation until the engine has noticed, and in a call that is at work until it is done. So a
reader that is to end waits for neither: another connection cancels, and this one is dropped.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import (
    Cancelled,
    InvalidParameter,
    SnapshotChanged,
    SourceError,
    UnknownTable,
    WorkbenchError,
)
from workbench.contract.scan import BATCH_BYTES, Control, Split
from workbench.kit.batches import pieces, rows_only
from workbench.kit.reading import GeneratedReader
from workbench_hive.catalog import find, partitions, target
from workbench_hive.decode import Decoded, Refused, Rows
from workbench_hive.faults import as_number
from workbench_hive.progress import Progress
from workbench_hive.session import Handle, Session
from workbench_hive.types import HiveType

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_hive.connector import HiveConnector

__all__ = ["HiveReader", "marked"]

_MARK = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOOK = 0.05
_PATIENCE = 0.3
"""Seconds that the thread gets to leave, before its work is ended at the server."""
_CANCELLING = 0.5
"""Seconds for which a server's answer to the cancel is waited for; it is sent in any case."""
_FIRST, _MOST, _GROWTH = 100, 50_000, 10
"""Rows to ask for: at first, at most, and how many times as many as before: those that come may be larger. Servers give
10,000 unless set."""
_REPLY_BYTES = BATCH_BYTES // 2
_FEW_PARTITIONS = 10_000
_FINISHED = 2


def marked(text: str, mark: str) -> str:
    """The statement with the mark in front, where the server's logs and list of queries show it."""
    if not _MARK.fullmatch(mark):
        raise InvalidParameter("mark", f"has to match {_MARK.pattern}")
    return f"/* {mark} */ {text}"


class HiveReader(GeneratedReader):
    """See `workbench.contract.scan.Reader`."""

    def __init__(self, connector: HiveConnector, split: Split, control: Control) -> None:
        self._connector = connector
        self._types: Sequence[HiveType] = split.state["types"]
        self._counts = bool(split.state.get("counts"))
        self._text = marked(str(split.state["sql"]), control.mark)
        self._guard = control.guard or connector.guard
        self._replies: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._over = threading.Event()
        self._operation: Handle | None = None
        self._done = False
        super().__init__(split, control)

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        self._control.working("opens a session")
        session = self._connector.opened(self._check)
        self._control.working("")
        self.native_id = self._connector.native_id(session.handle, self._control.mark)
        self._control.running(self.native_id)
        worker = threading.Thread(target=self._fetch, args=(session,), name="workbench-hive", daemon=True)
        worker.start()
        try:
            while (found := self._next()) is not None:
                if isinstance(found, BaseException):
                    raise self._explained(found)
                if self._counts:
                    yield from rows_only(int(found.column(0)[0].as_py()))
                    continue
                for piece in pieces(found):
                    yield piece
                    self._check()
        finally:
            self._end(session, worker)

    def _next(self) -> Any:
        while True:
            self._check()
            with contextlib.suppress(queue.Empty):
                return self._replies.get(timeout=_LOOK)

    def _explained(self, error: BaseException) -> BaseException:
        stopped = self._control.cancelled() or self._connector.was_cancelled(self.native_id)
        if stopped and isinstance(error, SourceError):
            return Cancelled("The query")
        if isinstance(error, SourceError):
            error.connection = error.connection or self._connector.config.name
        return error

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _fetch(self, session: Session) -> None:
        try:
            operation = session.execute(self._text, seconds=self._guard, check=self._leave)
            self._operation = operation
            self._wait(session, operation)
            self._compare(session.columns(operation, self._leave))
            before: frozenset[str] | None = None
            rows = Rows(self._types, self._read_schema(), str(self._split.table))
            wanted, limit = _FIRST, self._guard + 30
            late, seen = time.monotonic() + limit, 0
            while True:
                raw, number = session.fetch(operation, wanted, limit, self._leave)
                self._received = session.wire.received
                found = self._decoded(session, rows, raw, number)
                if found.batch.num_rows:
                    wanted = min(wanted * _GROWTH, _rows_for(len(raw), found.batch.num_rows))
                    del raw
                    self._put(found.batch)
                    seen += found.batch.num_rows
                    if before is None and seen > _FIRST:  # it goes on for a while
                        before = self._partitions(session)
                    late = time.monotonic() + limit
                elif found.more:
                    if time.monotonic() > late:
                        raise self._connector.faults.lost("it says that there are more rows, and sends none")
                    self._rest(_LOOK)
                else:
                    self._done = True
                    self._check_whole(session, before)
                    self._put(None)
                    return
        except BaseException as error:  # noqa: BLE001 - raised where it is read
            self._put(error)

    def _wait(self, session: Session, operation: Handle) -> None:
        """Until the statement has run. The server holds back its answer for half a second or more while it works."""
        deadline = time.monotonic() + self._guard + 30
        progress = Progress(self._control, session, operation)
        while True:
            asked = time.monotonic()
            reply = session.state(operation, self._leave)
            state = as_number(reply.get(2))
            if state == _FINISHED:
                return
            error = self._connector.faults.ended(state, reply, self._guard, self._text)
            if error is not None:
                self._done = True
                raise error
            progress.tell(reply, self._leave)
            if time.monotonic() > deadline:
                raise self._connector.faults.lost("the server did not end the statement at its limit")
            if time.monotonic() - asked < _LOOK:
                self._rest(_LOOK)

    def _compare(self, columns: Sequence[tuple[str, HiveType, str]]) -> None:
        """What comes is what was planned."""
        table = str(self._split.table)
        if len(columns) != len(self._types):
            told = f"it gives {len(columns)} columns, not {len(self._types)}"
            raise SnapshotChanged(table, told, self._connector.config.name)
        for (name, now, _), planned in zip(columns, self._types, strict=True):
            if not planned.like(now):
                told = f"`{name}` was {planned.spelled or planned.name}, and is {now.spelled or now.name}"
                raise SnapshotChanged(table, told, self._connector.config.name)

    def _partitions(self, session: Session) -> frozenset[str]:
        """The names of those that there are; none where they are too many to be asked for twice."""
        if not self._split.state.get("partitioned") or self._counts:
            return frozenset()
        text = target(self._split.table, self._connector.database)
        return frozenset(partitions(session, text, _FEW_PARTITIONS))

    def _check_whole(self, session: Session, before: frozenset[str] | None) -> None:
        """Whether what was read is there still: a server without locks leaves out, and says nothing, the files of a
        table or partition that is dropped while it hands out their rows."""
        table, identity = self._split.table, self._split.state.get("identity")
        if identity is None:
            return
        try:
            known = find(session, table, self._connector.database)
        except UnknownTable:
            raise SnapshotChanged(str(table), "it was dropped", self._connector.config.name) from None
        if known.identity != identity:
            raise SnapshotChanged(str(table), "it was made anew", self._connector.config.name)
        gone = sorted(before - self._partitions(session)) if before else ()
        if gone:
            raise SnapshotChanged(str(table), f"partition {gone[0]} was dropped", self._connector.config.name)

    def _decoded(self, session: Session, rows: Rows, raw: bytearray, number: int) -> Decoded:
        try:
            return rows.reply(raw, number)
        except Refused:
            session.answer(raw, "FetchResults", number, self._text)
            raise self._connector.faults.broken("a reply that is neither rows nor a refusal") from None

    def _read_schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([("rows", pa.int64())]) if self._counts else self._split.schema

    def _leave(self) -> None:
        if self._over.is_set():
            raise Cancelled("The scan")

    def _rest(self, seconds: float) -> None:
        self._over.wait(seconds)
        self._leave()

    def _put(self, item: Any) -> None:
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                self._replies.put(item, timeout=_LOOK)
                return

    # -- the end ---------------------------------------------------------------------------------------------------

    def _end(self, session: Session, worker: threading.Thread) -> None:
        self._over.set()
        worker.join(_PATIENCE)
        if not self._done:
            stopper = threading.Thread(
                target=self._stop, args=(session.handle,), name="workbench-hive-stop", daemon=True
            )
            stopper.start()
            stopper.join(_CANCELLING)
        session.close()
        assert self.native_id is not None
        self._control.ended(self.native_id)

    def _stop(self, session: Handle) -> None:
        """Ends the operation, and the session, which may outlive its connection (over HTTP it does)."""
        with contextlib.suppress(WorkbenchError):  # gone with its server, or unreachable: it ends with its connection
            self._connector.stop(session, self._operation)


def _rows_for(size: int, rows: int) -> int:
    """How many rows make a reply of a good size, by the last one."""
    return max(1, min(_MOST, _REPLY_BYTES * rows // max(size, 1)))
