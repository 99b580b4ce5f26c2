"""Streams of a topology that runs, as whoever looks is told: from the first row that is kept on, in any process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.contract.errors import InvalidParameter, ProtocolError, UnknownComponent, UnknownStream, UsageError
from workbench.runs import Register, subscriber
from workbench.runs.topics import apply
from workbench.streams import (
    Bolt,
    Gauge,
    LiveSink,
    LiveTable,
    ParquetReplay,
    Series,
    TopN,
    Topology,
    bolt,
    find,
    spout,
    tumbling,
)
from workbench.streams.running import Running
from workbench.streams.showing import MOST_DASHBOARDS
from workbench.streams.tapping import NotKept, Tap
from workbench.streams.tuples import Batch


class Source:
    """Rows that the test hands to its spout, in order."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.over = threading.Event()

    def spout(self) -> Any:
        @spout("at", "page")
        def views() -> Iterator[Any]:
            given = 0
            while not self.over.is_set() or given < len(self.rows):
                if given < len(self.rows):
                    yield self.rows[given]
                    given += 1
                else:
                    self.over.wait(0.001)
                    yield None

        return views


@bolt("end", "page", "views")
def per_minute(window: Any) -> Any:
    counts: dict[str, int] = {}
    for row in window:
        counts[row.page] = counts.get(row.page, 0) + 1
    return [(window.end, page, count) for page, count in counts.items()]


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.over.set()


def topology(source: Source, name: str = "live") -> Topology:
    made = Topology(name)
    made.spout("views", source.spout())
    made.bolt("minutes", per_minute, inputs="views", window=tumbling("1m", time="at"))
    made.bolt("watch", LiveSink(keep=5), inputs="views")
    return made.bolt("out", (lambda row: None), inputs="minutes")


def state(topic: Any) -> dict[str, Any]:
    """As somebody sees it who looks now."""
    found: dict[str, Any] = {}
    mailbox = topic.subscribe(lambda: None)
    for frame in mailbox.take():
        apply(found, {}, frame)
    mailbox.close()
    return found


def test_views_of_a_run_are_one_topic_and_begin_with_what_was_there(
    source: Source, started: Callable[..., Running], eventually: Any
) -> None:
    running = started(topology(source))
    source.rows += [(1_000 * second, f"/{second % 3}") for second in range(1, 151)]
    eventually(lambda: running.metrics().now.cells["out", 4, "minutes", "default"].executed == 6, within=30)
    views = [
        Series(running, "minutes", x="end", y="views", by="page"),
        TopN(running, "out", by="page", y="views"),
        LiveTable(running, "watch"),
        Gauge(running, "watch", x="at"),
    ]
    topic = running.shown(views)
    assert running.shown(views) is topic
    assert running.shown(views[:1]) is not topic
    found = state(topic)
    assert [one["kind"] for one in found["views"]] == ["series", "top", "table", "gauge"]
    assert sorted(point[0] for point in found["points/0"]) == [60_000.0, 120_000.0]
    assert sum(point[1] + point[2] + point[3] for point in found["points/0"]) == 120
    assert found["value/1"]["all"] == 120
    assert [row[3] for row in found["rows/2"]] == [f"/{second % 3}" for second in range(146, 151)]
    assert (found["about/2"]["rows"], found["about/2"]["skipped"]) == (5, 145)
    assert found["static/0"] == {"stream": "minutes.default", "window": "tumbling(60 s) of at", "early": False}
    mailbox = topic.subscribe(lambda: None)
    source.rows += [(200_000, "/9"), (10_000, "/late")]
    eventually(lambda: len(state(topic)["points/0"]) == 3, within=30)
    eventually(lambda: state(topic)["late/0"] == 1, within=30)
    assert state(topic)["state"] == "running"
    source.over.set()
    running.wait(30)
    eventually(lambda: topic.ended, within=30)
    found = state(topic)
    assert found["state"] == "done"
    assert [row[3] for row in found["rows/2"]][-1] == "/late"
    assert {point[0] for point in found["points/0"]} == {60_000.0, 120_000.0, 180_000.0, 240_000.0}
    told: dict[str, Any] = {}
    for frame in mailbox.take():
        apply(told, {}, frame)
    assert told == found


