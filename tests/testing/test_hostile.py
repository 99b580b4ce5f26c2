"""The hostile connector does the harm that it says."""

import threading

import pytest

from workbench.contract import ScanRequest, TableRef
from workbench.contract.errors import ConnectionLost, QueryFailed, SnapshotChanged
from workbench.testing import hostile
from workbench.testing.clock import eventually
from workbench.testing.control import RecordingControl
from workbench.testing.memory import MemorySource, source_config
from workbench.testing.memory_reader import MemoryReader
from workbench.testing.scanning import read, scan

PLAIN = TableRef("plain")


@pytest.fixture(scope="module")
def source() -> MemorySource:
    return hostile.hostile_source()


def reader_of(source: MemorySource, fault: str, after: int = 2) -> MemoryReader:
    """A reader of ten batches, whose fault comes after that many."""
    knobs = {"plain": {"fault": fault, "after": after, "batch_rows": 1000}}
    tables = hostile.MANIFEST.open(source_config(source, "hostile", **knobs)).tables
    assert tables is not None
    return tables.read(tables.plan(ScanRequest(PLAIN, ("id", "t"))).splits[0], RecordingControl())


def test_its_tables_are_whole_while_nothing_is_wrong(source: MemorySource) -> None:
    connector = hostile.MANIFEST.open(source_config(source))
    for name in (*hostile.NAMES, "nulls", "texts", "wide", "plain"):
        rows = source.table(TableRef(name)).rows
        assert scan(connector, TableRef(name), rows.column_names).equals(rows), name
    assert source.table(TableRef("wide")).rows.num_columns == 10_000


def test_a_connection_dies_at_its_batch(source: MemorySource) -> None:
    reader = reader_of(source, "lost")
    assert [next(reader).num_rows, next(reader).num_rows] == [1000, 1000]
    with pytest.raises(ConnectionLost):
        next(reader)


@pytest.mark.parametrize("fault", ["wrong_schema", "extra_column"])
def test_batches_of_another_schema_come(source: MemorySource, fault: str) -> None:
    reader = reader_of(source, fault)
    assert [batch.schema.equals(reader.schema) for batch in reader] == [True] * 2 + [False] * 8


def test_a_deaf_reader_hears_only_its_close(source: MemorySource) -> None:
    reader = reader_of(source, "deaf", after=0)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            next(reader)
        except ConnectionLost as error:
            outcome.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert reader.native_id in source.running()
    reader.close()
    eventually(lambda: outcome, 5)
    assert reader.native_id not in source.running()


def test_an_error_comes_again_and_again(source: MemorySource) -> None:
    reader = reader_of(source, "error_twice", after=0)
    for _ in range(3):
        with pytest.raises(QueryFailed):
            next(reader)
        with pytest.raises(QueryFailed):
            reader.close()
    assert reader.native_id not in source.running()


def test_a_table_changes_between_plan_and_read() -> None:
    source = hostile.hostile_source(columns=1)
    connector = hostile.MANIFEST.open(source_config(source, plain={"fault": "changed"}))
    assert connector.tables is not None
    plan = connector.tables.plan(ScanRequest(PLAIN, ("id",)))
    with pytest.raises(SnapshotChanged):
        read(connector, plan)
    assert "late" in connector.tables.schema(PLAIN).names


def test_an_error_that_is_nobodys_comes(source: MemorySource) -> None:
    with pytest.raises(KeyError):
        next(reader_of(source, "untyped", after=0))


def test_empty_batches_come_before_each_batch(source: MemorySource) -> None:
    sizes = [batch.num_rows for batch in reader_of(source, "empty_batches")]
    assert sizes.count(0) == 11 * 100  # also before the end
    assert sum(sizes) == 10_000
