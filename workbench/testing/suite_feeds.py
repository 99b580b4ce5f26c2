"""Feeds: every change once, from where one was; or a loud word that this place is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from workbench.contract import (
    Capabilities,
    Changes,
    Connector,
    Feed,
    Feeds,
    Heartbeat,
    Position,
    SchemaChange,
    TableRef,
    WriteSpec,
)
from workbench.contract.errors import Cancelled, InvalidParameter, PositionLost, UnknownTable
from workbench.contract.scan import BATCH_ROWS
from workbench.testing.clock import eventually
from workbench.testing.control import RecordingControl
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need
from workbench.testing.suite_sinks import SCHEMA, changes, pairs, sinks

__all__ = ["FeedPromises"]

Said = list[tuple[str, int, str | None, Position]]


class FeedPromises(SuiteBase):
    @pytest.fixture
    def followed(self, store: Store, can: Capabilities) -> Iterator[TableRef]:
        need(can.feeds, "following")
        ref = store.load("wbt_followed", SCHEMA.empty_table(), ("id",))
        yield ref
        store.drop(ref)

    def test_changes_are_said_in_order_each_once(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        change(store, can, followed, pairs((1, "a"), (2, None)), "insert", "insert")
        change(store, can, followed, pairs((1, "b"), (2, None)), "update", "delete")
        said = listen(connector, followed, None)
        assert [entry[:3] for entry in said] == [
            ("insert", 1, "a"),
            ("insert", 2, None),
            ("update", 1, "b"),
            ("delete", 2, None),
        ]

    def test_going_on_from_each_position_repeats_and_loses_nothing(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        whole = one_by_one(store, connector, followed, can, 6)
        assert [entry[1] for entry in whole] == list(range(6))
        for index, entry in enumerate(whole):
            rest = listen(connector, followed, entry[3])
            assert [other[:3] for other in rest] == [other[:3] for other in whole[index + 1 :]]
        assert feeds(connector).reached(whole[-1][3], whole[0][3])
        assert feeds(connector).reached(whole[0][3], whole[0][3])
        assert not feeds(connector).reached(whole[0][3], whole[-1][3])

    def test_rows_come_in_order_each_once(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        change(store, can, followed, pairs((1, "a"), (2, None), (3, "ß🦆\"'\\")), "insert", "insert", "insert")
        change(store, can, followed, pairs((4, "")), "insert")
        said = listen(connector, followed, None)
        assert [entry[:3] for entry in said] == [
            ("insert", 1, "a"),
            ("insert", 2, None),
            ("insert", 3, "ß🦆\"'\\"),
            ("insert", 4, ""),
        ]
        assert listen(connector, followed, None) == said, "the same rows have the same positions"

    def test_every_position_is_another_connection_s_too(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        """A position is plain text that outlives the process."""
        whole = one_by_one(store, connector, followed, can, 3)
        other = store.manifest.open(store.config())
        try:
            place = Position(whole[0][3].source, whole[0][3].value)
            assert [entry[1] for entry in listen(other, followed, place)] == [1, 2]
        finally:
            other.close()

    def test_a_heartbeat_is_a_position_to_go_on_from(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        beat = first_heartbeat(connector, followed, None)
        change(store, can, followed, pairs((1, "a")), "insert")
        assert [entry[1] for entry in listen(connector, followed, beat.at)] == [1]
        beat = first_heartbeat(connector, followed, None)
        assert listen(connector, followed, beat.at) == []
        change(store, can, followed, pairs((2, "b")), "insert")
        assert [entry[1] for entry in listen(connector, followed, beat.at)] == [2]

    def test_who_begins_now_has_what_comes_later(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        (partition,) = feeds(connector).partitions(followed)
        change(store, can, followed, pairs((1, "before")), "insert")
        now = feeds(connector).now(followed, partition)
        assert listen(connector, followed, now) == []
        change(store, can, followed, pairs((2, "after")), "insert")
        assert [entry[1] for entry in listen(connector, followed, now)] == [2]
        assert feeds(connector).reached(feeds(connector).now(followed, partition), now)

    def test_two_who_follow_each_have_all(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        one = subscribe(connector, followed, None, RecordingControl())
        for number in range(4):
            change(store, can, followed, pairs((number, None)), "insert")
        other = listen(connector, followed, None)
        mine: list[int] = []
        while len(mine) < 4:
            entry = next(one)
            if isinstance(entry, Changes):
                mine += entry.rows.column("id").to_pylist()
        one.close()
        assert mine == [0, 1, 2, 3]
        assert [entry[1] for entry in other] == [0, 1, 2, 3]

    def test_who_does_not_read_is_waited_for_and_loses_nothing(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        """A batch at a time, with long pauses for the source: all rows come, once, and in batches of bounded size."""
        feed = subscribe(connector, followed, None, RecordingControl())
        for start in range(0, 3000, 1000):
            rows = pairs(*((key, "x" * 50) for key in range(start, start + 1000)))
            change(store, can, followed, rows, *["insert"] * 1000)
        got: list[int] = []
        for entry in feed:
            if isinstance(entry, Changes):
                assert entry.rows.num_rows <= BATCH_ROWS
                got += entry.rows.column("id").to_pylist()
            elif isinstance(entry, Heartbeat) and len(got) >= 3000:
                break
        feed.close()
        assert got == list(range(3000))

    def test_what_is_closed_is_over_and_a_partition_that_is_not_there_refuses(
        self, connector: Connector, followed: TableRef
    ) -> None:
        feed = subscribe(connector, followed, None, RecordingControl())
        feed.close()
        assert list(feed) == []
        with pytest.raises(InvalidParameter):
            feeds(connector).subscribe(followed, "wbt-no-partition", None, RecordingControl())

    def test_a_change_that_comes_later_is_said(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        control = RecordingControl()
        feed = subscribe(connector, followed, None, control)
        said: list[object] = []

        def follow() -> None:
            said.extend(entry for entry in feed if isinstance(entry, Changes))

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        change(store, can, followed, pairs((1, "late")), "insert")
        eventually(lambda: said, 60, "the change was said")
        feed.close()
        eventually(lambda: not thread.is_alive(), 20, "close() lets go who waits")
        feed.close()

    def test_a_cancelled_control_ends_the_waiting(self, connector: Connector, followed: TableRef) -> None:
        control = RecordingControl()
        feed = subscribe(connector, followed, None, control)
        outcome: list[BaseException] = []

        def follow() -> None:
            try:
                for _ in feed:
                    pass
            except Cancelled as error:
                outcome.append(error)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        control.cancel()
        eventually(lambda: not thread.is_alive(), 20, "Cancelled came")
        assert outcome
        feed.close()

    def test_a_place_that_is_gone_is_said_with_the_remedy(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        places = [entry[3] for entry in one_by_one(store, connector, followed, can, 2)]
        stranger = Position(f"not-{places[0].source}", places[0].value)
        with pytest.raises(PositionLost) as caught:
            listen(connector, followed, stranger)
        assert caught.value.remedy
        if not store.forget(followed):
            return
        with pytest.raises(PositionLost) as caught:
            listen(connector, followed, places[0])
        assert caught.value.remedy
        assert listen(connector, followed, None) == []

    def test_confirming_takes_nothing_that_is_still_needed(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        places = [entry[3] for entry in one_by_one(store, connector, followed, can, 4)]
        feed = subscribe(connector, followed, None, RecordingControl())
        assert sum(entry.rows.num_rows for entry in until_quiet(feed) if isinstance(entry, Changes)) == 4
        feed.confirm(places[1])
        feed.close()
        assert [entry[1] for entry in listen(connector, followed, places[1])] == [2, 3]

    def test_an_unknown_table_cannot_be_followed(self, connector: Connector, can: Capabilities) -> None:
        need(can.feeds, "following")
        with pytest.raises(UnknownTable):
            feeds(connector).partitions(TableRef("wbt_not_there"))


def feeds(connector: Connector) -> Feeds:
    assert connector.feeds is not None, "the manifest declares feeds, the connector has none"
    return connector.feeds


def subscribe(connector: Connector, ref: TableRef, after: Position | None, control: RecordingControl) -> Feed:
    """The feed of the table's one partition."""
    (partition,) = feeds(connector).partitions(ref)
    return feeds(connector).subscribe(ref, partition, after, control)


