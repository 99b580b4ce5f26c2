"""Sinks: what was committed is there, once, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from workbench.contract import Capabilities, Changes, Connector, Guarantee, Position, TableRef, Writer, WriteSpec
from workbench.contract.connector import Sinks
from workbench.contract.errors import InvalidParameter, StatementRefused, UnknownTable, Unsupported, WorkbenchError
from workbench.testing.oracle import rows_of
from workbench.testing.scanning import assert_no_secret, scan
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need
from workbench.testing.suite_rows import every_type

__all__ = ["SinkPromises", "changes"]

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])


def changes(table: TableRef, rows: pa.Table, *ops: str, at: int = 1) -> Changes:
    """A batch, all inserts where no ops are given."""
    batch = rows.combine_chunks().to_batches()[0]
    place = Position("wbt-source", str(at))
    return Changes(table, batch, pa.array(ops) if ops else None, place, place)


def pairs(*rows: tuple[int, str | None]) -> pa.Table:
    return pa.table([[row[0] for row in rows], [row[1] for row in rows]], schema=SCHEMA)


class SinkPromises(SuiteBase):
    @pytest.fixture
    def target(self, store: Store, can: Capabilities) -> Iterator[TableRef]:
        """A keyed table with the rows 1 and 2."""
        need(can.sinks, "writing")
        ref = store.load("wbt_target", pairs((1, "one"), (2, None)), ("id",))
        yield ref
        store.drop(ref)

    @pytest.fixture
    def writable(self, store: Store, can: Capabilities) -> Iterator[Connector]:
        need(can.sinks, "writing")
        connector = store.manifest.open(store.config(writable=True))
        yield connector
        connector.close()

    def now(self, connector: Connector, ref: TableRef) -> dict[int, str | None]:
        got = scan(connector, ref, ("id", "v"))
        assert len(set(got.column("id").to_pylist())) == got.num_rows, "a key is there twice"
        return dict(zip(got.column("id").to_pylist(), got.column("v").to_pylist(), strict=True))

    def test_a_connection_that_is_not_writable_refuses(
        self, connector: Connector, can: Capabilities, target: TableRef
    ) -> None:
        with pytest.raises(StatementRefused):
            sinks(connector).open(target, WriteSpec(SCHEMA, mode=sorted(can.writes)[0], key=("id",)))

    def test_a_mode_that_is_not_declared_refuses(
        self, writable: Connector, can: Capabilities, target: TableRef
    ) -> None:
        for mode in {"insert", "upsert", "wbt-mode"} - can.writes:
            with pytest.raises(Unsupported):
                sinks(writable).open(target, WriteSpec(SCHEMA, mode=mode, key=("id",)))

    def test_a_table_that_is_not_there_or_does_not_fit_refuses(
        self, writable: Connector, can: Capabilities, target: TableRef
    ) -> None:
        mode = sorted(can.writes)[0]
        with pytest.raises(UnknownTable):
            sinks(writable).open(TableRef("wbt_not_there", target.schema), WriteSpec(SCHEMA, mode=mode, key=("id",)))
        other = pa.schema([pa.field("id", pa.int64()), pa.field("wbt_other", pa.string())])
        with pytest.raises(InvalidParameter):
            sinks(writable).open(target, WriteSpec(other, mode=mode, key=("id",)))

    def test_inserted_rows_are_there_after_the_commit_and_not_before(
        self, store: Store, writable: Connector, connector: Connector, can: Capabilities, target: TableRef
    ) -> None:
        need("insert" in can.writes, "insert")
        writer = sinks(writable).open(target, WriteSpec(SCHEMA))
        assert not writer.write(changes(target, pairs((3, "three"), (4, "vier ß🦆"))), 1).count
        assert self.now(connector, target) == {1: "one", 2: None}
        writer.commit(None)
        assert self.now(connector, target) == {1: "one", 2: None, 3: "three", 4: "vier ß🦆"}
        writer.write(changes(target, pairs((5, "never"))), 2)
        writer.close()
        writer.close()
        assert 5 not in self.now(connector, target)

    def test_a_key_that_is_there_is_not_inserted_again(
        self, store: Store, writable: Connector, connector: Connector, can: Capabilities, target: TableRef
    ) -> None:
        need("insert" in can.writes, "insert")
        writer = sinks(writable).open(target, WriteSpec(SCHEMA, key=("id",)))
        if writer.guarantee in (Guarantee.APPEND, Guarantee.FILE):
            writer.close()
            pytest.skip("the target has no keys")
        try:
            rejected = writer.write(changes(target, pairs((1, "again"))), 1).count
            writer.commit(None)
        except WorkbenchError as error:
            assert_no_secret(store.config(), error)
            rejected = 1
        finally:
            writer.close()
        assert rejected == 1
        assert self.now(connector, target) == {1: "one", 2: None}

    def test_upsert_update_and_delete(
        self, writable: Connector, connector: Connector, can: Capabilities, target: TableRef
    ) -> None:
        need("upsert" in can.writes, "upsert")
        writer = sinks(writable).open(target, WriteSpec(SCHEMA, mode="upsert", key=("id",)))
        rows = pairs((1, "uno"), (3, None), (2, "gone"), (4, "four"), (4, "FOUR"), (99, "never there"))
        writer.write(changes(target, rows, "insert", "insert", "delete", "insert", "update", "delete"), 1)
        writer.write(changes(target, pairs((3, "tre"), (1, None)), "update", "update"), 2)
        writer.commit(None)
        writer.close()
        assert self.now(connector, target) == {1: None, 3: "tre", 4: "FOUR"}

    def test_a_batch_that_is_written_twice_is_there_once(
        self, writable: Connector, connector: Connector, can: Capabilities, target: TableRef
    ) -> None:
        mode = "upsert" if "upsert" in can.writes else "insert"
        writer = sinks(writable).open(target, WriteSpec(SCHEMA, mode=mode, key=("id",)))
        if writer.guarantee == Guarantee.APPEND:
            writer.close()
            pytest.skip("a repeat stays, as the guarantee says")
        for _ in range(2):
            assert not writer.write(changes(target, pairs((7, "seven"), (8, "eight"))), 1).count
        writer.commit(None)
        writer.close()
        assert self.now(connector, target) == {1: "one", 2: None, 7: "seven", 8: "eight"}

    def test_the_position_comes_back_with_the_rows_it_belongs_to(
        self, store: Store, writable: Connector, connector: Connector, can: Capabilities, target: TableRef
    ) -> None:
        mode = "upsert" if "upsert" in can.writes else "insert"
        spec = WriteSpec(SCHEMA, mode=mode, key=("id",), stream="wbt-stream")
        writer = sinks(writable).open(target, spec)
        assert (writer.guarantee == Guarantee.TRANSACTIONAL) == can.transactional
        assert writer.position() is None
        writer.write(changes(target, pairs((10, "ten"))), 1)
        writer.commit(Position("wbt-source", "gtid:1-2,7"))
        writer.write(changes(target, pairs((11, "eleven"))), 2)
        writer.close()
        other = store.manifest.open(store.config(writable=True))
        try:
            again = sinks(other).open(target, spec)
            kept = Position("wbt-source", "gtid:1-2,7") if can.transactional else None
            assert again.position() == kept
            again.close()
            assert_position_of_another_stream(
                sinks(other).open(target, WriteSpec(SCHEMA, mode, ("id",), stream="wbt-2"))
            )
        finally:
            other.close()
        assert self.now(connector, target) == {1: "one", 2: None, 10: "ten"}

    def test_every_type_and_value_can_be_written(
        self, store: Store, writable: Connector, connector: Connector, can: Capabilities
    ) -> None:
        need(can.sinks, "writing")
        rows = every_type(store)
        ref = store.load("wbt_written", rows.schema.empty_table(), ("rid",))
        mode = "insert" if "insert" in can.writes else "upsert"
        try:
            writer = sinks(writable).open(ref, WriteSpec(rows.schema, mode, ("rid",)))
            rejects = writer.write(changes(ref, rows), 1)
            writer.commit(None)
            writer.close()
            kept = [not any(store.refuses(value) for value in row.values()) for row in rows.to_pylist()]
            assert rejects.count == kept.count(False), rejects.samples
            rows = rows.filter(pa.array(kept))
            for column in rows.column_names[1:]:
                got = scan(connector, ref, ("rid", column))
                assert rows_of(got) == rows_of(rows.select(["rid", column])), rows.schema.field(column)
        finally:
            store.drop(ref)

    def test_a_table_is_made_when_that_is_asked_for(
        self, store: Store, writable: Connector, connector: Connector, can: Capabilities
    ) -> None:
        need(can.sinks, "writing")
        ref = store.load("wbt_made", pairs((1, "x")), ("id",))
        store.drop(ref)
        mode = "insert" if "insert" in can.writes else "upsert"
        writer = sinks(writable).open(ref, WriteSpec(SCHEMA, mode, ("id",), create=True))
        try:
            writer.write(changes(ref, pairs((1, "made"))), 1)
            writer.commit(None)
            writer.close()
            assert self.now(connector, ref) == {1: "made"}
        finally:
            store.drop(ref)


def sinks(connector: Connector) -> Sinks:
    assert connector.sinks is not None, "the manifest declares sinks, the connector has none"
    return connector.sinks


def assert_position_of_another_stream(writer: Writer) -> None:
    assert writer.position() is None
    writer.close()
