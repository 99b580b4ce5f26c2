"""The work behind a result: a statement that DuckDB runs."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb
import pyarrow as pa

from workbench.contract.errors import NotExact, SnapshotChanged, UnknownName, Unsupported
from workbench.execution.spool import Spool
from workbench.query import source
from workbench.query.capitals import told_apart
from workbench.query.direct import handed_on, in_turn, nothing_left, same_types, shape
from workbench.query.engine import Engine, Limits
from workbench.query.explain import SourceReport
from workbench.query.fitting import must_fit
from workbench.query.lengths import durations, with_durations
from workbench.query.lookup import LocalTarget, RemoteTarget, Target
from workbench.query.names import Resolved
from workbench.query.plain import conditions
from workbench.query.reducing import SUMS, Parts, Reduced, reduced, top_of
from workbench.query.reporting import figures, report, sayings
from workbench.query.stage import Ask, Feed, LocalSource, RemoteSource, Stage
from workbench.query.statement import Kind, Statement
from workbench.query.tokens import Splice
from workbench.query.translate import fatal, translated
from workbench.query.wide import explained

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from workbench.runs import Run

__all__ = ["Prepared", "QueryJob", "distinct_names", "renamed"]

BATCH_ROWS = 8_192
"""DuckDB hands a batch on when it is full: smaller ones would cost time, larger ones the sight of the first rows."""


@dataclass
class Prepared:
    """A statement that may run: checked, its names resolved, its parameters bound."""

    statement: Statement
    resolved: Resolved[Target]
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def remotes(self) -> dict[str, RemoteTarget]:
        return {name: one for name, one in self.resolved.targets.items() if isinstance(one, RemoteTarget)}


class QueryJob:
    """Rehearses and runs a prepared statement, in one transaction."""

    def __init__(
        self,
        prepared: Prepared,
        engine: Engine,
        limits: Limits,
        folder: Path,
        estimate: Callable[[RemoteTarget], int | None],
        protect: Callable[[RemoteTarget], None],
        forget: Callable[[str], None] = lambda connection: None,
        kind: str = "query",
    ) -> None:
        self.kind = kind
        self._prepared, self._engine, self._limits, self._folder = prepared, engine, limits, folder
        self._estimate, self._protect, self._forget = estimate, protect, forget
        self._stage: Stage | None = None
        self._cursor: DuckDBPyConnection | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._lock = threading.Lock()
        self._seen: pa.Schema | None = None
        self._handed: Feed | None = None
        self._reduced: tuple[Reduced, Feed] | None = None
        self._not_exact = ""
        self._stopping = False

    @property
    def title(self) -> str:
        return " ".join(self._prepared.statement.text.split())[:200]

    @property
    def text(self) -> str:
        return self._prepared.statement.text

    @property
    def connections(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target.connection for target in self._prepared.remotes.values()))

    def open(self, run: Run) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        stage = self._staged(run)
        if (feed := self._unrehearsed(stage)) is not None:
            return self._hand_on(stage, feed)
        cursor = self._open(stage)
        if self._prepared.remotes:
            cursor.begin()
            if (feed := self._prepare(stage, cursor)) is not None:
                return self._hand_on(stage, feed)
            if (found := self._put_together(stage, cursor)) is not None:
                return found
            stage.start(stage.feeds)
        else:
            stage.start([])
        self._reader = self._run(cursor)
        schema = distinct_names(durations(self._reader.schema))
        return schema, renamed(with_durations(self._reader, self._reader.schema), schema)

    def plan(self, run: Run) -> list[SourceReport]:
        """The rehearsal and the plans alone; nothing is started at the sources."""
        try:
            stage = self._staged(run)
            if self._unrehearsed(stage) is None:
                cursor = self._open(stage)
                cursor.begin()
                self._prepare(stage, cursor)
                if self._seen is None:
                    self._run(cursor).close()  # what the rehearsal has kept to itself is why there is no plan
            return [report(feed.target, feed.plan, None, feed.foreseen, feed.again) for feed in stage.feeds]
        finally:
            self.close()

    def translated(self, error: BaseException) -> BaseException:
        if self._stage is not None and self._stage.error is not None:
            error = self._stage.error
        if isinstance(error, (SnapshotChanged, UnknownName)):
            # A table has changed since its columns were asked for: the next statement asks again.
            for target in self._prepared.remotes.values():
                self._forget(target.connection)
        if fatal(error):
            self._engine.renew()
        prepared = self._prepared
        shown = translated(error, prepared.statement.body, prepared.resolved.splices)
        return explained(shown, prepared.statement.body, {name: one.schema for name, one in prepared.remotes.items()})

    def failed_early(self) -> BaseException | None:
        return self._stage.failed_early() if self._stage is not None else None

    def progress(self) -> tuple[int, int, float | None]:
        return figures([feed.stats for feed in self._stage.feeds]) if self._stage is not None else (0, 0, None)

    def said(self) -> str:
        if self._stage is None:
            return ""
        return sayings([feed.stats for feed in self._stage.feeds]) or self._stage.said

    def reports(self) -> list[SourceReport]:
        if self._stage is None:
            return []
        found = [report(feed.target, feed.plan, feed.stats, feed.foreseen, feed.again) for feed in self._stage.feeds]
        if self._not_exact:
            found = [replace(one, notes=(*one.notes, self._not_exact)) for one in found]
        return found

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            stage, cursor = self._stage, self._cursor
            if stage is not None:
                stage.stop()
            if cursor is not None:
                with contextlib.suppress(duckdb.ConnectionException):  # closed with the session
                    cursor.interrupt()

    def close(self) -> None:
        with self._lock:
            cursor, self._cursor = self._cursor, None
        if self._stage is not None:
            self._stage.stop()
        if self._reader is not None:
            with contextlib.suppress(Exception):  # it may end with the interrupt that ended it
                self._reader.close()
            self._reader = None
        if self._stage is not None:
            self._stage.close()
        if cursor is not None:
            with contextlib.suppress(duckdb.Error):
                cursor.rollback()
            with contextlib.suppress(duckdb.Error):
                cursor.close()

    @property
    def estimate(self) -> int | None:
        """The source's, where the result is all rows of one table as they are."""
        plan = None if self._handed is None else self._handed.plan
        return None if plan is None or plan.request.predicates or plan.request.limit is not None else plan.estimate

    # --- inside

    def _hand_on(self, stage: Stage, feed: Feed) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        self._handed = feed
        stage.start([feed])
        assert self._seen is not None
        return self._seen, renamed(feed.batches(), self._seen)

    def _staged(self, run: Run) -> Stage:
        resolved, limits = self._prepared.resolved, self._limits
        stage = Stage(
            run,
            lambda: Spool(self._folder, limits.spool_memory),
            seconds=limits.seconds,
            recursive=resolved.recursive or self._prepared.statement.pivots,
            protect=self._protect,
        )
        with self._lock:
            self._stage = stage
            if self._stopping:
                stage.stop()
        return stage

    def _unrehearsed(self, stage: Stage) -> Feed | None:
        """The feed of a statement whose text alone says what to ask of its one table, where DuckDB has shown before
        what it makes of the types."""
        prepared = self._prepared
        targets = list(prepared.resolved.targets.values())
        if len(targets) != 1 or not isinstance(target := targets[0], RemoteTarget):
            return None
        found = shape(prepared.statement, prepared.resolved, target.schema)
        if found is None or not found.spelt:
            return None
        wanted = conditions(prepared.statement.tree.get("where_clause"), target.schema, prepared.parameters)
        seen = self._known_types(target.schema, found.columns)
        if wanted is None or seen is None:
            return None
        self._seen = seen
        (name,) = prepared.resolved.targets
        return stage.direct(Ask(name, found.columns, wanted), target, found.limit)

    def _known_types(self, schema: pa.Schema, columns: tuple[str, ...]) -> pa.Schema | None:
        """What DuckDB makes of these columns of the table; None where it has not shown it yet."""
        form = self._prepared.statement.form
        if form is not None and form.seen is not None and form.seen[0] is schema:
            return cast("pa.Schema", form.seen[1])
        known = [self._engine.types.get(schema.field(name).type) for name in columns]
        if None in known:
            return None
        seen = pa.schema(list(zip(columns, known, strict=True)))
        if form is not None:
            form.seen = schema, seen
        return seen

    def _open(self, stage: Stage) -> DuckDBPyConnection:
        resolved = self._prepared.resolved
        cursor = self._engine.cursor()
        with self._lock:
            self._cursor = cursor
        several = resolved.references > 1
        for name, target in resolved.targets.items():
            if isinstance(target, LocalTarget):
                source.register(cursor, name, LocalSource(stage, target.value))
            elif not target.schema.names:
                raise Unsupported(f"`{target.connection}.{target.table}`", "be queried", "It has no columns.")
            else:
                rows = self._estimate(target) if several else None
                source.register(cursor, name, RemoteSource(stage, name, target, rows))
                told_apart(cursor, name, target.schema, self._prepared.statement.tree)
        return cursor

    def _prepare(self, stage: Stage, cursor: DuckDBPyConnection) -> Feed | None:
        """Rehearses and plans; gives the feed whose rows are the result as they are, where there is one."""
        self._rehearse(stage, cursor)
        asks = stage.asks
        if len(asks) == 1 and self._seen is not None and source.push_down_works():
            (ask, target), prepared = asks[0], self._prepared
            found = shape(prepared.statement, prepared.resolved, target.schema)
            if found is not None:
                same = same_types(target.schema, found.columns, self._seen)
                if same:
                    kinds = [target.schema.field(name).type for name in found.columns]
                    self._engine.types.update(zip(kinds, self._seen.types, strict=True))
                if same and nothing_left(cursor, prepared.resolved.sql, prepared.parameters):
                    return stage.direct(Ask(ask.name, found.columns, ask.predicates), target, found.limit)
            if self._offered(stage, cursor, ask.name, target):
                return None
        else:
            stage.plan()
        self._prepared = replace(self._prepared, resolved=in_turn(self._prepared.statement, self._prepared.resolved))
        return None

    def _offered(self, stage: Stage, cursor: DuckDBPyConnection, name: str, target: RemoteTarget) -> bool:
        """Plans the only scan, as far as its source can do more than drop rows; says whether it adds them up."""
        prepared, can = self._prepared, target.manifest.capabilities
        sql, given = prepared.resolved.sql, prepared.parameters
        top = None
        if prepared.resolved.references == 1 and not prepared.statement.pivots:
            if can.measures and (found := reduced(self._engine, prepared.statement, sql, given, name, target.schema)):
                feed = stage.added_up(found.ask, target, found.aggregate)
                if feed is not None:
                    self._reduced = found, feed
                    return True
            if can.top:
                top = top_of(prepared.statement, sql, given, target.schema, cursor)
        stage.plan(top)
        return False

    def _put_together(
        self, stage: Stage, cursor: DuckDBPyConnection
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]] | None:
        """The rows made of what the source has added up: no row comes before all of that is there. None, and then all
        rows are asked for, where that cannot be done exactly."""
        if self._reduced is None:
            return None
        found, feed = self._reduced
        try:
            source.register(cursor, SUMS, Parts(feed))
            stage.start([feed])
            self._reader = self._run(cursor, found.sql, found.parameters)
            schema = distinct_names(durations(self._reader.schema))
            batches = renamed(with_durations(self._reader, self._reader.schema), schema)
            first = next(batches, None)
        except Exception:
            if not isinstance(stage.error, NotExact):
                raise
            self._reduced, self._not_exact = None, f"added up here: {stage.error.why}"
            stage.back()
            with contextlib.suppress(duckdb.Error):
                cursor.rollback()
            cursor.begin()
            stage.plan()
            return None
        return schema, itertools.chain([] if first is None else [first], batches)

    def _run(
        self, cursor: DuckDBPyConnection, sql: str = "", given: Mapping[str, object] | None = None
    ) -> pa.RecordBatchReader:
        parameters = dict(self._prepared.parameters if given is None else given) or None
        sql = sql or self._prepared.resolved.sql
        try:
            relation = cursor.sql(sql, params=parameters)
            must_fit(zip(relation.columns, map(str, relation.types), strict=True))
            return relation.to_arrow_reader(BATCH_ROWS)
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            # Relations tell errors without their place; a cursor that explains does.
            with contextlib.suppress(duckdb.Error):
                cursor.rollback()
            prefix = "" if self._prepared.statement.kind is Kind.EXPLAIN else "explain "
            try:
                cursor.execute(prefix + sql, parameters)
            except duckdb.Error as error:
                places = (Splice(0, 0, prefix), *self._prepared.resolved.splices)
                raise translated(error, self._prepared.statement.body, places) from None
            raise

    def _rehearse(self, stage: Stage, cursor: DuckDBPyConnection) -> None:
        """Its error is never shown: the run makes the same one, or the rehearsal was wrong."""
        lock, over, cut = threading.Lock(), False, False

        def enough() -> None:
            nonlocal cut
            with lock:
                if not over:
                    cut = True
                    cursor.interrupt()

        timer = threading.Timer(self._limits.rehearsal, enough)
        timer.daemon = True
        timer.start()
        try:
            reader = self._run(cursor)
            self._seen = distinct_names(durations(reader.schema))
            try:
                for _ in reader:
                    if stage.stopped:
                        break
            finally:
                reader.close()
            failed = False
        except Exception:  # noqa: BLE001
            failed = True
        finally:
            with lock:
                over = True
            timer.cancel()
        if failed or cut:
            begin_anew(cursor)


def begin_anew(cursor: DuckDBPyConnection) -> None:
    """A new transaction. An interrupt that came between two of DuckDB's steps would end the next statement: it ends one
    that is nothing."""
    with contextlib.suppress(duckdb.Error):
        cursor.rollback()
    for _ in range(3):
        try:
            cursor.execute("select 1").fetchall()
            break
        except duckdb.InterruptException:
            continue
    cursor.begin()


def distinct_names(schema: pa.Schema) -> pa.Schema:
    """`select *` of a join may give a name twice, which frames do not take: the second `id` becomes `id_1`."""
    given = set(schema.names)
    if len(given) == len(schema.names):
        return schema
    names: dict[str, None] = {}
    for name in schema.names:
        new, number = name, 0
        while new in names or (number and new in given):
            number += 1
            new = f"{name}_{number}"
        names[new] = None
    return pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)], schema.metadata)


def renamed(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Each batch with the schema's names."""
    for batch in batches:
        yield handed_on(batch, schema)
