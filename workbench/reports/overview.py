"""The traffic overview: visitors, sessions, page views, bounces and durations, over time, and by page, source, device
and country, beside the period before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from workbench.contract.errors import InvalidParameter
from workbench.execution.fold import SumFold
from workbench.reports.buckets import GRANULARITIES, buckets, chosen
from workbench.reports.overview_table import SCHEMA, rows
from workbench.reports.periods import Window
from workbench.reports.report import Definition, Question, Report
from workbench.reports.rules import rules
from workbench.reports.scan import Source
from workbench.reports.stitching import Traffic
from workbench.reports.traffic import AFTER, TrafficFold
from workbench.reports.zones import Zone

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Overview"]

ROLES = ("time", "user", "event", "page", "source", "referrer", "device", "country")
CURRENT, PREVIOUS, TIMELESS = "current", "previous", "timeless"
MEASURES = (
    ("visitors", "Visitors"), ("sessions", "Sessions"), ("page_views", "Page views"),
    ("views_per_session", "Page views per session"), ("bounce_rate", "Bounce rate"),
    ("mean_duration", "Mean duration of a session"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Overview(Definition):
    """`definition` is whose rules hold for sessions and bounces: `ga4`, `matomo` or `plausible`. `granularity` is
    `minute`, `hour`, `day`, `week` (from Monday), `month`, `quarter`, `year` or `auto`. With `compare`, the period of
    the same length just before is beside it. `key_events` are those that make a session engaged (GA4)."""

    kind: ClassVar[str] = "overview"
    schema: ClassVar[pa.Schema] = SCHEMA
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "definition": ("ga4", "matomo", "plausible"),
        "granularity": ("auto", *GRANULARITIES),
    }
    definition: str = "ga4"
    granularity: str = "auto"
    compare: bool = True
    key_events: Any = ("purchase",)

    def __post_init__(self) -> None:
        super().__post_init__()
        rules(self.definition)
        if self.granularity not in (*GRANULARITIES, "auto"):
            known = ", ".join(f"`{one}`" for one in (*GRANULARITIES, "auto"))
            raise InvalidParameter("granularity", f"is `{self.granularity}`; there are {known}.")
        if not isinstance(self.compare, bool):
            raise InvalidParameter("compare", "is True or False.")
        names = (self.key_events,) if isinstance(self.key_events, str) else tuple(self.key_events)
        if not all(isinstance(name, str) for name in names):
            raise InvalidParameter("key_events", "is a list of events' names.")
        object.__setattr__(self, "key_events", names)

    @property
    def statement(self) -> str:
        return rules(self.definition).statement

    def questions(self, source: Source, window: Window) -> Sequence[Question]:
        zone = Zone(self.zone)
        windows = {CURRENT: window}
        if self.compare and not self.everything:
            windows[PREVIOUS] = window.previous(zone)
        granularity = chosen(self.granularity, window)
        made, found = [], rules(self.definition)
        for label, one in windows.items():
            buckets(one, granularity, zone)  # says so now if they are too many
            span = None if self.everything else (one.start - found.timeout, one.end + AFTER)
            scan = source.scan(ROLES, span, dict(self.where))
            fold = TrafficFold(
                scan.roles,
                one,
                self.zone,
                granularity,
                found.midnight,
                found.timeout,
                source.clock.unit,
                source.events.page_views,
                source.events.passive,
                frozenset(self.key_events),
                source.events.sites,
            )
            made.append(Question(label, one, scan, fold))
        if not self.everything:
            made.append(Question(TIMELESS, window, source.timeless(dict(self.where)), SumFold("timeless")))
        return made

    def periods(self, report: Report) -> list[Question]:
        """The questions that are about a period."""
        return [question for question in report.questions if question.label != TIMELESS]

    def table(self, report: Report) -> pa.Table:
        zone, found = Zone(self.zone), rules(self.definition)
        made = []
        for question in self.periods(report):
            traffic: Traffic = report.answers[question.label]
            granularity = chosen(self.granularity, report.questions[0].window)
            made.append(rows(question.label, traffic, buckets(question.window, granularity, zone), zone, found))
        return pa.concat_tables(made)

    def totals(self, report: Report) -> dict[str, dict[str, Any]]:
        """The headline numbers by period."""
        table = report.arrow()
        total = table.filter(np.equal(table["breakdown"].to_numpy(zero_copy_only=False), "total"))
        return {row["period"]: row for row in total.to_pylist()}

    def text(self, report: Report) -> list[list[str]]:
        found = self.totals(report)
        now, before = found[CURRENT], found.get(PREVIOUS)
        made = [["", *(question.window.shown(Zone(self.zone)) for question in self.periods(report))]]
        if before is not None:
            made[0].append("change")
        for name, label in MEASURES:
            cells = [label, shown(name, now[name])]
            if before is not None:
                cells += [shown(name, before[name]), change(name, now[name], before[name])]
            made.append(cells)
        return made

    def notes(self, report: Report) -> list[str]:
        from workbench.reports.overview_notes import notes

        return notes(self, report)

    def figure(self, report: Report, theme: str) -> go.Figure:
        from workbench.reports.overview_figure import figure

        return figure(self, report, theme)


def shown(measure: str, value: float | None) -> str:
    """A number as it is read; a dash where there is none."""
    if value is None:
        return "–"
    match measure:
        case "bounce_rate":
            return f"{value:.1%}"
        case "mean_duration":
            minutes, seconds = divmod(round(value), 60)
            return f"{minutes} min {seconds:02d} s" if minutes else f"{value:.1f} s"
        case "views_per_session":
            return f"{value:.2f}"
    return f"{value:,.0f}"


def change(measure: str, now: float | None, before: float | None) -> str:
    """How much more or less: in percent, rates in points; `no base` where there was nothing to compare with."""
    if now is None or before is None or (not before and measure != "bounce_rate"):
        return "no base"
    if measure == "bounce_rate":
        return f"{(now - before) * 100:+.1f} points"
    return f"{now / before - 1:+.1%}"