def test_a_dashboard_of_another_process_is_made_where_the_topology_runs(
    source: Source, started: Callable[..., Running], register: Register, eventually: Any
) -> None:
    running = started(topology(source, "shop"))
    source.rows += [(1_000 * second, "/") for second in range(1, 71)]
    eventually(lambda: running.engine, within=30)
    found = find("shop", register=register)
    name = found.shown([Series(found, "minutes", x="end", y="views")])
    assert name == running.shown([Series(running, "minutes", x="end", y="views")]).name
    engine = register.engine(running.id)
    assert engine is not None

    async def first() -> dict[str, Any]:
        state: dict[str, Any] = {}
        async with contextlib.aclosing(subscriber.frames(engine, name)) as coming:
            async for frame in coming:
                apply(state, {}, frame)
                if state["points/0"]:
                    return state
        return state

    assert asyncio.run(first())["points/0"] == [[60_000.0, 60]]
    with pytest.raises(ProtocolError, match="No component `minuets`"):
        found.shown([Series(found, "minuets")])
    with pytest.raises(ProtocolError, match="are no definitions of views"):
        asyncio.run(subscriber.show(engine, running.id, [{"kind": "pie"}]))
    with pytest.raises(ProtocolError, match="nothing can be asked"):
        asyncio.run(subscriber.show(engine, "aaaaaaaaaaaa", []))
    with pytest.raises(UsageError, match="are the most"):
        asyncio.run(subscriber.show(engine, running.id, [{"kind": "x" * 40_000}]))


def test_what_cannot_be_shown_says_why(source: Source, started: Callable[..., Running]) -> None:
    running = started(topology(source))
    with pytest.raises(NotKept, match=r'inputs="views"\), and show "watch"'):
        running.shown([Series(running, "views")])
    with pytest.raises(UnknownComponent, match="Did you mean `minutes`"):
        running.shown([Series(running, "minute")])
    with pytest.raises(UnknownStream):
        running.shown([Series(running, "minutes.lat")])
    with pytest.raises(UsageError, match="900,000 are the most"):
        running.shown([Series(running, "minutes", by="page", keep=2_000, lines=12)] * 4)
    with pytest.raises(UsageError, match="1 to 24 views"):
        running.shown([])
    running.shown([Series(running, "minutes.late"), LiveTable(running, "views.dead_letter")])
    different = topology(source).bolt("both", LiveSink(), inputs=["views", "minutes"])
    with pytest.raises(InvalidParameter, match="have different fields"):
        different.run()


def test_dashboards_that_nobody_looks_at_make_room(source: Source, started: Callable[..., Running]) -> None:
    running = started(topology(source))
    kept = running.shown([Series(running, "minutes")])
    mailbox = kept.subscribe(lambda: None)
    topics = [running.shown([Series(running, "minutes", title=str(n))]) for n in range(2 * MOST_DASHBOARDS)]
    assert not kept.ended
    assert topics[0].ended
    assert not topics[-1].ended
    looking = [topic.subscribe(lambda: None) for topic in topics[1 - MOST_DASHBOARDS :]]
    with pytest.raises(UsageError, match="dashboards of this run are looked at"):
        running.shown([Series(running, "minutes", title="one more")])
    for one in (mailbox, *looking):
        one.close()


def test_a_tap_keeps_the_newest_rows_of_batches_and_counts_the_others() -> None:
    tap = Tap("views.default", ("number",), keep=10)
    for start in range(0, 1_000, 25):
        tap.batch(Batch(pa.table({"number": range(start, start + 25)})))
    rows, skipped = tap.drain()
    assert rows == [(number,) for number in range(990, 1_000)]
    assert skipped == 990
    rung: list[int] = []
    tap.wake = lambda: rung.append(1)
    for number in range(3):
        tap.row((number,))
    tap.batch(Batch([(3,)]))
    assert rung == [1]
    assert tap.drain() == ([(0,), (1,), (2,), (3,)], 0)


