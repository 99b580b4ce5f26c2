"""The session behind `wb.sql`: one DuckDB, one set of temporary tables, one caller's variables."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.catalog import Catalog, Connection, Connections, Saved, places
from workbench.catalog.secrets import Hidden, typed
from workbench.contract.connector import ConnectionConfig, Connector
from workbench.contract.errors import (
    Cancelled,
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
from workbench.query.delivery import Stream
from workbench.query.engine import Engine, Limits
from workbench.query.execution import Delivery, Execution, Job, Progress
from workbench.query.explain import SourceReport
from workbench.query.jobs import NativeJob, Prepared, QueryJob
from workbench.query.local import LocalTable
from workbench.query.lookup import Paths, RemoteTarget, SessionLookup, Variables
from workbench.query.names import resolve
from workbench.query.parameters import bound
from workbench.query.result import Result, ResultTable, Runner
from workbench.query.running import Running
from workbench.query.stage import CLOSE_SECONDS
from workbench.query.statement import Kind, Statement, parse
from workbench.query.templates import Templates
from workbench.query.write import WriteReport, write_table
from workbench.runs import Register
from workbench.runs.publisher import Publisher

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Namespace",
    "Session",
    "connect",
    "connection",
    "connections",
    "default",
    "native",
    "running",
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
        self._publisher = Publisher(register)
        self._lock = threading.Lock()
        self._folder = places.spool(catalog.home)
        self._temporary: dict[str, _Temporary] = {}
        self._estimates: dict[Hashable, tuple[float, int | None]] = {}
        self._live: weakref.WeakSet[Execution] = weakref.WeakSet()
        self._configs: weakref.WeakKeyDictionary[Connector, ConnectionConfig] = weakref.WeakKeyDictionary()

    # --- asking

    def sql(
        self,
        text: str,
        parameters: Mapping[str, object] | None = None,
        *,
        variables: Variables | None = None,
    ) -> Result:
        """Checks the statement and looks its names up; runs it when the result is used. Temporary tables are made
        and dropped at once. `variables` are for this statement, in place of the session's.

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
            return self.sql(text, given, variables=later)

        result = self._result(text, lambda: self._query(prepared), again)
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
        keys = (key,) if isinstance(key, str) else tuple(key)  # one name is one column, not its letters
        name, target = self._target(table)
        sinks = self.catalog.open(name).sinks
        if sinks is None:
            raise Unsupported(f"Connection `{name}`", "be written to")
        with result.stream() if isinstance(result, Result) else _foreign(result) as rows:
            run = self.register.begin("write", f"write {name}.{target}", connections=(name,))
            asked = threading.Event()

            def stop() -> None:
                asked.set()
                if isinstance(rows, Stream):  # the source may be silent
                    rows.stop()

            self._watch.add(run, stop)
            try:
                self._watchdog(name)
                report = write_table(
                    rows, name, sinks, target, mode=mode, key=keys, create=create, run=run, stopped=asked.is_set
                )
            except (Cancelled, KeyboardInterrupt):
                run.finish("stopped")
                raise
            except BaseException as error:
                run.finish("failed", str(error))
                raise
            finally:
                self._watch.remove(run)
            run.finish("done")
        self.catalog.refresh(name)
        return report

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
        for table in tables:
            table.result.close()
        self._publisher.close()
        self._engine.close()

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

    def _query(self, prepared: Prepared) -> QueryJob:
        return QueryJob(
            prepared, self._engine, self.limits, self._folder, self._estimate, self._protect, self.catalog.refresh
        )

    def _result(self, text: str, job: Callable[[], Job], again: Callable[[], Result]) -> Result:
        def start(work: Job, delivery: Delivery) -> Execution:
            execution = Execution(work, delivery, self.register, self._watch, self.limits.seconds, self._publisher)
            with self._lock:
                self._live.add(execution)
            execution.start()
            return execution

        return Result(
            Runner(text, job, start, self._spool, self._shared, self._planned, again, lambda: self.on_progress)
        )

    def _spool(self) -> Spool:
        limits = self.limits
        return Spool(self._folder, limits.spool_memory, limits.spool_rows, limits.spool_bytes)

    def _shared(self) -> Path:
        return places.results(self.catalog.home)

    def _planned(self, job: Job) -> list[SourceReport]:
        run = self.register.begin("explain", job.title, job.text, job.connections)
        try:
            assert isinstance(job, (QueryJob, NativeJob))
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

    def _estimate(self, target: RemoteTarget) -> int | None:
        """For the order of joins only, so it may be a minute old, and an error of it is none of the query's."""
        with self._lock:
            held = self._estimates.get(target.key)
        if held is not None and time.monotonic() - held[0] < ESTIMATE_SECONDS:
            return held[1]
        tables = target.connector.tables
        assert tables is not None
        try:
            estimate = tables.plan(ScanRequest(target.table, ())).estimate
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

    def _watchdog(self, name: str) -> None:
        manifest = self.catalog.manifest(name)
        if manifest.capabilities.cancel:
            watchdog.ensure(self.register.path, self.catalog.config(name), manifest)

    def _target(self, table: str) -> tuple[str, TableRef]:
        from workbench.query.tokens import tokens

        words = tokens(table) if isinstance(table, str) else []
        parts = [token.name for token in words[::2]]
        dots = [token.text for token in words[1::2]]
        if len(parts) not in (2, 3) or dots != ["."] * (len(parts) - 1):
            raise UsageError(
                f"`{table}` is no table of a connection. Write `connection.table` or `connection.schema.table`."
            )
        name = self.catalog.saved(parts[0]).name
        try:
            return self.catalog.resolve(parts)
        except UnknownTable:
            return name, TableRef(parts[-1], parts[1] if len(parts) == 3 else None)


