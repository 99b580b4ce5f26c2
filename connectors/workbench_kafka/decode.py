"""Messages as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.kit import records

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["META", "Messages", "Shape", "value_of"]

META = ("kafka_partition", "kafka_offset", "kafka_timestamp", "kafka_key", "kafka_headers", "kafka_value")
"""The columns of a message itself. `kafka_value` has the text of one that is no object of JSON, so that nothing is
hidden; where all values are text or bytes it is the value."""


class Shape:
    """What the columns of a topic are. `kinds` are those of its objects; plain values, so that it can be pickled."""

    def __init__(self, form: str, key: str, kinds: Mapping[str, str], hide_meta: bool) -> None:
        self.form, self.key, self.kinds, self.hide_meta = form, key, dict(kinds), hide_meta

    @property
    def schema(self) -> pa.Schema:
        import pyarrow as pa

        types: dict[str, pa.DataType] = {
            "kafka_partition": pa.int32(),
            "kafka_offset": pa.int64(),
            "kafka_timestamp": pa.timestamp("ms", "UTC"),
            "kafka_key": pa.binary() if self.key == "raw" else pa.string(),
            "kafka_headers": pa.string(),
            "kafka_value": pa.binary() if self.form == "raw" else pa.string(),
        }
        shown = () if self.form == "json" else ("kafka_value",)
        meta = shown if self.hide_meta else META
        columns = [pa.field(name, types[name], metadata={b"source_type": b"message"}) for name in meta]
        columns += [
            pa.field(name, records.arrow(kind), metadata={b"source_type": kind.encode()})
            for name, kind in self.kinds.items()
            if name not in meta
        ]
        return pa.schema(columns)

    def widened(self, objects: Iterable[Mapping[str, Any] | None]) -> Shape:
        """With the columns that these have and it has not."""
        more = records.sampled({name: v for name, v in one.items() if name not in self.kinds} for one in objects if one)
        return Shape(self.form, self.key, {**self.kinds, **more}, self.hide_meta) if more else self


def value_of(data: bytes | None) -> dict[str, Any] | None:
    """The object of JSON; None where it is none."""
    if data is None:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Messages:
    """Makes batches of messages. `lost` counts values that a column cannot hold."""

    def __init__(self, shape: Shape, names: Sequence[str] | None = None) -> None:
        self.shape, self.lost = shape, dict[str, int]()
        self._names = names

    def batch(self, messages: Sequence[Any], objects: Sequence[dict[str, Any] | None]) -> pa.RecordBatch:
        """`objects` are the values of `messages` where they are JSON."""
        import pyarrow as pa

        schema = self.shape.schema
        names = schema.names if self._names is None else self._names
        columns = []
        for name in names:
            field = schema.field(name)
            if name in META and name not in self.shape.kinds:
                columns.append(pa.array(self._meta(name, messages, objects), field.type))
                continue
            column, lost = records.array(
                [None if one is None else one.get(name) for one in objects], self.shape.kinds[name]
            )
            if lost:
                self.lost[name] = self.lost.get(name, 0) + lost
            columns.append(column)
        wanted = pa.schema([schema.field(name) for name in names])
        return pa.RecordBatch.from_arrays(columns, schema=wanted)

    def objects(self, messages: Sequence[Any]) -> list[dict[str, Any] | None]:
        if self.shape.form != "json":
            return [None] * len(messages)
        return [value_of(message.value()) for message in messages]

    def _meta(self, name: str, messages: Sequence[Any], objects: Sequence[Any]) -> list[Any]:
        if name == "kafka_partition":
            return [message.partition() for message in messages]
        if name == "kafka_offset":
            return [message.offset() for message in messages]
        if name == "kafka_timestamp":
            return [when if kind else None for kind, when in (message.timestamp() for message in messages)]
        if name == "kafka_key":
            return [_text(message.key(), self.shape.key) for message in messages]
        if name == "kafka_headers":
            return [_headers(message.headers()) for message in messages]
        return [
            _text(message.value(), self.shape.form) if one is None else None
            for message, one in zip(messages, objects, strict=True)
        ]


def _text(data: Any, form: str) -> Any:
    if data is None or form == "raw":
        return data
    return data if isinstance(data, str) else data.decode(errors="backslashreplace")


def _headers(found: Any) -> str | None:
    """As JSON: a list of pairs, for a name may be there twice."""
    if not found:
        return None
    return json.dumps([[name, _text(value, "text")] for name, value in found], ensure_ascii=False)
