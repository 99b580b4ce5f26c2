"""`wb.write`: a result goes to a table of a writable connection, as a run that can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import UnknownTable, Unsupported, UsageError
from workbench.contract.scan import TableRef
from workbench.execution import watchdog
from workbench.query.delivery import Stream
from workbench.query.result import Result
from workbench.query.tokens import tokens
from workbench.query.watching import watched
from workbench.query.write import WriteReport, write_table

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.catalog import Catalog
    from workbench.execution.stop import Watch
    from workbench.runs import Register

__all__ = ["parts_of", "written"]


def written(
    catalog: Catalog,
    register: Register,
    watch: Watch,
    result: Any,
    table: str,
    mode: str,
    key: Sequence[str],
    create: bool,
) -> WriteReport:
    """See `Session.write`."""
    keys = (key,) if isinstance(key, str) else tuple(key)  # one name is one column, not its letters
    name, target = _target(catalog, table)
    sinks = catalog.open(name).sinks
    if sinks is None:
        raise Unsupported(f"Connection `{name}`", "be written to")
    with result.stream() if isinstance(result, Result) else _foreign(result) as rows:
        run = register.begin("write", f"write {name}.{target}", connections=(name,))
        asked = threading.Event()

        def stop() -> None:
            asked.set()
            if isinstance(rows, Stream):  # the source may be silent
                rows.stop()

        with watched(watch, run, stop):
            manifest = catalog.manifest(name)
            if manifest.capabilities.cancel:
                watchdog.ensure(register.path, catalog.config(name), manifest)
            report = write_table(
                rows, name, sinks, target, mode=mode, key=keys, create=create, run=run, stopped=asked.is_set
            )
    catalog.refresh(name)
    return report


def parts_of(table: str) -> list[str]:
    """The two or three names that a table's are. Raises UsageError."""
    words = tokens(table) if isinstance(table, str) else []
    parts = [token.name for token in words[::2]]
    dots = [token.text for token in words[1::2]]
    if len(parts) not in (2, 3) or dots != ["."] * (len(parts) - 1):
        raise UsageError(
            f"`{table}` is no table of a connection. Write `connection.table` or `connection.schema.table`."
        )
    return parts


def _target(catalog: Catalog, table: str) -> tuple[str, TableRef]:
    parts = parts_of(table)
    name: str = catalog.saved(parts[0]).name
    try:
        return catalog.resolve(parts)
    except UnknownTable:
        return name, TableRef(parts[-1], parts[1] if len(parts) == 3 else None)


def _foreign(rows: Any) -> pa.RecordBatchReader:
    """Rows that are no result's: whatever has an Arrow stream."""
    import pyarrow as pa

    if not hasattr(rows, "__arrow_c_stream__"):
        kind = type(rows).__name__
        raise UsageError(
            f"The rows to write are of the type `{kind}`. Give a result, a polars or pandas frame or an Arrow table, "
            "for example `polars.DataFrame(rows)`."
        )
    return pa.RecordBatchReader.from_stream(rows)
