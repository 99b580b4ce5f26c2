"""The session behind `wb.sql`: one DuckDB, one set of temporary tables, one caller's variables."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.catalog import Catalog, Connection, Connections, Saved, places
from workbench.catalog.secrets import Hidden, typed
from workbench.contract.connector import ConnectionConfig, Connector
from workbench.contract.errors import (
    StatementRefused,
    UnknownTable,
    Unsupported,
    UsageError,
    WorkbenchError,
)
from workbench.contract.scan import ScanRequest, TableRef
from workbench.contract.secret import Secret
from workbench.execution import watchdog
from workbench.execution.spool import Spool
from workbench.execution.stop import Watch
from workbench.kit.slots import asked
from workbench.query.clusters import Clusters
from workbench.query.engine import Engine, Limits
from workbench.query.execution import Delivery, Execution, Job, Progress
from workbench.query.explain import SourceReport
from workbench.query.jobs import Prepared, QueryJob
from workbench.query.local import LocalTable
from workbench.query.lookup import Paths, RemoteTarget, SessionLookup, Variables
from workbench.query.names import resolve
from workbench.query.namespace import Namespace, caller
from workbench.query.native_job import NativeJob
from workbench.query.parameters import bound
from workbench.query.result import Result, ResultTable, Runner
from workbench.query.running import Running
from workbench.query.stage import CLOSE_SECONDS, Stage
from workbench.query.statement import Kind, Statement, parse
from workbench.query.templates import Templates
from workbench.query.watching import watched
from workbench.query.write import WriteReport
from workbench.query.writing import written
from workbench.runs import Register, Run
from workbench.runs.publisher import Publisher

if TYPE_CHECKING:
    from workbench.execution.cluster import Cluster
    from workbench.query.table_scan import Scan

__all__ = [
    "Session",
    "cluster",
    "connect",
    "connection",
    "connections",
    "default",
    "native",
    "running",
    "scan",
    "sql",
    "write",
]

NO_LIMITS = Limits()
ESTIMATE_SECONDS = 60.0
OnProgress = Callable[[Progress], object]


class Session:
    """Statements of one person. A viewer's session has `variables=None` and `files=False`: it sees connections.

    `variables(name)` gives a variable of the notebook, or raises KeyError; with a method `names()` it also serves
    suggestions. `on_progress` may be set to a callable that gets a `Progress` some times a second, in the thread
    that waits, from the first second of waiting on. Thread-safe.
    """

    def __init__(
        self,
        catalog: Catalog,
        register: Register,
        *,
        variables: Variables | None = None,
        files: bool = True,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.catalog, self.register = catalog, register
        self.variables, self.files, self.limits = variables, files, limits
        self.on_progress: OnProgress | None = None
        self._engine = Engine(limits)
        self._templates = Templates()
        self._paths = Paths()
        self._watch = Watch(register)
        self._publisher, self._at_end = Publisher.of(register), contextlib.ExitStack()
        self._at_end.callback(self._publisher.release)
        self._lock = threading.Lock()
        self._folder = places.spool(catalog.home)
        self._temporary: dict[str, _Temporary] = {}
        self._estimates: dict[Hashable, tuple[float, int | None]] = {}
        self._live: weakref.WeakSet[Execution] = weakref.WeakSet()
        self.clusters = Clusters()
        self._configs: weakref.WeakKeyDictionary[Connector, ConnectionConfig] = weakref.WeakKeyDictionary()

    # --- asking

    def sql(
        self,
        text: str,
        parameters: Mapping[str, object] | None = None,
        *,
        on: str = "",
        variables: Variables | None = None,
        part: bool = False,
    ) -> Result:
        """Checks the statement and looks its names up; runs it when the result is used. Temporary tables are made
        and dropped at once. `on="cluster"`: on the workers of `clusters`. `variables` are for this statement, in place
        of the session's. A `part` of something else, as of a report, has no line of its own in the history.

        Raises SqlSyntaxError, StatementRefused, UnknownConnection, UnknownTable, UnknownVariable, InvalidParameter,
        and what the sources raise when they are asked for their columns.
        """
        _must_be_text("A statement", text)
        known = variables if variables is not None else self.variables
        statement = self._parsed(text)
        if statement.kind is Kind.DROP:
            return self._dropped(statement)
        prepared = self._prepared(statement, parameters, known)
        given = {**(parameters or {}), **prepared.parameters}
        # Of a function that called, no more is kept than what the statement names.
        later = known.settled() if isinstance(known, Namespace) else known

        def again() -> Result:
            return self.sql(text, given, on=on, variables=later, part=part)

        if on:
            result = self._there(text, prepared, self.clusters.chosen(on), again)
        else:
            result = self._result(text, partial(self._query, prepared, "part" if part else "query"), again)
        return self._created(statement, result) if statement.kind is Kind.CREATE else result

    def native(self, connection: str, text: str) -> Result:
        """The source's own text, which only reads unless the connection is writable. Raises UnknownConnection,
        Unsupported, StatementRefused."""
        _must_be_text("A connection's name", connection)
        _must_be_text("A statement", text)
        saved = self.catalog.saved(connection)
        manifest = self.catalog.manifest(saved.name)
        connector = self.catalog.open(saved.name)
        if connector.tables is None or not manifest.capabilities.native:
            raise Unsupported(f"Connection `{saved.name}`", "run its source's own text", "Ask by SQL: `sql(…)`.")
        import pyarrow as pa

        target = RemoteTarget(
            ("native", saved.name, text),
            saved.name,
            connector,
            manifest,
            lambda: self.catalog.config(saved.name),
            TableRef("(its own text)"),
            pa.schema([]),
        )
        return self._result(
            text,
            lambda: NativeJob(target, text, self.limits, self._protect),
            lambda: self.native(connection, text),
        )

    def scan(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: str = "",
        parameters: Mapping[str, object] | None = None,
        variables: Variables | None = None,
    ) -> Scan:
        """A table's rows in parts, on the workers of `clusters` where there is one, else here. Nothing is read before
        it is used. Raises what `sql` does, UnknownColumn, InvalidParameter."""
        from workbench.query.table_scan import Scan, scan_text

        text = scan_text(table, columns, where)
        known = variables if variables is not None else self.variables
        statement = self._parsed(text)
        return Scan(self, self._prepared(statement, parameters, known), columns, self.clusters.there)

    def tables(self) -> list[str]:
        """Names of the temporary tables."""
        with self._lock:
            return [one.name for one in self._temporary.values()]

    # --- writing

    def write(
        self, result: Any, table: str, mode: str = "insert", key: Sequence[str] = (), create: bool = True
    ) -> WriteReport:
        """Writes a result (or whatever has an Arrow stream) to `connection.table`, in one commit. `mode` is `insert`,
        which refuses an existing key, or `upsert` with the columns of `key`. The connection must be `writable`.
        Raises UnknownConnection, Unsupported, UsageError, and what the target raises."""
        return written(self.catalog, self.register, self._watch, result, table, mode, key, create)

    # --- the rest

    def running(self) -> Running:
        """What runs for this user, in any process."""
        return Running(self.register.runs(active=True))

    def close(self) -> None:
        """Stops what runs, and lets go of temporary tables and of the engine. What is whole stays."""
        with self._lock:
            tables, self._temporary = list(self._temporary.values()), {}
            live = list(self._live)
        for execution in live:
            execution.stop()
        for execution in live:
            execution.wait_closed(CLOSE_SECONDS)
        self.clusters.close()
        for table in tables:
            table.result.close()
        self._at_end.close()
        self._engine.close()

    # --- for jobs

    @property
    def engine(self) -> Engine:
        return self._engine

    def watched(self, run: Run, stop: Callable[[], None]) -> AbstractContextManager[None]:
        """For a `with` around what the run does."""
        return watched(self._watch, run, stop)

    def stage(self, run: Run) -> Stage:
        """Where a statement's tables are given to DuckDB."""
        spool = partial(Spool, self._folder, self.limits.spool_memory)
        return Stage(run, spool, seconds=self.limits.seconds, protect=self._protect)

    # --- inside

    def _parsed(self, text: str) -> Statement:
        if (known := self._templates.find(text)) is not None:
            return known
        try:
            with self._engine.parser() as parser:
                statement = parse(text, parser)
        except duckdb.FatalException:
            # An earlier statement has broken the engine: a new one, once.
            self._engine.renew()
            with self._engine.parser() as parser:
                statement = parse(text, parser)
        return self._templates.keep(statement)

    def _prepared(
        self, statement: Statement, parameters: Mapping[str, object] | None, variables: Variables | None
    ) -> Prepared:
        with self._lock:
            temporary: dict[str, LocalTable] = {fold: one.table for fold, one in self._temporary.items()}
        lookup = SessionLookup(self.catalog, temporary, variables, self.files, _as_table, self._paths)
        resolved = resolve(statement, lookup)
        return Prepared(statement, resolved, bound(resolved.parameters, parameters, variables))

    def _there(
        self, text: str, prepared: Prepared, cluster: Cluster, again: Callable[[], Result], folder: str = ""
    ) -> Result:
        """A result of the cluster: its rows, or with a folder what was written there."""
        files = None if folder else partial(self._there, text, prepared, cluster, again)
        return self._result(text, partial(self.clusters.job, self, prepared, cluster, folder), again, files)

    def _query(self, prepared: Prepared, kind: str = "query") -> QueryJob:
        return QueryJob(
            prepared, self._engine, self.limits, self._folder, self.estimate, self._protect, self.catalog.refresh, kind
        )

    def _result(
        self,
        text: str,
        job: Callable[[], Job],
        again: Callable[[], Result],
        files: Callable[[str], Result] | None = None,
    ) -> Result:
        def start(work: Job, delivery: Delivery) -> Execution:
            execution = Execution(work, delivery, self.register, self._watch, self.limits.seconds, self._publisher)
            with self._lock:
                self._live.add(execution)
            execution.start()
            return execution

        return Result(
            Runner(text, job, start, self._spool, self._shared, self._planned, again, lambda: self.on_progress, files)
        )

    def _spool(self) -> Spool:
        limits = self.limits
        return Spool(self._folder, limits.spool_memory, limits.spool_rows, limits.spool_bytes)

    def _shared(self) -> Path:
        return places.results(self.catalog.home)

    def _planned(self, job: Job) -> list[SourceReport]:
        run = self.register.begin("explain", job.title, job.text, job.connections)
        try:
            reports = job.plan(run)
        except BaseException as error:
            shown = job.translated(error)
            run.finish("failed", str(shown))
            if shown is error:
                raise
            raise shown from None
        run.finish("done")
        return reports

    def _created(self, statement: Statement, result: Result) -> Result:
        fold = statement.name.casefold()
        with self._lock:
            there = self._temporary.get(fold)
        if there is not None and statement.optional:
            return there.result
        if there is not None and not statement.replace:
            raise StatementRefused(
                f"A second temporary table `{statement.name}`", "write `create or replace temp table`, or drop it first"
            )
        len(result)
        with self._lock:
            self._temporary[fold] = _Temporary(statement.name, result, ResultTable(result))
        return result

    def _dropped(self, statement: Statement) -> Result:
        with self._lock:
            found = self._temporary.pop(statement.name.casefold(), None)
        if found is None and not statement.optional:
            raise UnknownTable(statement.name, self.tables(), "Only temporary tables can be dropped.")
        return self.sql("select * from range(0) t(dropped)")

    def estimate(self, target: RemoteTarget) -> int | None:
        """About how many rows it has; may be a minute old, and an error of it is none of the query's."""
        with self._lock:
            held = self._estimates.get(target.key)
        if held is not None and time.monotonic() - held[0] < ESTIMATE_SECONDS:
            return held[1]
        tables = target.connector.tables
        assert tables is not None
        try:
            estimate = asked(target.connector, lambda: tables.plan(ScanRequest(target.table, ()))).estimate
        except WorkbenchError:
            return None
        with self._lock:
            if len(self._estimates) > 1000:
                self._estimates.clear()
            self._estimates[target.key] = time.monotonic(), estimate
        return estimate

    def _protect(self, target: RemoteTarget) -> None:
        """The watchdog gets what it needs once a connector; looking secrets up costs."""
        if not target.manifest.capabilities.cancel:
            return
        with self._lock:
            config = self._configs.get(target.connector)
        if config is None:
            config = target.config()
            with self._lock:
                self._configs[target.connector] = config
        watchdog.ensure(self.register.path, config, target.manifest)


