"""What every report shares: a definition is plain values, `.on(events)` makes a `Report` of it.

A definition is a frozen dataclass below `Definition`, in a module of its own: its parameters, the schema of its tidy
result, the questions that it asks (a statement and a fold each), what it makes of the answers, its figure. It is
registered by its name in `REPORTS`.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, cast

from workbench.contract.errors import Cancelled, DocumentError, InvalidParameter, UnknownName, UsageError
from workbench.execution.fold import Fold, fold_batches
from workbench.reports.drawing import theme_named
from workbench.reports.periods import ALL, Window, window
from workbench.reports.scan import Scan, Source, is_path, literal
from workbench.reports.zones import Zone

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects as go
    import polars
    import pyarrow as pa

    from workbench.documents import Document
    from workbench.query.result import Result
    from workbench.query.session import Session
    from workbench.reports.events import Events

__all__ = ["KIND", "REPORTS", "Definition", "Question", "Report", "load"]

KIND, VERSION = "reports", 1
REPORTS = {"overview": "workbench.reports.overview:Overview"}
"""Reports by name; a module is imported when its report is used."""


@dataclass(frozen=True)
class Question:
    """One statement, and the fold that its rows go through. `label` says what it is for, as in `current`."""

    label: str
    window: Window
    scan: Scan
    fold: Fold[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Definition(ABC):
    """The parameters that all reports have: `period` in words, the `zone` of its days, and `where`, which keeps the
    events with these values of a role, as in `{"country": ["DE", "FR"]}`."""

    kind: ClassVar[str]
    schema: ClassVar[Any]
    choices: ClassVar[Mapping[str, Sequence[str]]] = {}
    """What a parameter may be, for those that are one of a few."""
    period: str = "last 28 days"
    zone: str = "UTC"
    where: Any = ()

    def __post_init__(self) -> None:
        Zone(self.zone)
        if not isinstance(self.period, str):
            raise InvalidParameter("period", "is text, as in `last 28 days` or `2026-01-01..2026-01-31`.")
        if not self.everything:
            window(self.period, Zone(self.zone), datetime.datetime.now(datetime.UTC))
        object.__setattr__(self, "where", _filters(self.where))

    @property
    def everything(self) -> bool:
        """Whether the period is all that there is."""
        return self.period.strip().casefold() == ALL

    def on(self, events: Events, *, now: datetime.datetime | None = None, session: Session | None = None) -> Report:
        """The report on these events; nothing runs yet. `now` is what the period is counted from."""
        return Report(self, events, now=now, session=session)

    @property
    @abstractmethod
    def statement(self) -> str:
        """The definition of the numbers, in words; it stands beside them."""

    @abstractmethod
    def questions(self, source: Source, window: Window) -> Sequence[Question]:
        """What has to be read and computed."""

    @abstractmethod
    def table(self, report: Report) -> pa.Table:
        """The tidy result, with the definition's schema, from `report.answers`."""

    @abstractmethod
    def text(self, report: Report) -> list[list[str]]:
        """The headline as rows of cells, the first row being the head."""

    @abstractmethod
    def figure(self, report: Report, theme: str) -> go.Figure: ...

    def notes(self, report: Report) -> list[str]:
        """What somebody who reads the numbers has to know."""
        return []

    def body(self) -> dict[str, Any]:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"report": self.kind, **{name: _plain(value) for name, value in values.items()}}

    def save(self, name: str) -> Document:
        """Saves it as `reports/name`."""
        from workbench.reports.saving import store

        return store().save(KIND, name, self.body(), VERSION)


