"""Named connections of one user: saved, opened, asked for their tables."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.catalog import connectors, places
from workbench.catalog.cache import Cache
from workbench.catalog.listing import MOST_NAMES, Listing, Listings
from workbench.catalog.making import Wish, make
from workbench.catalog.parameters import validate, with_defaults
from workbench.catalog.resolving import resolve
from workbench.catalog.saved import KIND, VERSION, Saved
from workbench.catalog.secrets import Hidden, Secrets, prompt, typed
from workbench.catalog.url import check_host
from workbench.contract.connector import ConnectionConfig, Connector, Manifest, ServerInfo, Tables
from workbench.contract.errors import (
    DocumentError,
    NotReplaced,
    SourceError,
    UnknownConnection,
    Unsupported,
    WorkbenchError,
)
from workbench.contract.scan import TableInfo, TableRef
from workbench.contract.secret import Secret
from workbench.documents import DocumentStore
from workbench.documents.store import stamp_of
from workbench.kit.slots import asked, bound

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Catalog", "Found"]

_TTL = 60.0
_CACHED = 512
_PLACES = ("WORKBENCH_HOME", "XDG_DATA_HOME", "HOME")
"""What decides where the documents are, where no home is given."""


@dataclass(frozen=True)
class _Held:
    """What was read of a document; right as long as `place` and the file's `stamp` are the same."""

    place: tuple[str | None, ...]
    path: str
    stamp: tuple[int, ...]
    saved: Saved


@dataclass(frozen=True)
class Found:
    """A table of a connection, with all that a scan of it needs."""

    connection: str
    table: TableRef
    manifest: Manifest
    connector: Connector
    schema: pa.Schema


