"""Values that are no plain ones of Python, and errors that cannot be told: one row is given up, never the run."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.streams.process_help import adds_up
from workbench.contract.errors import TopologyError
from workbench.streams import Bolt, Gauge, LiveSink, ParquetReplay, Topology, bolt, fields, spout, tumbling
from workbench.streams.folding import fold
from workbench.streams.replay import Replay
from workbench.streams.running import Running
from workbench.streams.tapping import Tap
from workbench.streams.tuples import Batch
from workbench.streams.windowing import _milliseconds

Start = Callable[..., Running]
NO_TEXT = pa.StringArray.from_buffers(3, *pa.array([b"a", b"\xff", b"c"]).buffers()[1:])


def given(*values: Any) -> Any:
    @spout("value", "n")
    def source() -> Iterator[Any]:
        yield from values

    return source


class Taken(Bolt):
    """Takes rows in one of three ways."""

    def __init__(self, got: list[Any]) -> None:
        self.got = got

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.got.append(tuple.n)


class TakenAndAcked(Taken):
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.got.append(tuple.n)
        self.collector.ack(tuple)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([0, 1 << 62, 1], pa.timestamp("us")), "4611686018427387904 (timestamp[us])"),
        (pa.array([0, 1 << 62, 1], pa.duration("s")), "4611686018427387904 (duration[s])"),
        (NO_TEXT, b"\xff"),
    ],
    ids=["a time after the year 9999", "a long duration", "a text that is no UTF-8"],
)
@pytest.mark.parametrize("how", ["acks on return", "acks itself", "by key"])
def test_a_tables_value_that_python_has_none_of_fails_its_row_alone(
    started: Start, column: Any, told: Any, how: str
) -> None:
    got: list[Any] = []
    t = Topology("odd", max_retries=0).spout("s", given(pa.table({"value": column, "n": [1, 2, 3]})))
    takes: Any = TakenAndAcked(got) if how == "acks itself" else Taken(got)
    inputs: Any = [("s", fields("n"))] if how == "by key" else "s"
    t.bolt("out", takes, inputs=inputs, parallelism=2 if how == "by key" else 1)
    running = started(t).wait(30)
    assert running.state == "done"
    assert sorted(got) == [1, 3]
    (letter,) = running.dead_letters
    assert letter.row == (told, 2)
    assert running.metrics().count("acked", "s") == 2
    adds_up(running)


def test_such_a_value_is_shown_as_text_and_ends_no_view() -> None:
    tap = Tap("odd", ("value", "n"))
    tap.batch(Batch(pa.table({"value": NO_TEXT, "n": [1, 2, 3]})))
    assert tap.drain() == ([("a", 1), (b"\xff", 2), ("c", 3)], 0)


class NoNumber:
    def __float__(self) -> float:
        raise RuntimeError("no number")


def test_a_value_that_raises_when_it_is_drawn_is_counted_and_said(started: Start) -> None:
    running = started(Topology("drawn").spout("s", given(("a", 1))).bolt("watch", LiveSink(), inputs="s"))
    drawn = fold(0, Gauge(running, "watch", y="n"), ("value", "n"))
    drawn.add([("a", 1), ("a", NoNumber()), ("a", 2)], 0.0)
    about = drawn.changes()[0]["about/0"]
    assert (about["rows"], about["bad"], about["why"]) == (3, 1, "no number")


def test_a_replay_that_is_asked_for_by_several_at_once_leaves_one_run(started: Start, tmp_path: Path) -> None:
    pq.write_table(pa.table({"at": [0, 3_600_000]}), tmp_path / "a.parquet")
    t = Topology("again").spout("s", ParquetReplay(tmp_path, time="at", speed=1))
    running = started(t.bolt("out", lambda row: None, inputs="s"))
    threads = [threading.Thread(target=running.replay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found, states = running, list[str]()
    while found is not None:
        last, found = found, found.following  # type: ignore[assignment]
        states.append(last.state)
    last.stop()
    assert states == ["stopped"] * 4 + ["running"]


def test_halves_of_a_batch_come_in_its_order() -> None:
    replay = Replay(retries=0)
    replay.failed(replay.add(Batch([(1,), (2,), (3,), (4,)], ("n",))), 0.0)
    found = [replay.due(0.0), replay.due(0.0)]
    assert [one[1].rows for one in found if one] == [[(1,), (2,)], [(3,), (4,)]]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (lambda: Unspeakable(), "Unspeakable: its text cannot be made (RuntimeError)"),
        (lambda: ValueError("x" * 5_000_000), "ValueError: " + "x" * 1988),
    ],
    ids=["without a text", "of 5 MB"],
)
def test_an_error_is_told_by_2000_characters_and_whatever_its_text_is(started: Start, error: Any, said: str) -> None:
    @bolt()
    def no(row: Any) -> None:
        raise error()

    running = started(Topology("no", max_retries=1).spout("s", given(("a", 1))).bolt("no", no, inputs="s")).wait(30)
    assert running.state == "done"
    assert {fault.error for fault in running.errors} == {said}
    assert [letter.error for letter in running.dead_letters] == [said]


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_the_run_leaves_its_tuple_pending(started: Start, raised: BaseException) -> None:
    @bolt()
    def ends(row: Any) -> None:
        if row.n == 3:
            raise raised

    rows = [("a", number) for number in range(6)]
    running = started(Topology("ends").spout("s", given(*rows)).bolt("ends", ends, inputs="s"))
    with pytest.raises(type(raised)):
        running.wait(30)
    counts = {name: running.metrics().count(name, "s") for name in ("emitted", "acked", "failed", "pending")}
    assert counts == {"emitted": 4, "acked": 3, "failed": 0, "pending": 1}


@pytest.mark.parametrize("base", [Taken, TakenAndAcked])
def test_a_chain_of_900_bolts_is_no_deeper_than_a_stack(started: Start, base: Any) -> None:
    class On(base):  # type: ignore[misc]
        outputs = ("value", "n")

        def execute(self, tuple: Any) -> None:  # noqa: A002
            self.collector.emit((tuple.value, tuple.n + 1), anchors=None if self.auto_ack else [tuple])
            if not self.auto_ack:
                self.collector.ack(tuple)

    got: list[int] = []
    t = Topology("chain", max_retries=0).spout("s0", given(*[("a", number) for number in range(30)]))
    for number in range(900):
        t.bolt(f"s{number + 1}", On([]), inputs=f"s{number}")
    before = sys.getrecursionlimit()
    try:
        running = started(t.bolt("out", Taken(got), inputs="s900")).wait(60)
    finally:
        sys.setrecursionlimit(before)
    assert (running.dead_letters, sorted(got)) == ([], list(range(900, 930)))
    for number in range(901, 1002):
        t.bolt(f"s{number}", On([]), inputs=f"s{number - 1}")
    with pytest.raises(TopologyError, match="goes through 1,002 components"):
        t.check()
    assert "s901" not in running.topology.nodes  # it runs as it was
    assert "s901" not in running.guarantees()


KEYS = [(np.int64(7), 7), (np.float32(1.5), 1.5), (np.bool_(True), True), (np.uint8(255), 255)]


@pytest.mark.parametrize(("key", "plain"), KEYS, ids=[type(key).__name__ for key, _ in KEYS])
def test_a_number_of_numpy_is_the_key_that_it_is_in_python(started: Start, key: Any, plain: Any) -> None:
    got: list[int] = []

    class Where(Bolt):
        def execute(self, tuple: Any) -> None:  # noqa: A002
            got.append(self.context.index)

    t = Topology("keys").spout("s", given((key, 1), (plain, 2)))
    running = started(t.bolt("where", Where, inputs=[("s", fields("value"))], parallelism=7)).wait(30)
    assert running.dead_letters == []
    assert len(got) == 2
    assert len(set(got)) == 1


def test_a_time_without_a_zone_is_utc_in_rows_and_in_tables_wherever_it_runs(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2026, 7, 1, 12)
    exact = at.replace(tzinfo=UTC).timestamp() * 1000
    monkeypatch.setitem(os.environ, "TZ", "America/New_York")
    time.tzset()
    try:
        for value in ((at, 1), pa.table({"value": [at], "n": [1]}), (np.int64(exact), 1)):
            got: list[float] = []
            t = Topology("zones").spout("s", given(value))
            t.bolt("w", lambda window, got=got: got.append(window.end), inputs="s", window=tumbling("1h", time="value"))
            running = started(t).wait(30)
            assert (got, running.dead_letters) == ([exact], [])
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_tables_timestamps_are_cut_as_its_rows_are(started: Start, unit: str) -> None:
    ends = [0, 1000, 1001, 2000, 60_000] if unit != "s" else [0, 1000, 2000, 60_000]
    column = pa.array(ends, pa.timestamp("ms", "UTC")).cast(pa.timestamp(unit, "UTC"))
    table = pa.table({"value": column, "n": range(len(ends))})
    found = []
    for values in ([table], list(zip(column.cast(pa.timestamp("us", "UTC")).to_pylist(), range(9), strict=False))):
        got: list[Any] = []
        t = Topology("cut").spout("s", given(*values))
        window = tumbling("1s", time="value")
        t.bolt("w", lambda w, got=got: got.append((w.end, [row.n for row in w])), inputs="s", window=window)
        assert started(t).wait(30).dead_letters == []
        found.append(got)
    assert found[0] == found[1]
    assert found[0][0] == (0, [0])


def test_a_datetime_of_whole_milliseconds_is_just_that_number() -> None:
    begin, step = datetime(2038, 3, 29, 22, 40, 35, tzinfo=UTC), timedelta(milliseconds=1)
    found = [_milliseconds(begin + number * step) for number in range(1000)]
    assert found == [found[0] + number for number in range(1000)]
    assert found[0] == 2_153_515_235_000