def _must_be_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(
            f"{what} is text, not {'None' if value is None else f'a value of the type `{type(value).__name__}`'}."
        )


class _Temporary:
    def __init__(self, name: str, result: Result, table: ResultTable) -> None:
        self.name, self.result, self.table = name, result, table


def _as_table(value: object) -> LocalTable | None:
    return ResultTable(value) if isinstance(value, Result) else None


# --- the default session, for `import workbench as wb`

_default: Session | None = None
_default_lock = threading.Lock()


def default() -> Session:
    """The session behind the functions below: the user's own connections and register."""
    global _default
    with _default_lock:
        if _default is None:
            catalog = Catalog()
            _default = Session(catalog, Register(places.register(catalog.home)))
        return _default


def sql(text: str, parameters: Mapping[str, object] | None = None, *, on: str = "") -> Result:
    """Runs SQL over connections (`connection.table`), frames and results of the notebook by their variables' names,
    and paths: `wb.sql("select country, sum(total) from shop.orders group by 1")`. `$name` is bound from `parameters`
    or the notebook's variables. `on="cluster"` runs it on the workers of `wb.cluster(…)`. Nothing runs until the result
    is used."""
    return default().sql(text, parameters, on=on, variables=caller())


def scan(
    table: str,
    *,
    columns: Sequence[str] | None = None,
    where: str = "",
    parameters: Mapping[str, object] | None = None,
) -> Scan:
    """A table's rows in parts, for code of one's own: `wb.scan("hive.events", columns=["user_id", "total"],
    where="day >= '2026-01-01'")`, then `.map_partitions(fn)` or `.to_dask()`. The parts are read on the workers of
    `wb.cluster(…)` where there is one, else on threads here. `$name` in `where` is bound as in `sql`."""
    return default().scan(table, columns, where, parameters, caller())


