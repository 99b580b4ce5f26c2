"""handoff_ours.py FILE: statements by `wb.sql` to a Polars frame; `shop` is the DuckDB file."""

import sys

from handoff_check import check
from loop import serve

import workbench as wb

wb.connect("shop", path=sys.argv[1])
serve(lambda sql: wb.sql(sql).polars(), check)
