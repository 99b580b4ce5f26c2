"""Which views' rows are kept, and that none is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.query.support import eventually
from tests.query.test_views import folder, large, share, views
from workbench.contract.errors import UnknownView
from workbench.execution.shared import Shared
from workbench.query import views as viewing
from workbench.query.conditions import checked
from workbench.query.views import Views

__all__ = ["folder", "large", "views"]


def test_the_oldest_rows_are_let_go_and_those_that_were_stopped_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewing, "MOST_BYTES", 10_000)
    views = Views(tmp_path / "results")
    for shared in share(tmp_path, pa.table({"n": range(2_000)}), 500):
        conditions = [checked(shared.schema, [], [{"column": "n", "op": "ge", "value": n}], "") for n in range(4)]
        first, second = (views.find(shared.id, one) for one in conditions[:2])
        second._standing = viewing.Standing("stopped", second.rows, 2_000, None)  # as one that was stopped at its end
        third, fourth = (views.find(shared.id, one) for one in conditions[2:])
        assert first.held is None
        assert second.held is None
        assert [view.held is not None for view in (third, fourth)] == [False, True]
        assert views.numbers(first).to_pylist() == list(range(2_000))  # found again
        with pytest.raises(UnknownView, match="Sort or filter again"):
            views.get(shared.id, second.id)
    views.close()


def test_rows_that_are_let_go_while_they_are_waited_for_are_found_again(
    folder: Path, views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shared in share(folder, pa.table({"n": range(100)}), 50):
        view = views.find(shared.id, checked(shared.schema, [], [{"column": "n", "op": "lt", "value": 7}], ""))
        waited, times = views._wait, []

        def wait(view: viewing.View, left: Callable[[], bool], waited: Any = waited, times: Any = times) -> None:
            waited(view, left)
            if not times:
                view.held = None  # another one took the place, just now
            times.append(1)

        monkeypatch.setattr(views, "_wait", wait)
        assert views.numbers(view, whole=True).to_pylist() == list(range(7))
        assert len(times) == 2


def test_of_a_removed_result_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.query.readers.LOOK_SECONDS", 0.02)
    views = Views(tmp_path / "results")
    for shared in share(tmp_path, pa.table({"n": range(100)}), 50):
        view = views.find(shared.id, checked(shared.schema, [], [], "1"))
        shared.close()
        eventually(lambda: view.id not in views._views)  # noqa: B023
    views.close()


def test_a_search_whose_askers_have_all_left_ends(views: Views, large: Shared) -> None:
    conditions = checked(large.schema, [], [], "857142857")
    view = views.begin(large.id, conditions)
    assert views.begin(large.id, conditions) is view
    views.leave(view)
    assert not view.stopping
    views.leave(view)
    view.wait(30)
    assert view.standing.state == "stopped"
