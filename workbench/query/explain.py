"""What a statement does at its sources: the plan before it runs, the figures after."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Applied", "Explanation", "SourceReport", "amount", "counted"]

_SENT = 4
"""Lines that are shown of what the parts of a scan are asked."""


def amount(size: int) -> str:
    """Bytes for people: `12 B`, `45.2 MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def counted(number: int, thing: str) -> str:
    """`1 row`, `1,234 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Applied:
    """A condition, and what the source does with it: `EXACT`, `SUPERSET` (filtered again here) or `NONE`."""

    condition: str
    level: str
    why: str = ""


@dataclass(frozen=True)
class SourceReport:
    """One scan. `estimate` is the source's own guess. Figures are None before it ran. `foreseen`: the rehearsal
    asked for it; `again`: its rows are kept, for they are read more than once. `notes` are the connector's."""

    connection: str
    table: str
    columns: tuple[str, ...]
    native_text: str
    conditions: tuple[Applied, ...] = ()
    splits: int = 1
    estimate: int | None = None
    foreseen: bool = True
    again: bool = False
    notes: tuple[str, ...] = ()
    rows_moved: int | None = None
    rows_kept: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    retries: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """`result.explain()`. Shows itself as text and as HTML; `dict()` is the same as plain values."""

    statement: str
    state: str
    sources: tuple[SourceReport, ...]
    rows: int | None = None
    seconds: float | None = None
    engine: str = ""

    @property
    def unforeseen(self) -> int:
        """Scans that the rehearsal did not see coming; they started late."""
        return sum(not source.foreseen for source in self.sources)

    def dict(self) -> dict[str, Any]:
        return {
            "statement": self.statement,
            "state": self.state,
            "rows": self.rows,
            "seconds": self.seconds,
            "unforeseen": self.unforeseen,
            "engine": self.engine,
            "sources": [
                {**asdict(source), "lost": {str(column): count for column, count in source.lost.items()}}
                for source in self.sources
            ],
        }

    def __repr__(self) -> str:
        lines = [self._head()]
        for number, source in enumerate(self.sources, 1):
            lines += ["", f"{number}. {source.connection}: {source.table}"]
            lines += [f"   {name:<9} {value}" for name, value in _facts(source)]
        if not self.sources:
            lines.append("No source is asked.")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p>{html.escape(self._head())}</p>"]
        for source in self.sources:
            rows = "".join(
                f'<tr><th style="text-align:left;vertical-align:top">{html.escape(name)}</th>'
                f'<td style="text-align:left;white-space:pre-wrap">{html.escape(value)}</td></tr>'
                for name, value in _facts(source)
            )
            title = html.escape(f"{source.connection}: {source.table}")
            head = f"<thead><tr><th colspan='2' style='text-align:left'>{title}</th></tr></thead>"
            parts.append(f"<table class='mathjax_ignore'>{head}{rows}</table>")
        if not self.sources:
            parts.append("<p>No source is asked.</p>")
        return "".join(parts)

    def _head(self) -> str:
        parts = [self.state]
        if self.rows is not None:
            parts.append(counted(self.rows, "row"))
        if self.seconds is not None:
            parts.append(f"{self.seconds:.2f} s")
        if self.unforeseen:
            parts.append(f"{counted(self.unforeseen, 'scan')} not foreseen")
        return ", ".join(parts)


def _sent(source: SourceReport) -> str:
    """Of many parts that are asked in lines of their own, the first and the last."""
    lines = source.native_text.splitlines()
    if len(lines) != source.splits or len(lines) <= _SENT:
        return source.native_text
    return "\n".join([*lines[: _SENT - 2], f"… {len(lines) - _SENT + 1} more like these", lines[-1]])


def _facts(source: SourceReport) -> list[tuple[str, str]]:
    facts = [("sent", _sent(source)), ("columns", ", ".join(source.columns) or "none, only the number of rows")]
    facts += [
        ("where", f"{one.condition}: {one.level}{f' ({one.why})' if one.why else ''}") for one in source.conditions
    ]
    estimate = f", about {counted(source.estimate, 'row')}" if source.estimate is not None else ""
    facts.append(("plan", f"{counted(source.splits, 'split')}{estimate}"))
    if source.rows_moved is not None:
        moved = counted(source.rows_moved, "row")
        took = f", in {source.seconds:.2f} s" if source.seconds else ""  # nobody has measured the workers' of a cluster
        facts.append(("moved", f"{moved}, {amount(source.bytes or 0)}{took}"))
        facts.append(("kept", counted(source.rows_kept or 0, "row")))
    if source.lost:
        lost = ", ".join(f"{column} {count:,}" for column, count in source.lost.items())
        facts.append(("lost", f"{lost} (values that Arrow cannot hold are NULL)"))
    if source.retries:
        facts.append(("retries", str(source.retries)))
    if not source.foreseen:
        facts.append(("note", "not foreseen by the rehearsal, started when it was asked for"))
    if source.again:
        facts.append(("note", "read more than once, its rows are kept"))
    facts += [("note", note) for note in source.notes]
    return facts
