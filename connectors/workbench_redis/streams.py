"""Streams as tables: which there are, what columns they have, and plans."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import LimitExceeded, ProtocolError, UnknownColumn, UnknownTable, Unsupported
from workbench.contract.predicate import Applied, columns_of
from workbench.contract.scan import Control, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.kit.like import like as fits
from workbench_redis.entries import Entries, sampled
from workbench_redis.reader import RedisReader

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_redis.connector import RedisConnector

__all__ = ["About", "RedisTables"]

WHO = "The Redis connector"
SAMPLE = 500
"""Entries at each end of a stream that are looked at for fields."""
FRESH = 60.0
LOOKED_FOR = 5.0
"""Seconds in which all streams must be found: the server has to look at every key for that."""


@dataclass(frozen=True)
class About:
    """What the server says of a stream. `added` counts all entries that it ever had, `deleted` is the greatest id of
    one that was deleted, `first` and `last` those of what is there and was there last."""

    length: int
    first: str
    last: str
    added: int
    deleted: str
    counts: bool = True
    """Whether the server knows `added`: Redis 7 and later do."""

    @classmethod
    def of(cls, found: Mapping[Any, Any]) -> About:
        said = {_plain(name): value for name, value in found.items()}
        entry = said.get("first-entry")
        first = _plain(entry[0]) if entry else ""
        length = int(said["length"])
        added = int(said.get("entries-added", length))
        deleted = _plain(said.get("max-deleted-entry-id", "0-0"))
        return cls(length, first, _plain(said["last-generated-id"]), added, deleted, "entries-added" in said)


class RedisTables:
    """See `workbench.contract.connector.Tables`."""

    def __init__(self, connector: RedisConnector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, dict[str, str]]] = {}

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        match = fits(like)
        names = sorted(name for name in self.names() if match(name) and (after is None or name > after))
        return [TableInfo(TableRef(name), "stream") for name in names[:limit]]

    def schema(self, table: TableRef) -> pa.Schema:
        schema = self.entries(table, renew=True).schema
        if not schema.names:
            told = f"`{table}` has no entries yet, so its columns are not known: write one, or say its `columns`."
            raise ProtocolError(told, self._connector.config.name)
        return schema

    def native(self, text: str) -> ScanPlan:
        raise Unsupported(WHO, "run the source's own text", "Ask in SQL.")

    def plan(self, request: ScanRequest) -> ScanPlan:
        import pyarrow as pa

        about, entries = self.about(request.table), self.entries(request.table)
        used = [column.name for one in request.predicates for column in columns_of(one)]
        if not set(entries.schema.names).issuperset((*request.columns, *used)):  # it may be new
            entries = self.entries(request.table, renew=True)
        schema = entries.schema
        for name in (*request.columns, *used):
            if name not in schema.names:
                raise UnknownColumn(name, schema.names)
        names = tuple(dict.fromkeys((*request.columns, *used)))
        out = pa.schema([schema.field(name) for name in names])
        limit = request.limit if not request.predicates else None
        state = {"last": about.last, "limit": limit, "names": names, "kinds": entries.kinds,
                 "hide_meta": entries.hide_meta, "empty": not about.length}  # fmt: skip
        text = f"XRANGE {request.table.name} - {about.last}"
        return ScanPlan(
            request,
            (Split(0, request.table, text, out, state, about.length),),
            out,
            text,
            dict.fromkeys(request.predicates, Applied.NONE),
            dict.fromkeys(request.predicates, "Redis knows ids only"),
            extra=len(names) - len(request.columns),
            estimate=about.length,
            limit_applied=limit is not None,
        )

    def read(self, split: Split, control: Control) -> RedisReader:
        return RedisReader(self._connector, split, control)

    # -- for the facets --------------------------------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        found: set[str] = set()
        until = time.monotonic() + LOOKED_FOR
        with self._connector.faults.named():
            for key in self._connector.client().scan_iter(count=2000, _type="stream"):
                found.add(_plain(key))
                if time.monotonic() > until:
                    hint = "Give the streams a database of their own."
                    raise LimitExceeded("seconds to look for streams", f"{LOOKED_FOR:g}", hint)
        return sorted(found)

    def about(self, table: TableRef) -> About:
        """Raises UnknownTable."""
        import redis.exceptions

        if table.schema is not None:
            raise UnknownTable(str(table), self.names(), "Streams have no schemas.")
        with self._connector.faults.named(table.name):
            try:
                found: Any = self._connector.client().execute_command("XINFO STREAM", table.name)
            except redis.exceptions.ResponseError as error:
                if "no such key" in str(error) or "WRONGTYPE" in str(error):
                    raise UnknownTable(table.name, self.names()) from None
                raise
        return About.of(found)

    def entries(self, table: TableRef, renew: bool = False) -> Entries:
        hide = bool(self._connector.config.parameters.get("hide_meta"))
        with self._lock:
            known = self._kinds.get(table.name)
        if known is None or renew or time.monotonic() - known[0] > FRESH:
            known = (time.monotonic(), self._found(table))
            with self._lock:
                self._kinds[table.name] = known
        return Entries(known[1], hide)

    def forget(self, table: TableRef) -> None:
        with self._lock:
            self._kinds.pop(table.name, None)

    def fixed(self, table: TableRef) -> bool:
        """Whether it has no other columns than those that are said."""
        return bool(self._connector.config.tables.get(table.name, {}).get("only"))

    def _found(self, table: TableRef) -> dict[str, str]:
        self.about(table)
        kinds: dict[str, str] = dict(self._connector.config.tables.get(table.name, {}).get("columns", {}))
        if self.fixed(table):
            return kinds
        with self._connector.faults.named(table.name):
            client = self._connector.client()
            first: Any = client.xrange(table.name, count=SAMPLE)
            last: Any = client.xrevrange(table.name, count=SAMPLE)
        return {**kinds, **{name: kind for name, kind in sampled([*first, *last]).items() if name not in kinds}}


def _plain(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
