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
from workbench.contract.errors import Cancelled, PositionLost, UnknownTable
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
        for number in range(6):
            change(store, can, followed, pairs((number, f"v{number}")), "insert")
        whole = listen(connector, followed, None)
        assert [entry[1] for entry in whole] == list(range(6))
        for index, entry in enumerate(whole):
            rest = listen(connector, followed, entry[3])
            assert [other[:3] for other in rest] == [other[:3] for other in whole[index + 1 :]]
        assert feeds(connector).reached(whole[-1][3], whole[0][3])
        assert feeds(connector).reached(whole[0][3], whole[0][3])
        assert not feeds(connector).reached(whole[0][3], whole[-1][3])

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
        eventually(lambda: said, 10, "the change was said")
        feed.close()
        eventually(lambda: not thread.is_alive(), 2, "close() lets go who waits")
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
        eventually(lambda: not thread.is_alive(), 2, "Cancelled came")
        assert outcome
        feed.close()

    def test_a_place_that_is_gone_is_said_with_the_remedy(
        self, store: Store, connector: Connector, followed: TableRef, can: Capabilities
    ) -> None:
        change(store, can, followed, pairs((1, "a")), "insert")
        change(store, can, followed, pairs((2, "b")), "insert")
        places = [entry[3] for entry in listen(connector, followed, None)]
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
        for number in range(4):
            change(store, can, followed, pairs((number, None)), "insert")
        feed = subscribe(connector, followed, None, RecordingControl())
        places = [entry.last for entry in until_quiet(feed) if isinstance(entry, Changes)]
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
