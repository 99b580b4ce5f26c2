"""The same rows in any store that can be written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.contract.change import Changes, Position, WriteSpec
from workbench.contract.connector import Connector
from workbench.contract.errors import DataError, UnknownTable, Unsupported
from workbench.contract.scan import BATCH_ROWS, TableRef

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KEYS", "load", "reader", "write"]

KEYS = {"customers": ("customer_id",), "items": ("item_id",), "orders": ("order_id",), "events": ("event_id",)}
_COMMIT_ROWS = 500_000

Progress = Callable[[str, float], None]


def reader(folder: Path, table: str, unit: str = "microseconds") -> tuple[pa.Schema, int, Iterable[pa.RecordBatch]]:
    """Schema, number of rows, and the rows of a table of the demo in `folder`, in the order of the key. `unit` is
    what its times are cut to."""
    import duckdb

    if table not in KEYS:
        raise UnknownTable(table, KEYS)
    engine = duckdb.connect()
    if table == "events":
        source = f"read_parquet('{_quoted(folder / 'web' / 'events')}/*.parquet')"
    else:
        engine.execute(f"attach '{_quoted(folder / 'shop.duckdb')}' as shop (read_only)")
        source = f"shop.{table}"
    ((total,),) = engine.execute(f"select count(*) from {source}").fetchall()
    cut = f"date_trunc('{unit}', {{column}})" if unit != "microseconds" else "{column}"
    listed = ", ".join(
        f"{cut.format(column=name)} as {name}" if kind == "TIMESTAMP" else name
        for name, kind, *_ in engine.execute(f"describe from {source}").fetchall()
    )
    rows = engine.sql(f"select {listed} from {source} order by {KEYS[table][0]}").to_arrow_reader(BATCH_ROWS)
    assert rows is not None
    return rows.schema, total, rows


def load(
    connector: Connector,
    folder: Path,
    *,
    tables: Sequence[str] = tuple(KEYS),
    schema: str | None = None,
    mode: str = "insert",
    unit: str = "microseconds",
    progress: Progress | None = None,
) -> dict[str, int]:
    """Writes the tables of the demo in `folder` through the connector's sinks, making them where they are not there.
    Returns the rows of each. Raises Unsupported where nothing can be written, DataError when the store refuses rows."""
    report = progress or (lambda what, fraction: None)
    written: dict[str, int] = {}
    for table in tables:
        columns, total, batches = reader(folder, table, unit)
        told = functools.partial(_told, report, table, total)
        spec = WriteSpec(columns, mode=mode, key=KEYS[table], create=True)
        written[table] = write(connector, TableRef(table, schema), spec, batches, told)
    return written


def write(
    connector: Connector,
    target: TableRef,
    spec: WriteSpec,
    batches: Iterable[pa.RecordBatch],
    told: Callable[[int], None] = lambda rows: None,
) -> int:
    """Writes the rows and returns their number; `told` hears how many there are so far. Raises as `load`."""
    sinks = connector.sinks
    if sinks is None:
        raise Unsupported("This connection", "be written")
    writer = sinks.open(target, spec)
    try:
        done = kept = 0
        for number, batch in enumerate(batches):
            place = Position("demo", str(done + batch.num_rows))
            refused = writer.write(Changes(target, batch, None, Position("demo", str(done)), place), number)
            if refused.count:
                why = "; ".join(refused.samples) or "no reason given"
                raise DataError("*", done, f"{refused.count} rows", f"were refused: {why}")
            done += batch.num_rows
            if done - kept >= _COMMIT_ROWS:
                writer.commit(place)
                kept = done
            told(done)
        writer.commit(Position("demo", str(done)))
    finally:
        writer.close()
    return done


def _told(report: Progress, table: str, total: int, done: int) -> None:
    report(table, done / max(total, 1))


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
