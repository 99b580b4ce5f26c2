"""Connectors that break one promise each. Not collected by itself: `test_liars.py` runs it, and wants it to fail.

Each class is held to the part of the suite where its lie must be seen; `caught_by` names the tests that have to fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.testing import wire
from workbench.contract import (
    Applied,
    Changes,
    ConnectionConfig,
    Control,
    IsNull,
    Manifest,
    Not,
    Position,
    Rejects,
    ScanPlan,
    ScanRequest,
    Secret,
    Split,
    TableRef,
    WriteSpec,
)
from workbench.contract.errors import ConnectionLost, PositionLost, UnknownTable, WorkbenchError
from workbench.testing.memory import MANIFEST as MEMORY, MemoryConnector, MemoryTables
from workbench.testing.memory_changes import MemoryFeed, MemoryFeeds, MemorySinks, MemoryWriter
from workbench.testing.memory_reader import MemoryReader
from workbench.testing.memory_store import MemoryStore
from workbench.testing.suite_catalog import CatalogPromises
from workbench.testing.suite_feeds import FeedPromises
from workbench.testing.suite_network import NetworkPromises
from workbench.testing.suite_predicates import PredicatePromises
from workbench.testing.suite_readers import ReaderPromises
from workbench.testing.suite_rows import RowPromises
from workbench.testing.suite_sinks import SinkPromises
from workbench.testing.suite_splits import SplitPromises


class Lie:
    """A suite part over a memory source that is read by `connector`."""

    connector_class: ClassVar[type]
    manifest: ClassVar[Manifest] = MEMORY
    caught_by: ClassVar[tuple[str, ...]]

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
        implementation = f"{cls.connector_class.__module__}:{cls.connector_class.__qualname__}"
        return MemoryStore(tmp_path_factory.mktemp("lie"), replace(cls.manifest, implementation=implementation))


def reading(tables: type[MemoryTables]) -> type[MemoryConnector]:
    """A memory connector with those tables."""

    class Reading(MemoryConnector):
        def __init__(self, config: ConnectionConfig) -> None:
            super().__init__(config)
            self.tables = tables(self)

    name = f"{tables.__name__}Connector"
    Reading.__name__ = Reading.__qualname__ = name
    globals()[name] = Reading
    return Reading


class Changed(MemoryReader):
    """Passes batches through `change`."""

    def change(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    def __next__(self) -> pa.RecordBatch:
        return self.change(super().__next__())


def changing(reader: type[MemoryReader]) -> type[MemoryConnector]:
    """A memory connector whose readers are of that class."""

    class Tables(MemoryTables):
        def read(self, split: Split, control: Control) -> MemoryReader:
            made = super().read(split, control)
            made.__class__ = reader
            return made

    Tables.__name__ = f"{reader.__name__}Tables"
    return reading(Tables)


# --- predicates


class ClaimsExact(MemoryTables):
    """Says EXACT, and applies nothing."""

    def plan(self, request: ScanRequest) -> ScanPlan:
        plan = super().plan(replace(request, predicates=()))
        exact = dict.fromkeys(request.predicates, Applied.EXACT)
        return replace(plan, request=request, applied=exact)


class TestClaimsExact(Lie, PredicatePromises):
    connector_class = reading(ClaimsExact)
    caught_by = ("test_each_comparison_with_each_value_of_each_type", "test_random_trees_agree_with_duckdb")


class NullsPass(MemoryTables):
    """NOT of a comparison keeps the NULLs, and is said to be EXACT."""

    def plan(self, request: ScanRequest) -> ScanPlan:
        plan = super().plan(request)
        if not any(isinstance(p, Not) for p in request.predicates):
            return plan
        nothing = super().plan(replace(request, predicates=()))
        return replace(nothing, request=request, applied=plan.applied)


class TestNullsPass(Lie, PredicatePromises):
    connector_class = reading(NullsPass)
    caught_by = ("test_random_trees_agree_with_duckdb", "test_true_not_true_and_null_make_up_all_rows")


class DropsTooMuch(MemoryTables):
    """Says SUPERSET, and drops the NULLs that IS NULL asks for."""

    def plan(self, request: ScanRequest) -> ScanPlan:
        other = tuple(IsNull(p.column, True) if isinstance(p, IsNull) else p for p in request.predicates)
        plan = super().plan(replace(request, predicates=other))
        level = dict.fromkeys(request.predicates, Applied.SUPERSET)
        names = list(dict.fromkeys((*request.columns, *(c.name for p in request.predicates for c in _columns(p)))))
        schema = self.schema(request.table)
        wide = pa.schema([schema.field(name) for name in names])
        splits = tuple(replace(split, schema=wide) for split in plan.splits)
        return replace(plan, request=request, applied=level, schema=wide, splits=splits)


class TestDropsTooMuch(Lie, PredicatePromises):
    connector_class = reading(DropsTooMuch)
    caught_by = ("test_each_comparison_with_each_value_of_each_type", "test_random_trees_agree_with_duckdb")


class TestUndeclaredPush(Lie, PredicatePromises):
    """Applies what it does not declare."""

    connector_class = MemoryConnector
    manifest = replace(MEMORY, capabilities=replace(MEMORY.capabilities, predicates=frozenset({"compare", "in"})))
    caught_by = ("test_each_comparison_with_each_value_of_each_type", "test_what_is_declared_is_done")


# --- splits and rows


class LosesNullSplit(Changed):
    """Splits by ranges of `id`, as `id >= a and id < b` would: rows without one are in none."""

    def change(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pc.is_valid(batch.column("id"))) if "id" in batch.schema.names else batch


class TestLosesNullSplit(Lie, SplitPromises):
    connector_class = changing(LosesNullSplit)
    caught_by = ("test_rows_without_a_key_value_are_in_some_split",)


class Overlaps(MemoryTables):
    """The first row of a split is also the last of the one before."""

    def plan(self, request: ScanRequest) -> ScanPlan:
        plan = super().plan(request)
        wider = [replace(s, state={**s.state, "stop": s.state["stop"] + 1}) for s in plan.splits[:-1]]
        return replace(plan, splits=(*wider, plan.splits[-1]))


class TestOverlaps(Lie, SplitPromises):
    connector_class = reading(Overlaps)
    caught_by = ("test_splits_are_disjoint_and_complete_however_many",)


class RemembersHere(MemoryTables):
    """A split means something in this process only."""

    planned: ClassVar[dict[int, ScanRequest]] = {}

    def plan(self, request: ScanRequest) -> ScanPlan:
        self.planned[len(self.planned)] = request
        plan = super().plan(request)
        splits = tuple(replace(s, state={**s.state, "here": len(self.planned) - 1}) for s in plan.splits)
        return replace(plan, splits=splits)

    def read(self, split: Split, control: Control) -> MemoryReader:
        if split.state["here"] not in self.planned:
            raise ConnectionLost("this split was planned by somebody else")
        return super().read(split, control)


class TestRemembersHere(Lie, SplitPromises):
    connector_class = reading(RemembersHere)
    caught_by = ("test_each_split_can_be_read_in_a_fresh_process",)


class LeaksInPlan(MemoryTables):
    """The plan carries what it needs to log in."""

    def plan(self, request: ScanRequest) -> ScanPlan:
        plan = super().plan(request)
        secret = self._connector.config.secrets["password"].reveal()
        return replace(plan, splits=tuple(replace(s, state={**s.state, "login": secret}) for s in plan.splits))


class TestLeaksInPlan(Lie, SplitPromises):
    connector_class = reading(LeaksInPlan)
    caught_by = ("test_a_plan_can_be_sent_and_holds_no_secret",)


class WrongSchema(Changed):
    """Whole numbers come as floats."""

    def change(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        whole = [c.cast(pa.float64()) if c.type == pa.int64() and c.null_count else c for c in batch.columns]
        return pa.RecordBatch.from_arrays(whole, names=batch.schema.names)


class TestWrongSchema(Lie, RowPromises):
    connector_class = changing(WrongSchema)
    caught_by = ("test_each_value_is_kept_extremes_and_nulls_among_them",)


class EmptyIsNull(Changed):
    """Empty text comes as NULL."""

    def change(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        fixed = [pc.if_else(pc.equal(c, ""), None, c) if c.type == pa.string() else c for c in batch.columns]
        return pa.RecordBatch.from_arrays(fixed, schema=batch.schema)


class TestEmptyIsNull(Lie, RowPromises):
    connector_class = changing(EmptyIsNull)
    caught_by = ("test_each_value_is_kept_extremes_and_nulls_among_them",)


# --- the catalog


class ForgetsPages(MemoryTables):
    """Every page is the first."""

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[Any]:
        return super().list(like, None, limit)

    def native(self, text: str) -> ScanPlan:
        return self.plan(ScanRequest(TableRef("wbt_slow"), ()))

    def schema(self, table: TableRef) -> pa.Schema:
        try:
            return super().schema(table)
        except UnknownTable as error:
            shown = self._connector.config.secrets["password"].reveal()
            raise UnknownTable(error.name, error.near, f"I asked with {shown}.") from None


class TestForgetsPages(Lie, CatalogPromises):
    connector_class = reading(ForgetsPages)
    caught_by = (
        "test_pages_follow_each_other",
        "test_native_text_is_refused_where_it_is_not_declared",
        "test_a_plan_and_an_error_hold_no_secret",
    )


# --- readers


class GoesOn(MemoryReader):
    """Its work is never ended, nor said to be."""

    def _end(self) -> None:
        self._ended = True


class TestGoesOn(Lie, ReaderPromises):
    connector_class = changing(GoesOn)
    caught_by = (
        "test_work_is_announced_with_our_mark_and_ends",
        "test_closing_early_ends_the_work_and_the_connection_goes_on",
        "test_a_long_scan_is_stopped_and_gone_at_the_source[cancel]",
    )


class LooksFinished(MemoryReader):
    """Stopped, it looks as if these were all the rows."""

    def __next__(self) -> pa.RecordBatch:
        try:
            return super().__next__()
        except WorkbenchError:
            raise StopIteration from None


class TestLooksFinished(Lie, ReaderPromises):
    connector_class = changing(LooksFinished)
    caught_by = (
        "test_a_cancelled_control_stops_a_reader_between_batches",
        "test_a_long_scan_is_stopped_and_gone_at_the_source[control]",
    )


# --- the network


class SwallowingTables(wire.WireTables):
    def read(self, split: Split, control: Control) -> wire.WireReader:
        return SwallowingReader(self._connector, split, control)


class SwallowingReader(wire.WireReader):
    """A connection that ends is the end of the rows."""

    def next_batch(self) -> pa.RecordBatch:
        try:
            return super().next_batch()
        except ConnectionLost:
            raise StopIteration from None


class SwallowingConnector(wire.WireConnector):
    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self.tables = SwallowingTables(self)


class TestSwallows(NetworkPromises):
    caught_by = ("test_a_hundred_cuts_lose_no_row_silently",)

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[wire.WireStore]:
        manifest = replace(wire.MANIFEST, implementation=f"{__name__}:SwallowingConnector")
        store = wire.WireStore(Path(tmp_path_factory.mktemp("swallow")), manifest)
        yield store
        store.server.close()


# --- sinks and feeds


class EagerWriter(MemoryWriter):
    """Rows are there before the commit, a repeated batch again, and the position is forgotten."""

    def write(self, changes: Changes, sequence: int) -> Rejects:
        self._source.change(self._table, [changes], "insert", self._key)
        return Rejects()

    def commit(self, upto: Position | None) -> None:
        pass


class EagerSinks(MemorySinks):
    def open(self, table: TableRef, spec: WriteSpec) -> MemoryWriter:
        writer = super().open(table, spec)
        writer.__class__ = EagerWriter
        return writer


class EagerConnector(MemoryConnector):
    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(
            replace(config, writable=True, secrets={k: Secret(v.reveal()) for k, v in config.secrets.items()})
        )
        self.sinks = EagerSinks(self)


class TestWritesEarly(Lie, SinkPromises):
    connector_class = EagerConnector
    caught_by = (
        "test_a_connection_that_is_not_writable_refuses",
        "test_inserted_rows_are_there_after_the_commit_and_not_before",
        "test_upsert_update_and_delete",
        "test_a_batch_that_is_written_twice_is_there_once",
        "test_the_position_comes_back_with_the_rows_it_belongs_to",
    )


class ForgetfulFeeds(MemoryFeeds):
    """A lost position is the beginning, and any position is one too early."""

    def subscribe(self, table: TableRef, partition: str, after: Position | None, control: Control) -> MemoryFeed:
        try:
            early = after and replace(after, value=str(int(after.value) - 1))
            return super().subscribe(table, partition, early, control)
        except PositionLost:
            return super().subscribe(table, partition, None, control)


class ForgetfulConnector(MemoryConnector):
    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self.feeds = ForgetfulFeeds(self)


class TestForgetfulFeed(Lie, FeedPromises):
    connector_class = ForgetfulConnector
    caught_by = (
        "test_going_on_from_each_position_repeats_and_loses_nothing",
        "test_a_place_that_is_gone_is_said_with_the_remedy",
    )


def _columns(predicate: Any) -> Iterator[Any]:
    from workbench.contract.predicate import columns_of

    return columns_of(predicate)


LIARS = [cls for name, cls in list(globals().items()) if name.startswith("Test")]
