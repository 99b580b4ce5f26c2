"""workbench_sql.py HOST PORT USER DATABASE: statements by `wb.sql`, rows fetched as Python values."""

import sys

from loop import serve

import workbench as wb

HOST, PORT, USER, DATABASE = sys.argv[1:]
wb.connect("shop", f"mysql://{USER}@{HOST}:{PORT}/{DATABASE}", secret="env:WORKBENCH_BENCH_SECRET")


def run(sql):
    table = wb.sql(sql).arrow()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


serve(run, lambda rows: sorted([[str(value) for value in row] for row in rows]))
