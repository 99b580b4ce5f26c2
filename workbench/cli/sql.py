"""`workbench sql`: SQL over connections and files, to the screen, to a pipe or to a file."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.query.delivery import Stream
    from workbench.query.result import Result

DESCRIPTION = """\
Runs one SQL statement (DuckDB's dialect) over your connections and files, and prints the rows.

A table is written `connection.table` or `connection.schema.table`, a file by its path in quotes.
What a source can filter itself is sent to it; --explain shows what."""

EXAMPLES = """\
examples:
  workbench sql "select country, count(*) from shop.customers group by 1 order by 2 desc"
  workbench sql "select * from shop.orders where order_id = $id" --set id=4711
  workbench sql "from 'events/*.parquet' limit 5"
  workbench sql "select * from shop.orders" --format csv | gzip > orders.csv.gz
  workbench sql "select * from shop.orders" --format parquet --output orders.parquet
  workbench sql "show index from orders" --native shop
  workbench sql - < query.sql

csv, json (one object a line) and parquet are streamed: a result larger than memory is no trouble. `table` shows the
first rows, says so when there are more, and lets the sources stop. Ctrl-C ends the work at the sources too.

In csv, text that a spreadsheet would take for a formula (`=1+1`, `@SUM(A1)`) gets an apostrophe, as in the grid's
export; --as-is leaves it out, for programs that read the file."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="SQL", help="the statement; `-` reads it from standard input")
    parser.add_argument(
        "--format", choices=["table", "csv", "json", "parquet"], help="default: that of --output's suffix, else table"
    )
    parser.add_argument("--output", "-o", metavar="FILE", type=Path, help="write there, whole or not at all")
    parser.add_argument(
        "--set", "-s", metavar="NAME=VALUE", action="append", default=[], dest="values",
        help="a value for `$NAME` in the statement; numbers, true, false and null are read as such, "
        "the rest is text. May be given again",
    )  # fmt: skip
    parser.add_argument("--native", metavar="CONNECTION", help="send the text to that source as it is (reading only)")
    parser.add_argument(
        "--rows", metavar="N", type=_rows, default=50, help="rows of a table; 0 shows all (default: 50)"
    )
    parser.add_argument("--as-is", action="store_true", help="csv without the apostrophe before formulas")
    parser.add_argument("--explain", action="store_true", help="show the plan at each source instead of running it")


def _rows(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"`{text}` is no number of rows: write 0 or more, where 0 shows all")
    return int(text)


def run(options: argparse.Namespace) -> int:
    from workbench.cli.screen import ProgressLine
    from workbench.cli.session import opened

    text = _read() if options.text == "-" else options.text
    form = _format(options)
    values = dict(_value(pair) for pair in options.values)
    progress = ProgressLine()
    with opened(progress) as session:
        result = session.native(options.native, text) if options.native else session.sql(text, values or None)
        if options.explain:
            print(result.explain())
        elif form == "table":
            _table(result, options.rows, options.output, progress)
        else:
            _stream(result, form, options.output, guard=form == "csv" and not options.as_is)
    return 0


def _read() -> str:
    from workbench.contract.errors import UsageError

    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"What is on standard input is no text: {error}.") from None


def _format(options: argparse.Namespace) -> str:
    from workbench.contract.errors import UsageError

    suffixes = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
    form: str = options.format or (suffixes.get(options.output.suffix.lower(), "") if options.output else "table")
    if not form:
        raise UsageError(f"`{options.output}` has no known suffix: say --format table, csv, json or parquet.")
    if form == "parquet" and options.output is None and sys.stdout.isatty():
        raise UsageError("Parquet is no text for a terminal: say --output FILE, or send it into a pipe.")
    return form


def _value(pair: str) -> tuple[str, object]:
    from workbench.contract.errors import UsageError

    name, equals, text = pair.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UsageError(f"--set {pair!r} is not NAME=VALUE.")
    if text in ("true", "false", "null") or re.fullmatch(
        r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", text
    ):
        return name, json.loads(text)
    return name, text


def _table(result: Result, rows: int, output: Path | None, progress: Any) -> None:
    from workbench.cli.screen import aligned, cells
    from workbench.query.explain import counted
    from workbench.query.write import whole_file

    if rows > 0:
        table = result.head(rows, patience=0.2)
        count = result.rows
        more = count.state != "exact" or count.rows > table.num_rows
        total = f" of {count.rows:,}" if count.state == "exact" else ""
    else:
        table, more, total = result.arrow(), False, ""
    progress.clear()
    body, right = cells(table)
    text = aligned(table.column_names, body, right) if table.column_names else "(no columns)"
    said = counted(table.num_rows, "row")
    if more:
        said = f"first {said}{total or ', and there are more'}; --rows 0 shows all"
    result.close()
    if output is None:
        print(text)
        print(f"({said})")
    else:
        with whole_file(output) as file:
            file.write(f"{text}\n({said})\n".encode())


def _stream(result: Result, form: str, output: Path | None, guard: bool) -> None:
    from workbench.query.formulas import harmless
    from workbench.query.write import write_file, write_stream

    def stream() -> Stream:
        return harmless(result.stream()) if guard else result.stream()

    if output is not None:
        write_file(stream, output, f".{form}")
        return
    sys.stdout.flush()
    with stream() as rows:
        write_stream(rows, sys.stdout.buffer, f".{form}")
