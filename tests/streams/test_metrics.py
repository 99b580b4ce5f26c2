"""Metrics: quantiles, windows, capacity, the table and Prometheus' text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.streams.parts import Words
from workbench.contract.errors import InvalidParameter
from workbench.streams import Bolt, Topology
from workbench.streams.counting import Times, quantile
from workbench.streams.metrics import WINDOWS, Cell, History, Scrape
from workbench.streams.report import Metrics
from workbench.streams.running import Running

KEY = ("bolt", 2, "spout", "default")


def scrape(at: float, executed: int, seconds: float = 0.0) -> Scrape:
    times = Times()
    for _ in range(executed if seconds else 0):
        times.add(seconds)
    times.fold()
    cell = Cell(executed=executed, acked=executed, times={"execute": (executed, times.total, tuple(times.buckets))})
    return Scrape(at, at, {KEY: cell}, {}, {}, {})


def metrics(now: Scrape, history: History) -> Metrics:
    before = {name: history.before(name, now.at) for name in ("10m", "3h", "1d")}
    return Metrics("t", {"spout": "spout", "bolt": "bolt"}, now, before)


def test_a_quantile_is_right_to_a_tenth() -> None:
    chance = random.Random(1)
    times, seconds = Times(), sorted(chance.lognormvariate(-9, 2) for _ in range(20_000))
    for one in seconds:
        times.add(one)
    times.fold()
    for share in (0.5, 0.9, 0.99):
        found = quantile(times.buckets, share)
        assert found == pytest.approx(seconds[int(share * len(seconds)) - 1], rel=0.1)
    assert quantile([0] * 10, 0.5) is None
    assert times.total == pytest.approx(sum(seconds))


def test_a_window_has_what_came_in_it_and_the_whole_until_it_has_passed() -> None:
    history = History()
    for second in range(0, 2000, 2):
        now = scrape(float(second), second * 3)
        history.note(now)
        counted = metrics(now, history).count("executed", "bolt", "10m")
        if second < 608:
            assert counted == second * 3
        else:  # 19 to 20 steps of 600/19 seconds
            assert 600 * 3 <= counted <= 640 * 3
        assert metrics(now, history).count("executed", "bolt") == second * 3


def test_capacity_is_the_share_of_ten_minutes_that_the_busiest_task_worked() -> None:
    history = History()
    assert metrics(scrape(100.0, 50, 1.0), history).capacity("bolt") == pytest.approx(0.5)
    assert metrics(scrape(100.0, 50, 1.0), history).capacity("spout") == 0.0


def test_what_is_not_there_is_refused_by_name() -> None:
    one = metrics(scrape(1.0, 1), History())
    with pytest.raises(InvalidParameter, match="'5m'; there are 10m, 3h, 1d, all"):
        list(one.rows("5m"))
    with pytest.raises(InvalidParameter, match="'speed'"):
        one.count("speed", "bolt")


class Raises(Bolt):
    outputs = ("word",)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit(tuple.word)
        if tuple.word == "b":
            raise ValueError('a "quoted"\nreason')


@pytest.fixture
def ran(started: Callable[..., Running]) -> Metrics:
    t = Topology("ran", max_retries=0, sample_every=2).spout("words", Words("a", "b", "c", times=30))
    t.bolt("raises", Raises, inputs=[("words", "shuffle")], parallelism=2)
    t.bolt("last", Raises, inputs=["raises"])
    return started(t).wait(30).metrics()


def test_the_table_has_a_row_for_each_window_component_task_and_stream(ran: Metrics) -> None:
    table = ran.table()
    assert set(table["window"].to_pylist()) == set(WINDOWS)
    rows = {(row["component"], row["task"], row["source"], row["stream"]): row for row in ran.table("all").to_pylist()}
    assert rows["words", 1, "words", "default"]["emitted"] == 90
    assert rows["words", 1, "words", "default"]["failed"] == 30
    assert rows["words", 1, "words", "dead_letter"]["emitted"] == 30
    tasks = [rows["raises", task, "words", "default"] for task in (2, 3)]
    assert [task["executed"] for task in tasks] == [45, 45]
    assert sum(task["failed"] for task in tasks) == 30
    assert all(task["execute_p99_ms"] >= task["execute_p50_ms"] > 0 for task in tasks)
    assert rows["words", 1, "words", "default"]["complete_latency_ms"] > 0


def test_prometheus_text(ran: Metrics) -> None:
    text = ran.prometheus()
    line = re.compile(r'(# TYPE \w+ (counter|gauge|histogram)|\w+\{(\w+="[^"\n]*",?)+\} [-+.e\d]+)')
    assert all(line.fullmatch(one) for one in text.splitlines())
    labels = 'topology="ran",component="words",task="1",source="words",stream="default"'
    assert f"workbench_stream_emitted_total{{{labels}}} 90\n" in text
    assert f"workbench_stream_failed_total{{{labels}}} 30\n" in text
    assert 'workbench_stream_errors_total{topology="ran",component="raises"} 30\n' in text
    assert 'workbench_stream_dead_letters_total{topology="ran",component="words"} 30\n' in text
    buckets = re.findall(r'execute_seconds_bucket\{topology="ran",component="last",.*le="([^"]+)"\} (\d+)', text)
    assert [int(count) for _, count in buckets] == sorted(int(count) for _, count in buckets)
    assert buckets[-1][0] == "+Inf"


def test_it_shows_itself(ran: Metrics) -> None:
    shown = repr(ran)
    assert "30 rows were given up" in shown
    assert re.search(r"words +1 +120 ", shown)
    assert "<th>capacity</th>" in ran._repr_html_()
