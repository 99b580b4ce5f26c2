"""What a connector is: a manifest that costs nothing to read, and up to three facets that do the work.

A connector is found by the entry point `workbench.connectors`, whose value is a `Manifest`. It imports
`workbench.contract`, `workbench.kit` and its own driver, and nothing else of the product.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from workbench.contract.change import Changes, Guarantee, Heartbeat, Position, Rejects, SchemaChange, WriteSpec
from workbench.contract.scan import Control, Reader, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.contract.secret import Secret

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Capabilities",
    "ConnectionConfig",
    "Connector",
    "Feed",
    "Feeds",
    "Listing",
    "LookingFeed",
    "Manifest",
    "ServerInfo",
    "Sinks",
    "Tables",
    "Writer",
]

JSONSchema = Mapping[str, Any]


@dataclass(frozen=True)
class Capabilities:
    """What a connector declares; the conformance suite holds it to each line, and what is not declared must refuse
    with `Unsupported`.

    predicates: kinds of the predicate tree that may be applied at better than NONE (`compare`, `in`, `is_null`,
    `and`, `or`, `not`). splits: a plan may have more than one. native: `Tables.native` runs the source's own
    read-only text. cancel: `Connector.cancel` ends work at the source, from any process. guard: the source enforces
    a statement time limit. writes: modes of `WriteSpec`. transactional: a writer keeps its position with the rows.
    lossless: every value of the source has an Arrow value (nothing is ever counted in `Reader.lost`).
    listing: `tables` is a `Listing`, too. top: the first rows by an order may be taken at the source (`Top`).
    measures: kinds of `Measure` that may be added up there; without any, `Aggregate` is never taken.
    """

    tables: bool = False
    feeds: bool = False
    sinks: bool = False
    predicates: frozenset[str] = frozenset()
    splits: bool = False
    native: bool = False
    cancel: bool = False
    guard: bool = False
    schemas: bool = False
    writes: frozenset[str] = frozenset()
    transactional: bool = False
    lossless: bool = True
    listing: bool = False
    top: bool = False
    measures: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Manifest:
    """The entry point's value: plain values, loads no driver.

    `parameters` is the JSON schema (an object with `properties` and `additionalProperties: false`) of what the
    connection stores: the allow-list of the URL's parts and query, the form in the panel, the table in the docs.
    The parts of a URL are the properties `host`, `port`, `user`, `database`, as far as the schema has them; a
    property with `"secret": true` is never stored with the others. `schemes` are for `connect(name, url)`,
    `suffixes` and `folders` for `connect(name, path=…)`. A secret that needs others by `dependentRequired` (a
    password a user) is asked for only where these are given. `table_parameters` is the schema of one table's own
    settings (a mapping, a log format). `implementation` is `module:Class`, called with one `ConnectionConfig`.
    A parameter `connections` (a whole number)
    bounds how many reads, and questions of the catalog, go on at once in one process; later ones wait.
    `requires`: the extra that brings the driver. `icon`: a small SVG picture, of shapes and colours alone (no script,
    style, link or comment), that is seen on dark and on light; without one a usual one is shown.
    """

    name: str
    label: str
    capabilities: Capabilities
    implementation: str
    parameters: JSONSchema
    schemes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    folders: bool = False
    table_parameters: JSONSchema = field(default_factory=lambda: {"type": "object", "additionalProperties": False})
    requires: str = ""
    documentation: str = ""
    icon: str = ""

    def open(self, config: ConnectionConfig) -> Connector:
        """Loads the implementation and makes a connector; connects to nothing yet."""
        module, _, name = self.implementation.partition(":")
        connector: Connector = getattr(importlib.import_module(module), name)(config)
        return connector


@dataclass(frozen=True)
class ConnectionConfig:
    """All that a connector is opened with. `parameters` fit the manifest's schema; `secrets` are by property name
    and are already resolved. `writable`: sessions may write; else they are read-only at the source. `tables` are
    `table_parameters` by table name."""

    name: str
    parameters: Mapping[str, Any]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    writable: bool = False
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerInfo:
    """What answered: product and version as it says itself; `details` are for doctor and the panel. `unreadable` among
    them says which tables cannot be read, and why, where the source was found to have such ones."""

    product: str
    version: str
    details: Mapping[str, str] = field(default_factory=dict)


class Connector(Protocol):
    """One connection's worth of a source, opened per process from its config; thread-safe, never pickled.

    Making it connects to nothing; each facet is None where it is not declared.
    """

    @property
    def tables(self) -> Tables | None: ...

    @property
    def feeds(self) -> Feeds | None: ...

    @property
    def sinks(self) -> Sinks | None: ...

    def test(self) -> ServerInfo:
        """Connects, logs in, asks the server who it is. Raises Unreachable, AuthenticationFailed, ProtocolError."""
        ...

    def cancel(self, native_id: str) -> None:
        """Ends that work at the source, if it is still there and still carries our mark; else does nothing. From any
        process, over a connection of its own. Raises Unsupported where `capabilities.cancel` is not declared."""
        ...

    def close(self) -> None:
        """Ends pooled connections. Idempotent."""
        ...


class Tables(Protocol):
    """What can be scanned."""

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        """A page of the catalog in the order of `str(table)`, from the first after `after`. `like` is an SQL LIKE
        pattern on the name (`%`, `_`, case ignored); empty means all."""
        ...

    def schema(self, table: TableRef) -> pa.Schema:
        """Columns in order. Field metadata (bytes): `source_type`; `key` (`primary`) and `comment` where the source
        has them; `lossy` says what cannot be kept. Raises UnknownTable with near names."""
        ...

    def plan(self, request: ScanRequest) -> ScanPlan:
        """Cheap, reads no data. Raises UnknownTable, UnknownColumn."""
        ...

    def native(self, text: str) -> ScanPlan:
        """A plan with one split for the source's own text, whose schema the source says. On a connection that is not
        `writable` only reading statements pass, else StatementRefused. Raises QueryFailed on the source's refusal,
        Unsupported where `capabilities.native` is not declared."""
        ...

    def read(self, split: Split, control: Control) -> Reader:
        """Starts reading. May block while it connects. Works in any process that opened the same connection."""
        ...


class Listing(Tables, Protocol):
    """Tables of a source that may have a hundred thousand: the names of all at once, and more about few of them."""

    def names(self, limit: int) -> Sequence[TableRef]:
        """The first `limit` tables in the order of `str(table)`: those of `list`, without what makes it dear. It is
        asked for at most once a minute."""
        ...

    def about(self, tables: Sequence[TableRef]) -> Sequence[TableInfo]:
        """What `list` says of these, in their order; those that are not there any more are left out."""
        ...


class Feed(Iterator["Changes | SchemaChange | Heartbeat"], Protocol):
    def confirm(self, upto: Position) -> None:
        """All up to here is safe elsewhere; the source may forget it."""
        ...

    def close(self) -> None: ...


class LookingFeed(Feed, Protocol):
    """One that need not be waited for, so that one thread reads many of them."""

    def look(self) -> Changes | SchemaChange | Heartbeat | None:
        """As the next one of its iteration; None where there is none just now. Raises what that raises."""
        ...


class Feeds(Protocol):
    """What can be followed: change logs, tails, queues. One whose feeds are all LookingFeeds may say
    `looks = True`."""

    def partitions(self, table: TableRef) -> Sequence[str]: ...

    def subscribe(self, table: TableRef, partition: str, after: Position | None, control: Control) -> Feed:
        """What changed after `after` (None: from the beginning that the source still has). Raises PositionLost with
        the remedy when it does not have it any more, or when `after.source` is another source."""
        ...

    def now(self, table: TableRef, partition: str) -> Position:
        """The position behind all that is there: whoever subscribes after it has what comes from then on."""
        ...

    def reached(self, now: Position, mark: Position) -> bool:
        """Whether `now` is at or after `mark`."""
        ...


class Writer(Protocol):
    """Writes one table. Calls: `position`, then `write` and `commit` by turns, then `close`; rows that were not
    committed are not there."""

    @property
    def guarantee(self) -> Guarantee: ...

    def position(self) -> Position | None:
        """As the target has it; None at first, and always for a target that keeps none."""
        ...

    def write(self, changes: Changes, sequence: int) -> Rejects:
        """`sequence` grows by one a call; the same number again is the same batch again."""
        ...

    def commit(self, upto: Position | None) -> Rejects | None:
        """Makes what was written durable, in one transaction with the position where the target can. A position names
        one commit: a target that has it already may leave a second one out. With `WriteSpec.apart`: the rows that it
        refused only now."""
        ...

    def close(self) -> None:
        """Rolls back what was not committed. Idempotent."""
        ...


class Sinks(Protocol):
    """What can be written."""

    def open(self, table: TableRef, spec: WriteSpec) -> Writer:
        """Raises StatementRefused on a connection that is not writable, UnknownTable, Unsupported for a mode that is
        not declared, InvalidParameter for a schema that does not fit the table."""
        ...
