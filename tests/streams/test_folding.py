"""What views make of rows: the same as looking at all rows at once, whatever order and pieces they came in."""

from __future__ import annotations

import datetime
import itertools
import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from workbench.contract.errors import InvalidParameter, UnknownField
from workbench.runs.topics import Topic, apply
from workbench.streams import FunnelNow, Gauge, LiveTable, Series, TopN
from workbench.streams.folding import MOST_KEYS, OTHERS, Fold, fold
from workbench.streams.views import StreamView, of_spec

RUN = SimpleNamespace(id="run", shown=None)
FIELDS = ("end", "page", "views")
ROWS = st.lists(
    st.tuples(st.integers(0, 12).map(lambda n: n * 60_000), st.sampled_from("abcdefgh"), st.integers(0, 9)), max_size=60
)


class Page:
    """What a page has that was told every change."""

    def __init__(self, view: StreamView, fields: tuple[str, ...] = FIELDS) -> None:
        self.fold: Fold = fold(0, view, fields)
        self.topic = Topic("t", self.fold.start(), self.fold.keep)
        self.mailbox = self.topic.subscribe(lambda: None)
        self.state: dict[str, Any] = {}
        self.keep: dict[str, int] = {}
        self.add([])  # as `showing.py` tells a new one
        self.tell()

    def add(self, rows: list[Any], now: float = 0.0) -> None:
        self.fold.add(rows, now)
        self.topic.tell(*self.fold.changes())

    def tell(self) -> None:
        for frame in self.mailbox.take():
            apply(self.state, self.keep, frame)

    @property
    def points(self) -> dict[float, list[Any]]:
        self.tell()
        return dict(sorted((point[0], point[1:]) for point in dict_of(self.state["points/0"]).values()))

    def about(self, name: str) -> Any:
        self.tell()
        return self.state["about/0"][name]


def dict_of(points: list[list[Any]]) -> dict[float, list[Any]]:
    """A point of a time that is there already stands in its place."""
    return {point[0]: point for point in points}


def pieces(rows: list[Any], cuts: list[int]) -> list[list[Any]]:
    places = sorted({min(cut, len(rows)) for cut in cuts} | {0, len(rows)})
    return [rows[a:b] for a, b in itertools.pairwise(places)]


