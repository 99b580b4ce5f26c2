"""Writing a result: to a file, which appears whole or not at all, and to a table through its connector's sink."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.connector import Sinks
from workbench.contract.errors import Cancelled, PathUnreachable, SourceError, UsageError
from workbench.contract.scan import TableRef
from workbench.kit.halfmade import HalfMade, sweep
from workbench.query.explain import counted
from workbench.query.far_dates import far, far_as_text
from workbench.query.jsonlines import lines

if TYPE_CHECKING:
    from workbench.query.delivery import Stream
    from workbench.runs import Run

__all__ = ["WriteReport", "encoder", "whole_file", "write_file", "write_stream", "write_table"]


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
        return f"{counted(self.rows, 'row')} written to {self.table} in {self.seconds:.2f} s{refused}"


def write_file(rows: Callable[[], Stream], path: str | os.PathLike[str], suffix: str = "") -> int:
    """The format is the path's suffix's, or that of `suffix`. An older file of that name stays until the new one is
    whole. `rows` is asked for them once it is known where they go. Raises UsageError, PathUnreachable."""
    target = _target(path)
    suffix = suffix or Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(f"`{Path(path).name}` has no known suffix. Known are {', '.join(_FORMATS)}.")
    with rows() as stream, whole_file(target) as file:
        return write_stream(stream, file, suffix)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that appears under that name when all went well, and not at all else. A device or a pipe, which is no
    file to be replaced, is written to as it is. Raises UsageError, PathUnreachable."""
    target = _target(path)
    half: HalfMade | None = None
    try:
        if target.exists() and not target.is_file():
            with open(target, "wb") as file:
                yield file
            return
        sweep(target.parent.glob(".workbench-" + "[0-9a-f]" * 12))  # of processes that were killed
        half = HalfMade(target.with_name(f".workbench-{secrets.token_hex(6)}"))  # short, whatever the target's length
        with open(half.path, "wb") as file:
            yield file
            os.fsync(file.fileno())
        os.replace(half.path, target)
    except OSError as error:
        raise PathUnreachable(str(target), error.strerror or str(error), act="write") from None
    finally:
        if half is not None:
            half.path.unlink(missing_ok=True)
            half.release()


def _target(path: str | os.PathLike[str]) -> Path:
    """Where a link leads, so that the link stays one."""
    try:
        text = os.fspath(path)
    except TypeError:
        raise UsageError(f"A path is text, not {path!r}. Write `result.write('name.parquet')`.") from None
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{text!r} is no path of a file. Write `result.write('name.parquet')`.")
    target = Path(text).expanduser()
    try:
        if target.is_symlink():
            target = target.resolve()
        if target.is_dir() or text.endswith(os.sep):
            raise UsageError(f"`{text}` is a folder. Name a file in it: `{Path(text) / 'name.parquet'}`.")
    except (OSError, RuntimeError) as error:  # a link in a circle, a name that is too long
        raise PathUnreachable(text, getattr(error, "strerror", None) or str(error), act="write") from None
    return target


def write_stream(rows: Stream, file: BinaryIO, suffix: str) -> int:
    """All rows, in the format of that suffix, each batch passed on at once. Raises UsageError where the format cannot
    hold them."""
    count = 0
    with contextlib.ExitStack() as stack:
        try:
            write = stack.enter_context(_FORMATS[suffix](file, rows.schema))
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise _no_place(rows.schema, suffix, error) from None
        for batch in rows:
            write(batch)
            file.flush()
            count += batch.num_rows
    file.flush()
    return count


def encoder(file: Any, schema: pa.Schema, suffix: str) -> contextlib.AbstractContextManager[Any]:
    """For a `with`: what writes a batch to the file, in the format of that suffix. Raises UsageError where the format
    cannot hold such columns."""
    try:
        made: contextlib.AbstractContextManager[Any] = _FORMATS[suffix](file, schema)
        with _FORMATS[suffix](pa.BufferOutputStream(), schema):
            return made
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _no_place(schema, suffix, error) from None


def _no_place(schema: pa.Schema, suffix: str, error: Exception) -> UsageError:
    """Which column it is that the format cannot hold."""
    for field in schema:
        try:
            with _FORMATS[suffix](pa.BufferOutputStream(), pa.schema([field])):
                continue
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
            kind = "a union" if pa.types.is_union(field.type) else f"of the type {field.type}"
            return UsageError(
                f"{suffix} cannot hold column `{field.name}`, which is {kind}. Select its parts or cast it "
                f"(`{field.name}::varchar`), or write .arrow or .json."
            )
    return UsageError(f"{suffix} cannot hold these columns: {error}. Write .arrow or .json.")


@contextlib.contextmanager
def _parquet(file: Any, schema: pa.Schema) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
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
        distant = [far(column) for column in columns]
        if any(distant):  # as text, which the writer is not made for
            columns = [far_as_text(one) if away else one for one, away in zip(columns, distant, strict=True)]
            plain = pacsv.WriteOptions(include_header=False)
            pacsv.write_csv(pa.RecordBatch.from_arrays(columns, names=written.names), file, plain)
            return
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
    rows: Stream | pa.RecordBatchReader,
    connection: str,
    sinks: Sinks,
    table: TableRef,
    *,
    mode: str,
    key: Sequence[str],
    create: bool,
    run: Run,
    stopped: Callable[[], bool],
) -> WriteReport:
    """All rows in one commit, so that a target with transactions has all of them or none."""
    started, count, rejected = time.monotonic(), 0, 0
    samples: list[str] = []
    try:
        writer = sinks.open(table, WriteSpec(rows.schema, mode, tuple(key), create))
        try:
            for number, batch in enumerate(_numbered(rows)):
                if stopped():
                    raise Cancelled("The write")
                at = Position(f"workbench:{run.id}", str(number))
                refused: Rejects = writer.write(Changes(table, batch, None, at, at), number)
                count += batch.num_rows
                rejected += refused.count
                samples += refused.samples
                run.progress(count, 0)
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
        count - rejected,
        rejected,
        tuple(samples[:10]),
        writer.guarantee,
        time.monotonic() - started,
    )


def _numbered(rows: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    return (batch for batch in rows if batch.num_rows)
