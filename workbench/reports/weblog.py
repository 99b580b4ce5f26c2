"""Access logs as events: every line that is one, and what kind of request it was."""

from __future__ import annotations

import glob
import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from workbench.contract.errors import LimitExceeded, PathUnreachable
from workbench.kit.logs import LogParser, lines_of

__all__ = ["Log", "read_log"]

MOST_LINES = 20_000_000
MOST_REFUSED = 256 << 20
_ASSETS = r"(?i)\.(css|js|mjs|map|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|eot|otf|mp[34]|webm)$"
_BOT = r"(?i)bot\b|bot[/;-]|crawl|spider|slurp|fetch|curl|wget|python|java/|libwww|monitor"


@dataclass(frozen=True)
class Log:
    """What was read of a log. `table` holds the parsed lines; `refused` the others: `file`, `line`, `reason`, `text`.
    Lines read are those parsed and those refused."""

    path: str
    form: str
    files: int
    table: pa.Table
    refused: pa.Table

    @property
    def read(self) -> int:
        return int(self.table.num_rows + self.refused.num_rows)

    def __repr__(self) -> str:
        counts = f"{self.read:,} lines read = {self.table.num_rows:,} parsed + {self.refused.num_rows:,} refused"
        rows = self.refused.slice(0, 3).to_pylist()
        shown = [f"  line {row['line']}: {row['reason']}: {_shown(row['text'])}" for row in rows]
        more = [f"  and {self.refused.num_rows - 3:,} more in `.refused`"] if self.refused.num_rows > 3 else []
        return "\n".join([counts, *shown, *more])


def read_log(path: str | Path, form: str = "combined") -> Log:
    """Reads a log, or those that a pattern fits, into memory (about 450 bytes a line). To a line's fields come `kind`
    (`page_view`: a GET that was answered with 2xx or 304 and is no asset by its name; `asset`; `redirect`; `error`: 4xx
    and 5xx; `other`), `device` from the user agent (`bot`, `tablet`, `mobile`, `desktop`) and `visitor` (host and user
    agent). Raises PathUnreachable, InvalidParameter for an unknown format, LimitExceeded beyond 20 million lines, and
    256 MB of refused ones."""
    parser = LogParser(form)
    where = os.path.expanduser(str(path))
    files = sorted(glob.glob(where)) if glob.has_magic(where) and not os.path.exists(where) else [where]
    if not files:
        raise PathUnreachable(str(path), "no file fits the pattern")
    rows: list[pa.RecordBatch] = []
    refused: list[pa.Table] = []
    lines = kept = 0
    for file in files:
        first = 1
        for some in _lines(file):
            parsed = parser.parse(some, first)
            rows.append(_with_kind(parsed.rows))
            names = pa.array([os.path.basename(file)] * parsed.refused.num_rows, pa.string())
            refused.append(pa.table(parsed.refused).add_column(0, "file", names) if len(names) else _none(parser))
            first += len(some)
            lines += len(some)
            if lines > MOST_LINES:
                raise LimitExceeded("lines of a log", f"{MOST_LINES:,}", "Read fewer files at a time.")
            if (kept := kept + refused[-1].nbytes) > MOST_REFUSED:
                way_out = f"Is it a log of the format {form}? The first: {_shown(str(parsed.refused['text'][0]))}"
                raise LimitExceeded("bytes of lines that are not the log's", f"{MOST_REFUSED:,}", way_out)
    table = pa.Table.from_batches(rows) if rows else pa.Table.from_batches([_with_kind(parser.parse([]).rows)])
    return Log(str(path), form, len(files), table, pa.concat_tables([_none(parser), *refused]))


def _none(parser: LogParser) -> pa.Table:
    return pa.schema([("file", pa.string()), *parser.refused_schema]).empty_table()


def _lines(path: str) -> Iterator[list[str]]:
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
            yield from lines_of(file)
    except (OSError, EOFError, zlib.error) as error:
        raise PathUnreachable(path, getattr(error, "strerror", None) or str(error)) from None


def _with_kind(rows: pa.RecordBatch) -> pa.RecordBatch:
    status, path = rows["status"], rows["path"]
    asset = pc.fill_null(pc.match_substring_regex(path, _ASSETS), False)
    answered = pc.or_(pc.and_(pc.greater_equal(status, 200), pc.less(status, 300)), pc.equal(status, 304))
    got = pc.and_(pc.fill_null(pc.equal(rows["method"], "GET"), False), answered)
    conditions = [pc.greater_equal(status, 400), pc.and_(got, asset), got]
    conditions.append(pc.and_(pc.greater_equal(status, 300), pc.not_equal(status, 304)))
    kind = _first(conditions, ("error", "asset", "page_view", "redirect"), "other")
    agent = rows["user_agent"]
    looks = [_BOT, r"(?i)ipad|tablet", r"(?i)mobi|android|iphone"]
    device = _first([pc.match_substring_regex(agent, one) for one in looks], ("bot", "tablet", "mobile"), "desktop")
    device = pc.if_else(agent.is_valid(), device, None)
    visitor = pc.binary_join_element_wise(rows["host"], pc.fill_null(agent, ""), " ")
    made = {"kind": kind, "device": device, "visitor": visitor}
    columns = [*rows.columns, *made.values()]
    return pa.RecordBatch.from_arrays(columns, names=[*rows.schema.names, *made])


def _first(conditions: list[pa.Array], names: tuple[str, ...], otherwise: str) -> pa.Array:
    filled = [pc.fill_null(one, False) for one in conditions]
    flags = pa.StructArray.from_arrays(filled, names=[str(at) for at in range(len(filled))])
    return pc.case_when(flags, *(pa.scalar(name) for name in names), pa.scalar(otherwise))


def _shown(text: str) -> str:
    """Without signs that a terminal would obey."""
    short = text if len(text) <= 120 else text[:117] + "…"
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in short)
