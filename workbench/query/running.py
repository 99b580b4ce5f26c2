"""What runs, as a list that shows itself as a table."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable
from typing import ClassVar

from workbench.runs import RunInfo

__all__ = ["Running"]

TITLE = 2  # the only column that is broken into lines


class Running(list[RunInfo]):
    """Runs of this user, in any process, as they were when it was asked. `workbench running --stop ID` ends one."""

    columns: ClassVar[tuple[str, ...]] = ("id", "state", "what", "for", "rows", "works at", "process")
    numbers: ClassVar[frozenset[int]] = frozenset({3, 4, 6})

    def __init__(self, runs: Iterable[RunInfo] = (), now: float | None = None) -> None:
        super().__init__(runs)
        self._now = time.time() if now is None else now

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (
                one.id,
                one.state,
                _plain(one.title),
                f"{max(0.0, (one.ended or self._now) - one.started):,.1f} s",
                f"{one.rows:,}",
                ", ".join(sorted({native.connection for native in one.natives})),
                str(one.pid),
            )
            for one in self
        ]

    def __repr__(self) -> str:
        if not self:
            return "nothing runs"
        rows = [self.columns, *self.rows()]
        widths = [max(len(row[place]) for row in rows) for place in range(len(self.columns))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if place in self.numbers else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        def line(cells: Iterable[str], tag: str) -> str:
            shown = (
                f'<{tag} style="text-align:{"right" if place in self.numbers else "left"}'
                f'{"" if place == TITLE else ";white-space:nowrap"}">{html.escape(cell)}</{tag}>'
                for place, cell in enumerate(cells)
            )
            return f"<tr>{''.join(shown)}</tr>"

        if not self:
            return "<p>nothing runs</p>"
        body = "".join(line(row, "td") for row in self.rows())
        return f"<table class='mathjax_ignore'><thead>{line(self.columns, 'th')}</thead><tbody>{body}</tbody></table>"


def _plain(title: str) -> str:
    """One line, not too long; control characters are made visible."""
    text = "".join(sign if sign.isprintable() else "�" for sign in " ".join(title.split()))
    return text if len(text) <= 80 else f"{text[:79]}…"
