"""An average put together from sums and counts, to the last digit as DuckDB has it in groups.

DuckDB divides a whole number (of decimals, their digits) by a count, wider than a double is. SQL cannot say that, so
the state of its own `avg` is made from the sum and the count, and DuckDB comes to the end with it. Without groups it
divides sum by count itself, and of doubles always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.query.trees import Node, parsed, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["mean"]

_TAKEN_AS = {"UTINYINT": "SMALLINT", "TINYINT": "SMALLINT", "USMALLINT": "INTEGER", "UINTEGER": "BIGINT",
             "UBIGINT": "HUGEINT"}  # fmt: skip
"""`avg` has no form of its own for these."""
_STATE = "finalize(to_aggregate_state({{'count': {count}, 'value': {value}}}, 'avg', ['{kind}']))"


def mean(total: str, count: str, kind: str, engine: DuckDBPyConnection) -> Node | None:
    """Of values of this type: `total` and `count` are the columns of their sums and counts, which are to be added up.
    None where a plain division is the same."""
    kind = _TAKEN_AS.get(kind, kind)
    wide = _state_of(kind, engine)
    if wide is None:
        return None
    # A decimal's text has all its digits, also behind the point.
    value = f"replace(cast(sum({quoted(total)}) as varchar), '.', '')::{wide}"
    state = _STATE.format(count=f"sum({quoted(count)})::ubigint", value=value, kind=kind)
    sql = f"select case when sum({quoted(count)}) > 0 then {state} end"
    made: Node = parsed(sql, engine)["statements"][0]["node"]["select_list"][0]
    return made


def _state_of(kind: str, engine: DuckDBPyConnection) -> str | None:
    """Of which type the sum in the state is."""
    import duckdb

    if kind in ("DOUBLE", "FLOAT", "UHUGEINT"):
        return None
    for wide in ("hugeint", "bigint"):
        try:
            said = _STATE.format(count="1::ubigint", value=f"1::{wide}", kind=kind.replace("'", "''"))
            if str(engine.sql(f"select {said}").types[0]) == "DOUBLE":
                return wide
        except duckdb.Error:
            continue
    return None
