"""The rows that `lab_grid` shows: one DuckDB file, and the same in SQLite for a peer that reads no DuckDB."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

DUCKDB = """create table events as select i as id, i % 1000 as customer, (i * 7919) % 100003 / 100 as total,
  'page ' || (i % 500) as page, ['DE', 'FR', 'US'][1 + i % 3] as country,
  timestamp '2026-01-01' + to_seconds(i) as at from range({rows}) t(i)"""
SQLITE = """create table events as with recursive t(i) as (select 0 union all select i + 1 from t where i < {last})
  select i as id, i % 1000 as customer, (i * 7919) % 100003 / 100.0 as total, 'page ' || (i % 500) as page,
  case i % 3 when 0 then 'DE' when 1 then 'FR' else 'US' end as country, datetime(1767225600 + i, 'unixepoch') as at
  from t"""
CHECK = (
    'select count(*), sum(customer), round(sum(total)), max(page), max(country), max(cast("at" as varchar)) from events'
)


def made(folder: Path, rows: int) -> tuple[Path, Path]:
    """The files, DuckDB's and SQLite's, that hold the same."""
    first, second = folder / "shop.duckdb", folder / "shop.sqlite"
    with duckdb.connect(str(first)) as link:
        link.execute(DUCKDB.format(rows=rows))
        here = link.execute(CHECK).fetchone()
    with closing(sqlite3.connect(second)) as other:
        other.execute("pragma journal_mode = off")
        other.execute("pragma synchronous = off")
        other.execute(SQLITE.format(last=rows - 1))
        other.commit()
        there = other.execute(CHECK).fetchone()
    if here != there:
        raise RuntimeError(f"the files do not hold the same: {here} and {there}")
    return first, second
