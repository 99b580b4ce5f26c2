"""A spout of the new rows of a table, which is asked again and again."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    DocumentError,
    InvalidParameter,
    PathUnreachable,
    SecretMissing,
    SourceTimeout,
    UnknownColumn,
    Unreachable,
    Unsupported,
)
from workbench.contract.predicate import Column, Compare, Literal
from workbench.contract.scan import ScanRequest
from workbench.streams.component import Collector, Context, Outputs
from workbench.streams.configuration import seconds
from workbench.streams.growing import Growing, Polls, cursor_value
from workbench.streams.receiving import Broken, Receiving, whole
from workbench.streams.tuples import Batch

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.catalog import Catalog
    from workbench.catalog.catalog import Found
    from workbench.execution.scan import Scan
    from workbench.runs import Register, Run

__all__ = ["TablePoll", "unattended_catalog"]

SORTED, SORTED_BYTES = 100_000, 64 << 20
"""New rows of one time, and their bytes, that are put in order."""
QUEUED_ROWS = 10_000


class TablePoll(Receiving):
    """The rows of a table as they are added, in batches: `TablePoll("shop.orders", key="order_id")`.

    `cursor` is a column that grows, `key` itself where nothing else is said; `key`, one column or several, tells rows
    with the same cursor apart. With `cursor="updated_at"` a row that is changed comes again. Every `every` seconds the
    rows whose cursor is not below the greatest one so far, less `overlap`, are asked for; of these the new ones are
    given. So a row that is committed late comes, too, if its cursor is within the overlap: 1,000 of numbers and a
    minute of times where nothing else is said; of texts there is none. What is committed later than that never comes.

    The first time gives all rows, or those from `since` on. Up to 100,000 new rows of one time come in the order of the
    cursor; more, as after a long pause, as the source has them. Rows without a cursor (NULL) never come: `nulls` counts
    them, `polls` how often was asked. `jumps` counts how often the row with the greatest cursor was gone: it was
    deleted, or the table was emptied and its numbers begin anew; then nothing comes until they are greater again, which
    the log says. A row with a cursor far ahead has the others wait in the same way.

    **At least once**: what fails is emitted again, and what was read when the source was lost in the middle may come
    twice. With `position_file` the greatest cursor is kept when all rows up to it are done or given up, and the next
    run goes on there; the rows of the overlap come again then. Without it a run begins with `since`. A source that
    cannot be reached is asked again later; what it refuses fails the run. It is among `wb.running()` as a run of its
    own, and whoever stops that fails the topology. Raises UnknownConnection, UnknownTable, UnknownColumn,
    InvalidParameter, DocumentError.
    """

    def __init__(
        self,
        table: str,
        key: str | Sequence[str],
        cursor: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        every: float | str = 5.0,
        overlap: Any = None,
        since: Any = None,
        position_file: str | os.PathLike[str] | None = None,
        batch_rows: int = 1_000,
    ) -> None:
        self._table, self._key = table, (key,) if isinstance(key, str) else tuple(key)
        if not self._key or not all(isinstance(one, str) for one in self._key):
            raise InvalidParameter("key", f"is {key!r}; it is the name of a column, or some names.")
        if cursor is None and len(self._key) > 1:
            raise InvalidParameter("cursor", f"is not said: which of {', '.join(self._key)} grows?")
        self._cursor = cursor or self._key[0]
        self._wanted = None if columns is None else tuple(columns)
        self._every, self._overlap, self._since = seconds(every, "every"), overlap, since
        self._file = None if position_file is None else Path(position_file)
        self._size = whole(batch_rows, "batch_rows", 1, 65_536)
        self.queue = max(2, QUEUED_ROWS // self._size)
        self._polls, self._scan = Polls(), None
        self._catalog: Catalog | None = None

    _scan: Scan | None

    def declared_outputs(self) -> Outputs:
        catalog = unattended_catalog()
        try:
            return self._columns(self._found(catalog).schema)
        finally:
            catalog.close()

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        super().open(config, context, collector)
        self._counted |= {"polls": 0, "jumps": 0, "nulls": 0}
        self._tracking = bool(config["acking"])
        self._growing: Growing | None = None
        self._wake, self._halted, self._new = threading.Event(), False, 0

    def rows(self) -> Iterator[Any]:
        for taken in super().rows():
            if taken is None:
                yield None
                continue
            batch, position = taken
            if batch is None:
                self._keep(self._polls.end(position))
                continue
            if self._tracking:
                self._polls.add(self._replay.last + 1)  # the number that this batch is given next
            yield batch

    def ack(self, message_id: Any) -> None:
        super().ack(message_id)
        self._keep(self._polls.done(message_id))

    def fail(self, message_id: Any) -> None:
        last = self._replay.last_half
        super().fail(message_id)
        if halves := range(self._replay.last_half, last):
            self._polls.split(message_id, halves)
        elif message_id not in self._replay.kept:
            self._keep(self._polls.done(message_id))

    def _keep(self, position: Any) -> None:
        if position is None or self._file is None:
            return
        from workbench.documents.private import write_private

        body = {"table": self._table, "cursor": self._cursor, "greatest": _kept(position)}
        try:
            write_private(self._file.absolute(), json.dumps(body).encode())
        except OSError as error:
            raise PathUnreachable(str(self._file), error.strerror or str(error), act="write") from None

    def _begin(self, growing: Growing) -> Any:
        """From where on rows are asked for the first time."""
        if self._file is not None:
            try:
                body = json.loads(self._file.read_bytes())
                kept = body["greatest"]
                same = (body["table"], body["cursor"]) == (self._table, self._cursor)
            except FileNotFoundError:
                same, kept = True, None
            except OSError as error:
                raise PathUnreachable(str(self._file), error.strerror or str(error)) from None
            except (ValueError, KeyError, TypeError) as error:
                why = f"is damaged ({type(error).__name__}). Remove it to begin with all rows."
                raise DocumentError(str(self._file), why) from None
            if not same:
                raise DocumentError(str(self._file), "is of another table or cursor. Say another file.")
            if kept is not None:
                return growing.least(cursor_value(kept, growing.type, "position_file"))
        return None if self._since is None else cursor_value(self._since, growing.type)

    # --- in the thread

    def receive(self) -> None:
        from workbench.catalog import places
        from workbench.execution.stop import Watch
        from workbench.runs import Register

        catalog = self._catalog = unattended_catalog()
        register = Register(places.register(catalog.home))
        watch = Watch(register, linger=0.0)
        try:
            found = self._found(catalog)
            run = register.begin("poll", f"poll {self._table}", connections=(found.connection,))
            watch.add(run, self._halt)
            try:
                self._asked(found, register, run)
                run.finish("stopped")
            except BaseException as error:
                stopped = isinstance(error, Cancelled) or self._stopping.is_set()
                run.finish("stopped" if stopped else "failed", "" if stopped else str(error))
                raise
            finally:
                watch.remove(run)
        except (Unreachable, ConnectionLost, SourceTimeout) as error:
            raise Broken(str(error).rstrip(".")) from None
        except Cancelled:
            if not self._stopping.is_set():
                raise
        finally:
            catalog.close()
            register.close()

    def _found(self, catalog: Catalog) -> Found:
        from workbench.query.writing import parts_of

        found = catalog.find(parts_of(self._table))
        if found.connector.tables is None:
            raise Unsupported(found.connection, "be read as tables")
        for name in (self._cursor, *self._key, *(self._wanted or ())):
            if name not in found.schema.names:
                raise UnknownColumn(name, found.schema.names, f"Of the table `{found.table}`.")
        for name in self._key:
            if (type_ := found.schema.field(name).type).num_fields:
                raise InvalidParameter("key", f"is `{name}`, of type {type_}: it is a column of plain values.")
        return found

    def _columns(self, schema: pa.Schema) -> tuple[str, ...]:
        return self._wanted if self._wanted is not None else tuple(schema.names)

    def _asked(self, found: Found, register: Register, run: Run) -> None:
        from workbench.execution import watchdog

        growing = self._growing
        if growing is None:  # else it comes again after a cut
            type_ = found.schema.field(self._cursor).type
            growing = Growing(self._cursor, self._key, type_, self._overlap)
            self._first = self._begin(growing)
            self._growing = growing
        catalog = self._catalog
        assert catalog is not None
        if found.manifest.capabilities.cancel:
            watchdog.ensure(register.path, catalog.config(found.connection), found.manifest)
        while not self._stopping.is_set():
            with catalog.naming(found.connection):
                self._once(found, growing, run)
            self._again = 0
            self._wake.wait(self._every)
            if self._halted:
                raise Cancelled(f"The poll of {self._table}")

    def _once(self, found: Found, growing: Growing, run: Run) -> None:
        from workbench.execution.scan import Scan, Source
        from workbench.kit.slots import asked

        low = self._first if growing.greatest is None else growing.least()
        type_ = found.schema.field(self._cursor).type
        wanted = () if low is None else (Compare(Column((self._cursor,)), ">=", Literal(low, type_)),)
        names = tuple(dict.fromkeys((*self._columns(found.schema), self._cursor, *self._key)))
        assert found.connector.tables is not None
        tables, request = found.connector.tables, ScanRequest(found.table, names, wanted)
        plan = asked(found.connector, lambda: tables.plan(request), self._stopping.is_set)
        scan = Scan(Source(found.connection, found.connector, plan), run, workers=0)
        self._scan = scan
        try:
            self.connected()
            growing.begin()
            self._given(scan, growing)
        finally:
            self._scan = None
            scan.close()
        gone = growing.end()
        if self._new:
            self._incoming.put((None, growing.greatest))
        if gone:
            self.collector.log(
                f"The row of {self._table} with the greatest {self._cursor}, {growing.greatest}, is gone: rows with "
                "smaller ones are not seen"
            )
        self.count("polls")
        self._counted |= {"jumps": growing.jumps, "nulls": growing.nulls}

    def _given(self, scan: Scan, growing: Growing) -> None:
        waiting: list[pa.RecordBatch] = []
        new = size = 0
        for batch in scan:
            fresh = growing.fresh(batch)
            if not fresh.num_rows:
                continue
            waiting.append(fresh)
            new, size = new + fresh.num_rows, size + fresh.nbytes
            if new > SORTED or size > SORTED_BYTES:  # too much to be put in order: it goes as it comes
                self._hand_on(waiting, in_order=False)
                waiting.clear()
        if waiting:
            self._hand_on(waiting, in_order=new <= SORTED and size <= SORTED_BYTES)
        self._new = new

    def _hand_on(self, batches: Sequence[pa.RecordBatch], in_order: bool) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(batches)
        if in_order:
            table = table.sort_by([(name, "ascending") for name in dict.fromkeys((self._cursor, *self._key))])
        if self._wanted is not None:
            table = table.select(list(self._wanted))
        for start in range(0, table.num_rows, self._size):
            piece = table.slice(start, self._size)
            self.count("received", piece.num_rows)
            self.count("bytes", piece.nbytes)
            if not self._incoming.put((Batch(piece), None), piece.nbytes):
                raise Cancelled(f"The poll of {self._table}")

    def hang_up(self) -> None:
        self._wake.set()
        if (scan := self._scan) is not None:
            scan.cancel()

    def _halt(self) -> None:
        """Somebody has stopped its run, which is not the topology's."""
        self._halted = True
        self.hang_up()


def unattended_catalog() -> Catalog:
    """The user's connections, for where nobody can be asked for a secret."""
    from workbench.catalog import Catalog

    return Catalog(ask=_nobody)


def _nobody(prompt: str) -> Any:
    raise SecretMissing("the keyboard", "A topology has nobody to ask: save the connection's secret first.")


def _kept(value: Any) -> Any:
    return value if isinstance(value, int | str) else value.isoformat() if hasattr(value, "isoformat") else str(value)
