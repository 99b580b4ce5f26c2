"""How a statement is dealt out to workers: which table each of them reads a piece of, what it does with the rows, and
what it is given whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from workbench.contract.errors import Cancelled, LimitExceeded, Unsupported
from workbench.contract.predicate import columns_of
from workbench.contract.scan import ScanPlan, ScanRequest, Split
from workbench.execution.cluster_folding import MOST_GATHERED
from workbench.execution.cluster_worker import Opening, Task
from workbench.kit.slots import asked
from workbench.query import source
from workbench.query.cluster_fold import ByName, Plain, SqlFold, at_once, identity, with_all
from workbench.query.distributing import Distributed, distributed, parameters_of, types_of
from workbench.query.lookup import LocalTarget, RemoteTarget
from workbench.query.stage import Ask, LocalSource, RemoteSource, Stage
from workbench.query.statement import Kind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from workbench.query.jobs import Prepared
    from workbench.query.session import Session
    from workbench.runs import Run

__all__ = ["Dealt"]

_TASK_ROWS = 4_000_000
"""A task of so many is worth what it costs; of a smaller table each worker has some …"""
_MOST_ROWS = 8_000_000
"""… and one of more is long to be read again, and to wait for."""
_FEW = 500_000
"""Rows below which a task costs more than it does."""
_MOST_SPLITS = 4_096


class Dealt:
    """A statement, dealt out to workers: `near` says of each whether it runs here, as this user. What is known of it
    once it was `made`: `stage`, `target` (the table that is read in pieces), `plan`, `tasks`."""

    def __init__(
        self,
        session: Session,
        prepared: Prepared,
        near: list[bool],
        address: str = "here",
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._session, self._prepared, self._near, self._address = session, prepared, near, address
        self._stopped = stopped
        self.stage: Stage | None = None
        self.target: RemoteTarget | None = None
        self.plan: ScanPlan | None = None
        self.tasks = 0
        self.sums = False
        self.schema = pa.schema([])
        """Of the rows as each task hands them on."""

    def made(self, run: Run, *, reading: bool = True) -> tuple[SqlFold, list[Task]]:
        """Without `reading` nothing is read at any source: for who only wants to know. Raises Unsupported with the part
        of the statement that cannot be taken apart."""
        if self._prepared.statement.kind is not Kind.QUERY:
            raise Unsupported("A cluster", "run this kind of statement", "Leave out `on=`.")
        name = self._driving()
        self.stage = stage = self._session.stage(run)
        sql, ask = self._rehearsed(stage, name)
        self.target = target = self._prepared.remotes[name]
        whole = self._whole_tables(stage, name, reading)
        columns = _needed(ask, target.schema.names)
        assert target.connector.tables is not None
        if reading:
            stage.protect(target)
        wanted = max(4 * len(self._near), min(_MOST_SPLITS, (self._session.estimate(target) or 0) // _MOST_ROWS))
        request = ScanRequest(target.table, columns, ask.predicates, splits=wanted)
        tables, connector = target.connector.tables, target.connector
        self.plan = plan = asked(connector, lambda: tables.plan(request), self._stopped)
        groups = _grouped(plan, len(self._near))
        opening = self._opening(target, all(self._near))
        schema = pa.schema([target.schema.field(one).remove_metadata() for one in columns])
        self.sums, self.tasks = sql.groups, len(groups)
        fold = SqlFold(sql, schema, whole, dict(self._prepared.parameters), tuple(target.schema.names))
        return fold, [
            Task(run.id, number, opening, replace(plan, splits=tuple(group)), self._session.limits.seconds)
            for number, group in enumerate(groups)
        ]

    def _driving(self) -> str:
        """The largest table; of two that nobody knows the size of, the first."""
        remotes = self._prepared.remotes
        if not remotes:
            raise Unsupported("A cluster", "read what is in this process", "Leave out `on=`.")
        return max(remotes, key=lambda name: self._session.estimate(remotes[name]) or 0)

    def _rehearsed(self, stage: Stage, driving: str) -> tuple[Distributed, Ask]:
        """The three statements, and what the first asks of the largest table: all tables are empty here."""
        prepared, targets = self._prepared, self._prepared.resolved.targets
        cursor = self._session.engine.cursor()
        try:
            for name, target in targets.items():
                if isinstance(target, LocalTarget):
                    source.register(cursor, name, LocalSource(stage, target.value))
                else:
                    source.register(cursor, name, RemoteSource(stage, name, target, None))
            relation = cursor.sql(prepared.resolved.sql, params=dict(prepared.parameters) or None)
            shape = list(zip(relation.columns, map(str, relation.types), strict=True))
            columns = {
                name: (target.value.schema if isinstance(target, LocalTarget) else target.schema).names
                for name, target in targets.items()
            }
            with self._session.engine.parser() as parser:
                types = types_of(cursor, parser, prepared.parameters)
                sql = distributed(prepared.resolved.sql, parser, driving, columns, shape, types)
                self.schema = self._tried(cursor, sql, parser)
            asks = [ask for ask, _ in stage.asks if ask.name == driving]
            if len(asks) != 1:
                return sql, Ask(driving, tuple(_names(targets[driving])), ())
            return sql, asks[0]
        finally:
            cursor.close()

    def _tried(self, cursor: DuckDBPyConnection, sql: Distributed, parser: DuckDBPyConnection) -> pa.Schema:
        """What a task hands on. All statements are asked of no rows, so that what does not fit is refused before
        anything is read."""
        named = parameters_of(sql.first, parser)
        given = {name: value for name, value in self._prepared.parameters.items() if name in named}
        try:
            part = cursor.sql(sql.first, params=given or None).to_arrow_table()
            SqlFold(sql, pa.schema([]), {}, dict(self._prepared.parameters)).rehearsed(part)
        except (duckdb.Error, pa.ArrowException) as error:
            why = str(error).partition("\n")[0][:200]
            raise Unsupported("A cluster", f"take this statement apart ({why})", "Leave out `on=`.") from None
        return part.schema

    def _whole_tables(self, stage: Stage, driving: str, reading: bool) -> dict[str, pa.Table]:
        """The other tables, with what is wanted of them, as they go to each worker."""
        found: dict[str, pa.Table] = {}
        wanted: dict[str, list[Ask]] = {}
        for ask, _ in stage.asks:
            wanted.setdefault(ask.name, []).append(ask)
        stage.rehearsing = False
        for name, target in self._prepared.resolved.targets.items():
            if name == driving:
                continue
            if isinstance(target, LocalTarget) and reading:
                reader = target.value.read(tuple(target.value.schema.names), (), self._stopped)
                found[name] = self._gathered(name, reader, reader.schema)
            if isinstance(target, LocalTarget):
                continue
            asks = wanted.get(name, [])
            one = asks[0] if len(asks) == 1 else Ask(name, tuple(target.schema.names), ())
            one = replace(one, columns=_needed(one, target.schema.names))
            feed = stage.direct(one, target, None)
            if not reading:
                continue
            feed.start()
            table = self._gathered(str(target.table), feed.batches(), feed.schema)
            found[name] = with_all(table, target.schema.names)
        return found

    def _gathered(self, name: str, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
        kept: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            if self._stopped():
                raise Cancelled
            kept.append(batch)
            size += batch.nbytes
            if size > MOST_GATHERED:
                way_out = f"`{name}` is to be whole on each worker: filter it more, or leave out `on=`."
                raise LimitExceeded("bytes of a smaller table", f"{MOST_GATHERED:,}", way_out)
        bare = pa.schema([field.remove_metadata() for field in schema])
        return pa.Table.from_batches(kept, schema).cast(bare)

    def _opening(self, target: RemoteTarget, near: bool) -> Opening:
        config = target.config()
        register = str(self._session.register.path) if near else ""
        if not config.secrets:
            return Plain(target.connection, target.manifest.name, config, register)
        if not near:
            told = f"Its workers run elsewhere, and the secret of `{target.connection}` stays here"
            raise Unsupported(f"The cluster {self._address}", "log in", told)
        source = identity(target.manifest.name, config)
        return ByName(target.connection, str(self._session.catalog.home), register, source, at_once(config))


def _names(target: RemoteTarget | LocalTarget) -> list[str]:
    names: list[str] = (target.value.schema if isinstance(target, LocalTarget) else target.schema).names
    return names


def _needed(ask: Ask, names: list[str]) -> tuple[str, ...]:
    """The columns of an ask, and those of its conditions, which are looked at once more where the rows are; one where
    only the number of rows matters. In the table's order."""
    wanted = {*ask.columns, *(column.name for one in ask.predicates for column in columns_of(one))}
    return tuple(name for name in names if name in wanted) or tuple(names[:1])


def _grouped(plan: ScanPlan, workers: int) -> list[list[Split]]:
    """Splits by tasks that are each worth their cost, and where there are few of those, some for each worker, so that
    none idles at the end."""
    splits = list(plan.splits)
    most = len(splits)
    if plan.estimate:
        worth = plan.estimate // _TASK_ROWS
        few = min(2 * workers, plan.estimate // _FEW)
        most = min(most, max(workers, few, worth))
    groups: list[list[Split]] = [[] for _ in range(max(1, min(most, len(splits))))]
    for at, split in enumerate(splits):
        groups[at * len(groups) // len(splits)].append(split)
    return groups
