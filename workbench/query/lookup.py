"""What a name in a statement means: a table of a connection, of this session, of the notebook, or a path."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.catalog import connectors
from workbench.contract.connector import ConnectionConfig, Connector, Manifest
from workbench.contract.errors import (
    SourceError,
    StatementRefused,
    UnknownConnection,
    UnknownName,
    UnknownTable,
    Unsupported,
    near,
    with_article,
)
from workbench.contract.scan import TableRef
from workbench.query.local import LocalTable, frame

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.catalog import Catalog
    from workbench.catalog.catalog import Found
    from workbench.query.names import Place

__all__ = ["LocalTarget", "Paths", "RemoteTarget", "SessionLookup", "Target", "Variables"]

_PATHS = 64
"""So many connectors of paths are kept."""
Variables = Callable[[str], object]
"""A notebook's variables; raises KeyError. May have `names()`, for suggestions and for names in other case."""


@dataclass(frozen=True)
class RemoteTarget:
    """A table that a connector scans."""

    key: Hashable
    connection: str
    connector: Connector
    manifest: Manifest
    config: Callable[[], ConnectionConfig]
    table: TableRef
    schema: pa.Schema


@dataclass(frozen=True)
class LocalTarget:
    """A table in this process; `value` is opened when the statement runs, for an earlier result may not have run."""

    key: Hashable
    name: str
    value: LocalTable


Target = RemoteTarget | LocalTarget


class SessionLookup:
    """Bare names: temporary tables of the session, then variables. `variables` is None and `files` False for a
    viewer, whose statements see connections and nothing else."""

    def __init__(
        self,
        catalog: Catalog,
        temporary: Mapping[str, LocalTable],
        variables: Variables | None,
        files: bool,
        as_table: Callable[[object], LocalTable | None],
        paths: Paths,
    ) -> None:
        self._catalog, self._temporary, self._variables, self._files = catalog, temporary, variables, files
        self._as_table, self._paths = as_table, paths

    def table(self, parts: tuple[str, ...], place: Place) -> Target:
        if len(parts) == 1:
            return self._bare(parts[0], place)
        try:
            found = self._catalog.find(parts)
        except (UnknownConnection, UnknownTable) as error:
            raise _placed(error, place) from None
        return _remote(self._catalog, found)

    def path(self, path: str, suffix: str, place: Place) -> Target:
        if not self._files:
            raise StatementRefused(
                "A path in a statement", f"this session reads connections only, by `connection.table` {place}".rstrip()
            )
        return self._paths.target(path, suffix, place)

    def _bare(self, name: str, place: Place) -> Target:
        if name.casefold() in self._temporary:
            value = self._temporary[name.casefold()]
            return LocalTarget(("local", id(value)), name, value)
        if self._variables is not None:
            found, value = self._variable(name)
            if found is not None:
                table = self._as_table(value) or frame(found, value)
                if table is not None:
                    return LocalTarget(("local", id(value)), found, table)
                kind = with_article(type(value).__name__)
                hint = f"The variable `{found}` is {kind}, not a frame or a result. {place}"
                raise UnknownTable(name, (), hint.rstrip())
        raise UnknownTable(name, *self._bare_hint(name, place))

    def _variable(self, name: str) -> tuple[str | None, Any]:
        variables = self._variables
        assert variables is not None
        try:
            return name, variables(name)
        except KeyError:
            pass
        for other in self._variable_names():
            if other.casefold() == name.casefold():
                return other, variables(other)
        return None, None

    def _variable_names(self) -> Iterable[str]:
        names: Callable[[], Iterable[str]] | None = getattr(self._variables, "names", None)
        return names() if names is not None else ()

    def _bare_hint(self, name: str, place: Place) -> tuple[list[str], str]:
        connections = self._catalog.names()
        if name.casefold() in {other.casefold() for other in connections}:
            return [], f"`{name}` is a connection: write `{name}.table`. {place}".rstrip()
        known = [*self._temporary, *self._variable_names()]
        hint = "A table of a connection is written `connection.table`."
        return near(name, known), f"{hint} {place}".rstrip()


def _placed(error: UnknownName, place: Place) -> UnknownName:
    """The same error, with the place in the statement."""
    if str(place):
        error.args = (f"{error.args[0]} {place}",)
    return error


def _remote(catalog: Catalog, found: Found) -> RemoteTarget:
    return RemoteTarget(
        ("remote", found.connection, found.table),
        found.connection,
        found.connector,
        found.manifest,
        lambda: catalog.config(found.connection),
        found.table,
        found.schema,
    )


class Paths:
    """The connectors of the paths that statements named last. What is kept of a file is held by its connector, by the
    file's inode, size and time, and so is read again when it is another one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], tuple[Manifest, ConnectionConfig, Connector]] = OrderedDict()

    def target(self, path: str, suffix: str, place: Place) -> RemoteTarget:
        """The one table that lies at a path: a file, a pattern's files, or all files of a folder."""
        whole = Path(os.path.expanduser(path)).absolute()
        folder = whole.is_dir()
        manifest, config, connector = self._opened(path, whole, folder, suffix)
        tables = connector.tables
        if tables is None:
            raise Unsupported(f"Connector `{manifest.name}`", "be scanned")
        try:
            if folder:
                table = TableRef(whole.name)
            else:
                found = tables.list(limit=2)
                if len(found) != 1:
                    what = "holds no table" if not found else "holds several tables"
                    hint = f"It {what}; connect it: `workbench.connect(name, path=…)`. {place}".rstrip()
                    raise UnknownTable(path, hint=hint)
                table = found[0].table
            schema = tables.schema(table)
        except SourceError as error:
            error.connection = ""  # the path is in the text
            raise
        key = ("path", os.fspath(whole), suffix)
        return RemoteTarget(key, path, connector, manifest, lambda: config, table, schema)

    def _opened(
        self, path: str, whole: Path, folder: bool, suffix: str
    ) -> tuple[Manifest, ConnectionConfig, Connector]:
        key = (os.getpid(), path, whole, folder, suffix)  # after a fork each process has its own
        with self._lock:
            if (held := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return held
        manifest = connectors.by_path(f"x.{suffix}" if suffix and not folder else whole.name, folder)
        # A folder is one table among those of the folder that it is in.
        config = ConnectionConfig(path, {"path": os.fspath(whole.parent if folder and whole.name else whole)})
        opened = (manifest, config, manifest.open(config))
        with self._lock:
            held = self._kept.setdefault(key, opened)
            while len(self._kept) > _PATHS:
                self._kept.popitem(last=False)  # not closed: a result may still read with it
        return held