def _must_be_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(
            f"{what} is text, not {'None' if value is None else f'a value of the type `{type(value).__name__}`'}."
        )


def _foreign(rows: Any) -> pa.RecordBatchReader:
    """Rows that are no result's: whatever has an Arrow stream."""
    import pyarrow as pa

    if not hasattr(rows, "__arrow_c_stream__"):
        kind = type(rows).__name__
        raise UsageError(
            f"The rows to write are of the type `{kind}`. Give a result, a polars or pandas frame or an Arrow table, "
            "for example `polars.DataFrame(rows)`."
        )
    return pa.RecordBatchReader.from_stream(rows)


class _Temporary:
    def __init__(self, name: str, result: Result, table: ResultTable) -> None:
        self.name, self.result, self.table = name, result, table


def _as_table(value: object) -> LocalTable | None:
    return ResultTable(value) if isinstance(value, Result) else None


class Namespace:
    """Variables of some dictionaries, the first that has the name. `passing` are those of a function that is running:
    they come first."""

    def __init__(self, *spaces: Mapping[str, object], passing: Mapping[str, object] | None = None) -> None:
        self._spaces = spaces if passing is None else (passing, *spaces)
        self._used: dict[str, object] = {}
        self._passing = passing

    def settled(self) -> Namespace:
        """The same for later: of those that pass, the ones that were asked for, as they were then."""
        return self if self._passing is None else Namespace(self._used, *self._spaces[1:])

    def __call__(self, name: str) -> object:
        if self._passing is not None and name in self._passing:
            self._used[name] = self._passing[name]
            return self._used[name]
        for space in self._spaces:
            if name in space:
                return space[name]
        raise KeyError(name)

    def names(self) -> Iterable[str]:
        return list(dict.fromkeys(name for space in self._spaces for name in space if not name.startswith("_")))


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


def sql(text: str, parameters: Mapping[str, object] | None = None) -> Result:
    """Runs SQL over connections (`connection.table`), frames and results of the notebook by their variables' names,
    and paths: `wb.sql("select country, sum(total) from shop.orders group by 1")`. `$name` is bound from `parameters`
    or the notebook's variables. Nothing runs until the result is used."""
    return default().sql(text, parameters, variables=_caller())


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
    test: bool = True,
    **parameters: Any,
) -> Connection:
    """Saves a connection: `wb.connect("shop", "mysql://analyst@db.example/shop")`, or `path=` for files. The secret
    is asked for, or `"env:NAME"`; it is kept outside the notebook. Other settings go by their names. A connection that
    is there is replaced only by one that works, unless `test` is False; else NotReplaced is raised."""
    # Whatever may hold a secret is wrapped first: no variable of this frame shows it in a traceback.
    url = Secret(url) if isinstance(url, str) else url
    secret = typed(secret)
    given, parameters = Hidden(parameters), {}
    saved: Saved = default().catalog.connect(
        name, url, path=path, secret=secret, writable=writable, tables=tables, parameters=given.value(), test=test
    )
    return Connection(default().catalog, saved.name)


def connection(name: str) -> Connection:
    """A saved connection, with `.tables()`, `.schema(table)`, `.test()` and `.remove()`."""
    return Connection(default().catalog, name)


def connections() -> Connections:
    """All saved connections."""
    return Connections(default().catalog)


def _caller() -> Namespace:
    """The variables of whoever called: a notebook's, or the caller's locals and globals."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "workbench":
        frame = frame.f_back
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    notebook: Mapping[str, object] = shell.user_ns if shell is not None else {}
    if frame is None or str(frame.f_globals.get("__name__", "")).partition(".")[0] == "IPython":
        return Namespace(notebook)
    if frame.f_locals is frame.f_globals:
        return Namespace(frame.f_globals, notebook)
    return Namespace(frame.f_globals, notebook, passing=frame.f_locals)