def until_quiet(feed: Feed) -> Iterator[Changes | SchemaChange]:
    """What is said before the first heartbeat."""
    for entry in feed:
        if isinstance(entry, Heartbeat):
            return
        yield entry


def one_by_one(store: Store, connector: Connector, ref: TableRef, can: Capabilities, count: int) -> Said:
    """Rows that are written and said one after the other, so that each is a batch of its own."""
    said: Said = []
    feed = subscribe(connector, ref, None, RecordingControl())
    try:
        for number in range(count):
            change(store, can, ref, pairs((number, f"v{number}")), "insert")
            while len(said) <= number:
                entry = next(feed)
                if isinstance(entry, Changes):
                    (key,), (value,) = entry.rows.column("id").to_pylist(), entry.rows.column("v").to_pylist()
                    said.append(("insert", key, value, entry.last))
    finally:
        feed.close()
    return said


def first_heartbeat(connector: Connector, ref: TableRef, after: Position | None) -> Heartbeat:
    feed = subscribe(connector, ref, after, RecordingControl())
    try:
        return next(entry for entry in feed if isinstance(entry, Heartbeat))
    finally:
        feed.close()


def listen(connector: Connector, ref: TableRef, after: Position | None) -> Said:
    """Every changed row up to now: (op, id, v, the position after its batch)."""
    feed = subscribe(connector, ref, after, RecordingControl())
    said: Said = []
    try:
        for entry in until_quiet(feed):
            if isinstance(entry, Changes):
                assert entry.complete, "a heartbeat came within a transaction"
                ops = ["insert"] * entry.rows.num_rows if entry.ops is None else entry.ops.to_pylist()
                columns = (entry.rows.column("id").to_pylist(), entry.rows.column("v").to_pylist())
                said += [(op, key, value, entry.last) for op, key, value in zip(ops, *columns, strict=True)]
            else:
                assert set(entry.schema.names) == {"id", "v"}
    finally:
        feed.close()
    return said


def change(store: Store, can: Capabilities, ref: TableRef, rows: pa.Table, *ops: str) -> None:
    """Changes the followed table, from behind or through the connector's own sink."""
    batch = changes(ref, rows, *ops)
    if store.change(ref, batch):
        return
    if "upsert" not in can.writes:
        pytest.skip("nobody can change the table")
    connector = store.manifest.open(store.config(writable=True))
    writer = sinks(connector).open(ref, WriteSpec(rows.schema, "upsert", ("id",)))
    writer.write(batch, 1)
    writer.commit(None)
    writer.close()
    connector.close()
