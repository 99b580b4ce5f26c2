"""What stands between DuckDB and the scans while one statement runs.

In the rehearsal each table gives no rows and writes down what is asked of it. Then the scans for just that are
planned and started side by side, and when DuckDB asks again it gets their batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from workbench.contract.errors import Cancelled, NotExact, SnapshotChanged, SourceError, UnknownColumn
from workbench.contract.predicate import Predicate
from workbench.contract.reduction import Aggregate, Top
from workbench.contract.scan import ScanPlan, ScanRequest
from workbench.execution.scan import Scan, ScanStats, Source
from workbench.execution.spool import Spool
from workbench.kit.slots import WAITS, Slots, Ticket, all_of, asked, slots_of
from workbench.query.local import SMALL, LocalTable
from workbench.query.lookup import RemoteTarget

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["CLOSE_SECONDS", "Ask", "Feed", "LocalSource", "RemoteSource", "Stage"]

Item = TypeVar("Item")
Made = TypeVar("Made")
WORKERS = 4
CLOSE_SECONDS = 2.0
"""So long the end of a statement waits for its sources to end; what takes longer ends behind it."""


@dataclass(frozen=True)
class Ask:
    """What DuckDB wants of a table. Equal asks are answered by the same rows."""

    name: str
    columns: tuple[str, ...]
    predicates: tuple[Predicate, ...]


class Feed:
    """The rows for one ask. `again`: they may be asked for more than once, so they are kept in a spool, which a
    thread fills at the source's speed: no reader waits for another one."""

    def __init__(
        self,
        stage: Stage,
        ask: Ask,
        target: RemoteTarget,
        plan: ScanPlan,
        again: bool,
        foreseen: bool,
        workers: int = WORKERS,
    ) -> None:
        self.ask, self.target, self.plan, self.foreseen = ask, target, plan, foreseen
        self.taken = False
        self.schema = plan.schema if plan.aggregated else _columns(target.schema, ask.columns)
        self._stage = stage
        source = Source(target.connection, target.connector, plan, lambda: stage.protect(target))
        self.scan = Scan(source, stage.run, workers=workers, guard=stage.seconds)
        self._spool = stage.spool() if again else None
        if self._spool is not None:
            self._spool.begin(self.schema)
        self._pump: threading.Thread | None = None

    @property
    def again(self) -> bool:
        return self._spool is not None

    @property
    def stats(self) -> ScanStats:
        return self.scan.stats

    @property
    def slots(self) -> Slots | None:
        """Those that its first reader takes one of; None where nothing is read, or as many as are wanted."""
        return slots_of(self.target.connector) if self.plan.splits else None

    def start(self, ticket: Ticket | None = None) -> None:
        self.scan.start(ticket)
        if self._spool is not None:
            self._pump = threading.Thread(target=self._fill, name="workbench-keep", daemon=True)
            self._pump.start()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows for somebody who is not DuckDB."""
        return self._checked(self.scan)

    def reader(self) -> pa.RecordBatchReader:
        batches = self._checked(self.scan) if self._spool is None else self._spool.reader()
        return pa.RecordBatchReader.from_batches(self.schema, self._stage.guarded(batches, self._given_up))

    def cancel(self) -> None:
        self.scan.cancel()

    def close(self) -> None:
        self.scan.close()
        self.scan.drained(CLOSE_SECONDS)
        if self._pump is not None:
            self._pump.join()
        if self._spool is not None:
            self._spool.close()

    def _given_up(self) -> None:
        """DuckDB wants no more, as under LIMIT: the source's work is ended too."""
        if self._spool is None:
            self.scan.close()

    def _fill(self) -> None:
        spool = self._spool
        assert spool is not None
        try:
            for batch in self._checked(self.scan):
                spool.append(batch)
            spool.finish()
        except BaseException as error:  # noqa: BLE001  # it goes to the readers, in their threads
            spool.fail(error)

    def _checked(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches go to DuckDB as bare memory, so none of another type may pass."""
        types = self.schema.types
        for batch in batches:
            if batch.schema.types != types:
                raise _changed(self.target)
            yield batch


class RemoteSource:
    """A connector's table as DuckDB sees it."""

    def __init__(self, stage: Stage, name: str, target: RemoteTarget, rows: int | None) -> None:
        self._stage, self._name, self.target, self.rows = stage, name, target, rows
        self.schema = pa.schema([field.remove_metadata() for field in target.schema])

    def stream(self, columns: tuple[str, ...], predicates: tuple[Predicate, ...]) -> pa.RecordBatchReader:
        return self._stage.asked(Ask(self._name, columns, predicates), self.target)


class LocalSource:
    """A table of this process as DuckDB sees it: a large one is empty in the rehearsal."""

    def __init__(self, stage: Stage, table: LocalTable) -> None:
        self._stage, self._table = stage, table
        self.schema, self.rows = table.schema, table.rows

    @property
    def large(self) -> bool:
        return self.rows is None or self.rows > SMALL

    def stream(self, columns: tuple[str, ...], predicates: tuple[Predicate, ...]) -> pa.RecordBatchReader:
        schema = _columns(self.schema, columns)
        if self._stage.rehearsing and self.large:
            return schema.empty_table().to_reader()
        batches = self._table.read(columns, predicates, lambda: self._stage.stopped)
        return pa.RecordBatchReader.from_batches(schema, self._stage.guarded(batches, batches.close))


class Stage:
    """All sources of one run of a statement. Thread-safe."""

    def __init__(
        self,
        run: Run,
        spool: Callable[[], Spool],
        *,
        seconds: float | None = None,
        recursive: bool = False,
        protect: Callable[[RemoteTarget], None] = lambda target: None,
    ) -> None:
        self.run, self.spool, self.seconds, self.protect = run, spool, seconds, protect
        self.rehearsing = True
        self.error: BaseException | None = None
        self._recursive = recursive
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._asks: dict[Ask, tuple[RemoteTarget, int]] = {}
        self._feeds: dict[Ask, list[Feed]] = {}
        self._kept: dict[Ask, ScanPlan] = {}
        self._waiting = 0
        self._planning: list[RemoteTarget] = []

    # --- from DuckDB's threads

    def asked(self, ask: Ask, target: RemoteTarget) -> pa.RecordBatchReader:
        if self.rehearsing:
            with self._lock:
                self._asks[ask] = (target, self._asks.get(ask, (target, 0))[1] + 1)
            return _columns(target.schema, ask.columns).empty_table().to_reader()
        try:
            return self._feed(ask, target).reader()
        except BaseException as error:
            self.fail(error)
            raise

    def guarded(self, batches: Iterator[pa.RecordBatch], given_up: Callable[[], object]) -> Iterator[pa.RecordBatch]:
        """The batches, with what DuckDB would lose or take amiss: the original of an error is kept; after a stop
        the rows just end, for DuckDB is interrupted at the same time (and whoever runs it looks at `stopped`)."""
        try:
            for batch in batches:
                if self._stopped.is_set():
                    return
                if batch.num_rows:
                    yield batch
        except Cancelled as error:
            if not self._stopped.is_set():
                self.fail(error)
                raise
        except GeneratorExit:
            given_up()
            raise
        except BaseException as error:
            self.fail(error)
            raise

    # --- from whoever runs the statement

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    @property
    def feeds(self) -> list[Feed]:
        with self._lock:
            return [feed for feeds in self._feeds.values() for feed in feeds]

    @property
    def asks(self) -> list[tuple[Ask, RemoteTarget]]:
        """What was asked for so far."""
        with self._lock:
            return [(ask, target) for ask, (target, _) in self._asks.items()]

    def direct(self, ask: Ask, target: RemoteTarget, limit: int | None) -> Feed:
        """The one scan of a statement that DuckDB has no part in."""
        self.rehearsing = False
        feed = self._planned(ask, target, again=False, foreseen=True, limit=limit, alone=True)
        with self._lock:
            self._feeds[ask] = [feed]
        return feed

    def added_up(self, ask: Ask, target: RemoteTarget, aggregate: Aggregate) -> Feed | None:
        """The one scan of a statement whose source adds its rows up; None where it does not, and then that plan is kept
        for whoever asks for the rows."""
        plan = self._asked_for(ask, target, None, None, aggregate)
        if not plan.aggregated:
            self._kept[ask] = plan
            return None
        feed = Feed(self, ask, target, plan, again=False, foreseen=True)
        with self._lock:
            self._feeds[ask] = [feed]
        return feed

    def back(self) -> None:
        """What was started is ended and forgotten; what was asked for stays."""
        feeds = self.feeds
        with self._lock:
            self._feeds.clear()
            self.error = None
        for feed in feeds:
            feed.close()

    def plan(self, top: Top | None = None) -> list[Feed]:
        """Plans what the rehearsal asked for; several at once, for each may ask its source. `top`: no other rows of the
        only one are needed."""
        with self._lock:
            asks = [(ask, target, count) for ask, (target, count) in self._asks.items()]

        kept = self._recursive or _more_than_slots([target for _, target, _ in asks])

        def planned(item: tuple[Ask, RemoteTarget, int]) -> Feed:
            ask, target, count = item
            again = count > 1 or kept
            return self._planned(ask, target, again=again, foreseen=True, top=top)

        feeds = _side_by_side(planned, asks)
        with self._lock:
            for feed in feeds:
                self._feeds.setdefault(feed.ask, []).append(feed)
        return feeds

    def start(self, feeds: list[Feed]) -> None:
        """Starts all scans side by side; from now on DuckDB gets their rows."""
        self.rehearsing = False
        tickets = self._tickets(feeds)
        for feed in feeds:
            feed.start(tickets.get(id(feed)))  # one of a stage that was stopped ends at once
        if self._stopped.is_set():
            self.stop()
            raise Cancelled

    @property
    def said(self) -> str:
        """What it does before anything is read."""
        with self._lock:
            asked_for = dict.fromkeys(f"{target.connection}.{target.table}" for target in self._planning)
        return WAITS if self._waiting else f"asks about {', '.join(asked_for)}" if asked_for else ""

    def _tickets(self, feeds: list[Feed]) -> dict[int, Ticket]:
        """Slots of their sources for the first reader of each, by the feed; a single one waits for its own, and so do
        those that are kept in a spool, for nobody's sake."""
        bounded = [(feed, slots) for feed in feeds if (slots := feed.slots) is not None]
        wanted = [slots for _, slots in bounded]
        if len(wanted) < 2 or all(feed.again for feed in feeds):
            return {}
        self._waits(True)
        tickets = all_of(wanted, self._stopped.is_set)
        self._waits(False)
        if tickets is None:
            raise Cancelled
        return {id(feed): ticket for (feed, _), ticket in zip(bounded, tickets, strict=True)}

    def _waits(self, waits: bool) -> None:
        with self._lock:
            self._waiting += 1 if waits else -1

    def fail(self, error: BaseException) -> None:
        """Keeps the first error, whatever DuckDB makes of it."""
        with self._lock:
            if self.error is None:
                self.error = error

    def failed_early(self) -> BaseException | None:
        """The error of a scan that DuckDB has not come to yet."""
        errors = (feed.scan.error for feed in self.feeds)
        return next((error for error in errors if error is not None and not isinstance(error, NotExact)), None)

    def stop(self) -> None:
        """Ends every scan and lets go of whoever waits for one. From any thread; does not wait."""
        self._stopped.set()
        for feed in self.feeds:
            feed.cancel()

    def close(self) -> None:
        """Ends what is left; the sources' work too."""
        self._stopped.set()
        for feed in self.feeds:
            feed.close()

    def _feed(self, ask: Ask, target: RemoteTarget) -> Feed:
        with self._lock:
            for feed in self._feeds.get(ask, ()):
                if feed.again or not feed.taken:
                    feed.taken = True
                    return feed
        feed = self._planned(ask, target, again=self._recursive, foreseen=False)
        feed.taken = True
        with self._lock:
            self._feeds.setdefault(ask, []).append(feed)
        # It does not wait for its turn: others of this statement may hold what it waits for.
        feed.start(None if feed.slots is None else feed.slots.forced())
        if self._stopped.is_set():
            feed.cancel()
        return feed

    def _planned(
        self,
        ask: Ask,
        target: RemoteTarget,
        *,
        again: bool,
        foreseen: bool,
        limit: int | None = None,
        top: Top | None = None,
        alone: bool = False,
    ) -> Feed:
        plan = self._kept.pop(ask, None) or self._asked_for(ask, target, limit, top, None)
        # Whoever takes the rows of the only split itself needs no other thread for it.
        workers = 0 if alone and len(plan.splits) == 1 else WORKERS
        return Feed(self, ask, target, plan, again, foreseen, workers)

    def _asked_for(
        self,
        ask: Ask,
        target: RemoteTarget,
        limit: int | None,
        top: Top | None,
        aggregate: Aggregate | None,
    ) -> ScanPlan:
        tables = target.connector.tables
        assert tables is not None
        request = ScanRequest(target.table, ask.columns, ask.predicates, WORKERS, limit, top, aggregate)
        with self._lock:
            self._planning.append(target)
        try:
            plan = asked(target.connector, lambda: tables.plan(request), self._stopped.is_set, self._waits)
        except SourceError as error:
            error.connection = error.connection or target.connection
            raise
        except UnknownColumn as error:
            if error.name not in target.schema.names:
                raise
            raise _changed(target, f"it has no column `{error.name}` any more") from None
        finally:
            with self._lock:
                self._planning.remove(target)
        if plan.aggregated:
            assert aggregate is not None
            if not plan.schema.equals(aggregate.schema(target.schema)):
                raise _changed(target)
        elif not plan.schema.equals(target.schema):
            for field in plan.schema:
                at = target.schema.get_field_index(field.name)
                if at >= 0 and target.schema.field(at).type != field.type:
                    raise _changed(target)
        return plan


def _columns(schema: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    if len(names) == len(schema) and names == tuple(schema.names) and schema.metadata is None:
        return schema
    return pa.schema([schema.field(name) for name in names])


def _more_than_slots(targets: Sequence[RemoteTarget]) -> bool:
    """Whether a source is read in more places than may be read at once: then nobody's reader waits for who takes its
    rows, they are all kept."""
    bounds = [slots for target in targets if (slots := slots_of(target.connector)) is not None]
    return any(bounds.count(slots) > slots.most for slots in bounds)


def _changed(target: RemoteTarget, why: str = "its columns have other types") -> SnapshotChanged:
    return SnapshotChanged(str(target.table), why, target.connection)


def _side_by_side(work: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """The work on all items at once, each in a thread; raises the first item's error."""
    if len(items) == 1:
        return [work(items[0])]
    made: dict[int, Made] = {}
    failed: dict[int, BaseException] = {}

    def one(number: int, item: Item) -> None:
        try:
            made[number] = work(item)
        except BaseException as error:  # noqa: BLE001  # raised in the thread that asked
            failed[number] = error

    threads = [threading.Thread(target=one, args=pair, name="workbench-plan", daemon=True) for pair in enumerate(items)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in sorted(failed):
        raise failed[number]
    return [made[number] for number in range(len(items))]
