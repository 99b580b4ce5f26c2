"""The overview as a figure: headline numbers with their change, a series over time, and bars by page and dimension."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import pyarrow.compute as pc

from workbench.contract.errors import InvalidParameter
from workbench.reports.drawing import THEMES, Theme, label, plain
from workbench.reports.showing import title
from workbench.reports.zones import Zone

if TYPE_CHECKING:
    from workbench.reports.overview import Overview
    from workbench.reports.report import Report

__all__ = ["figure"]

TOP = 8
MOST_DRAWN = 5_000
NAME_LETTERS, FOOT_LETTERS = 18, 112
"""So that nothing lies on another thing in a figure of 700 pixels; a wider page has more air."""
SHORT = {"Page views per session": "Views per session", "Mean duration of a session": "Mean duration"}
CELL = {"xref": "paper", "yref": "paper", "xanchor": "left", "showarrow": False, "align": "left"}
# Sessions and visitors are often nearly the same: the thin line is seen on the thick one.
SERIES = (("page_views", "Page views", 2.2), ("visitors", "Visitors", 3.6), ("sessions", "Sessions", 1.4))
BARS = (
    ("page", "Pages", "page_views", "page views"),
    ("source", "Sources", "sessions", "sessions"),
    ("device", "Devices", "sessions", "sessions"),
    ("country", "Countries", "sessions", "sessions"),
)
SERIES_HEIGHT, BAR_HEIGHT, HEAD, FOOT_LINE = 300, 26, 190, 17
GAP = 74


def figure(definition: Overview, report: Report, theme: str) -> go.Figure:
    look = THEMES[theme]
    table = report.arrow()
    drawn = pc.sum(pc.and_(pc.equal(table["breakdown"], "time"), pc.equal(table["period"], "current"))).as_py() or 0
    if drawn > MOST_DRAWN:
        told = (
            f"makes {drawn:,} places on the line; {MOST_DRAWN:,} are drawn at most: take a longer one, or fewer days."
        )
        raise InvalidParameter("granularity", told)
    rows = table.to_pylist()
    shown = [bar for bar in BARS if any(row["breakdown"] == bar[0] for row in rows)]
    foot = _wrapped([report.statement, *report.notes])
    # Two a line, each line as deep as the longer one needs.
    lines = [shown[at : at + 2] for at in range(0, len(shown), 2)]
    deep = [max(_count(rows, bar[0]) for bar in line) for line in lines]
    height = HEAD + SERIES_HEIGHT + sum(deep) * BAR_HEIGHT + GAP * len(lines) + 40 + FOOT_LINE * len(foot) + 20
    made = go.Figure()

    def up(pixels: float) -> float:
        return 1 - pixels / height

    _series(made, rows, look, up(HEAD + SERIES_HEIGHT), up(HEAD), definition)
    top, axis = HEAD + SERIES_HEIGHT + GAP, 2
    for line, places in zip(lines, deep, strict=True):
        low = top + places * BAR_HEIGHT
        for side, bar in zip(((0.16, 0.47), (0.69, 1.0)), line, strict=False):
            _bars(made, rows, bar, axis, look, side if len(line) == 2 else (0.16, 1.0), (up(low), up(top)), places)
            axis += 1
        top = low + GAP
    _headline(made, definition, report, look, up)
    _words(made, plain(title(report)), 0, up(18), look.text, 18)
    text = {"text": "<br>".join(foot), "font": {"size": 11, "color": look.faint}}
    made.add_annotation(x=0, y=0, yanchor="bottom", **text, **CELL)
    made.update_layout(
        template=look.template, paper_bgcolor=look.ground, plot_bgcolor=look.ground, height=height, autosize=True,
        margin={"l": 28, "r": 28, "t": 0, "b": 16}, font={"color": look.text, "size": 12}, hovermode="x unified",
        hoverlabel=look.label,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": up(HEAD - 30), "yanchor": "bottom"}, bargap=0.35,
    )  # fmt: skip
    return made


def _count(rows: list[dict[str, Any]], breakdown: str) -> int:
    there = [row for row in rows if row["breakdown"] == breakdown and row["period"] == "current"]
    return max(3, min(TOP, len(there)))


def _series(made: go.Figure, rows: list[dict[str, Any]], look: Theme, low: float, high: float, of: Overview) -> None:
    now = [row for row in rows if row["breakdown"] == "time" and row["period"] == "current"]
    before = [row for row in rows if row["breakdown"] == "time" and row["period"] == "previous"]
    zone = Zone(of.zone).info
    at = [row["at"].astimezone(zone).replace(tzinfo=None) for row in now]
    names = [plain(row["value"]) for row in now]
    for (measure, name, width), colour in zip(SERIES, look.series, strict=True):
        made.add_trace(
            go.Scatter(
                x=at, y=[row[measure] for row in now], name=name, legendgroup=measure, mode="lines",
                line={"color": colour, "width": width}, customdata=names,
                hovertemplate="%{y:,} · %{customdata}",
            )
        )  # fmt: skip
        # Bucket by bucket: the first of the one period beside the first of the other.
        both = list(zip(at, before, strict=False))
        if both:
            made.add_trace(
                go.Scatter(
                    x=[moment for moment, _ in both], y=[row[measure] for _, row in both], name=f"{name} before",
                    legendgroup=measure, showlegend=False, mode="lines", opacity=0.75,
                    line={"color": colour, "width": 1.4, "dash": "dot"},
                    customdata=[plain(row["value"]) for _, row in both], hovertemplate="%{y:,} · %{customdata}",
                )
            )  # fmt: skip
    made.update_layout(
        xaxis={"domain": [0.02, 1], "anchor": "y", "showgrid": False, "showline": True, "linecolor": look.grid},
        yaxis={
            "domain": [low, high], "anchor": "x", "gridcolor": look.grid, "rangemode": "tozero", "tickformat": "~s",
            "zeroline": False,
        },
    )  # fmt: skip


def _bars(
    made: go.Figure,
    rows: list[dict[str, Any]],
    bar: tuple[str, str, str, str],
    axis: int,
    look: Theme,
    side: tuple[float, float],
    span: tuple[float, float],
    deep: int,
) -> None:
    breakdown, heading, measure, unit = bar
    mine = [row for row in rows if row["breakdown"] == breakdown]
    now = [row for row in mine if row["period"] == "current"]
    before = {row["value"]: row[measure] for row in mine if row["period"] == "previous"}
    compared = any(row["period"] == "previous" for row in rows)
    top = now[:TOP]
    # Names may be equal once they are cut: places are numbers, and the names are written beside them.
    places = list(range(len(top)))
    made.add_trace(
        go.Bar(
            x=[row[measure] for row in top], y=places, orientation="h", marker={"color": look.accent}, showlegend=False,
            xaxis=f"x{axis}", yaxis=f"y{axis}",
            customdata=[[label(row["value"], 200), f"{before.get(row['value'], 0):,}"] for row in top],
            hovertemplate=f"%{{customdata[0]}}<br>%{{x:,}} {unit}"
            + ("<br>before: %{customdata[1]}" if compared else "") + "<extra></extra>",
        )
    )  # fmt: skip
    if compared and top:
        made.add_trace(
            go.Scatter(
                x=[before.get(row["value"], 0) for row in top], y=places, mode="markers", showlegend=False,
                hoverinfo="skip",
                marker={"symbol": "line-ns-open", "size": 13, "color": look.faint, "line": {"width": 2}},
                xaxis=f"x{axis}", yaxis=f"y{axis}",
            )
        )  # fmt: skip
    # Numbers stand behind the longer of bar and mark.
    ends = [max(row[measure], before.get(row["value"], 0)) for row in top]
    made.add_trace(
        go.Scatter(
            x=ends, y=places, mode="text", text=[f" {row[measure]:,}" for row in top], textposition="middle right",
            textfont={"color": look.text, "size": 11}, cliponaxis=False, showlegend=False, hoverinfo="skip",
            xaxis=f"x{axis}", yaxis=f"y{axis}",
        )
    )  # fmt: skip
    largest = max([*ends, 1])
    made.update_layout(
        {
            f"xaxis{axis}": {
                "domain": list(side), "anchor": f"y{axis}", "visible": False, "range": [0, largest * 1.18],
            },
            f"yaxis{axis}": {
                "domain": list(span), "anchor": f"x{axis}", "range": [deep - 0.4, -0.6], "showgrid": False,
                "zeroline": False, "tickmode": "array", "tickvals": places, "tickfont": {"size": 11},
                "ticktext": [label(row["value"], NAME_LETTERS) for row in top],
            },
        }
    )  # fmt: skip
    left = 0.0 if side[0] < 0.5 else 0.53
    shown = f"{len(top)} of {len(now):,}" if len(now) > len(top) else ""
    heading = f"<b>{heading}</b> by {unit} {_faint(shown, look)}"
    _words(made, heading, left, span[1], look.text, 13, 8)


def _headline(made: go.Figure, definition: Overview, report: Report, look: Theme, up: Any) -> None:
    head, *rows = definition.text(report)
    periods = head[1]
    if len(head) > 2:
        periods += _faint(f" compared with {head[2]} (dotted)", look)
    _words(made, periods, 0, up(44), look.text, 13)
    for number, row in enumerate(rows):
        x = number / len(rows)
        _words(made, SHORT.get(row[0], row[0]), x, up(80), look.faint, 11)
        _words(made, f"<b>{row[1]}</b>", x, up(106), look.text, 21)
        if len(row) > 2:
            _words(made, row[3], x, up(126), _judged(row[0], row[3], look), 12)


def _faint(text: str, look: Theme) -> str:
    return f"<span style='color:{look.faint}'>{text}</span>"


def _judged(name: str, change: str, look: Theme) -> str:
    if change[:1] not in "+-" or change.lstrip("+-").startswith(("0.0%", "0.0 ")):
        return look.faint
    return look.good if (change[0] == "+") != (name == "Bounce rate") else look.bad


def _words(made: go.Figure, text: str, x: float, y: float, colour: str, size: int, shift: float = 0) -> None:
    font = {"size": size, "color": colour}
    anchor = "bottom" if shift else "middle"
    made.add_annotation(text=text, x=x, y=y, yanchor=anchor, yshift=shift, font=font, **CELL)


def _wrapped(paragraphs: list[str]) -> list[str]:
    return [plain(line) for one in paragraphs for line in textwrap.wrap(one, FOOT_LETTERS)]
