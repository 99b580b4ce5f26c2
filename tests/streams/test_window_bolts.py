"""Window bolts in the runner: contents, watermarks of several streams, late rows, acks, failures, Arrow tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from queue import Queue
from typing import Any

import pyarrow as pa
import pytest

from tests.streams.parts import Keep, Words
from workbench.streams import Bolt, IteratorSpout, Topology, bolt, session, sliding, spout, tumbling
from workbench.streams.running import Running
from workbench.testing.clock import SettableClock

Start = Callable[..., Running]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Keep.kept.clear()


class Given(IteratorSpout):
    outputs = ("at", "page")

    def __init__(self, *rows: Any) -> None:
        self.given = rows

    def rows(self) -> Iterator[Any]:
        return iter(self.given)


@bolt("end", "pages")
def pages(window: Any) -> Any:
    return (window.end, "".join(row.page for row in window))


def kept(name: str) -> list[Any]:
    return [tuple(row) for row in Keep.kept.get(name, [])]


def topology(window: Any, *spouts: IteratorSpout, code: Any = pages, **config: Any) -> Topology:
    t = Topology("windows", **config)
    for number, one in enumerate(spouts):
        t.spout(f"s{number}", one)
    t.bolt("w", code, inputs=[f"s{number}" for number in range(len(spouts))], window=window)
    return t.bolt("out", Keep("out"), inputs="w").bolt("late", Keep("late"), inputs="w.late")


def adds_up(running: Running) -> None:
    for row in running.metrics().rows():
        if row["kind"] == "spout":
            assert row["emitted"] == row["acked"] + row["failed"] + row["pending"] + row["untracked"], row


def test_windows_late_rows_and_the_rest_at_the_end(started: Start) -> None:
    rows = [(1, "a"), (9, "b"), (12, "c"), (25, "d"), (9, "x"), (26, "e")]
    running = started(topology(tumbling("10ms", time="at", lag="5ms"), Given(*rows))).wait(30)
    assert kept("out") == [(10, "ab"), (20, "c"), (30, "de")]
    assert kept("late") == [("s0", "default", (9, "x"))]
    assert running.metrics().now.windows["w", 2]["late"] == 1
    assert running.metrics().count("acked", "s0") == 6
    adds_up(running)


def test_more_rows_are_held_than_may_be_pending(started: Start) -> None:
    rows = [(number, "a") for number in range(1, 51)]
    running = started(topology(tumbling("1h", time="at"), Given(*rows), max_spout_pending=3)).wait(30)
    assert kept("out") == [(3_600_000, "a" * 50)]
    assert running.metrics().count("acked", "s0") == 50


def test_the_watermark_is_that_of_the_slowest_stream_until_it_is_silent_for_too_long(
    started: Start, eventually: Any
) -> None:
    class Slow(Given):
        ready = False

        def rows(self) -> Iterator[Any]:
            yield (5, "s")
            while not Slow.ready:
                yield None

    class Quick(Given):
        more = False

        def rows(self) -> Iterator[Any]:
            yield from ((3, "a"), (14, "b"), (31, "c"))
            while not Quick.more:
                yield None
            yield (41, "d")

    clock = SettableClock()
    t = topology(tumbling("10ms", time="at"), Quick(), Slow(), idle_timeout=10)
    running = started(t, clock=clock, wall=clock)
    eventually(lambda: running.metrics().count("executed", "w") == 4, within=10)
    assert kept("out") == []  # the slow one is at 5
    clock.advance(0.3)
    eventually(lambda: running._engine._ticked == clock(), within=10)  # type: ignore[attr-defined]
    clock.advance(11)
    Quick.more = True
    eventually(lambda: running.metrics().count("executed", "w") == 5, within=10)
    clock.advance(0.3)  # a tick
    eventually(lambda: kept("out") == [(10, "as"), (20, "b"), (40, "c")], within=10)
    Slow.ready = True
    running.wait(10)
    assert kept("out")[3:] == [(50, "d")]


def test_by_the_time_they_come(started: Start, eventually: Any) -> None:
    clock = SettableClock(1_000.5)

    class Endless(Given):
        def rows(self) -> Iterator[Any]:
            yield from (("x", "a"), ("y", "b"))
            while True:
                yield None

    running = started(topology(tumbling("1s"), Endless()), clock=clock, wall=clock)
    eventually(lambda: running.metrics().count("pending", "s0") == 2, within=10)
    clock.advance(0.6)
    eventually(lambda: kept("out") == [(1_001_000, "ab")], within=10)
    assert running.metrics().count("acked", "s0") == 2


class Bad(Bolt):
    outputs = ("end", "pages")

    def execute(self, window: Any) -> None:
        if any(row.page == "bad" for row in window):
            raise ValueError("a bad page")
        self.collector.emit((window.end, len(window)))


def test_a_window_that_fails_fails_all_its_rows(started: Start) -> None:
    rows = [(1, "a"), (2, "bad"), (3, "c"), (11, "d"), (21, "e")]
    running = started(topology(tumbling("10ms", time="at"), Given(*rows), code=Bad, max_retries=0)).wait(30)
    assert kept("out") == [(20, 1), (30, 1)]
    assert sorted(letter.row for letter in running.dead_letters) == [(1, "a"), (2, "bad"), (3, "c")]
    assert running.dead_letters[0].error == "ValueError: a bad page"
    assert (running.metrics().count("failed", "s0"), running.metrics().count("acked", "s0")) == (3, 2)
    adds_up(running)


def test_what_fails_after_a_window_fails_the_windows_rows(started: Start) -> None:
    def judge(row: Any) -> None:
        if row.end == 10:
            raise ValueError("not that one")

    t = topology(tumbling("10ms", time="at"), Given((1, "a"), (2, "b"), (13, "c")), max_retries=0)
    running = started(t.bolt("judge", judge, inputs="w")).wait(30)
    assert sorted(letter.row for letter in running.dead_letters) == [(1, "a"), (2, "b")]
    assert running.metrics().count("acked", "s0") == 1


def test_windows_of_windows_are_done_when_the_last_one_is(started: Start) -> None:
    t = topology(tumbling("10ms", time="at"), Given(*((number, "a") for number in range(1, 61))))
    t.bolt("sums", lambda window: [(len(window),)], inputs="w", outputs="n", window=tumbling(3))
    running = started(t.bolt("n", Keep("n"), inputs="sums")).wait(30)
    assert kept("n") == [(3,), (3,)]
    assert running.metrics().count("acked", "s0") == 60
    adds_up(running)


class Waits(Given):
    """Its last row comes when `go` is set."""

    go = False

    def rows(self) -> Iterator[Any]:
        *first, last = self.given
        yield from first
        while not type(self).go:
            yield None
        yield last


def time_outs(running: Running, clock: SettableClock, eventually: Any, number: int) -> None:
    """That many pass, each seen by the runner."""
    for _ in range(number):
        clock.advance(6)
        eventually(lambda: running._engine._rotated == clock(), within=10)  # type: ignore[attr-defined]


@pytest.mark.parametrize("length", ["10ms", "20ms"])
def test_what_windows_alone_hold_does_not_time_out_and_is_in_them_once(
    started: Start, eventually: Any, length: str
) -> None:
    class Once(Waits):
        pass

    clock = SettableClock()
    t = topology(sliding(length, every="10ms", time="at"), Once((1, "a"), (2, "b"), (31, "c")), message_timeout=5)
    running = started(t, clock=clock, wall=clock)
    eventually(lambda: running.metrics().count("pending", "s0") == 2, within=10)
    time_outs(running, clock, eventually, 4)
    assert (running.state, running.metrics().count("pending", "s0")) == ("running", 2)
    Once.go = True
    running.wait(10)
    assert kept("out")[0] == (10, "ab")
    assert kept("late") == []
    assert (running.metrics().count("acked", "s0"), running.metrics().count("failed", "s0")) == (3, 0)
    adds_up(running)


def test_windows_of_windows_do_not_time_out_either(started: Start, eventually: Any) -> None:
    class Nested(Waits):
        pass

    clock = SettableClock()
    t = topology(tumbling("10ms", time="at"), Nested((1, "a"), (12, "b"), (33, "c")), message_timeout=5)
    t.bolt("sums", lambda window: [(len(window),)], inputs="w", outputs="n", window=tumbling(3))
    running = started(t.bolt("n", Keep("n"), inputs="sums"), clock=clock, wall=clock)
    eventually(lambda: running.metrics().count("pending", "s0") == 2, within=10)
    time_outs(running, clock, eventually, 4)
    Nested.go = True
    running.wait(10)
    assert kept("n") == [(3,)]
    assert running.metrics().count("acked", "s0") == 3
    assert running.metrics().count("failed", "s0") == 0
    adds_up(running)


def test_what_a_window_gave_to_a_bolt_that_never_acks_times_out(started: Start, eventually: Any) -> None:
    class Rest(Waits):
        pass

    class Never(Bolt):
        auto_ack = False

        def execute(self, tuple: Any) -> None:  # noqa: A002
            pass

    clock = SettableClock()
    t = topology(
        tumbling("10ms", time="at"), Rest((1, "a"), (2, "b"), (13, "c"), (15, "d")), message_timeout=5, max_retries=0
    )
    running = started(t.bolt("never", Never, inputs="w"), clock=clock, wall=clock)
    eventually(lambda: running.metrics().count("executed", "never") == 1, within=10)
    time_outs(running, clock, eventually, 3)
    eventually(lambda: running.metrics().count("failed", "s0") == 2, within=10)
    assert running.metrics().count("pending", "s0") == 1  # the window alone has it
    adds_up(running)


class Acks(Bolt):
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.ack(tuple)


class AcksLater(Bolt):
    """The one before, when the next one comes."""

    auto_ack = False
    before: Any = None

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if self.before is not None:
            self.collector.ack(self.before)
        self.before = tuple


@pytest.mark.parametrize("code", [Acks, AcksLater])
def test_rows_in_windows_do_not_count_as_pending_once_others_have_acked_them(
    started: Start, eventually: Any, code: type[Bolt]
) -> None:
    class Beside(Waits):
        pass

    clock = SettableClock()
    rows = [(number, "a") for number in range(1, 51)]
    t = topology(tumbling("1h", time="at"), Beside(*rows), max_spout_pending=3)
    running = started(t.bolt("beside", code, inputs="s0"), clock=clock, wall=clock)
    eventually(lambda: running.metrics().count("executed", "beside") == 49, within=10)
    (source,) = running._engine._wiring.sources.values()  # type: ignore[attr-defined]
    assert source.waiting - source.held == (code is AcksLater)
    for _ in range(3):
        clock.advance(14_401)
        eventually(lambda: running._engine._rotated == clock(), within=10)  # type: ignore[attr-defined]
    failed = running.metrics().count("failed", "s0")
    assert failed == 0 if code is Acks else failed >= 1  # what that bolt has times out, and nothing else
    assert running.metrics().count("pending", "s0") >= 48
    adds_up(running)


def test_arrow_tables_are_cut_into_windows_and_stay_tables(started: Start) -> None:
    at = [1, 12, 3, 27, 14, 35, 8]
    table = pa.table({"at": at, "page": list("abcdefg")})
    seen = []

    @bolt("end", "pages")
    def tables(window: Any) -> Any:
        assert isinstance(window.table, pa.Table)
        seen.append(len(window))
        return (window.end, "".join(sorted(window.table.column("page").to_pylist())))

    def given() -> Iterator[Any]:
        yield table.slice(0, 3)
        yield table.slice(3, 4)

    t = Topology("tables").spout("s0", given, outputs=("at", "page"))
    t.bolt("w", tables, inputs="s0", window=sliding("20ms", every="10ms", time="at", lag="20ms"))
    running = started(t.bolt("out", Keep("out"), inputs="w")).wait(30)
    assert not running.errors
    assert kept("out") == [(10, "acg"), (20, "abceg"), (30, "bde"), (40, "df"), (50, "f")]
    assert sum(seen) == 14
    assert running.metrics().count("acked", "s0") == 7
    adds_up(running)


def test_sessions_by_key_and_datetimes(started: Start) -> None:
    def at(second: int) -> datetime:
        return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)

    rows = [(at(1), "a"), (at(2), "b"), (at(4), "a"), (at(30), "a"), (at(31), "b")]

    @bolt("page", "views", "seconds")
    def lengths(window: Any) -> Any:
        return (*window.key, len(window), (window.end - window.start) / 1000)

    t = Topology("sessions").spout("s0", Given(*rows))
    t.bolt("w", lengths, inputs="s0", window=session("5s", by="page", time="at"))
    started(t.bolt("out", Keep("out"), inputs="w")).wait(30)
    assert sorted(kept("out")) == [("a", 1, 0.0), ("a", 2, 3.0), ("b", 1, 0.0), ("b", 1, 0.0)]


def test_a_time_that_is_none_fails_its_row_alone(started: Start) -> None:
    rows = [(1, "a"), (None, "bad"), ("soon", "bad"), (2, "b")]
    running = started(topology(tumbling("10ms", time="at"), Given(*rows), max_retries=0)).wait(30)
    assert kept("out") == [(10, "ab")]
    assert len(running.dead_letters) == 2
    assert "an event's time is milliseconds or a datetime" in running.errors[0].error


NO_TIMES = [float("nan"), float("inf"), -float("inf"), 10**400, 1e300, -(2**63)]


@pytest.mark.parametrize("no_time", NO_TIMES, ids=[str(one)[:8] for one in NO_TIMES])
@pytest.mark.parametrize(
    "window",
    [
        tumbling("10ms", time="at", lag="5ms"),
        sliding("30ms", every="10ms", time="at", lag="5ms"),
        sliding(3, every="10ms", time="at", lag="5ms"),
        sliding("30ms", every=2, time="at", lag="5ms"),
        session("5ms", time="at", lag="5ms"),
    ],
    ids=str,
)
def test_a_number_that_is_no_time_is_a_dead_letter_and_holds_nothing_back(
    started: Start, no_time: float, window: Any
) -> None:
    rows = [(1, "a"), (no_time, "bad"), (12, "b"), (30, "c")]
    running = started(topology(window, Given(*rows), max_retries=0)).wait(30)
    assert [letter.row[1] for letter in running.dead_letters] == ["bad"]
    assert "an event's time is milliseconds or a datetime" in running.dead_letters[0].error
    assert kept("late") == []
    assert {page for _, pages in kept("out") for page in pages} == set("abc")
    assert running.metrics().count("acked", "s0") == 3
    adds_up(running)


@pytest.mark.parametrize("no_time", [float("nan"), float("inf"), 1e300, None])
def test_an_arrow_tables_row_without_a_time_is_the_only_one_that_is_given_up(
    started: Start, no_time: float | None
) -> None:
    table = pa.table({"at": pa.array([1.0, 2.0, no_time, 13.0]), "page": list("abcd")})
    t = Topology("holes", max_retries=0).spout("s0", lambda: iter([table]), outputs=("at", "page"))
    t.bolt("w", pages, inputs="s0", window=tumbling("10ms", time="at"))
    running = started(t.bolt("out", Keep("out"), inputs="w")).wait(30)
    assert [letter.row[1] for letter in running.dead_letters] == ["c"]
    assert kept("out") == [(10, "ab"), (20, "d")]
    adds_up(running)


def test_a_batchs_row_whose_key_is_none_is_the_only_one_that_is_given_up(started: Start) -> None:
    rows = [(1, "a"), (2, "a"), (3, ["no key"]), (4, "a")]
    t = Topology("keys", max_retries=0).spout("s0", spout("at", "page", batch=4)(lambda: iter(rows)))
    t.bolt("w", pages, inputs="s0", window=session("5ms", by="page", time="at"))
    running = started(t.bolt("out", Keep("out"), inputs="w")).wait(30)
    assert [letter.row[0] for letter in running.dead_letters] == [3]
    assert kept("out") == [(4, "aaa")]
    adds_up(running)


def test_a_window_that_fails_counts_its_rows(started: Start) -> None:
    rows = [(1, "a"), (2, "bad"), (3, "c"), (11, "d")]
    running = started(topology(tumbling("10ms", time="at"), Given(*rows), code=Bad, max_retries=0)).wait(30)
    counts = {name: running.metrics().count(name, "w") for name in ("executed", "failed", "acked")}
    assert counts == {"executed": 4, "failed": 3, "acked": 1}


def test_prometheus_is_told_of_late_rows_the_watermark_and_the_queue(started: Start) -> None:
    clock = SettableClock(100.0)
    rows = [(1_000, "a"), (25_000, "b"), (3_000, "late"), (40_000, "c")]
    running = started(topology(tumbling("10s", time="at", lag="5s"), Given(*rows)), clock=clock, wall=clock).wait(30)
    text = running.metrics().prometheus()
    labels = '{topology="windows",component="w",task="2"}'
    assert f"workbench_stream_late_rows_total{labels} 1\n" in text
    assert f"workbench_stream_watermark_lag_seconds{labels} 65.0\n" in text
    assert f"workbench_stream_window_rows{labels} 0\n" in text
    assert 'workbench_stream_queued{topology="windows"} 0\n' in text


def test_a_topology_with_windows_is_kept_and_drawn() -> None:
    t = Topology("w").spout("words", Words("a"))
    t.bolt("keep", Keep("x"), inputs="words", window=sliding("1m", every="5s"))
    again = Topology.from_document(t.to_document())
    assert again.to_document() == t.to_document()
    assert "in sliding(60 s every 5 s)" in again.describe()


class Halts(Bolt):
    """Keeps its windows; in the one with that number it stops its own topology, as somebody else would just then."""

    outputs = ("end", "rows")

    def __init__(self, out: list[Any], number: int, stop: Queue[Callable[[], Any]]) -> None:
        self.out, self.number, self.stop = out, number, stop

    def execute(self, window: Any) -> None:
        self.out.append((window.end, [row.at for row in window]))
        if len(self.out) == self.number:
            self.stop.get(timeout=60)()


def slides(given: Any, out: list[Any], number: int, stop: Any, window: Any) -> Topology:
    t = Topology("slides", snapshot_every="1h").spout("rows", given)
    return t.bolt("w", Halts(out, number, stop), inputs="rows", window=window)


def test_stop_is_heeded_between_two_windows_of_a_row_that_ends_millions(started: Start) -> None:
    out: list[Any] = []
    stop: Queue[Callable[[], Any]] = Queue()
    year = 365 * 24 * 3_600_000
    rows = Given((1, "a"), (year + 1, "b"))
    running = started(slides(rows, out, 3, stop, sliding(f"{year}ms", every="1ms", time="at")))
    stop.put(running.stop)
    assert running.ended(60)
    assert (running.state, [end for end, _ in out]) == ("stopped", [1, 2, 3])


def test_windows_that_a_stop_has_left_are_handed_out_by_the_next_run(
    started: Start, tmp_path: Any, eventually: Any
) -> None:
    """Each once, and before any row that comes then."""
    more: list[Any] = []

    @spout("at", "page", repeats=True)
    def rows() -> Iterator[Any]:
        yield from [(1, "a"), (5, "b"), (1_000, "c")]
        while not more:
            yield None
        yield from more

    window = sliding("20ms", every="1ms", time="at")
    whole: list[Any] = []
    running = started(slides(rows, whole, -1, None, window))
    eventually(lambda: len(whole) == 25, within=60)
    running.stop(60)
    out: list[Any] = []
    stop: Queue[Callable[[], Any]] = Queue()
    running = started(slides(rows, out, 7, stop, window), state=tmp_path / "slides.sqlite")
    stop.put(running.stop)
    assert running.ended(60)
    assert (running.state, out) == ("stopped", whole[:7])
    running = started(slides(rows, out, -1, None, window), state=tmp_path / "slides.sqlite")
    eventually(lambda: len(out) >= len(whole), within=60)  # although no row comes
    running.stop(60)
    assert out == whole
    out.clear()
    stop = Queue()
    running = started(slides(rows, out, 7, stop, window), state=tmp_path / "other.sqlite")
    stop.put(running.stop)
    assert running.ended(60)
    more += [(15, "late"), (999, "d")]
    running = started(slides(rows, out, -1, None, window), state=tmp_path / "other.sqlite").wait(60)
    assert out[:25] == whole
    assert out[25] == (1_001, [999, 1_000])
    assert running.metrics().now.windows["w", 2]["late"] == 1
