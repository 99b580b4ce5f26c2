"""What a result keeps of the function that asked, so that it can be asked again."""

from __future__ import annotations

import gc
import weakref

import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.query import session as sessions
from workbench.query.result import Result


class Large:
    pass


def test_a_result_keeps_what_its_statement_names_and_nothing_else_of_its_caller(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_default", world.session)

    def ask() -> tuple[Result, weakref.ref[Large]]:
        large, rows, least = Large(), pa.table({"n": [1, 2, 3]}), 2
        assert rows.num_rows > least
        return sessions.sql("select sum(n) as n from rows where n >= $least"), weakref.ref(large)

    result, held = ask()
    gc.collect()
    assert held() is None
    assert result.arrow().to_pylist() == [{"n": 5}]
    assert result.rerun().arrow().to_pylist() == [{"n": 5}]
    assert result.rerun().rerun().arrow().to_pylist() == [{"n": 5}]
