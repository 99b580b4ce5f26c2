"""What is kept of streams: bounded by rows and by bytes, in order, and all that is let go is counted."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.streams import process_parts as parts
from tests.streams.test_showing import state
from workbench.runs import Register
from workbench.runs.topics import Topic
from workbench.streams import LiveSink, LiveTable, Topology, ended, tumbling
from workbench.streams.ended import retain
from workbench.streams.far import OPEN, ROWS, Far, Sender
from workbench.streams.inline import Inline
from workbench.streams.outline import Outline
from workbench.streams.running import Running
from workbench.streams.seeing import encoded
from workbench.streams.tapping import KEPT_BYTES, Store, Tap, Taps
from workbench.streams.tuples import Batch
from workbench.streams.weighing import weight

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("row"), st.integers(1, 40), st.sampled_from((1, 1, 5_000))),
        st.tuples(st.just("batch"), st.integers(0, 30), st.sampled_from((1, 5_000))),
        st.tuples(st.just("take"), st.one_of(st.none(), st.integers(1, 12)), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, keep=st.integers(1, 25))
def test_rows_come_in_order_and_those_that_do_not_are_counted(steps: list[Any], keep: int) -> None:
    most = 60_000
    tap = Tap("a.default", ("number", "text"), keep, most)
    given, seen, skipped = 0, list[int](), 0
    for what, number, length in [*steps, ("take", None, 0)]:
        if what == "take":
            rows, gone = tap.take(number)
            skipped += gone
            assert len(rows) <= (keep if number is None else min(keep, number))
            assert number is not None or not given or not rows or rows[-1][0] == given - 1
            seen += [row[0] for row in rows]
            continue
        made = [(given + place, chr(97 + place % 26) * length) for place in range(number)]
        given += number
        if what == "batch":
            tap.batch(Batch(pa.table({"number": [n for n, _ in made], "text": [t for _, t in made]})))
        else:
            for row in made:
                tap.row(row)
        assert given == 0 or number == 0 or tap.held[-1][0] == given - 1
        assert tap.size <= most + 128 * 6_000 or len(tap.held) == number  # until it is noticed that rows are large
    assert seen == sorted(set(seen))
    assert len(seen) + skipped == tap.count == given


def test_large_rows_are_bounded_by_their_bytes() -> None:
    tap = Tap("a.default", ("text",))
    for number in range(200):
        tap.row((f"{number:06}" + "x" * (1 << 20),))
        assert sum(len(row[0]) for row in tap.held) <= KEPT_BYTES
    rows, skipped = tap.drain()
    assert (rows[-1][0][:6], len(rows) + skipped) == ("000199", 200)
    store = Store(tap)
    store.add(rows * 8, skipped)
    assert sum(len(row[0]) for row in store.rows) <= KEPT_BYTES
    assert len(store.rows) + store.gone == 8 * len(rows) + skipped
    for number in range(12_000):  # small ones again: the number alone bounds them
        tap.row((number,))
    assert len(tap.held) == tap.keep
    tap.row(("y" * (2 * KEPT_BYTES),))
    for number in range(12_000):  # it may go unnoticed, and goes with the others
        tap.row((number,))
    assert tap.size < KEPT_BYTES


def test_large_batches_are_bounded_by_their_bytes() -> None:
    tap = Tap("a.default", ("text",))
    table = pa.table({"text": ["x" * (1 << 18)] * 16})
    for _ in range(20):
        tap.batch(Batch(table))
    assert tap.size <= KEPT_BYTES
    rows, skipped = tap.drain()
    assert len(rows) + skipped == 320
    rows_as_list = [("x" * (1 << 18),)] * 16
    for _ in range(20):
        tap.batch(Batch(rows_as_list, ("text",)))
    assert tap.size <= KEPT_BYTES


def test_a_weight_is_about_the_memory_of_a_value() -> None:
    assert weight((1, "x" * 1_000)) == pytest.approx(1_100, rel=0.1)
    assert weight(([["y" * 1_000] * 10] * 10,)) == pytest.approx(100_000, rel=0.2)
    assert weight((dict.fromkeys(range(100), b"z" * 1000),)) == pytest.approx(110_000, rel=0.2)

    class Strange:
        def __sizeof__(self) -> int:
            raise ValueError("not that")

    assert weight((Strange(),)) < 1_000


def test_all_runners_keep_the_same_streams(register: Register) -> None:
    t = Topology("kept").spout("numbers", parts.Numbers(10)).bolt("mixed", parts.Mixed("m"), inputs="numbers")
    t.bolt("ends", parts.each_of, inputs="mixed", window=tumbling("10ms", time="number"))
    t.bolt("late", parts.late_number, inputs="ends.late").bolt("watch", LiveSink(keep=7), inputs="numbers")
    t.bolt("twice", parts.twice, inputs="numbers").bolt("direct", parts.Slow(0), inputs=[("mixed.chosen", "direct")])
    engine = Inline(t, register)
    engine._wiring.open(0)
    outline = Outline.of_document(Outline.of(t).document())
    assert outline == Outline.of(t)
    kept = {name: (tap.fields, tap.keep) for name, tap in engine.taps.all.items()}
    assert {name: (tap.fields, tap.keep) for name, tap in Taps.of_outline(outline).all.items()} == kept
    assert set(kept) == {
        *("numbers.dead_letter", "ends.default", "ends.late", "late.default", "watch.default", "twice.default"),
    }


def sending(keep: int = 10_000) -> tuple[Tap, Sender, list[Any], list[float]]:
    taps, sent, now = Taps(), list[Any](), [0.0]
    tap = taps._made(("a", "default"), ("number",), keep)

    def send(*given: Any) -> None:
        sent.append(given)
        now[0] += 0.001  # what it takes

    return tap, Sender(taps, send, lambda: now[0]), sent, now


def test_a_worker_sends_at_its_own_pace_and_never_waits() -> None:
    tap, sender, sent, now = sending()
    for number in range(3):
        tap.row((number,))
    sender.step(now[0])
    assert [one[1:3] for one in sent] == [(3, 0)]
    tap.row((3,))
    sender.step(now[0] + 0.5)  # nobody looks, and it is soon
    assert len(sent) == 1
    sender.look(["a.default"])
    sender.step(now[0] + 0.5)
    assert len(sent) == 2 == OPEN
    for number in range(4, 30_004):  # nobody has heard of these: they wait here, and the oldest go
        tap.row((number,))
    sender.step(now[0] + 10)
    assert len(sent) == OPEN
    sender.heard()
    sender.step(now[0] + 20)
    assert sent[-1][1:3] == (ROWS, 20_000)
    at = now[0] + 20
    sender.heard()
    sender.step(at + 0.015)  # a 20th of its time at most
    assert len(sent) == 3
    sender.step(at + 0.03)
    assert len(sent) == 4
    sender.rest()
    assert sum(one[1] + one[2] for one in sent) == 30_004 == tap.count


def test_what_comes_from_workers_is_bounded_and_counted() -> None:
    far = Far("a.default", ("text",), 100, most=5_000)
    rung: list[int] = []
    far.wake = lambda: rung.append(1)
    for number in range(20):
        far.put(10, 1, encoded([(f"{number}-{place}",) for place in range(10)]))
    assert far.size <= 5_000
    rows, skipped = far.drain()
    assert (rows[-1], len(rows)) == (("19-9",), 100)
    assert len(rows) + skipped == far.count == 220
    assert rung == [1]
    far.put(10, 0, encoded([("x" * 150,)] * 40))
    far.put(10, 0, encoded([("y" * 150,)] * 40))
    assert far.drain()[0][0] == ("y" * 150,)
    assert far.drain() == ([], 0)


def test_of_what_has_ended_so_many_stay_and_their_rows_are_bounded(
    started: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, eventually: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(ended, "KEPT", 2)
    monkeypatch.setattr(ended, "_kept", [])
    monkeypatch.setattr(ended, "BYTES", 1_000_000)
    usual, own = ended._retained, set[str]()

    def retained(last: ended.Last) -> None:
        """What is left of other tests is collected here too, and would push out what is looked for."""
        usual(last) if last.views.id in own else last.let_go()

    monkeypatch.setattr(ended, "_retained", retained)
    register = Register(tmp_path / "other.sqlite")
    topics = []
    for number in range(4):
        t = Topology(f"t{number}").spout("numbers", parts.Numbers(3_000)).bolt("all", parts.squared, inputs="numbers")
        running = t.run(register=register).wait(30)
        topic = running.shown([LiveTable(running, "all", keep=3)])
        assert isinstance(topic, Topic)
        topics.append(topic)
        eventually(lambda: topic.ended, within=30)  # noqa: B023
        views = running.show.__self__  # type: ignore[union-attr]
        own.add(views.id)
        del running

        def kept() -> bool:
            gc.collect()  # a thread that ends may hold it for a moment yet
            return any(one.views is views for one in ended._kept)  # noqa: B023

        eventually(kept, within=30)
    assert [one.views._outline.name for one in ended._kept] == ["t2", "t3"]
    publisher = ended._kept[0].publisher
    assert [topic.name in publisher._topics for topic in topics] == [False, False, True, True]
    rows = []
    for one in list(ended._kept):
        topic = one.views.show([LiveTable(one.views, "all")])
        rows.append((state(topic)["about/0"]["rows"], state(topic)["about/0"]["skipped"]))
    assert rows == [(0, 3_000), (3_000, 0)]  # those of the older one were too much
    assert [row[-1] for row in state(topics[2])["rows/0"]] == [2_997**2, 2_998**2, 2_999**2]
    retain(ended._kept[1])
    register.close()


def test_some_large_rows_among_many_small_ones_are_noticed() -> None:
    tap = Tap("a.default", ("text",))
    for number in range(10_000):
        tap.row((number,))
    for number in range(64_000):
        tap.row(("x" * 50_000 if number % 64 else "",))  # each 64th is small
        assert number % 1_000 or tap.size <= KEPT_BYTES + 128 * 50_000
