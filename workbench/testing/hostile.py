"""A connector that does what connectors must not do, and a source full of what nobody expects.

    source = hostile_source()
    connector = MANIFEST.open(source_config(source, "hostile", **{"plain": {"fault": "wrong_schema", "after": 2}}))

For tests of everything that reads: it must end with a typed error, or with all rows, and never hang.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from workbench.contract import ConnectionConfig, Control, Position, Split
from workbench.contract.errors import ConnectionLost, QueryFailed, SnapshotChanged
from workbench.testing.memory import MANIFEST as MEMORY, TABLE_PARAMETERS, MemoryConnector, MemoryTables
from workbench.testing.memory_reader import MemoryReader
from workbench.testing.memory_source import MemorySource

__all__ = ["FAULTS", "MANIFEST", "NAMES", "HostileConnector", "hostile_source"]

NAMES = (
    "with space",
    " leading and trailing ",
    "it's",
    'say "so"',
    "back`tick",
    "dot.ted",
    "semi;colon--",
    "per%cent_under",
    "{brace} $name %(pos)s",
    "select",
    "back\\slash/slash",
    "tab\tand\nline",
    "Ünïcödé",
    "e\u0301 and é",
    "🦆",
    "x" * 64,
    "y" * 65,
)
"""Names of tables, and of columns, that are legal somewhere."""

FAULTS = {
    "wrong_schema": "from then on batches lack a column and have another type in its place",
    "extra_column": "from then on batches have a column that was not asked for",
    "lost": "the connection dies",
    "error_twice": "the same error comes at each call from then on, and from close() too",
    "deaf": "waits for ever, whatever the control says; only close() lets it go",
    "empty_batches": "a hundred batches without rows come before each batch",
    "changed": "the table gets another column between plan and read",
    "untyped": "an error that is not of the contract's tree",
}

MANIFEST = replace(
    MEMORY,
    name="hostile",
    label="Hostile (for tests)",
    implementation="workbench.testing.hostile:HostileConnector",
    schemes=("hostile",),
    table_parameters={
        **TABLE_PARAMETERS,
        "properties": {
            **TABLE_PARAMETERS["properties"],  # type: ignore[dict-item]
            "fault": {"enum": sorted(FAULTS), "description": "What goes wrong; see FAULTS"},
            "after": {"type": "integer", "minimum": 0, "description": "After that many batches"},
        },
    },
)


def hostile_source(columns: int = 10_000) -> MemorySource:
    """Tables: one of each awkward name, with a column of each awkward name; `nulls` (NULL in every column, also
    the first), `texts` (empty strings, the text NULL), `wide` (that many columns), `plain` (10,000 ordinary rows)."""
    source = MemorySource()
    awkward = pa.table({name: pa.array([index, None, -index], pa.int64()) for index, name in enumerate(NAMES)})
    for name in NAMES:
        source.put(name, awkward)
    kinds = (pa.int64(), pa.string(), pa.float64(), pa.bool_(), pa.timestamp("us"), pa.decimal128(10, 2), pa.null())
    source.put("nulls", pa.table({f"c{index}": pa.nulls(1000, kind) for index, kind in enumerate(kinds)}))
    source.put("texts", pa.table({"t": ["", None, " ", "NULL", "null", "\x01", "''", "🦆" * 1000]}))
    source.put("wide", pa.table({f"c{index}": pa.array([index, None], pa.int32()) for index in range(columns)}))
    source.put("plain", pa.table({"id": list(range(10_000)), "t": [f"row {index}" for index in range(10_000)]}))
    return source


class HostileConnector(MemoryConnector):
    """The in-memory connector, with a fault for each table that asks for one."""

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self.tables = HostileTables(self)


class HostileTables(MemoryTables):
    def read(self, split: Split, control: Control) -> MemoryReader:
        knobs = self._connector.config.tables.get(split.table.name, {})
        fault = knobs.get("fault")
        if fault == "changed":
            source = self._connector.source()
            source.alter(split.table, lambda rows: rows.append_column("late", pa.nulls(rows.num_rows, pa.int64())))
            raise SnapshotChanged(str(split.table), "there is a column `late` now", self._connector.config.name)
        inner = super().read(split, control)
        return inner if fault is None else HostileReader(inner, fault, int(knobs.get("after", 0)))


class HostileReader(MemoryReader):
    """Passes on what the real one reads, until its fault comes."""

    def __init__(self, inner: MemoryReader, fault: str, after: int) -> None:
        self._inner, self._fault, self._after = inner, fault, after
        self._count, self._empty = 0, 100
        self._let_go = threading.Event()

    @property
    def schema(self) -> pa.Schema:
        return self._inner.schema

    @property
    def native_id(self) -> str | None:
        return self._inner.native_id

    @property
    def snapshot(self) -> Position | None:
        return self._inner.snapshot

    @property
    def lost(self) -> Mapping[str, int]:
        return self._inner.lost

    @property
    def received(self) -> int:
        return self._inner.received

    def __iter__(self) -> HostileReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._fault == "empty_batches" and self._empty:
            self._empty -= 1
            return pa.RecordBatch.from_pylist([], self.schema)
        if self._count >= self._after:
            self._strike()
        batch = next(self._inner)
        self._count, self._empty = self._count + 1, 100
        if self._count > self._after:
            if self._fault == "wrong_schema":
                return pa.record_batch([pa.array(["wrong"] * batch.num_rows)], ["wrong"])
            if self._fault == "extra_column":
                return batch.append_column("extra", pa.nulls(batch.num_rows))
        return batch

    def close(self) -> None:
        self._let_go.set()
        self._inner.close()
        if self._fault == "error_twice":
            raise QueryFailed("the source does not let go", 4711)

    def _strike(self) -> None:
        if self._fault == "lost":
            self._inner.close()
            raise ConnectionLost("the connection ended in the middle of a reply")
        if self._fault == "error_twice":
            raise QueryFailed("the source does not go on", 4711)
        if self._fault == "untyped":
            self._inner.close()
            raise KeyError("an error of the driver that nobody mapped")
        if self._fault == "deaf":
            self._let_go.wait()
            raise ConnectionLost("the reader was closed")
