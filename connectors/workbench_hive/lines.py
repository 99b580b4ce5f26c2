"""The text that LazySimpleSerDe reads, as columns: lines of fields, some of them NULL, none of them quoted.

Lines end with a newline, a carriage return, or both. A line may have too few fields, the others being NULL, or too
many. What stands for NULL is compared before anything is unescaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from workbench_hive.layouts import Layout
from workbench_hive.remote import RemoteFile

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NotText", "fields", "values"]

_BLOCK = 4 << 20
_LONGEST = 1 << 28
_MARK = b"\xef\xbb\xbf"
_UNESCAPED = {"n": "\n", "r": "\r"}
_WHOLE = r"^-?[0-9]{1,19}$"
_CANONICAL = {
    "int8": _WHOLE, "int16": _WHOLE, "int32": _WHOLE, "int64": _WHOLE,
    "float": r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?$",
    "double": r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?$",
    "decimal128": r"^-?[0-9]+(?:\.[0-9]+)?$",
    "date32[day]": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "bool": r"^(?i:true|false)$",
}  # fmt: skip
"""What means the same to everybody; the server makes values of more texts, and NULL of the rest."""


class NotText(Exception):
    """A text that is no plain value of its column's type; the arguments are the row in the array, the text, and why."""


def fields(file: BinaryIO | RemoteFile, layout: Layout, wanted: Sequence[int]) -> Iterator[tuple[int, list[pa.Array]]]:
    """Rows, and the texts of the columns with those numbers. Raises UnicodeDecodeError."""
    left, first = layout.skipped, True
    for block in _blocks(file):
        if first:
            block, first = block.removeprefix(_MARK), False
        lines = _lines(block)
        gone = min(left, len(lines))
        left -= gone
        lines = lines.slice(gone)
        if len(lines):
            yield len(lines), _columns(lines, layout, wanted)


def _blocks(file: BinaryIO | RemoteFile) -> Iterator[bytes]:
    """Whole lines, each ended by one newline."""
    rest = b""
    while piece := file.read(_BLOCK):
        block = rest + piece
        # A carriage return at the end may be half of what ends a line.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
        if end == 0 and len(block) > _LONGEST:
            raise OverflowError(f"a line of more than {_LONGEST:,} bytes")
        whole, rest = block[:end], block[end:]
        if whole:
            yield _ended(whole)
    if rest:
        yield _ended(rest)


def _ended(block: bytes) -> bytes:
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return block if block.endswith(b"\n") else block + b"\n"


def _lines(block: bytes) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not block.isascii():
        block.decode()  # or an error
    whole = pa.array([block[:-1]], pa.binary()).cast(pa.large_string())
    return pc.split_pattern(whole, "\n").values.cast(pa.string())


def _columns(lines: pa.Array, layout: Layout, wanted: Sequence[int]) -> list[pa.Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not wanted:
        return []
    found = pc.split_pattern(lines, chr(layout.separator))
    starts, counts = found.offsets.slice(0, len(lines)), pc.list_value_length(found)
    texts, columns = found.values, []
    for number in wanted:
        at = pc.if_else(pc.greater(counts, number), pc.add(starts, number), pa.scalar(None, pa.int32()))
        columns.append(texts.take(at))
    if layout.escape >= 0:
        escaped = pc.match_substring(lines, chr(layout.escape))
        if escaped.true_count:
            return _unescaped(lines, escaped, columns, layout, wanted)
    return [_null(column, layout.null) for column in columns]


def _null(column: pa.Array, text: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(column, text), pa.scalar(None, pa.string()), column)


def _unescaped(
    lines: pa.Array, escaped: pa.Array, columns: Sequence[pa.Array], layout: Layout, wanted: Sequence[int]
) -> list[pa.Array]:
    """The lines in which something is escaped are read one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = [_split(line, layout) for line in lines.filter(escaped).to_pylist()]
    made = []
    for column, number in zip(columns, wanted, strict=True):
        plain = _null(column, layout.null)
        others = pa.array([row[number] if number < len(row) else None for row in rows], pa.string())
        made.append(pc.replace_with_mask(plain, escaped, others))
    return made


def _split(line: str, layout: Layout) -> list[str | None]:
    escape, separator = chr(layout.escape), chr(layout.separator)
    raw, plain, letters = "", "", iter(line)
    found: list[str | None] = []
    for letter in letters:
        if letter == separator:
            found.append(None if raw == layout.null else plain)
            raw, plain = "", ""
            continue
        raw += letter
        if letter == escape and (following := next(letters, "")):
            raw += following
            letter = _UNESCAPED.get(following, following)
        plain += letter
    return [*found, None if raw == layout.null else plain]


def values(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Those texts as values. Raises NotText where one means something to the server only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(kind):
        return texts
    texts = _null(texts, "")
    plain = pc.match_substring_regex(texts, _CANONICAL["decimal128" if pa.types.is_decimal(kind) else str(kind)])
    if plain.false_count:
        row = pc.index(plain, False).as_py()
        raise NotText(row, texts[row].as_py(), f"is not plainly {kind}")
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        row = next(row for row, text in enumerate(texts) if not _castable(text, kind))
        raise NotText(row, texts[row].as_py(), f"is not {kind}") from None


def _castable(text: pa.Scalar, kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
