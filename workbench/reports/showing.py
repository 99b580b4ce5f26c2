"""How a report shows itself: its numbers, the definition that they have, and what has to be known."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.reports.report import Report

__all__ = ["as_html", "as_text", "title"]

WIDTH = 100
ONLY = 80
"""Characters of a title that say which events are kept; the notes say it in full."""


def title(report: Report) -> str:
    kind = report.definition.kind.replace("_", " ").capitalize()
    table = report.events.table
    if report.events.log_read is not None:
        table = report.events.log_read.path
    shown = f" of {_printable(str(table))}" if isinstance(table, str) else ""
    return f"{kind}{shown} ({report.definition.zone}){_only(report)}"


def _only(report: Report) -> str:
    """Which events the numbers are of, where it is not all of them."""
    kept = [f"{role} {', '.join('none' if one is None else _printable(str(one)) for one in values) or 'none'}"
            for role, values in report.definition.where]  # fmt: skip
    return textwrap.shorten(f", only {' and '.join(kept)}", ONLY, placeholder=" …") if kept else ""


def as_text(report: Report) -> str:
    rows = report.definition.text(report)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    paragraphs = [report.statement, *report.notes]
    return "\n".join([title(report), *lines, *(textwrap.fill(_printable(one), WIDTH) for one in paragraphs)])


def as_html(report: Report) -> str:
    head, *rows = report.definition.text(report)
    right = 'style="text-align:right"'
    names = "".join(f"<th {right}>{html.escape(name)}</th>" for name in head[1:])
    body = "".join(
        f'<tr><th style="text-align:left">{html.escape(row[0])}</th>'
        + "".join(f"<td {right}>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    notes = "".join(
        f'<div style="max-width:60em;margin-top:.4em">{html.escape(_printable(one))}</div>'
        for one in (report.statement, *report.notes)
    )
    return (
        f'<div class="workbench-report mathjax_ignore"><div style="font-weight:bold">{html.escape(title(report))}</div>'
        f'<table style="margin:.4em 0"><thead><tr><th></th>{names}</tr></thead><tbody>{body}</tbody></table>'
        f"{notes}</div>"
    )


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)