class Catalog:
    """The connections of one user, in `home` (default: `places.home()`). Thread-safe; made without touching a disk.

    Other processes of the user work on the same documents: what one saves, another sees at its next call.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        ask: Callable[[str], Secret] = prompt,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._ask = ask
        self._lock = threading.RLock()
        self._writing = threading.RLock()  # apart, for somebody may be typing a password under it
        self._opened: dict[str, tuple[tuple[int, ...], Connector]] = {}
        self._documents: dict[str, _Held] = {}
        self._pid = os.getpid()
        self._cache = Cache(_TTL, _CACHED, clock)
        self._listings = Listings(clock)
        self._secrets: Secrets | None = None

    @property
    def home(self) -> Path:
        return self._home or places.home()

    @property
    def store(self) -> DocumentStore:
        return DocumentStore(places.documents(self.home))

    @property
    def secrets(self) -> Secrets:
        with self._lock:
            if self._secrets is None:
                self._secrets = Secrets(places.secrets(self.home))
            return self._secrets

    def connect(
        self,
        name: str,
        url: str | Secret | None = None,
        *,
        path: str | Path | None = None,
        secret: str | Secret | Mapping[str, str | Secret] | None = None,
        writable: bool = False,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        parameters: Mapping[str, Any] | None = None,
        connector: str | None = None,
        test: bool = True,
    ) -> Saved:
        """Saves a connection under `name`. A new name is not connected to yet; one that takes the place of another one
        has to work first, unless `test` is False.

        Either `url` (`scheme://user@host:port/database?name=value`), or `path` (a file or a folder), or `connector`
        with `parameters`, which also go with the other two. The password is asked for, unless `secret` is a
        `Secret`, `"env:NAME"`, or `"ask"`; a connection to the same server as before under this name keeps its
        secret unless `secret` is given. `writable`: sessions may write. `tables`: settings of single tables.
        Raises UrlRefused, InvalidParameter, UnknownConnector, SecretMissing; NotReplaced, and then nothing was changed.
        """
        # From here on no variable of any frame of ours shows them.
        url = Secret(url) if isinstance(url, str) else url
        secret = typed(secret)
        hidden: Hidden[Mapping[str, Any]] = Hidden(dict(parameters or {}))
        parameters = None
        wish = Wish(name, url, path, secret, writable, tables or {}, hidden, connector)
        with self._writing:
            saved = make(self, wish, self._ask)
            before = self._before(name)
            old, new = set(before.secrets.values() if before else ()), set(saved.secrets.values())
            try:
                if test and before is not None and before.body() != saved.body():
                    self._try(saved, before)
                self.store.save(KIND, name, saved.body(), VERSION)
            except BaseException:  # Ctrl-C while a server does not answer, too
                self._forget(new - old)
                raise
            self._forget(old - new)
            self._drop(name)
        return saved

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else in this process saves or removes a connection meanwhile."""
        with self._writing:
            yield

    def names(self) -> list[str]:
        """Names of the saved connections, sorted."""
        return self.store.names(KIND)

    def saved(self, name: str) -> Saved:
        """Raises UnknownConnection with near names, DocumentError."""
        if (held := self._held(name)) is not None:
            return held.saved
        name, place, store = self._known(name), self._place(), self.store
        stamp = store.stamp(KIND, name)
        saved = Saved.of(store.load(KIND, name, VERSION))
        if stamp is not None:
            self._documents[name] = _Held(place, os.fspath(store.path(KIND, name)), stamp, saved)
        return saved

    def manifest(self, name: str) -> Manifest:
        """Of the connection's connector."""
        return connectors.manifest(self.saved(name).connector)

    def config(self, name: str) -> ConnectionConfig:
        """All that the connector is opened with; finds the secrets. Raises SecretMissing, and what `saved` raises;
        InvalidParameter and UrlRefused where the document says what `connect` would have refused."""
        return self._config(self.saved(name))

    def _config(self, saved: Saved) -> ConnectionConfig:
        manifest = connectors.manifest(saved.connector)
        validate(f"the parameters of connection `{saved.name}`", saved.parameters, manifest.parameters)
        if isinstance(host := saved.parameters.get("host"), str):
            check_host(host)
        found = {key: self.secrets.find(reference) for key, reference in saved.secrets.items()}
        return ConnectionConfig(
            saved.name,
            with_defaults(saved.parameters, manifest.parameters),
            found,
            saved.writable,
            {table: dict(settings) for table, settings in saved.tables.items()},
        )

    def open(self, name: str) -> Connector:
        """The connector: one per process and connection, opened anew when the connection was saved again."""
        if (document := self._held(name)) is not None:
            stamp = document.stamp
        else:
            name = self._known(name)
            stamp = self.store.stamp(KIND, name) or ()
        with self._lock:
            if self._pid != os.getpid():
                # A fork: the sockets are the parent's, so they are let go without a word to the servers.
                self._opened, self._pid = {}, os.getpid()
            held = self._opened.get(name)
            if held and held[0] == stamp:
                return held[1]
        config, manifest = self.config(name), self.manifest(name)
        connector = manifest.open(config)
        bound(connector, config.parameters.get("connections"))
        with self._lock:
            held = self._opened.get(name)
            if held and held[0] == stamp:
                other = held[1]
            else:
                self._drop(name)
                self._opened[name] = (stamp, connector)
                return connector
        connector.close()
        return other

    def test(self, name: str) -> ServerInfo:
        """Connects and asks the server who it is."""
        connector = self.open(name)
        with self.naming(name):
            return connector.test()

    def remove(self, name: str) -> None:
        """Forgets the connection and its secrets; nothing happens to the source."""
        with self._writing:
            name = self._known(name)
            before = self._before(name)
            self.store.remove(KIND, name)
            self._forget(before.secrets.values() if before else ())
            self._drop(name)

    def resolve(self, parts: Sequence[str]) -> tuple[str, TableRef]:
        """`connection.table` or `connection.schema.table` → the connection's name, and the table as the source
        spells it. Raises UnknownConnection, UnknownTable, with near names that the source has."""
        return resolve(self, tuple(parts))

    def find(self, parts: Sequence[str]) -> Found:
        """The table that `resolve` gives. Raises what `resolve` and `open` raise."""
        if (held := self._held(parts[0])) is not None and len(parts) in (2, 3):
            # As nothing has changed since the last time, one look at the document is enough.
            name, table = held.saved.name, TableRef(parts[-1], parts[1] if len(parts) == 3 else None)
            with self._lock:
                stamp, connector = self._opened.get(name, ((), None))
                current = connector is not None and stamp == held.stamp and self._pid == os.getpid()
            schema = self._cache.held((name, id(connector), "schema", table)) if current else None
            if connector is not None and schema is not None:
                return Found(name, table, connectors.manifest(held.saved.connector), connector, schema)
        name, table = self.resolve(parts)
        return Found(name, table, self.manifest(name), self.open(name), self.schema(name, table))

    def schema(self, connection: str, table: TableRef) -> pa.Schema:
        """The table's columns, at most a minute old. Raises UnknownTable."""
        connector = self.open(connection)
        with self.naming(connection):
            ask = partial(asked, connector, partial(self._tables(connection, connector).schema, table))
            return self._cache.get((connection, id(connector), "schema", table), ask)

    def tables(self, connection: str, like: str = "", limit: int = 1000) -> Sequence[TableInfo]:
        """The first `limit` tables, at most a minute old. `like` is an SQL LIKE pattern on the name."""
        return self.listed(connection, like, None, limit)

    def listed(self, connection: str, like: str, after: str | None, limit: int) -> Sequence[TableInfo]:
        """A page of tables, from the first after `after`; see `Tables.list`. At most a minute old."""
        if (listing := self.listing(connection)) is not None:
            return self.about(connection, listing.like(like, after, limit))
        connector = self.open(connection)
        with self.naming(connection):
            facet = self._tables(connection, connector)
            return self._cache.get(
                (connection, id(connector), "tables", like, after, limit),
                lambda: tuple(asked(connector, lambda: facet.list(like, after, limit))),
            )

    def names_like(self, connection: str, like: str = "", limit: int = 1000) -> Sequence[TableRef]:
        """Of what `tables` gives, the names alone: no more is asked of the source."""
        if (listing := self.listing(connection)) is not None:
            return listing.like(like, None, limit)
        return [one.table for one in self.listed(connection, like, None, limit)]

    def listing(self, connection: str) -> Listing | None:
        """The names of all tables, where the connector can list so many at once; None where it cannot, or where there
        are more than are held. At most a minute old; where listing them takes long, ten, while it is done again."""
        name = self.saved(connection).name
        if not self.manifest(name).capabilities.listing:
            return None
        connector = self.open(name)
        facet: Any = self._tables(name, connector)

        def fetch() -> Sequence[TableRef]:
            with self.naming(name):
                found: Sequence[TableRef] = asked(connector, lambda: facet.names(MOST_NAMES + 1))
                return found

        return self._listings.get((name, id(connector)), fetch)

    def about(self, connection: str, tables: Sequence[TableRef]) -> Sequence[TableInfo]:
        """What the source says of tables of its `listing`; at most a minute old."""
        connector = self.open(connection)
        with self.naming(connection):
            facet: Any = self._tables(connection, connector)
            ask = partial(facet.about, tables)
            return self._cache.get(
                (connection, id(connector), "about", tuple(tables)), lambda: tuple(asked(connector, ask))
            )

    def refresh(self, connection: str | None = None) -> None:
        """Forgets what was cached of the sources: tables and schemas are asked for again."""
        self._cache.drop(connection)
        self._listings.drop(connection)

    def close(self) -> None:
        """Closes what was opened. Idempotent; the catalog can be used again."""
        with self._lock:
            for name in list(self._opened):
                self._drop(name)

    @contextlib.contextmanager
    def naming(self, connection: str) -> Iterator[None]:
        """Puts the connection's name into errors of its source."""
        try:
            yield
        except SourceError as error:
            error.connection = error.connection or connection
            raise

    def _place(self) -> tuple[str | None, ...]:
        return () if self._home is not None else tuple(os.environ.get(name) for name in _PLACES)

    def _held(self, name: str) -> _Held | None:
        """What was read of the document before, if it is still as it was: one look at the file."""
        held = self._documents.get(name)
        if held is None or held.place != self._place():
            return None
        return held if stamp_of(held.path) == held.stamp else None

    def _known(self, name: str) -> str:
        names = self.names()
        if name in names:
            return name
        folded = [other for other in names if other.casefold() == name.casefold()]
        if folded:
            return folded[0]
        raise UnknownConnection(name, names)

    def _before(self, name: str) -> Saved | None:
        """What is saved under the name now, if that can be read."""
        try:
            document = self.store.find(KIND, name, VERSION)
            return Saved.of(document) if document else None
        except DocumentError:
            return None  # `save` sets a damaged one aside, and refuses to replace a newer one

    def _try(self, saved: Saved, before: Saved) -> None:
        """Raises NotReplaced when what is to stand in the place of `before` does not work."""
        try:
            connector = connectors.manifest(saved.connector).open(self._config(saved))
            try:
                connector.test()
            finally:
                connector.close()
        except SourceError as error:
            raise NotReplaced(saved.name, before.where or before.connector, error.message) from None
        except Exception as error:  # noqa: BLE001 - a third party's connector
            why = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
            raise NotReplaced(saved.name, before.where or before.connector, why) from None

    def _forget(self, references: Iterable[str]) -> None:
        for reference in references:
            self.secrets.forget(reference)

    def _drop(self, name: str) -> None:
        self._cache.drop(name)
        self._listings.drop(name)
        with self._lock:
            held = self._opened.pop(name, None)
        if held:
            held[1].close()

    @staticmethod
    def _tables(connection: str, connector: Connector) -> Tables:
        facet = connector.tables
        if facet is None:
            raise Unsupported(f"Connection `{connection}`", "be scanned", "It has no tables.")
        return facet