@given(ROWS, st.lists(st.integers(0, 60), max_size=6), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_series_has_the_sums_of_its_lines_and_of_the_others(rows: list[Any], cuts: list[int], lines: int) -> None:
    page = Page(Series(RUN, "minutes", x="end", y="views", by="page", lines=lines))
    for part in pieces(rows, cuts):
        page.add(part)
        page.tell()
    sums: dict[float, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    totals: dict[str, int] = defaultdict(int)
    for at, name, views in rows:
        sums[at][name] += views
        totals[name] += views
    points, shown = page.points, page.state["lines/0"]
    assert sorted(points) == sorted(sums)
    own = [line for line in shown if line != OTHERS]
    assert len(own) == min(lines, len(totals))
    assert (OTHERS in shown) == (len(totals) > lines)
    if own and OTHERS in shown:  # a line that is not shown has hardly more than one that is
        least = min(totals[line] for line in own)
        assert all(total <= 1.1 * least for line, total in totals.items() if line not in own)
    for at, values in points.items():
        assert values[: len(own)] == [sums[at].get(line, 0) for line in own]
        assert sum(values) == sum(sums[at].values())


@given(ROWS, st.integers(1, 5))
@example([(3, "a", 1), *[(0, "a", 1)] * 4, (1, "a", 1), (2, "a", 1)], 3)
@settings(max_examples=40, deadline=None)
@example([(60_000, "a", 1), *[(0, "a", 1)] * 3, (120_000, "a", 1)], 2)
def test_a_series_keeps_its_newest_times_and_a_late_page_has_them_all(rows: list[Any], keep: int) -> None:
    page = Page(Series(RUN, "minutes", x="end", y="views", keep=keep))
    newest: dict[float, int] = {}
    for at, name, views in rows:
        page.add([(at, name, views)])
        if at in newest or len(newest) < keep or at > min(newest):
            newest[at] = newest.get(at, 0) + views
            newest = dict(sorted(newest.items())[-keep:])
    late: dict[str, Any] = {}
    for frame in page.topic.subscribe(lambda: None).take():
        apply(late, {}, frame)
    found = sorted(dict_of(late["points/0"]).items())[-keep:]
    assert {at: point[1] for at, point in found} == newest


@given(ROWS, st.lists(st.integers(0, 60), max_size=5), st.sampled_from(["", "2m", "5m"]))
@settings(max_examples=60, deadline=None)
def test_the_top_is_that_of_the_time_it_is_of(rows: list[Any], cuts: list[int], over: str) -> None:
    page = Page(TopN(RUN, "minutes", by="page", y="views", x="end", over=over, n=3))
    for part in pieces(rows, cuts):
        page.add(part)
    page.tell()
    newest, length = max((at for at, _, _ in rows), default=0), {"": math.inf, "2m": 120_000, "5m": 300_000}[over]
    sums: dict[str, int] = defaultdict(int)
    for at, name, views in rows:
        if at > newest - length:
            sums[name] += views
    found = {name: value for name, value in page.state["value/0"]["rows"] if value}
    best = sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:3]
    assert found == {name: value for name, value in best if value}
    assert page.state["value/0"]["all"] == sum(sums.values())


def test_of_early_windows_the_newest_row_counts() -> None:
    top = Page(TopN(RUN, "minutes", by="page", y="views", x="end", over="10m", how="last"))
    line = Page(Series(RUN, "minutes", x="end", y="views", by="page", how="last"))
    for page in (top, line):
        page.add([(60_000, "a", 1), (60_000, "b", 1)])
        page.add([(60_000, "a", 4)])
        page.add([(60_000, "a", 6), (120_000, "a", 1), (60_000, "b", 2)])
    top.tell()
    assert top.state["value/0"] == {"rows": [["a", 7], ["b", 2]], "all": 9}
    assert line.points == {60_000.0: [6, 2], 120_000.0: [1, None]}
    top.add([(720_000, "b", 1)])
    top.tell()
    assert top.state["value/0"] == {"rows": [["b", 1]], "all": 1}


def test_a_funnel_counts_who_came_at_least_so_far() -> None:
    steps = ("visit", "cart", "bought")
    rows = [("visit", 5), ("cart", 3), ("bought", 2), ("elsewhere", 1)]
    page = Page(FunnelNow(RUN, "visits", step="step", steps=steps, y="n"), ("step", "n"))
    page.add(rows)
    page.tell()
    assert page.state["value/0"] == {"counts": [10, 5, 2], "others": 1}
    each = Page(FunnelNow(RUN, "visits", step="step", steps=steps, y="n", reached=False), ("step", "n"))
    each.add(rows)
    each.tell()
    assert each.state["value/0"]["counts"] == [5, 3, 2]


@pytest.mark.parametrize(("how", "value"), [("sum", 9), ("last", 2), ("max", 7)])
def test_a_gauge_is_the_newest_time(how: str, value: int) -> None:
    page = Page(Gauge(RUN, "minutes", x="end", y="views", how=how))
    page.add([(60_000, "a", 100), (120_000, "a", 7), (120_000, "b", 2)])
    assert page.points[120_000.0] == [value]


def test_without_a_time_rows_are_counted_by_the_second_they_come_in() -> None:
    page = Page(Series(RUN, "alerts"))
    page.add([("x", "a", 1), ("x", "b", 1)], now=5_250.0)
    page.add([("x", "a", 1)], now=5_950.0)
    page.add([("x", "a", 1)], now=6_010.0)
    assert page.points == {5_000.0: [3], 6_000.0: [1]}


def test_what_does_not_fit_is_counted_and_said_and_the_rest_is_shown() -> None:
    page = Page(Series(RUN, "minutes", x="end", y="views"))
    moment = datetime.datetime(2026, 10, 20, 12, 0)
    page.add([(None, "a", 1), (60_000, "a", "many"), (60_000, "a", math.nan), (60_000, "a", None), (moment, "a", 1)])
    assert page.points == {1_792_497_600_000.0: [1]}
    assert (page.about("rows"), page.about("bad")) == (5, 4)
    assert page.about("why")
    page.fold.skip(3)
    page.add([])
    assert page.about("skipped") == 3


def test_what_is_kept_of_a_top_is_bounded_and_it_says_so() -> None:
    page = Page(TopN(RUN, "minutes", by="page", y="views", n=2))
    page.add([(0, f"/{number}", number) for number in range(3 * MOST_KEYS)])
    page.tell()
    assert page.state["value/0"]["rows"][0] == [f"/{3 * MOST_KEYS - 1}", 3 * MOST_KEYS - 1]
    assert page.about("forgot") is True
    assert len(vars(page.fold)["_sums"]) <= MOST_KEYS


def test_a_table_is_its_newest_rows_as_plain_values() -> None:
    page = Page(LiveTable(RUN, "minutes", columns=("page", "end"), x="end", level="views", keep=2))
    page.add([(0, "a", "info"), (1, b"b", "warn"), (2, "c" * 500, "alarm")], now=7.0)
    page.tell()
    assert page.state["columns/0"] == ["page", "end"]
    assert page.state["rows/0"] == [[7.0, "warn", "b'b'", 1.0], [7.0, "alarm", "c" * 200, 2.0]]


def test_definitions_are_plain_data_and_say_what_is_wrong() -> None:
    for view in (
        Series(RUN, "minutes", x="end", by="page"),
        TopN(RUN, "minutes", by="page", x="end", over="1h"),
        Gauge(RUN, "minutes", warn=3),
        LiveTable(RUN, "minutes", columns=["page"]),
        FunnelNow(RUN, "minutes", step="page", steps=["a", "b"]),
    ):
        assert of_spec(RUN, view.spec()) == view
    for wrong in (
        lambda: Series("run", "minutes"),
        lambda: Series(RUN, ""),
        lambda: Series(RUN, "minutes", how="mean"),
        lambda: Series(RUN, "minutes", keep=10**9),
        lambda: TopN(RUN, "minutes"),
        lambda: TopN(RUN, "minutes", by="page", over="1h"),
        lambda: TopN(RUN, "minutes", by="page", x="end", how="last"),
        lambda: FunnelNow(RUN, "minutes", step="page", steps=()),
        lambda: LiveTable(RUN, "minutes", columns=(1,)),  # type: ignore[arg-type]
        lambda: Gauge(RUN, "minutes", warn=math.nan),
        lambda: of_spec(RUN, {"kind": "pie"}),
        lambda: of_spec(RUN, {"kind": "gauge", "stream": "minutes", "color": "red"}),
        lambda: of_spec(RUN, 7),
        lambda: of_spec(RUN, {"kind": "gauge", "stream": 7}),
    ):
        with pytest.raises(InvalidParameter):
            wrong()
    with pytest.raises(UnknownField, match=r"No field `vews`. Did you mean `views`\? It is not in stream `minutes`."):
        fold(0, Series(RUN, "minutes", y="vews"), FIELDS)


def test_of_a_key_that_has_left_the_time_nothing_stays() -> None:
    page = Page(TopN(RUN, "minutes", by="page", y="views", x="end", over="1m"))
    page.add([(1, "old", 0.1), (2, "old", 0.2), (3, "old", 0.3), (100_000, "new", 1)])
    page.tell()
    assert page.state["value/0"] == {"rows": [["new", 1]], "all": 1}
