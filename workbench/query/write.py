"""Writing a result: to a file, which appears whole or not at all, and to a table through its connector's sink."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.connector import Connector
from workbench.contract.errors import Cancelled, PathUnreachable, SourceError, Unsupported, UsageError
from workbench.contract.scan import TableRef
from workbench.query.jsonlines import lines

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["WriteReport", "write_file", "write_stream", "write_table"]


@dataclass(frozen=True)
class WriteReport:
    """What came of a write. `rejected` rows were refused by the target, a few of them with their reason in
    `samples`; the others are there."""

    table: str
    rows: int
    rejected: int
    samples: tuple[str, ...]
    guarantee: Guarantee
    seconds: float

    def __repr__(self) -> str:
        refused = f", {self.rejected:,} refused by the target: {'; '.join(self.samples)}" if self.rejected else ""
        return f"{self.rows:,} rows written to {self.table} in {self.seconds:.2f} s{refused}"


def write_file(reader: pa.RecordBatchReader, path: str | os.PathLike[str], suffix: str = "") -> int:
    """The format is the path's suffix's, or that of `suffix`. An older file of that name stays until the new one is
    whole."""
    target = Path(path).expanduser()
    suffix = suffix or target.suffix.lower()
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}")
    with reader:
        if suffix not in _FORMATS:
            raise UsageError(f"`{target.name}` has no known suffix. Known are {', '.join(_FORMATS)}.")
        try:
            with open(beside, "xb") as file:
                rows = write_stream(reader, file, suffix)
                os.fsync(file.fileno())
            os.replace(beside, target)
        except OSError as error:
            raise PathUnreachable(str(target), error.strerror or str(error)) from None
        finally:
            beside.unlink(missing_ok=True)
    return rows


def write_stream(reader: pa.RecordBatchReader, file: BinaryIO, suffix: str) -> int:
    """All rows, in the format of that suffix, each batch passed on at once."""
    rows = 0
    with _FORMATS[suffix](file, reader.schema) as write:
        for batch in reader:
            write(batch)
            file.flush()
            rows += batch.num_rows
    file.flush()
    return rows


@contextlib.contextmanager
def _parquet(file: Any, schema: pa.Schema) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        yield writer.write_batch


@contextlib.contextmanager
def _arrow(file: Any, schema: pa.Schema) -> Any:
    with pa.ipc.new_file(file, schema) as writer:
        yield writer.write_batch


@contextlib.contextmanager
def _csv(file: Any, schema: pa.Schema) -> Any:
    import pyarrow.csv as pacsv

    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested:
        raise UsageError(
            f"CSV has no lists or structs; `{nested[0]}` is one. Write .parquet or .json, or select its parts."
        )
    texts = {at for at, field in enumerate(schema) if _has_no_csv(field.type)}
    written = pa.schema([field.with_type(pa.string()) if at in texts else field for at, field in enumerate(schema)])

    def write(batch: pa.RecordBatch) -> None:
        columns = [_as_text(column) if at in texts else column for at, column in enumerate(batch.columns)]
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=written))

    with pacsv.CSVWriter(file, written) as writer:
        yield write


def _has_no_csv(kind: pa.DataType) -> bool:
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(binary or pa.types.is_binary_view(kind) or pa.types.is_duration(kind))


def _as_text(column: pa.Array) -> pa.Array:
    """Bytes in base64 and durations in words, as in JSON."""
    texts = [base64.b64encode(one).decode() if isinstance(one, bytes) else one for one in column.to_pylist()]
    return pa.array([one if one is None else str(one) for one in texts], pa.string())


@contextlib.contextmanager
def _json(file: Any, schema: pa.Schema) -> Any:
    yield lambda batch: file.write(lines(batch))


_FORMATS: dict[str, Callable[[Any, pa.Schema], Any]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".json": _json,
    ".jsonl": _json,
    ".ndjson": _json,
}


def write_table(
    reader: pa.RecordBatchReader,
    connection: str,
    connector: Connector,
    table: TableRef,
    *,
    mode: str,
    key: Sequence[str],
    create: bool,
    run: Run,
    stopped: Callable[[], bool],
) -> WriteReport:
    """All rows in one commit, so that a target with transactions has all of them or none."""
    sinks = connector.sinks
    if sinks is None:
        raise Unsupported(f"Connection `{connection}`", "be written to")
    started, rows, rejected = time.monotonic(), 0, 0
    samples: list[str] = []
    try:
        with reader:
            writer = sinks.open(table, WriteSpec(reader.schema, mode, tuple(key), create))
            try:
                for number, batch in enumerate(_numbered(reader)):
                    if stopped():
                        raise Cancelled("The write")
                    at = Position(f"workbench:{run.id}", str(number))
                    refused: Rejects = writer.write(Changes(table, batch, None, at, at), number)
                    rows += batch.num_rows
                    rejected += refused.count
                    samples += refused.samples
                    run.progress(rows, 0)
                if stopped():
                    raise Cancelled("The write")
                writer.commit(None)
            finally:
                writer.close()
    except SourceError as error:
        error.connection = error.connection or connection
        raise
    return WriteReport(
        f"{connection}.{table}",
        rows - rejected,
        rejected,
        tuple(samples[:10]),
        writer.guarantee,
        time.monotonic() - started,
    )


def _numbered(reader: pa.RecordBatchReader) -> Iterable[pa.RecordBatch]:
    return (batch for batch in reader if batch.num_rows)
