"""Readers: they end when they are told to, take their work with them, and lose nothing to a slow consumer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from workbench.contract import Capabilities, Connector, Reader, ScanRequest, Split, TableRef
from workbench.contract.errors import Cancelled, WorkbenchError
from workbench.contract.scan import BATCH_ROWS
from workbench.testing.clock import eventually
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import tables_of
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need

__all__ = ["ReaderPromises", "Reading", "slow_split"]

GONE = 2.0
"""Seconds until nothing of a stopped scan is left at the source."""


def slow_split(store: Store, connector: Connector) -> Split:
    """A split that is read for a long time."""
    slow = store.slow()
    if slow is None:
        pytest.skip("the source cannot be made slow")
    tables = tables_of(connector)
    if store.manifest.capabilities.native:
        return tables.native(slow).splits[0]
    ref = next(info.table for info in tables.list() if slow in (info.table.name, str(info.table)))
    return tables.plan(ScanRequest(ref, tuple(tables.schema(ref).names))).splits[0]


class Reading(threading.Thread):
    """Reads a split to its end in a thread of its own; `outcome` is how it ended, None for all rows."""

    def __init__(self, connector: Connector, split: Split, control: RecordingControl) -> None:
        super().__init__(daemon=True)
        self.connector, self.split, self.control = connector, split, control
        self.reader: Reader | None = None
        self.outcome: BaseException | None = None
        self.rows = 0

    def run(self) -> None:
        try:
            self.reader = tables_of(self.connector).read(self.split, self.control)
            for batch in self.reader:
                self.rows += batch.num_rows
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.outcome = error


class ReaderPromises(SuiteBase):
    @pytest.fixture
    def own(self, store: Store, can: Capabilities) -> Iterator[Connector]:
        """A connection that a test may break."""
        need(can.tables, "tables")
        connector = store.manifest.open(store.config())
        yield connector
        connector.close()

    def test_work_is_announced_with_our_mark_and_ends(self, own: Connector, many: tuple[TableRef, pa.Table]) -> None:
        split = tables_of(own).plan(ScanRequest(many[0], ("id", "t"))).splits[0]
        control = RecordingControl("wb-announced00-1")
        reader = tables_of(own).read(split, control)
        first = next(batch for batch in reader if batch.num_rows)
        native_id = reader.native_id
        assert first.num_rows <= BATCH_ROWS
        if native_id is None:
            assert control.events == []
        else:
            assert control.mark in native_id, "a native id carries our mark, so that cancel can prove it is ours"
            assert control.events[0] == ("running", native_id)
        for _ in reader:
            pass
        assert control.open == []
        reader.close()
        assert [what for what, _ in control.events] in ([], ["running", "ended"])
        if native_id is not None and store_can_cancel(own):
            own.cancel(native_id)  # it is over: nothing happens

    def test_a_reader_that_is_over_stays_over(self, own: Connector, many: tuple[TableRef, pa.Table]) -> None:
        split = tables_of(own).plan(ScanRequest(many[0], ("id",))).splits[0]
        reader = tables_of(own).read(split, RecordingControl())
        rows = sum(batch.num_rows for batch in reader)
        assert rows
        assert list(reader) == []
        reader.close()
        reader.close()
        assert reader.received >= 0

    def test_closing_early_ends_the_work_and_the_connection_goes_on(
        self, store: Store, own: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        ref, rows = many
        split = tables_of(own).plan(ScanRequest(ref, ("id", "v", "t"))).splits[0]
        for _ in range(5):
            control = RecordingControl()
            reader = tables_of(own).read(split, control)
            next(iter(reader))
            reader.close()
            assert control.open == []
            eventually(lambda mark=control.mark: not seen(store, mark), GONE, "the closed scan is gone")  # type: ignore[misc]
        plan = tables_of(own).plan(ScanRequest(ref, ()))
        counted = 0
        for part in plan.splits:
            counted += sum(batch.num_rows for batch in tables_of(own).read(part, RecordingControl()))
        assert counted == rows.num_rows

    def test_a_cancelled_control_stops_a_reader_between_batches(
        self, own: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        control = RecordingControl()
        split = tables_of(own).plan(ScanRequest(many[0], ("id",))).splits[0]
        control.cancel()
        with pytest.raises(Cancelled):
            list(tables_of(own).read(split, control))
        assert control.open == []

    @pytest.mark.parametrize("way", ["control", "close", "cancel"])
    def test_a_long_scan_is_stopped_and_gone_at_the_source(
        self, store: Store, own: Connector, can: Capabilities, way: str
    ) -> None:
        if way == "cancel":
            need(can.cancel, "cancel")
        control = RecordingControl()
        reading = Reading(own, slow_split(store, own), control)
        reading.start()
        native_id = control.wait_running(10 if can.cancel else 0.5)
        if can.cancel:
            assert native_id is not None, "work that can be cancelled is announced before it is sent"
            eventually(lambda: seen(store, control.mark), 10, "the source shows our mark")
        if way == "close":
            eventually(lambda: reading.reader is not None or not reading.is_alive(), 10, "read() returned")
        stopped = threading.Event()
        stop = threading.Thread(target=stopper(store, way, control, reading, native_id, stopped), daemon=True)
        stop.start()
        took = eventually(lambda: not reading.is_alive(), GONE, f"the reader was let go, stopped by {way}")
        eventually(lambda: not seen(store, control.mark), GONE - took, "nothing of it runs at the source")
        assert stopped.wait(GONE), f"{way} itself came to an end"
        # Closed, a reader may simply be over; stopped by others it must not look like the end of the rows.
        assert isinstance(reading.outcome, WorkbenchError) or (way == "close" and reading.outcome is None)
        if way == "control":
            assert isinstance(reading.outcome, Cancelled)
        eventually(lambda: not control.open, GONE, "the end was announced")
        assert own.test().product, "the connection is usable"

    def test_work_of_others_is_not_touched(self, store: Store, own: Connector, can: Capabilities) -> None:
        need(can.cancel, "cancel")
        control = RecordingControl()
        reading = Reading(own, slow_split(store, own), control)
        reading.start()
        native_id = control.wait_running()
        assert native_id is not None
        try:
            own.cancel(native_id.replace(control.mark, "wb-somebodyels-1"))
            threading.Event().wait(0.3)
            assert reading.is_alive(), "work that does not carry the mark was ended"
        finally:
            control.cancel()
            reading.join(10)

    def test_closing_the_connector_is_repeatable_and_from_another_thread(
        self, store: Store, many: tuple[TableRef, pa.Table]
    ) -> None:
        connector = store.manifest.open(store.config())
        reader = tables_of(connector).read(
            tables_of(connector).plan(ScanRequest(many[0], ("id",))).splits[0], RecordingControl()
        )
        next(iter(reader))
        threads = [threading.Thread(target=reader.close) for _ in range(3)]
        threads += [threading.Thread(target=connector.close) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)

    def test_several_scans_run_side_by_side(self, own: Connector, many: tuple[TableRef, pa.Table]) -> None:
        ref, rows = many
        plans = [tables_of(own).plan(ScanRequest(ref, ("id", "v"), splits=2)) for _ in range(2)]
        readings = [Reading(own, split, RecordingControl()) for plan in plans for split in plan.splits]
        for reading in readings:
            reading.start()
        for reading in readings:
            reading.join(120)
            assert reading.outcome is None
        assert sum(reading.rows for reading in readings) == 2 * rows.num_rows

    @pytest.mark.timeout(600)
    def test_a_consumer_that_sleeps_loses_nothing(
        self, own: Connector, many: tuple[TableRef, pa.Table], deep: bool
    ) -> None:
        ref, rows = many
        counted, slept = 0, 0
        for split in tables_of(own).plan(ScanRequest(ref, ("id", "v", "t"))).splits:
            for batch in tables_of(own).read(split, RecordingControl(guard=600)):
                counted += batch.num_rows
                if slept < 3:
                    threading.Event().wait(40 if deep else 0.4)
                    slept += 1
        assert counted == rows.num_rows


def store_can_cancel(connector: Connector) -> bool:
    """Whether cancelling what is not there is allowed: declared or not, it is tried only where it may do something."""
    try:
        connector.cancel("wb-000000000000-1")
    except WorkbenchError:
        return False
    return True


def seen(store: Store, mark: str) -> bool:
    return any(mark in text for text in store.running())


def stopper(
    store: Store,
    way: str,
    control: RecordingControl,
    reading: Reading,
    native_id: str | None,
    done: threading.Event,
) -> Callable[[], None]:
    """What stops the scan that way, and says when it has returned."""

    def stop() -> None:
        if way == "control":
            control.cancel()
        elif way == "close":
            if reading.reader is not None:
                reading.reader.close()
        else:
            other = store.manifest.open(store.config())
            try:
                other.cancel(native_id or "")
            finally:
                other.close()
        done.set()

    return stop
