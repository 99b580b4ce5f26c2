"""An error of DuckDB's own ends its instance, and nothing but that: what is asked next is answered by a new one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.query.support import World
from tests.query.test_views import share
from workbench.contract.errors import DocumentError, QueryFailed
from workbench.query.conditions import checked
from workbench.query.views import Views

FAR = pa.table({"n": [1], "t": pa.array([1767225600000000], pa.timestamp("s"))})
"""Microseconds as seconds: a year that DuckDB cannot write, which it takes for a fault of its own."""


def test_views_go_on_after_one_that_broke_the_engine(tmp_path: Path) -> None:
    views = Views(tmp_path / "results")
    for shared in share(tmp_path, FAR):
        with pytest.raises(DocumentError, match="InternalException"):
            views.find(shared.id, checked(FAR.schema, [], [], "5"))
        conditions = checked(FAR.schema, [], [{"column": "n", "op": "eq", "value": 1}], "")
        assert views.numbers(views.find(shared.id, conditions)).to_pylist() == [0]
    views.close()


def test_statements_go_on_and_the_message_is_without_stack_trace(world: World) -> None:
    world.variables["df"] = FAR
    with pytest.raises(QueryFailed, match="Could not convert Timestamp") as caught:
        world.session.sql("select t::varchar as x from df").arrow()
    assert "stack_trace" not in str(caught.value)
    for _ in range(3):
        assert world.session.sql("select n as one from df where n + 0 = 1").arrow().to_pylist() == [{"one": 1}]