def cluster(
    address: str = "local",
    *,
    workers: int | None = None,
    memory: str = "auto",
    certificates: Mapping[str, str] | None = None,
) -> Cluster:
    """The cluster for `on="cluster"`: `"local"` starts workers beside this process, on loopback, which end with it;
    `"tcp://host:8786"` and `"tls://…"` (with the paths `ca`, `cert`, `key` as `certificates`) take one that is there.
    Takes the place of the one before. Raises InvalidParameter, ClusterFailed."""
    session = default()
    return session.clusters.choose(session.catalog.home, address, workers, memory, certificates)


def native(connection: str, text: str) -> Result:
    """Runs the source's own text: `wb.native("shop", "show index from orders")`."""
    return default().native(connection, text)


def write(result: Any, table: str, mode: str = "insert", key: Sequence[str] = (), create: bool = True) -> WriteReport:
    """Writes a result to a table of a writable connection: `wb.write(r, "shop.totals")`."""
    return default().write(result, table, mode, key, create)


def running() -> Running:
    """What runs for this user, in any process."""
    return default().running()


def connect(
    name: str,
    url: str | Secret | None = None,
    *,
    path: str | Path | None = None,
    secret: str | Secret | Mapping[str, str | Secret] | None = None,
    writable: bool = False,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    connector: str | None = None,
    test: bool = True,
    **parameters: Any,
) -> Connection:
    """Saves a connection: `wb.connect("shop", "mysql://analyst@db.example/shop")`, or `path=` for files. The secret
    is asked for, or `"env:NAME"`; it is kept outside the notebook. `connector` names the kind where the URL or the path
    does not tell it. Other settings go by their names. A connection that is there is replaced only by one that works,
    unless `test` is False; else NotReplaced is raised."""
    # Whatever may hold a secret is wrapped first: no variable of this frame shows it in a traceback.
    url = Secret(url) if isinstance(url, str) else url
    secret = typed(secret)
    given, parameters = Hidden(parameters), {}
    saved: Saved = default().catalog.connect(
        name, url, path=path, secret=secret, writable=writable, tables=tables, parameters=given.value(),
        connector=connector, test=test,
    )  # fmt: skip
    return Connection(default().catalog, saved.name)


def connection(name: str) -> Connection:
    """A saved connection, with `.tables()`, `.schema(table)`, `.test()` and `.remove()`."""
    return Connection(default().catalog, name)


def connections() -> Connections:
    """All saved connections."""
    return Connections(default().catalog)