class Report:
    """A definition on events. It runs once, on first use; `rerun()` runs it anew."""

    def __init__(
        self,
        definition: Definition,
        events: Events,
        *,
        now: datetime.datetime | None = None,
        session: Session | None = None,
        source: Source | None = None,
    ) -> None:
        if now is not None and now.tzinfo is None:
            raise InvalidParameter("now", "has no zone: `datetime.datetime.now(datetime.UTC)` has one.")
        self.definition, self.events = definition, events
        self.now = now or datetime.datetime.now(datetime.UTC)
        self._session = session
        self._lock = threading.RLock()
        self._source = source.followed(self._follow) if source is not None else None
        self._questions: Sequence[Question] | None = None
        self._results: dict[str, Result] = {}
        self._answers: dict[str, Any] | None = None
        self._table: pa.Table | None = None
        self._cancelled = threading.Event()
        self._under_way: Result | None = None
        self._told, self._statements, self._rows = False, 0, 0

    # --- what it is

    @property
    def questions(self) -> Sequence[Question]:
        with self._lock:
            if self._questions is None:
                source = self._found()
                self._questions = self.definition.questions(source, self._window(source))
            return self._questions

    @property
    def results(self) -> Mapping[str, Result]:
        """The statements that ran, each with its `.explain()`."""
        return dict(self._results)

    @property
    def answers(self) -> Mapping[str, Any]:
        """What the folds gave, by the questions' labels; runs the report."""
        with self._lock:
            if self._answers is None:
                with self._in_history():
                    source, made = self._found(), {}
                    for question in self.questions:
                        result = self._results[question.label] = source.run(question.scan.text)
                        # Whatever ends the fold ends the source's work too, and at once.
                        with contextlib.closing(cast("Generator[pa.RecordBatch]", result.batches())) as batches:
                            made[question.label] = fold_batches(question.fold, self._until_cancelled(batches))
                    self._answers = made
            return self._answers

    def sql(self) -> str:
        """The statements that it runs, and what is done with their rows."""
        parts = [
            f"-- {question.label}: the rows go through {type(question.fold).__name__}\n{question.scan.text}"
            for question in self.questions
        ]
        return ";\n\n".join(parts)

    # --- the numbers

    def arrow(self) -> pa.Table:
        """The tidy result, with the schema of the definition."""
        with self._lock:
            if self._table is None:
                with self._in_history():
                    self._table = self.definition.table(self)
            return self._table

    def polars(self) -> polars.DataFrame:
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def pandas(self) -> pandas.DataFrame:
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise UsageError(
                "pandas is not installed. Install `analytics-workbench[pandas]`, or use polars()."
            ) from None
        return self.arrow().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.arrow().__arrow_c_stream__(requested_schema)

    @property
    def statement(self) -> str:
        return self.definition.statement

    @property
    def notes(self) -> list[str]:
        return self.definition.notes(self)

    def figure(self, theme: str | None = None) -> go.Figure:
        """The report as a plotly figure. `theme` is `light` or `dark`, each with its own ground, or `page`, which has
        none and is read on both; in a dashboard it is the page's without being said."""
        return self.definition.figure(self, theme_named(theme))

    def cancel(self) -> None:
        """Ends the computing, and with it the source's work: whoever waits for it gets Cancelled at once, also where
        the source is silent. From any thread; a report that has its answers keeps them."""
        self._cancelled.set()
        under_way = self._under_way
        if under_way is not None and self._answers is None:
            under_way.cancel()

    def with_definition(self, definition: Definition) -> Report:
        """Another definition on the same events, at the same moment: what was found out about their table holds."""
        return Report(definition, self.events, now=self.now, session=self._session, source=self._source)

    def rerun(self, now: datetime.datetime | None = None) -> Report:
        """The same anew, at `now`."""
        return Report(self.definition, self.events, now=now, session=self._session)

    def __repr__(self) -> str:
        from workbench.reports.showing import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from workbench.reports.showing import as_html

        return as_html(self)

    # --- inside

    @contextlib.contextmanager
    def _in_history(self) -> Iterator[None]:
        """All that it asks within is one line there, when it is over."""
        if self._told:
            yield
            return
        register = self._asked().register
        begun, state, message = register.clock(), "failed", ""
        self._told, self._statements, self._rows = True, 0, 0
        try:
            yield
            state = "done"
        except Cancelled:
            state = "stopped"
            raise
        except Exception as error:
            message = str(error)
            raise
        finally:
            self._told = False
            if self._statements or state == "failed":
                connections = self._source.connections if self._source is not None else ()
                register.note(
                    "report", self._title, state, started=begun, rows=self._rows, error=message, connections=connections
                )

    @property
    def _title(self) -> str:
        table = self.events.table
        name = str(table) if isinstance(table, str) or is_path(table) else f"a {type(table).__name__}"
        if self.events.log_read is not None:
            name = str(self.events.log_read.path)
        return f"report: {self.definition.kind} of {name}, {self.definition.period}"

    def _follow(self, result: Result) -> None:
        self._under_way = result
        self._statements += 1
        if self._cancelled.is_set():
            result.cancel()
            raise Cancelled

    def _until_cancelled(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if self._cancelled.is_set():
                raise Cancelled
            self._rows += batch.num_rows
            yield batch

    def _asked(self) -> Session:
        if self._session is None:
            from workbench.query.session import default

            self._session = default()
        return self._session

    def _found(self) -> Source:
        if self._source is None:
            self._source = Source(self.events, self._asked(), self._follow)
        return self._source

    def _window(self, source: Source) -> Window:
        zone = Zone(self.definition.zone)
        if self.definition.everything:
            try:
                return source.span(zone)
            except (OverflowError, ValueError) as error:
                why = "of all events reaches beyond the calendar's years 1 to 9999: name one, or mend the times."
                raise InvalidParameter("period", why) from error
        return window(self.definition.period, zone, self.now)


def load(name: str) -> Definition:
    """A saved report. Raises DocumentError when it is not there, or not of a kind that is known."""
    from workbench.reports.saving import store

    document = store().load(KIND, name, VERSION)
    body = dict(document.body)
    try:
        kind = report(str(body.pop("report", "")))
    except UnknownName as error:
        raise DocumentError(f"{KIND}/{name}", f"is none that this program knows: {error}") from None
    known = {one.name for one in fields(kind)}
    if not set(body) <= known:
        raise DocumentError(
            f"{KIND}/{name}", f"has parameters that are not known: {', '.join(sorted(set(body) - known))}."
        )
    return kind(**body)


def report(name: str) -> type[Definition]:
    """The class of a report by its name."""
    if name not in REPORTS:
        raise UnknownName(name, REPORTS, "Reports are " + ", ".join(f"`{one}`" for one in REPORTS) + ".")
    module, _, attribute = REPORTS[name].partition(":")
    found: type[Definition] = getattr(importlib.import_module(module), attribute)
    return found


def _filters(where: Any) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    pairs = where.items() if isinstance(where, Mapping) else [tuple(one) for one in where]
    made = []
    for role, value in pairs:
        values = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        for one in values:
            if one is not None:
                literal(one)
        made.append((str(role), values))
    return tuple(made)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, frozenset)):
        return [_plain(one) for one in (sorted(value) if isinstance(value, frozenset) else value)]
    return value
