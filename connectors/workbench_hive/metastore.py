"""Hive's metastore: where a table's files lie. Asked only where the connection may read files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.contract.errors import (
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SourceError,
    SourceTimeout,
    Unreachable,
)
from workbench.kit.thrift import I16, LIST, STRING, STRUCT, Struct, call, reply
from workbench_hive.faults import Faults, said
from workbench_hive.wire import Wire, opened

__all__ = ["Metastore", "Place", "Stored"]

_SECONDS = 120.0
_FIRST = 10.0
"""Seconds for its first answer at the least: so long it may be silent, then it is none …"""
_SILENT = 60.0
"""… and for so long nobody asks again."""
_VALUES = 20_000_000
"""Of a reply: a hundred thousand partitions of a hundred columns."""


@dataclass(frozen=True)
class Place:
    """A folder with files of that format; `values` are the partition's, as text. `columns` are names and types of what
    is in the files, `parameters` the SerDe's."""

    location: str
    format: str
    values: tuple[str, ...] = ()
    serde: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """How a table is kept. `columns` are name, type and comment of each, those of its partitions last."""

    kind: str
    parameters: Mapping[str, str]
    keys: tuple[str, ...]
    places: tuple[Place, ...] = ()
    columns: tuple[tuple[str, str, str], ...] = ()


class Metastore:
    """Asks over a connection of its own each time. `where` is `host:port`."""

    def __init__(self, where: str, connection: str, seconds: float) -> None:
        host, _, port = where.rpartition(":")
        self._parameters = {"host": host.strip("[]"), "port": int(port), "authentication": "nosasl"}
        self._parameters["connect_timeout"] = seconds
        self._faults = Faults(connection, where, "", other="a metastore")
        self._first = max(_FIRST, seconds)
        self._failed: tuple[float, SourceError] | None = None

    def name(self) -> str:
        """What it calls itself: whether one is there. Raises Unreachable, ConnectionLost, ProtocolError."""
        wire = opened(self._parameters, None, self._faults, lambda: None)
        try:
            return said(self._ask(wire, 1, "getName", {}, self._first))
        finally:
            wire.close()

    def stored(self, database: str, table: str, only: Callable[[Stored], Mapping[str, str]] = lambda _: {}) -> Stored:
        """`only` says values of partition columns, once all but the partitions is known: others need not be told.
        Raises QueryFailed where it has no such table, Unreachable, ConnectionLost, ProtocolError (the same again for a
        minute), and what `only` raises."""
        if self._failed is not None and time.monotonic() < self._failed[0]:
            raise self._failed[1]
        try:
            return self._stored(database, table, only)
        except (Unreachable, ConnectionLost, ProtocolError, SourceTimeout) as error:
            self._failed = time.monotonic() + _SILENT, error.with_traceback(None)
            raise

    def _stored(self, database: str, table: str, only: Callable[[Stored], Mapping[str, str]]) -> Stored:
        wire = opened(self._parameters, None, self._faults, lambda: None)
        names: Struct = {1: (STRING, database.encode()), 2: (STRING, table.encode())}
        try:
            found = self._ask(wire, 1, "get_table_req", {1: (STRUCT, names)}, self._first).get(1) or {}
            descriptor, keyed = found.get(7) or {}, found.get(8) or []
            columns = tuple(
                (said(one.get(1)), said(one.get(2)), said(one.get(3))) for one in (*(descriptor.get(1) or []), *keyed)
            )
            keys = tuple(said(one.get(1)) for one in keyed)
            stored = Stored(said(found.get(12)), _texts(found.get(9)), keys, (_place(descriptor, ()),), columns)
        except (AttributeError, TypeError, ValueError):
            wire.close()
            raise self._faults.broken("it describes no table") from None
        except BaseException:
            wire.close()
            raise
        try:
            if not keys:
                return stored
            wanted = only(stored)
            every = self._partitions(wire, names, [wanted.get(key, "") for key in keys])
            return dataclasses.replace(stored, places=self._places(every, len(keys)))
        finally:
            wire.close()

    def _places(self, every: Any, keys: int) -> tuple[Place, ...]:
        try:
            places = tuple(_place(one.get(6) or {}, tuple(map(said, one.get(1) or []))) for one in every)
        except (AttributeError, TypeError, ValueError):
            raise self._faults.broken("it describes no partitions") from None
        if any(len(place.values) != keys for place in places):
            raise self._faults.broken("its partitions have not as many values as there are partition columns")
        return places

    def _partitions(self, wire: Wire, names: Struct, values: Sequence[str]) -> Any:
        """Those with these values, an empty one being any."""
        if not any(values):
            return self._ask(wire, 2, "get_partitions", {**names, 3: (I16, -1)})
        wanted = (STRING, [value.encode() for value in values])
        return self._ask(wire, 2, "get_partitions_ps", {**names, 3: (LIST, wanted), 4: (I16, -1)})

    def _ask(self, wire: Wire, number: int, name: str, arguments: Struct, seconds: float = _SECONDS) -> Any:
        raw = wire.exchange(call(name, number, arguments), seconds)
        try:
            body = reply(raw, name, number, _VALUES).body
        except ProtocolError as error:  # also of a reply that is cut
            raise self._faults.broken(error.message) from None
        if 0 not in body:
            told = next((said(one.get(1)) for one in body.values() if isinstance(one, dict)), "")
            raise QueryFailed(told or "the metastore does not say why", "", name, self._faults.connection)
        return body[0]


def _place(descriptor: Mapping[int, Any], values: tuple[str, ...]) -> Place:
    serde = descriptor.get(7) or {}
    return Place(
        said(descriptor.get(2)),
        said(descriptor.get(3)),
        values,
        said(serde.get(2)),
        tuple((said(one.get(1)), said(one.get(2))) for one in descriptor.get(1) or []),
        _texts(serde.get(3)),
    )


def _texts(pairs: Any) -> dict[str, str]:
    return {said(name): said(value) for name, value in pairs or []}
