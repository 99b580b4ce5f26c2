"""handoff_duckdb.py FILE: the same statements by DuckDB itself and its own `.pl()`."""

import sys

import duckdb
from handoff_check import check
from loop import serve

engine = duckdb.connect(sys.argv[1], read_only=True)
serve(lambda sql: engine.sql(sql.replace("shop.", "")).pl(), check)
