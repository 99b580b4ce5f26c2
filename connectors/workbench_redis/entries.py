"""Entries of a stream as rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.kit import records

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["META", "Entries", "Entry", "milliseconds", "ordered", "sampled", "schema_of"]

META = ("entry_id", "entry_time")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|-?inf")
"""As numbers are written, and not all that Python reads as one."""
Entry = tuple[bytes, Mapping[bytes, bytes]]


def ordered(entry_id: str) -> tuple[int, int]:
    """Ids are two numbers. Raises ValueError."""
    first, _, second = entry_id.partition("-")
    return int(first), int(second or 0)


def milliseconds(entry_id: str) -> int | None:
    """The time in it; ids of people's own may be any number."""
    at = ordered(entry_id)[0]
    return at if at < 253_402_300_800_000 else None


def sampled(entries: Iterable[Entry]) -> dict[str, str]:
    """What the fields' texts look like: whole numbers and doubles as they would be written, else text."""
    found: dict[str, str] = {}
    for _, fields in entries:
        for name, value in fields.items():
            kind, key = _kind(value), _text(name)
            before = found.get(key, kind)
            same = before == kind or {before, kind} <= {"integer", "double"}
            found[key] = before if before == kind else "double" if same else "string"
    return found


def _kind(data: bytes) -> str:
    text = _text(data)
    if text[:1] in "-0123456789" and text and len(text) <= 20:
        try:
            if str(int(text)) == text and -(2**63) <= int(text) < 2**63:
                return "integer"
        except ValueError:
            pass
    try:
        number = float(text)
    except ValueError:
        return "string"
    return "double" if repr(number) == text else "string"


def schema_of(kinds: Mapping[str, str], hide_meta: bool) -> pa.Schema:
    import pyarrow as pa

    meta = [] if hide_meta else [
        pa.field("entry_id", pa.string(), metadata={b"source_type": b"id", b"key": b"primary"}),
        pa.field("entry_time", pa.timestamp("ms", "UTC"), metadata={b"source_type": b"time of the id"}),
    ]  # fmt: skip
    own = {name: kind for name, kind in kinds.items() if hide_meta or name not in META}
    return pa.schema(
        [*meta, *(pa.field(n, records.arrow(k), metadata={b"source_type": k.encode()}) for n, k in own.items())]
    )


class Entries:
    """Makes batches of entries. `lost` counts values that a column cannot hold."""

    def __init__(self, kinds: Mapping[str, str], hide_meta: bool) -> None:
        self.kinds, self.hide_meta = dict(kinds), hide_meta
        self.lost: dict[str, int] = {}

    @property
    def schema(self) -> pa.Schema:
        return schema_of(self.kinds, self.hide_meta)

    def widened(self, entries: Sequence[Entry]) -> bool:
        """Whether they have fields that there is no column for; there is one then."""
        more = {name: kind for name, kind in sampled(entries).items() if name not in self.kinds}
        more = {name: kind for name, kind in more.items() if self.hide_meta or name not in META}
        self.kinds.update(more)
        return bool(more)

    def batch(self, entries: Sequence[Entry], names: Sequence[str] | None = None) -> pa.RecordBatch:
        import pyarrow as pa

        schema = self.schema
        wanted = schema if names is None else pa.schema([schema.field(name) for name in names])
        columns = [self._column(field.name, field.type, entries) for field in wanted]
        return pa.RecordBatch.from_arrays(columns, schema=wanted)

    def _column(self, name: str, kind: pa.DataType, entries: Sequence[Entry]) -> pa.Array:
        import pyarrow as pa

        if name in META and not self.hide_meta:
            ids = [_text(entry) for entry, _ in entries]
            return pa.array(ids if name == "entry_id" else [milliseconds(one) for one in ids], kind)
        key, said = name.encode(), self.kinds[name]
        texts = [fields.get(key) for _, fields in entries]
        values = [None if one is None else _as(_text(one), said) for one in texts]
        lost = sum(value is None and text is not None for value, text in zip(values, texts, strict=True))
        if lost:
            self.lost[name] = self.lost.get(name, 0) + lost
        return pa.array(values, kind)


def _as(text: str, kind: str) -> Any:
    if kind == "integer":
        return number if _WHOLE.fullmatch(text) and -(2**63) <= (number := int(text)) < 2**63 else None
    if kind == "double":
        whole = _WHOLE.fullmatch(text)
        there = float(text) if whole or _NUMBER.fullmatch(text) else None
        return None if whole and int(text) != there else there  # no neighbour of it
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    return text


def _text(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode(errors="backslashreplace")


def written(value: Any) -> bytes | str:
    """A value as a field's text, so that it is read as it was."""
    if isinstance(value, bytes | str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
