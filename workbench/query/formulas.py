"""Text that a spreadsheet would run as a formula, made harmless in CSV."""

from __future__ import annotations

from collections.abc import Generator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from workbench.query.delivery import Stream

__all__ = ["guarded", "harmless", "is_text"]

# What a spreadsheet would run, also behind blanks, quotes and signs that are not seen, and in full width. A number with
# its sign is a number.
_FORMULA = r'^(?:[\s\pZ\pC"]*[=+\-@|%\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|[\t\r\n])'
_NUMBER = r"^-[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"


def guarded(column: pa.Array) -> pa.Array:
    """Texts with an apostrophe before those that a spreadsheet would take for a formula."""
    risky = pc.match_substring_regex(column, _FORMULA)
    if pc.any(risky).as_py() is not True:
        return column
    risky = pc.and_(risky, pc.invert(pc.match_substring_regex(column, _NUMBER)))
    quoted = pc.binary_join_element_wise(pa.scalar("'", column.type), column, pa.scalar("", column.type))
    return pc.if_else(risky, quoted, column)


def is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def harmless(rows: Stream) -> Stream:
    """The same rows with their texts, and their columns' names, guarded."""
    names = guarded(pa.array(rows.schema.names, pa.string())).to_pylist()
    schema = pa.schema([field.with_name(name) for field, name in zip(rows.schema, names, strict=True)])
    texts = {at for at, field in enumerate(schema) if is_text(field.type)}

    def batches() -> Generator[pa.RecordBatch, None, None]:
        with rows:
            for batch in rows:
                columns = [guarded(one) if at in texts else one for at, one in enumerate(batch.columns)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return Stream(schema, batches(), rows.stop)
