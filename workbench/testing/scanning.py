"""Reading as an executor would, with everything checked that a reader promises."""

from __future__ import annotations

import base64
import pickle
import traceback
import urllib.parse
from collections.abc import Iterable

import pyarrow as pa

from workbench.contract import ConnectionConfig, Connector, Predicate, Reader, ScanPlan, ScanRequest, Split, TableRef
from workbench.contract.connector import Tables
from workbench.contract.scan import BATCH_ROWS
from workbench.kit import filter as kit_filter
from workbench.testing.control import RecordingControl

__all__ = ["assert_no_secret", "raw", "read", "read_split", "scan", "tables_of"]


def tables_of(connector: Connector) -> Tables:
    """The facet, which must be there."""
    assert connector.tables is not None, "the manifest declares tables, the connector has none"
    return connector.tables


def drain(reader: Reader, plan_schema: pa.Schema) -> list[pa.RecordBatch]:
    """All batches, each held to the plan."""
    batches = []
    assert reader.schema.equals(plan_schema), f"the reader's schema is {reader.schema}, the plan's {plan_schema}"
    for batch in reader:
        if plan_schema.names:
            assert batch.schema.equals(plan_schema), f"a batch is of {batch.schema}, the plan says {plan_schema}"
        assert batch.num_rows <= BATCH_ROWS, f"a batch has {batch.num_rows} rows"
        batch.validate(full=True)
        batches.append(batch)
    return batches


def read_split(connector: Connector, split: Split, control: RecordingControl | None = None) -> pa.Table:
    """All rows of a split; the work must have been announced and ended."""
    control = control or RecordingControl()
    reader = tables_of(connector).read(split, control)
    try:
        batches = drain(reader, split.schema)
        assert not control.open, f"the reader is at its end, and {control.open} is said to run still"
    finally:
        reader.close()
    return _table(batches, split.schema)


def read(connector: Connector, plan: ScanPlan) -> pa.Table:
    """All rows of all splits, not filtered again."""
    for split in plan.splits:
        assert split.schema.equals(plan.schema), f"split {split.number} has another schema than its plan"
    tables = [read_split(connector, split) for split in plan.splits]
    return pa.concat_tables(tables) if tables else _table([], plan.schema)


def raw(
    connector: Connector,
    table: TableRef,
    columns: Iterable[str],
    predicates: tuple[Predicate, ...] = (),
    splits: int = 1,
) -> tuple[ScanPlan, pa.Table]:
    """The plan, and what the source gives for it."""
    plan = tables_of(connector).plan(ScanRequest(table, tuple(columns), predicates, splits))
    assert tuple(plan.schema.names[: len(plan.request.columns)]) == plan.request.columns
    return plan, read(connector, plan)


def scan(
    connector: Connector,
    table: TableRef,
    columns: Iterable[str],
    predicates: tuple[Predicate, ...] = (),
    splits: int = 1,
) -> pa.Table:
    """What an executor makes of it: filtered again where the source was not exact, and only the wanted columns."""
    plan, rows = raw(connector, table, columns, predicates, splits)
    if plan.residual:
        kept = [kit_filter.apply(batch, plan.residual) for batch in rows.to_batches()]
        rows = _table(kept, plan.schema)
    return rows.select(list(plan.request.columns)) if plan.request.columns else rows


def assert_no_secret(config: ConnectionConfig, *things: object) -> None:
    """No secret of the connection is in their texts, tracebacks or pickles, as it is, URL-quoted or in base64."""
    secrets = [secret.reveal() for secret in config.secrets.values() if secret.reveal()]
    forms = [form.encode() for text in secrets for form in _forms(text)]
    for thing in things:
        seen = repr(thing).encode() + str(thing).encode()
        if isinstance(thing, BaseException):
            seen += "".join(traceback.format_exception(thing)).encode()
        seen += pickle.dumps(thing)
        for form in forms:
            # The secret itself is kept out of the message too.
            assert form not in seen, f"a secret of `{config.name}` is in {type(thing).__name__}"


def _forms(text: str) -> set[str]:
    encoded = base64.b64encode(text.encode()).decode()
    return {
        text,
        urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus(text),
        encoded.rstrip("="),
        repr(text)[1:-1],
    }


def _table(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    if not schema.names:
        # A table without columns has no row count: one column carries it.
        return pa.table({"rows": pa.nulls(sum(batch.num_rows for batch in batches))})
    return pa.Table.from_batches(batches, schema)
