"""Bolts and spouts that do what they should not: stated behaviour, each with its words."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tests.streams.parts import Keep, Words
from workbench.contract.errors import EmitRefused, UnknownStream
from workbench.runs import Register
from workbench.streams import Bolt, Topology, custom, fields, partial_key, spout
from workbench.streams.running import Running

Start = Callable[..., Running]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Keep.kept.clear()


def kept(name: str) -> list[Any]:
    return Keep.kept.get(name, [])


class Emits(Bolt):
    outputs = ("word", "n")
    what: Any = None

    def execute(self, tuple: Any) -> None:  # noqa: A002
        type(self).what(self.collector, tuple)


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        (lambda collector, _: collector.emit(("a",)), EmitRefused, "has 2 fields (word, n), and ('a',) has 1"),
        (lambda collector, _: collector.emit("ab"), EmitRefused, "and ('ab',) has 1"),
        (lambda collector, _: collector.emit(("a", 1), stream="erors"), UnknownStream, "No stream `erors`"),
        (lambda collector, _: collector.emit_batch([("a", 1), ("b",)]), EmitRefused, "and ('b',) has 1"),
        (lambda collector, one: collector.ack(one), EmitRefused, "auto_ack = False"),
        (lambda collector, _: collector.emit_direct(1, ("a", 1)), EmitRefused, "not declared as direct"),
        (lambda collector, _: collector.dead_letter("a", 1), EmitRefused, "only a spout"),
    ],
)
def test_what_cannot_be_emitted_fails_the_tuple_and_says_why(
    started: Start, what: Any, error: type[Exception], says: str
) -> None:
    class Mine(Emits):
        pass

    Mine.what = staticmethod(what)
    t = Topology("emits", max_retries=0).spout("words", Words("a"))
    t.bolt("emits", Mine, inputs="words").bolt("keep", Keep("emits"), inputs=[("emits", fields("n"))])
    running = started(t).wait(30)
    assert running.state == "done"
    assert says in running.errors[0].error
    assert running.errors[0].error.startswith(error.__name__)
    assert running.dead_letters[0].component == "emits"


class AfterAck(Bolt):
    outputs = ("word",)
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit((tuple.word,), anchors=[tuple])
        self.collector.ack(tuple)
        try:
            self.collector.emit((tuple.word,), anchors=[tuple])
        except EmitRefused as error:
            self.collector.report_error(error)
        self.collector.ack(tuple)


def test_emitting_after_ack_and_acking_twice_are_refused_and_change_nothing(started: Start) -> None:
    t = Topology("after").spout("words", Words("a", "b")).bolt("after", AfterAck, inputs="words")
    t.bolt("keep", Keep("after"), inputs="after")
    running = started(t).wait(30)
    assert [row.word for row in kept("after")] == ["a", "b"]
    assert "was acked before" in running.errors[0].error
    assert len(running.errors) == 4
    metrics = running.metrics()
    assert (metrics.count("acked", "words"), metrics.count("failed", "words")) == (2, 0)


class Later(Bolt):
    """Acks from a thread of its own."""

    outputs = ("word",)
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        threading.Thread(target=self.settle, args=(tuple,)).start()

    def settle(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit((tuple.word.upper(),), anchors=[tuple])
        if tuple.word == "bad":
            self.collector.fail(tuple)
        else:
            self.collector.ack(tuple)


def test_a_bolt_acks_later_from_another_thread(started: Start) -> None:
    t = Topology("later", max_retries=0).spout("words", Words("a", "bad", "c", times=20))
    t.bolt("later", Later, inputs="words").bolt("keep", Keep("later"), inputs="later")
    running = started(t).wait(30)
    assert running.state == "done"
    assert sorted(row.word for row in kept("later")) == sorted(["A", "BAD", "C"] * 20)
    metrics = running.metrics()
    assert (metrics.count("acked", "words"), metrics.count("failed", "words")) == (40, 20)
    assert (metrics.count("acked", "later"), metrics.count("failed", "later")) == (40, 20)
    assert len(running.dead_letters) == 20


class Prints(Bolt):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        for number in range(5_000):
            print("line", number)
        print("x" * 100_000)
        sys.stderr.write("no end of line")


def test_prints_go_to_a_log_that_is_bounded(started: Start, capsys: pytest.CaptureFixture[str]) -> None:
    running = started(Topology("prints").spout("words", Words("a")).bolt("prints", Prints, inputs="words")).wait(30)
    assert not running.errors
    lines = list(running.log)
    assert len(lines) == 1001
    assert lines[-3:-2] == ["line 4999"]
    assert (len(lines[-2]), lines[-1], running.log.dropped, running.log.cut) == (2000, "no end of line", 4001, 1)
    assert capsys.readouterr().out == ""
    print("others print on")
    assert capsys.readouterr().out == "others print on\n"


class Hangs(Bolt):
    inside = threading.Event()

    def execute(self, tuple: Any) -> None:  # noqa: A002
        Hangs.inside.set()
        while True:
            time.sleep(0.005)


def test_a_bolt_that_hangs_can_be_seen_and_is_interrupted_by_stop(started: Start, register: Register) -> None:
    running = started(Topology("hangs").spout("words", Words("a")).bolt("hangs", Hangs, inputs="words"))
    assert Hangs.inside.wait(10)
    assert "test_bad_bolts.py" in running.where()
    assert "in execute" in running.where()
    running.metrics()  # that of before, or of the beginning, and it does not wait for ever
    running.stop(0.2)
    assert running.state == "stopped"
    assert "interrupted" in register.get(running.id).error
    with pytest.raises(EmitRefused, match="it has ended"):
        running._engine._post(print, ())  # type: ignore[attr-defined]


def test_an_error_of_prepare_is_one_of_run(register: Register) -> None:
    class Bad(Bolt):
        def prepare(self, config: Any, context: Any, collector: Any) -> None:
            raise OSError("no such model")

        def execute(self, tuple: Any) -> None:  # noqa: A002
            raise AssertionError

    with pytest.raises(OSError, match="no such model"):
        Topology("bad").spout("words", Words("a")).bolt("bad", Bad, inputs="words").run(register=register)
    assert register.runs(active=False) == []


def test_an_error_of_a_spout_ends_the_run_and_is_raised_where_it_is_waited_for(
    started: Start, register: Register
) -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise OSError("the disk is gone")

    running = started(Topology("broken").spout("words", broken, outputs="word"))
    with pytest.raises(OSError, match="the disk is gone"):
        running.wait(30)
    assert running.state == "failed"
    assert register.get(running.id).error == "OSError: the disk is gone"
    assert "the disk is gone" in running.errors[0].error


class Floods(Bolt):
    """Emits thousands of rows from a thread of its own while the runner is here."""

    outputs = ("n",)
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        thread = threading.Thread(target=lambda: [self.collector.emit((number,)) for number in range(6_000)])
        thread.start()
        thread.join()
        self.collector.ack(tuple)


def test_what_other_threads_hand_in_goes_first_and_is_counted_as_back_pressure(started: Start) -> None:
    t = Topology("floods").spout("words", Words("a", "b")).bolt("floods", Floods, inputs="words")
    running = started(t.bolt("keep", Keep("floods"), inputs="floods")).wait(30)
    assert not running.errors
    assert [row.n for row in kept("floods")] == [*range(6_000)] * 2
    assert running.metrics().now.idle["words", 1]["backpressure"] > 0


BAD_KEYS = {"date": date(2026, 1, 2), "decimal": Decimal("1.5"), "65 bits": 1 << 64, "5,000 digits": 10**5000}
WAYS = ("spout", "timed", "batch", "table", "bolt", "two fields", "own acks")
CASES = [(name, how) for name in BAD_KEYS for how in WAYS if how != "table" or name in ("date", "decimal")]


class Again(Bolt):
    """Hands its rows on; by a timed call where `sample_every` says so."""

    outputs = ("key", "n")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit((tuple.key, tuple.n))


class Holds(Again):
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit((tuple.key, tuple.n), anchors=[tuple])
        self.collector.ack(tuple)


@pytest.mark.parametrize(("name", "how"), CASES)
@pytest.mark.parametrize("grouping", [fields, partial_key])
def test_a_key_that_java_cannot_hash_fails_its_tuple_alone(started: Start, name: str, how: str, grouping: Any) -> None:
    key = BAD_KEYS[name]
    rows = [("a", 1), (key, 2), ("b", 3), ("c", 4)]
    given: Any = [pa.table({"key": pa.array([key]), "n": [2]}), *rows[:1], *rows[2:]] if how == "table" else rows
    t = Topology("keys", max_retries=1, retry_backoff=0.001, sample_every=1 if how == "timed" else 1000)
    t.spout("s", spout("key", "n", batch=4 if how == "batch" else 0)(lambda: iter(given)))
    if how in ("bolt", "own acks"):
        t.bolt("again", Again if how == "bolt" else Holds, inputs="s")
    source = "again" if how in ("bolt", "own acks") else "s"
    by = grouping("n", "key") if how == "two fields" else grouping("key")
    running = started(t.bolt("keep", Keep("keys"), inputs=[(source, by)], parallelism=3)).wait(30)
    assert running.state == "done"
    assert sorted(row.n for row in kept("keys")) == [1, 3, 4]
    (letter,) = running.dead_letters
    assert letter.row[1] == 2
    assert f"Component `{source}`: field `key`, by which `keep` takes it, is " in letter.error
    metrics = running.metrics()
    assert (metrics.count("acked", "s", "all"), metrics.count("pending", "s")) == (3, 0)


def test_after_a_spouts_tuple_has_raised_nothing_holds(started: Start) -> None:
    """What is emitted when the run ends is anchored to nothing, so it must not fail what is long gone."""

    def boom(row: Any, tasks: Any) -> Any:
        raise RuntimeError("no task")

    t = Topology("boom").spout("words", Words("a")).bolt("keep", Keep("boom"), inputs=[("words", custom(boom))])
    running = started(t)
    with pytest.raises(RuntimeError, match="no task"):
        running.wait(30)
    assert running._engine._wiring.tracking.anchors == ()  # type: ignore[attr-defined]
