"""How a table's files are to be read, by what the metastore says of them; or why that is left to the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench_hive.metastore import Place
from workbench_hive.types import HiveType

__all__ = ["PLAIN", "Layout", "Refusal", "layout_of"]

PLAIN = frozenset(
    ("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "string", "binary", "decimal", "date")
)
"""Types whose values mean the same without the server, which cuts VARCHAR, pads CHAR, and shifts TIMESTAMP by the
writer's zone."""
_HIVE = "org.apache.hadoop.hive."
_FORMATS = {
    (f"{_HIVE}ql.io.parquet.MapredParquetInputFormat", f"{_HIVE}ql.io.parquet.serde.ParquetHiveSerDe"): "parquet",
    (f"{_HIVE}ql.io.orc.OrcInputFormat", f"{_HIVE}ql.io.orc.OrcSerde"): "orc",
    ("org.apache.hadoop.mapred.TextInputFormat", f"{_HIVE}serde2.lazy.LazySimpleSerDe"): "text",
}
"""By input format and SerDe."""
_ODD = {
    "parquet": ("parquet.column.index.access",),
    "orc": ("orc.force.positional.evolution",),
    "text": ("serialization.last.column.takes.rest", "hive.lazysimple.extended_boolean_literal",
             "serialization.escape.crlf", "skip.footer.line.count"),
}  # fmt: skip
"""Properties that change how values are found, which is not known here."""
_OFF = ("", "false", "0")


class Refusal(Exception):
    """Why a table is read through HiveServer2 all the same."""


@dataclass(frozen=True)
class Layout:
    """`format` is parquet, orc or text. `names` are the columns in the files' order. The rest is of text: the byte
    between fields, the one that escapes (-1: none), what stands for NULL, and lines to leave out at the beginning."""

    format: str
    names: tuple[str, ...]
    separator: int = 1
    escape: int = -1
    null: str = "\\N"
    skipped: int = 0


def layout_of(place: Place, table: Mapping[str, str], types: Mapping[str, HiveType], used: Sequence[str]) -> Layout:
    """`table` are the table's own parameters, which go before the SerDe's; `types` those of the columns outside its
    partitions. Raises Refusal."""
    form = _FORMATS.get((place.format, place.serde))
    if form is None:
        short = place.serde.rpartition(".")[2] or place.format.rpartition(".")[2]
        raise Refusal(f"its files are read by {short or 'something unnamed'}, which is not known here")
    if [(name, _bare(kind)) for name, kind in place.columns] != [
        (name, _bare(kind.spelled)) for name, kind in types.items()
    ]:
        raise Refusal("some of its files have other columns than the table")
    said = {**place.parameters, **table}
    for name in _ODD[form]:
        if said.get(name, "").lower() not in _OFF:
            raise Refusal(f"it has the property {name}={said[name][:40]}")
    if form != "text":
        return Layout(form, tuple(types))
    for name in used:
        if types[name].name == "binary" or types[name].inner:
            raise Refusal(f"`{name}` is {'nested' if types[name].inner else 'binary'} in text")
    return _text(tuple(types), said)


def _bare(kind: str) -> str:
    return kind.replace(" ", "").lower()


def _text(names: tuple[str, ...], said: Mapping[str, str]) -> Layout:
    if said.get("line.delim", "\n") != "\n":
        raise Refusal("its lines do not end with a newline")
    if said.get("serialization.encoding", "UTF-8").upper() not in ("UTF-8", "UTF8"):
        raise Refusal(f"its text is {said['serialization.encoding'][:40]}")
    skipped = said.get("skip.header.line.count", "") or "0"
    if not (skipped.isascii() and skipped.isdigit() and int(skipped) < 1000):
        raise Refusal(f"it has the property skip.header.line.count={skipped[:40]}")
    separator = _byte(said.get("field.delim") or said.get("serialization.format"), 1)
    escape = _byte(said["escape.delim"], ord("\\")) if "escape.delim" in said else -1
    null = said.get("serialization.null.format", "\\N")
    if separator in (0, 10, 13, escape) or escape in (0, 10, 13):
        raise Refusal("its fields end with a byte that is not told apart here")
    return Layout("text", names, separator, escape, null, int(skipped))


def _byte(text: str | None, usual: int) -> int:
    """As the SerDe reads such a property: a number, or the first letter."""
    if not text:
        return usual
    try:
        number = int(text) if text.isascii() else 128
    except ValueError:
        number = ord(text[0])
    if not 0 <= number <= 127:
        raise Refusal(f"its fields end with {text[:10]!r}")
    return number