def test_a_replay_is_another_run_where_all_who_look_go_on(
    tmp_path: Path, started: Callable[..., Running], register: Register, eventually: Any
) -> None:
    (tmp_path / "day").mkdir()
    pq.write_table(pa.table({"at": range(0, 600_000, 1_000), "page": ["/"] * 600}), tmp_path / "day" / "a.parquet")
    made = Topology("again")
    made.spout("views", ParquetReplay(tmp_path / "day", time="at", speed=1))
    made.bolt("minutes", per_minute, inputs="views", window=tumbling("1m", time="at"))
    running = started(made)
    dashboard = running.shown([Series(running, "minutes", x="end", y="views")])
    eventually(lambda: running.engine, within=30)
    engine = register.engine(running.id)
    assert engine is not None
    assert running.topic is not None
    assert state(running.topic)["replayable"] is True
    following = asyncio.run(subscriber.ask(engine, running.id, "replay 1000000", patience=30))
    assert running.state == "stopped"
    assert running.following is not None
    assert running.following.id == following
    said = state(running.topic)["next"]
    assert said == {"run": following, "topic": f"runs/{following}/topology"}
    goes_on = state(dashboard)["next"]["topic"]
    eventually(lambda: running.following.state == "done", within=30)
    again = running.following
    topic = again.shown([Series(again, "minutes", x="end", y="views")])
    assert topic.name == goes_on
    eventually(lambda: sum(point[1] for point in state(topic)["points/0"]) == 600, within=30)
    assert not topic.ended  # it is over, and can be played once more
    third = again.replay()
    assert third.topology.nodes["views"].component.speed == 1000000
    assert running.replay(2) is third.following
    third.following.stop()
    for wrong in ("replay fast", "replay 0", "replay nan", "fly"):
        with pytest.raises(ProtocolError):
            asyncio.run(subscriber.ask(engine, third.following.id, wrong, patience=30))


def test_a_replay_of_a_run_with_state_begins_anew(
    tmp_path: Path, started: Callable[..., Running], eventually: Any
) -> None:
    (tmp_path / "day").mkdir()
    pq.write_table(pa.table({"at": range(0, 600_000, 1_000), "page": ["/"] * 600}), tmp_path / "day" / "a.parquet")
    made = Topology("kept").spout("views", ParquetReplay(tmp_path / "day"))
    made.bolt("minutes", per_minute, inputs="views", window=tumbling("1m", time="at"))
    running = started(made, state=tmp_path / "state.sqlite").wait(30)
    again = running.replay().wait(30)
    for one in (running, again):
        topic = one.shown([TopN(one, "minutes", by="page", y="views")])
        eventually(lambda: state(topic)["value/0"]["all"] == 600, within=30)  # noqa: B023
    again.stop()


def test_what_happens_now_cannot_be_played_again(source: Source, started: Callable[..., Running]) -> None:
    running = started(topology(source))
    assert running.topic is not None
    assert state(running.topic)["replayable"] is False
    with pytest.raises(UsageError, match="`views` of topology `live` gives what happens now"):
        running.replay()
    assert running.state == "running"


def test_threads_have_quick_turns_while_somebody_looks(
    source: Source, started: Callable[..., Running], eventually: Any
) -> None:
    before = sys.getswitchinterval()
    running = started(topology(source))
    topic = running.shown([Series(running, "minutes")])
    assert sys.getswitchinterval() == before
    mailbox = topic.subscribe(lambda: None)
    eventually(lambda: sys.getswitchinterval() < before, within=30)
    mailbox.close()
    eventually(lambda: sys.getswitchinterval() == before, within=30)
    mailbox = topic.subscribe(lambda: None)
    eventually(lambda: sys.getswitchinterval() < before, within=30)
    running.stop()
    eventually(lambda: sys.getswitchinterval() == before, within=30)
    mailbox.close()


class Loud(Bolt):
    outputs = ("number",)

    def execute(self, tup: Any) -> None:
        self.collector.emit((tup[0],))


def test_rows_that_come_faster_than_they_are_looked_at_are_counted(started: Callable[..., Running]) -> None:
    @spout("number")
    def many() -> Iterator[int]:
        yield from range(50_000)

    made = Topology("fast").spout("many", many).bolt("loud", Loud, inputs="many")
    running = started(made.bolt("watch", LiveSink(keep=100), inputs="loud"))
    running.wait(60)
    topic = running.shown([LiveTable(running, "watch", keep=3), TopN(running, "watch", by="number")])
    found = state(topic)
    assert [row[2] for row in found["rows/0"]] == [49_997, 49_998, 49_999]
    assert found["about/1"]["rows"] + found["about/1"]["skipped"] == 50_000
