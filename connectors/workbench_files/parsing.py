"""Lines that were written to a file, as rows of its table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.json as json

from workbench.kit.tailing import Block
from workbench_files import text
from workbench_files.folder import FoundTable
from workbench_files.unify import named_type, settled, unified

__all__ = ["parsed"]


def parsed(block: Block, table: FoundTable, schema: pa.Schema | None) -> pa.RecordBatch | None:
    """The rows of a block, with the columns that are known, and more where its lines have more. None where it has no
    row. Raises ArrowException, Conflict and UnicodeError for lines that are none of the table's."""
    if table.format == "jsonl":
        return _json(block.data, table, schema)
    if table.format == "csv":
        return _csv(block, table, schema)
    lines = [line.decode(errors="replace") for line in block.lines()]
    return pa.RecordBatch.from_arrays([pa.array(lines, pa.string())], names=["line"]) if lines else None


def _json(data: bytes, table: FoundTable, schema: pa.Schema | None) -> pa.RecordBatch | None:
    if not data.strip():
        return None
    data.decode()  # pyarrow takes bytes that are not UTF-8 for text
    read = json.ReadOptions(use_threads=False, block_size=max(1 << 16, len(data) + 1))
    if schema is not None:
        try:
            known = json.ParseOptions(schema, unexpected_field_behavior="error")
            return _one(json.read_json(pa.BufferReader(data), read, known), schema)
        except pa.ArrowInvalid:
            pass  # a new field, or a wider value; or it is no JSON, which is said again below
    given = {name: named_type(kind) for name, kind in table.settings.get("types", {}).items()}
    parse = json.ParseOptions(pa.schema(list(given.items())), unexpected_field_behavior="infer") if given else None
    found = json.read_json(pa.BufferReader(data), read, parse).schema
    found = pa.schema([column.with_type(settled(column.type)) for column in found])
    wide = found if schema is None else unified([("before", schema), ("now", found)], guessed=False)
    again = json.ParseOptions(wide, unexpected_field_behavior="error")
    return _one(json.read_json(pa.BufferReader(data), read, again), wide)


def _csv(block: Block, table: FoundTable, schema: pa.Schema | None) -> pa.RecordBatch | None:
    settings, data = table.settings, block.data
    data.decode()
    has_header = bool(settings.get("header", True)) and "columns" not in settings
    skipped = int(settings.get("skip_rows", 0)) if block.start == 0 else 0
    if schema is None and has_header and block.start:
        raise pa.ArrowInvalid("its header was not seen: follow it from the beginning")
    names = schema.names if schema is not None else settings.get("columns")
    lines = data.count(b"\n") + (not data.endswith(b"\n"))  # a file's last line may have no end
    if has_header and block.start == 0 and lines > skipped:
        head = _header(block, table, skipped)
        if names is None or head == list(names):
            skipped, names = skipped + 1, head
        elif set(head) & set(names):
            raise pa.ArrowInvalid(f"its header is {', '.join(head)}, and was {', '.join(names)} before")
        else:  # it was cut, and is written on by who wrote the header long ago
            skipped = 0
    if lines <= skipped or names is None:
        return None
    read = csv.ReadOptions(use_threads=False, block_size=len(data) + 1, skip_rows=skipped, column_names=list(names))
    types = {} if schema is None else {column.name: column.type for column in schema}
    found = csv.read_csv(
        pa.BufferReader(data), read, text.csv_parse(block.path, settings), text.convert(settings, types)
    )
    wide = schema or pa.schema([column.with_type(settled(column.type)) for column in found.schema])
    return _one(found, wide)


def _header(block: Block, table: FoundTable, skipped: int) -> list[str]:
    read = csv.ReadOptions(use_threads=False, skip_rows=skipped, block_size=len(block.data) + 1)
    first = csv.open_csv(pa.BufferReader(block.data), read, text.csv_parse(block.path, table.settings))
    return list(first.schema.names)


def _one(found: pa.Table, schema: pa.Schema) -> pa.RecordBatch | None:
    if not found.num_rows:
        return None
    found = found.select(schema.names).cast(schema).combine_chunks()
    batches = found.to_batches()
    return batches[0] if batches else None
