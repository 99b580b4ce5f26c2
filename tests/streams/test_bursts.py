"""Rows of an iterator that are emitted in bursts: what they are and become is the same as one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.streams import test_verdicts as verdicts
from tests.streams.parts import Keep, Words
from workbench.runs import Register
from workbench.streams import Batch, Bolt, IteratorSpout, Topology, bolt, fields
from workbench.streams.running import Running

Start = Callable[..., Running]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Keep.kept.clear()


def kept(name: str) -> list[Any]:
    return [tuple(row) for row in Keep.kept.get(name, [])]


def adds_up(running: Running) -> None:
    for row in running.metrics().rows():
        if row["kind"] == "spout":
            assert row["emitted"] == row["acked"] + row["failed"] + row["pending"] + row["untracked"], row


class Mixed(IteratorSpout):
    outputs = ("value",)

    def rows(self) -> Iterator[Any]:
        for number in range(50):
            yield (number,)
            yield f"text {number}"
            yield [number]
            yield None
            yield number
            yield Batch([("a",), ("b",)])


@pytest.mark.parametrize("acking", [True, False])
def test_rows_of_every_kind_come_in_order(started: Start, acking: bool) -> None:
    t = Topology("mixed", acking=acking).spout("mixed", Mixed).bolt("keep", Keep("mixed"), inputs="mixed")
    running = started(t).wait(30)
    assert running.state == "done"
    assert kept("mixed") == [
        row for number in range(50) for row in [(number,), (f"text {number}",), (number,), (number,), ("a",), ("b",)]
    ]
    metrics = running.metrics()
    assert metrics.count("emitted", "mixed") == metrics.count("executed", "keep") == 300
    assert metrics.count("acked" if acking else "untracked", "mixed") == 300
    adds_up(running)


class Picky(Bolt):
    """Refuses `never`, and every other word once or twice or not at all."""

    def execute(self, tuple: Any) -> None:  # noqa: A002
        before = kept("picky").count((tuple.word,))
        Keep.kept.setdefault("picky", []).append(tuple)
        if tuple.word == "never" or before < int(tuple.word) % 3:
            raise ValueError(tuple.word)


def test_a_row_that_fails_is_kept_and_comes_again_with_others_between(started: Start) -> None:
    words = [str(number) for number in range(150)]
    t = Topology("again", max_retries=3, retry_backoff=1e-6, seed=2).spout("words", Words("never", *words))
    running = started(t.bolt("picky", Picky, inputs="words")).wait(30)
    assert [(letter.row, letter.tries) for letter in running.dead_letters] == [(("never",), 4)]
    assert sorted(kept("picky")) == sorted(
        [("never",)] * 4 + [(word,) for word in words for _ in range(int(word) % 3 + 1)]
    )
    metrics = running.metrics()
    assert (metrics.count("acked", "words"), metrics.count("failed", "words")) == (150, 150 + 4)
    adds_up(running)


def test_a_row_of_another_width_ends_the_run_and_says_so(started: Start) -> None:
    class Wide(IteratorSpout):
        outputs = ("word",)

        def rows(self) -> Iterator[Any]:
            yield ("a",)
            yield ("a", "b")

    running = started(Topology("wide").spout("wide", Wide).bolt("keep", Keep("wide"), inputs="wide"))
    with pytest.raises(Exception, match="has 1 field"):
        running.wait(30)
    assert kept("wide") == [("a",)]
    adds_up(running)


class Holds(Bolt):
    auto_ack = False
    held: list[Any] = []

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.held.append(tuple)


def test_a_burst_ends_where_as_many_are_pending_as_may_be(started: Start, eventually: Any) -> None:
    Holds.held.clear()
    t = Topology("limit", max_spout_pending=7).spout("words", Words(*map(str, range(50))))
    running = started(t.bolt("holds", Holds, inputs="words"))
    eventually(lambda: len(Holds.held) == 7, within=60)
    eventually(lambda: running.metrics().now.idle["words", 1]["max-spout"] > 0, within=60)
    assert len(Holds.held) == 7
    assert running.metrics().count("pending", "words") == 7
    adds_up(running)


class Tells(IteratorSpout):
    """Emits by itself while it is asked for a row: that is no part of the row before or after."""

    outputs = {"default": ("word",), "beside": ("word",)}

    def rows(self) -> Iterator[Any]:
        for word in ("a", "b", "bad", "c"):
            self.collector.emit((word,), stream="beside")
            yield (word,)


class Refuses(Bolt):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple.word == "bad" and tuple.source_stream == "beside":
            raise ValueError("bad")
        Keep.kept.setdefault("refuses", []).append(tuple)


def test_what_is_emitted_while_a_row_is_asked_for_is_anchored_to_none(started: Start) -> None:
    t = Topology("tells").spout("tells", Tells).bolt("refuses", Refuses, inputs=["tells", "tells.beside"])
    running = started(t).wait(30)
    by_stream = {(row["source"], row["stream"]): row for row in running.metrics().rows() if row["kind"] == "spout"}
    assert by_stream["tells", "default"]["acked"] == 4
    assert by_stream["tells", "beside"]["untracked"] == 4
    assert len(running.errors) == 1
    assert kept("refuses") == [("a",), ("a",), ("b",), ("b",), ("bad",), ("c",), ("c",)]


class Told(IteratorSpout):
    outputs = ("word",)
    told: list[Any] = []

    def rows(self) -> Iterator[Any]:
        yield from (("a",), ("b",))

    def ack(self, message_id: Any) -> None:
        self.told.append(message_id)
        super().ack(message_id)


def test_who_asks_for_verdicts_gets_a_number_for_each_row(started: Start) -> None:
    Told.told.clear()
    started(Topology("told").spout("told", Told).bolt("keep", Keep("told"), inputs="told")).wait(30)
    assert Told.told == [1, 2]


def test_what_a_generator_has_given_before_it_raises_is_emitted(started: Start) -> None:
    @bolt("word")
    def half(tuple: Any) -> Iterator[str]:  # noqa: A002
        yield tuple.word
        raise ValueError("no more")

    # Each call of `half` is timed, and so gathers what it emits.
    t = (
        Topology("half", max_retries=0, sample_every=1)
        .spout("words", Words("a", "b"))
        .bolt("half", half, inputs="words")
    )
    t.bolt("keep", Keep("half"), inputs=[("half", fields("word"))], parallelism=2)
    running = started(t).wait(30)
    assert kept("half") == [("a",), ("b",)]
    assert running.metrics().count("failed", "words") == 2


class Roots(IteratorSpout):
    """As the spout of the verdicts' tests, in bursts. It gives no verdicts, so what has failed is a dead letter."""

    outputs = {"default": ("path",), "flush": ("round",)}

    def __init__(self, count: int, rounds: int) -> None:
        self.count, self.rounds_left = count, rounds

    def rows(self) -> Iterator[Any]:
        for root in reversed(range(self.count)):
            yield ((root,),)
        for number in range(self.rounds_left):
            self.collector.emit((number,), stream="flush")
            yield None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=verdicts.graphs(), seed=st.integers(0, 2**32))
def test_bursts_and_ledger_judge_alike(
    tmp_path_factory: pytest.TempPathFactory, graph: verdicts.Graph, seed: int
) -> None:
    roots = 12
    t = Topology("graph", seed=seed, sample_every=3, max_spout_pending=roots + 1, max_retries=0)
    verdicts.bolts(t.spout("spout", Roots(roots, len(graph) + 1)), graph, seed)
    register = Register(tmp_path_factory.mktemp("runs") / "runs.sqlite")
    running = t.run(register=register).wait(60)
    assert running.state == "done", running.where()
    adds_up(running)
    failed = {letter.row[0][0] for letter in running.dead_letters}
    judged = {root: root not in failed for root in range(roots)}
    assert judged == verdicts.ledger(graph, seed, roots, Random(seed))
    register.close()
