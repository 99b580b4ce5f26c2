"""Windows that are handed out as they are before they are complete, and how many rows are late."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import InvalidParameter
from workbench.runs import Register
from workbench.streams import IteratorSpout, StatefulBolt, Topology, bolt, session, sliding, spout, tumbling
from workbench.streams.running import Running
from workbench.testing.clock import SettableClock

Start = Callable[..., Running]


class Fed(IteratorSpout):
    """Gives what the test puts into a list, until it is told that this is all."""

    outputs = ("at", "page")
    rows_to_come: list[Any] = []
    over = False

    def rows(self) -> Iterator[Any]:
        given = 0
        while True:
            if given < len(self.rows_to_come):
                given += 1
                yield self.rows_to_come[given - 1]
            elif Fed.over:
                return
            else:
                yield None


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Fed.rows_to_come, Fed.over = [], False


def watched(kind: Any, got: list[Any]) -> Topology:
    t = Topology("early").spout("fed", Fed)

    def seen(window: Any) -> None:
        pages = ["".join(row.page for row in some) for some in (window, window.new)]
        got.append((window.end, *pages, window.final))

    return t.bolt("w", seen, inputs="fed", window=kind)


@pytest.mark.parametrize(
    ("kind", "ends"),
    [(tumbling("1m", time="at", early="1s"), [60_000.0] * 3), (session("30s", time="at", early="1s"), [2.0, 3.0, 3.0])],
    ids=str,
)
def test_a_window_is_handed_out_as_it_is_while_rows_come(
    started: Start, eventually: Any, kind: Any, ends: list[float]
) -> None:
    wall, got = SettableClock(), list[Any]()
    running = started(watched(kind, got), wall=wall)
    Fed.rows_to_come = [(1, "a"), (2, "b")]
    eventually(lambda: running.metrics().count("executed", "w") == 2, within=60)
    assert got == []
    wall.advance(1)
    eventually(lambda: len(got) == 1, within=60)
    wall.advance(1)  # nothing has come, so it is not handed out again
    Fed.rows_to_come = [*Fed.rows_to_come, (3, "c")]
    eventually(lambda: running.metrics().count("executed", "w") == 3, within=60)
    wall.advance(1)
    eventually(lambda: got and "c" in got[-1][1], within=60)
    Fed.over = True
    running.wait(60)
    assert next(one for one in got if not one[3]) == (ends[0], "ab", "ab", False)
    assert [one for one in got if not one[3]][-1] == (ends[1], "abc", "c", False)
    assert [one for one in got if one[3]] == [(ends[2], "abc", "abc", True)]
    assert running.metrics().count("acked", "fed") == 3


def test_what_an_early_window_raises_fails_no_row(started: Start, eventually: Any) -> None:
    wall, got = SettableClock(), list[Any]()

    def picky(window: Any) -> None:
        if not window.final:
            raise ValueError("too early")
        got.append(len(window))

    t = Topology("early").spout("fed", Fed)
    running = started(t.bolt("w", picky, inputs="fed", window=tumbling("1m", time="at", early="1s")), wall=wall)
    Fed.rows_to_come = [(1, "a"), (2, "b")]
    eventually(lambda: running.metrics().count("executed", "w") == 2, within=60)
    wall.advance(1)
    eventually(lambda: running.errors, within=60)
    assert "an early window of 2 rows" in running.errors[0].row
    Fed.over = True
    running.wait(60)
    assert got == [2]
    counted = running.metrics()
    assert (counted.count("acked", "fed"), counted.count("failed", "fed"), counted.count("failed", "w")) == (2, 0, 0)


class Notes(StatefulBolt):
    """Keeps each window that it gets, and does not like early ones of two rows."""

    def execute(self, window: Any) -> None:
        self.state.setdefault("windows", []).append((len(window), window.final))
        if not window.final and len(window) == 2:
            raise ValueError("not two")


def test_what_an_early_window_did_before_it_raised_is_undone(started: Start, eventually: Any, tmp_path: Path) -> None:
    wall = SettableClock()
    t = Topology("early").spout("fed", Fed)
    t.bolt("w", Notes, inputs="fed", window=tumbling("1m", time="at", early="1s"))
    running = started(t, wall=wall, state=tmp_path / "x.sqlite")
    Fed.rows_to_come = [(1, "a"), (2, "b")]
    eventually(lambda: running.metrics().count("executed", "w") == 2, within=60)
    wall.advance(1)
    eventually(lambda: running.errors, within=60)
    Fed.over = True
    running.wait(60)
    (task,) = running._engine._wiring.tasks["w"]  # type: ignore[attr-defined]
    assert dict(task.instance.state) == {"windows": [(2, True)]}


def test_early_is_of_windows_by_time_and_is_kept_in_documents() -> None:
    with pytest.raises(InvalidParameter, match="early"):
        tumbling(100, early="1s")
    with pytest.raises(InvalidParameter, match="early"):
        tumbling("1m", early="soon")
    kind = tumbling("1m", time="at", early="1s")
    assert type(kind).of_document(kind.document()) == kind
    assert str(kind) == "tumbling(60 s) of at, early every 1 s"
    older = {name: value for name, value in kind.document().items() if name != "early"}
    assert type(kind).of_document(older) == tumbling("1m", time="at")


# --- late rows are counted exactly

EVENTS = st.lists(st.tuples(st.integers(0, 200), st.sampled_from("ab")), max_size=40)


def last_end(kind: Any, at: int) -> float:
    """Of the windows that a row belongs to."""
    pane = math.ceil(at / kind.every) * kind.every
    ends = [end for end in (pane + step * kind.every for step in range(30)) if end - kind.length < at <= end]
    return max(ends, default=pane)


@settings(max_examples=40)
@given(
    EVENTS,
    st.sampled_from([0, 7, 30]),
    st.sampled_from([(10, 10), (30, 10), (10, 30), (25, 10), (7, 3)]),
    st.sampled_from([0, 5]),
)
def test_late_rows_are_those_whose_windows_are_all_out(
    tmp_path_factory: pytest.TempPathFactory, events: Any, lag: int, shape: tuple[int, int], batch: int
) -> None:
    """Against the definition: the watermark is the latest time before the row, less the lag; with batches, before the
    batch's row in its order, for bolts take them row by row."""
    length, every = shape
    kind = sliding(f"{length}ms", every=f"{every}ms", time="at", lag=f"{lag}ms" if lag else 0)
    late, mark = [], -math.inf
    for number, (at, _) in enumerate(events):
        if last_end(kind, at) <= mark:
            late.append(number)
        mark = max(mark, at - lag)
    rows = [(at, page, number) for number, (at, page) in enumerate(events)]
    for state in (False, True):
        folder = tmp_path_factory.mktemp("late")
        got: list[int] = []

        @spout("at", "page", "n", batch=0 if state else batch, repeats=True)
        def given_rows() -> Iterator[Any]:
            yield from rows

        register = Register(folder / "runs.sqlite")
        t = Topology("late").spout("rows", given_rows)
        t.bolt("through", bolt("at", "page", "n")(tuple), inputs="rows")
        t.bolt("w", lambda window: None, inputs="through", window=kind)
        t.bolt("late", lambda row, got=got: got.append(row.row[2]), inputs="w.late")
        running = t.run(register=register, state=folder / "x.sqlite" if state else False).wait(60)
        register.close()
        assert got == late
        assert [one["late"] for one in running.metrics().now.windows.values()] == [len(late)]
