"""How a result shows itself: text, and HTML without colours of its own, so that every theme fits. Every cell is data
and is escaped."""

from __future__ import annotations

import datetime
import decimal
import html
import importlib
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.query.explain import counted
from workbench.query.pylist import pylist

if TYPE_CHECKING:
    from workbench.query.result import Result

__all__ = ["as_html", "as_text", "cell_text", "displayed"]

SHOWN_ROWS = 50
PATIENCE = 0.2
SHOWN_COLUMNS = 100
CELL = 200
TEXT_CELL = 40
LONG = 60  # longer text is broken into lines, everything else is kept in one
TEXT_WIDTH = 160

# A result scrolls in a box of its own, so that the line which says how many rows there are is in sight. The head stays
# in place and needs the ground of the theme that is on.
_BOX = "max-height:28em;max-width:100%;overflow:auto"
_GROUND = "var(--jp-layout-color0,var(--vscode-editor-background,Canvas))"
_HEAD = f"position:sticky;top:0;background:{_GROUND}"


def as_html(result: Result, rows: int = SHOWN_ROWS) -> str:
    """The first rows as a table, with a line that says how many there are."""
    table = result.head(rows, PATIENCE)
    shown = table.schema.names[:SHOWN_COLUMNS]
    right = {
        number
        for number, kind in enumerate(table.schema.types[:SHOWN_COLUMNS])
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    }
    head = "".join(
        f'<th style="text-align:{"right" if number in right else "left"}" title="{html.escape(str(kind))}">'
        f"{html.escape(_plain(name))}</th>"
        for number, (name, kind) in enumerate(zip(shown, table.schema.types, strict=False))
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{"right" if number in right else "left"}{_wrapping(cell)}">{cell}</td>'
            for number, cell in enumerate(map(_cell_html, row))
        )
        + "</tr>"
        for row in _rows(table, shown)
    )
    lines = "".join(f'<div style="margin-top:.4em">{html.escape(line)}</div>' for line in _lines(result, table, shown))
    return (
        f'<div class="workbench-result mathjax_ignore"><div style="{_BOX}"><table style="margin:0">'
        f'<thead style="{_HEAD}"><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{lines}</div>'
    )


def as_text(result: Result, rows: int = 20) -> str:
    """The first rows as aligned text, with the same line."""
    table = result.head(rows, PATIENCE)
    names = table.schema.names[:SHOWN_COLUMNS]
    cells = [[_short(_plain(name), TEXT_CELL) for name in names]]
    cells += [[_short(cell_text(value), TEXT_CELL) for value in row] for row in _rows(table, names)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(names))]
    kept, width = 0, 0
    for one in widths:
        if kept and width + one + 2 > TEXT_WIDTH:
            break
        kept, width = kept + 1, width + one + 2
    lines = [
        "  ".join(cell.ljust(size) for cell, size in zip(row[:kept], widths, strict=False)).rstrip() for row in cells
    ]
    if lines:
        lines.insert(1, "  ".join("-" * size for size in widths[:kept]))
    return "\n".join([*lines, *_lines(result, table, names[:kept])])


def displayed(result: Result, rows: int) -> None:
    """In a notebook as HTML, else printed."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        from workbench.query.showing import bundle

        display: Any = importlib.import_module("IPython.display")
        display.display(bundle(result, rows), raw=True)
    else:
        print(as_text(result, rows))


def _rows(table: pa.Table, names: list[str]) -> list[tuple[Any, ...]]:
    columns = [pylist(table.column(number)) for number in range(len(names))]
    return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows


def _lines(result: Result, table: pa.Table, shown: list[str]) -> list[str]:
    count = result.rows
    if count.state == "exact" and count.rows == table.num_rows:
        text = counted(count.rows, "row")
    elif count.state == "exact":
        text = f"first {table.num_rows:,} of {counted(count.rows, 'row')}"
    elif count.state == "capped":
        text = f"first {counted(table.num_rows, 'row')}, {count}"
    else:
        text = f"first {counted(table.num_rows, 'row')}, {count}, still running"
    lines = [text]
    if len(shown) < table.num_columns:
        lines.append(f"first {len(shown)} of {table.num_columns:,} columns")
    if lost := result.lost:
        lines.append(
            "values that Arrow cannot hold, shown as NULL: "
            + ", ".join(f"{column} {number:,}" for column, number in lost.items())
        )
    return lines


def _wrapping(cell: str) -> str:
    if len(cell) > LONG:
        return ";min-width:20em"
    return ";white-space:nowrap" if " " in cell or "-" in cell else ""


def _cell_html(value: Any) -> str:
    if value is None:
        return '<span style="opacity:.5">NULL</span>'
    return html.escape(_short(cell_text(value), CELL))


def cell_text(value: Any) -> str:
    """A value in one line, about as SQL writes it; longer ones are cut by who shows them."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case bytes():
            return "0x" + value[: CELL // 2 + 1].hex()
        case str():
            return _plain(value[: CELL + 1])
        case decimal.Decimal():
            return f"{value:f}"
        case datetime.datetime():
            return value.isoformat(" ")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case dict():
            return "{" + ", ".join(f"{_plain(str(key))}: {cell_text(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(cell_text(item) for item in value[:50]) + (", …" if len(value) > 50 else "") + "]"
        case _:
            return _plain(str(value))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(text: str) -> str:
    """One line; control characters and what turns the direction of text around are made visible."""
    return "".join(sign if sign.isprintable() else "↵" if sign == "\n" else "�" for sign in text)
