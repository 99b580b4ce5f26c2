"""The runner `inline`: counts that add up, replay, dead letters, pause and stop, and what it does with bad bolts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.streams.parts import Keep, Words
from workbench.runs import Register
from workbench.streams import Batch, Bolt, IteratorSpout, Spout, Topology, all_, custom, direct, fields, partial_key
from workbench.streams.javahash import deep_hash
from workbench.streams.running import Running
from workbench.testing.clock import SettableClock

Start = Callable[..., Running]


class Count(Bolt):
    """How often each word came; tasks' counts in `all`."""

    all: list[dict[Any, int]] = []

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self.counts: dict[Any, int] = {}
        Count.all.append(self.counts)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.counts[tuple.word] = self.counts.get(tuple.word, 0) + 1


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Count.all.clear()
    Keep.kept.clear()


def kept(name: str) -> list[Any]:
    return Keep.kept.get(name, [])


def adds_up(running: Running) -> None:
    for row in running.metrics().rows():
        if row["kind"] == "spout":
            assert row["emitted"] == row["acked"] + row["failed"] + row["pending"] + row["untracked"], row


SENTENCES = ["the cow jumped", "over the moon", "the end"] * 50


def split(tuple: Any) -> Any:  # noqa: A002
    return tuple.sentence.split()


def word_count(tasks: int = 3, **config: Any) -> Topology:
    t = Topology("words", **config)
    t.spout("sentences", lambda: iter(SENTENCES), outputs="sentence")
    t.bolt("split", split, inputs="sentences", outputs="word")
    t.bolt("count", Count, inputs=[("split", fields("word"))], parallelism=tasks)
    return t


def test_a_word_count_row_by_row_with_exact_numbers(started: Start) -> None:
    running = started(word_count()).wait(30)
    assert running.state == "done"
    whole = {word: count for counts in Count.all for word, count in counts.items()}
    assert whole == {"the": 150, "cow": 50, "jumped": 50, "over": 50, "moon": 50, "end": 50}
    metrics = running.metrics()
    assert metrics.count("emitted", "sentences") == metrics.count("acked", "sentences") == 150
    assert metrics.count("executed", "split") == metrics.count("acked", "split") == 150
    assert metrics.count("emitted", "split") == metrics.count("transferred", "split") == 400
    assert metrics.count("executed", "count") == 400
    adds_up(running)


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_a_key_is_at_the_task_that_storm_sends_it_to(started: Start, tasks: int) -> None:
    started(word_count(tasks)).wait(30)
    for index, counts in enumerate(reversed(Count.all) if tasks < 0 else Count.all):
        assert all(deep_hash((word,)) % tasks == index for word in counts)


def test_every_grouping(started: Start) -> None:
    t = Topology("groupings", seed=1)
    t.spout("words", Words("a", "b", "c", "d", times=25))
    for name, grouping in (
        ("shuffle", "shuffle"),
        ("all", all_()),
        ("global", "global"),
        ("none", "none"),
        ("local", "local_or_shuffle"),
        ("partial", partial_key("word")),
        ("custom", custom(lambda row, tasks: tasks[:2])),
    ):
        t.bolt(name, Tasks(name), inputs=[("words", grouping)], parallelism=4)
    running = started(t).wait(30)
    by = {name: [task for task, _ in rows] for name, rows in Keep.kept.items()}
    assert sorted(by["shuffle"].count(task) for task in set(by["shuffle"])) == [25] * 4
    assert sorted(by["local"].count(task) for task in set(by["local"])) == [25] * 4
    assert sorted(by["all"].count(task) for task in set(by["all"])) == [100] * 4
    assert set(by["global"]) == {0}
    assert set(by["none"]) == {0, 1, 2, 3}
    assert len(by["custom"]) == 200
    assert set(by["custom"]) == {0, 1}
    for word in "abcd":
        assert len({task for task, row in Keep.kept["partial"] if row[0] == word}) <= 2
    assert running.metrics().count("transferred", "words") == 100 * (1 + 4 + 1 + 1 + 1 + 1 + 2)


class Tasks(Keep):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.kept.setdefault(self.name, []).append((self.context.index, tuple))


class Chooses(Bolt):
    outputs = {"chosen": ("word",)}
    direct = ("chosen",)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit_direct({"a": 3, "b": 4}[tuple.word], tuple, stream="chosen")


def test_direct_grouping(started: Start) -> None:
    t = Topology("direct").spout("words", Words("a", "b", "b"))
    t.bolt("chooses", Chooses, inputs="words")
    t.bolt("tasks", Tasks("direct"), inputs=[("chooses.chosen", direct())], parallelism=2)
    running = started(t).wait(30)
    assert not running.errors
    assert [(task, row.word) for task, row in kept("direct")] == [(0, "a"), (1, "b"), (1, "b")]


# ---- failing, replaying, giving up ----------------------------------------------------------------------------------


class Poison(Bolt):
    """Fails with words that start with `bad`, and `flaky` ones the first time."""

    seen: set[str] = set()

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple.word.startswith("bad") or (tuple.word.startswith("flaky") and tuple.word not in self.seen):
            self.seen.add(tuple.word)
            raise ValueError(f"cannot take {tuple.word}")
        Keep.kept.setdefault("poison", []).append(tuple.word)


def test_what_fails_comes_again_and_is_given_up_at_last(started: Start) -> None:
    Poison.seen.clear()
    t = Topology("poison", max_retries=2, retry_backoff=0.001, seed=1)
    t.spout("words", Words("good", "flaky1", "bad1", "fine"))
    t.bolt("poison", Poison, inputs="words")
    t.bolt("letters", Keep("letters"), inputs="words.dead_letter")
    running = started(t).wait(30)
    assert running.state == "done"
    assert sorted(kept("poison")) == ["fine", "flaky1", "good"]
    assert [tuple(letter) for letter in running.dead_letters] == [
        (("bad1",), "poison", "ValueError: cannot take bad1", 3)
    ]
    assert [tuple(letter) for letter in kept("letters")] == [(("bad1",), "poison", "ValueError: cannot take bad1", 3)]
    metrics = running.metrics()
    assert (metrics.count("failed", "words"), metrics.count("acked", "words")) == (4, 3)
    assert [fault.error for fault in running.errors].count("ValueError: cannot take bad1") == 3
    assert metrics.dead_letters == 1
    adds_up(running)


class PoisonBatch(Poison):
    execute = Bolt.execute

    def execute_batch(self, batch: Batch) -> None:
        if any(word.startswith("bad") for (word,) in batch):
            raise ValueError("some of it is bad")
        Keep.kept.setdefault("poison", []).extend(word for (word,) in batch)


def test_a_failed_batch_is_cut_until_the_poison_rows_are_alone(started: Start) -> None:
    words = [f"bad{number}" if number in (7, 421, 422) else f"w{number}" for number in range(1000)]
    t = Topology("bisect", max_retries=1, retry_backoff=0.001)

    class Batches(IteratorSpout):
        outputs = ("word",)
        batch = 250

        def rows(self) -> Any:
            return iter(words)

    t.spout("words", Batches)
    t.bolt("poison", PoisonBatch, inputs="words")
    running = started(t).wait(30)
    assert sorted(kept("poison")) == sorted(word for word in words if not word.startswith("bad"))
    assert sorted(letter.row[0] for letter in running.dead_letters) == ["bad421", "bad422", "bad7"]
    adds_up(running)


def test_batches_and_rows_mix(started: Start) -> None:
    class Words(IteratorSpout):
        outputs = ("sentence",)
        batch = 40

        def rows(self) -> Any:
            return iter(SENTENCES)

    class CountBatch(Count):
        execute = Bolt.execute
        sizes: list[int] = []

        def execute_batch(self, batch: Batch) -> None:
            self.sizes.append(len(batch))
            for (word,) in batch:
                self.counts[word] = self.counts.get(word, 0) + 1

    t = Topology("mixed").spout("sentences", Words)
    t.bolt("split", split, inputs="sentences", outputs="word")
    t.bolt("rows", Count, inputs=[("split", fields("word"))], parallelism=2)
    t.bolt("batches", CountBatch, inputs=[("split", fields("word"))], parallelism=2)
    running = started(t).wait(30)
    assert not running.errors
    whole: dict[str, int] = {}
    for counts in Count.all:
        for word, count in counts.items():
            whole[word] = whole.get(word, 0) + count
    assert whole["the"] == 300
    assert running.metrics().count("executed", "batches") == 400
    assert max(CountBatch.sizes) > 10
    adds_up(running)


def test_arrow_tables_are_batches(started: Start) -> None:
    pa = pytest.importorskip("pyarrow")

    class Tables(IteratorSpout):
        outputs = ("page", "ms")

        def rows(self) -> Any:
            for number in range(3):
                yield pa.table({"page": [f"/{number}", "/x"], "ms": [1.0, 2.0]})

    class Sums(Bolt):
        def execute_batch(self, batch: Batch) -> None:
            assert batch.columnar
            Keep.kept.setdefault("sums", []).append(sum(batch.column("ms")))
            assert batch.table.num_rows == 2

    t = Topology("arrow").spout("tables", Tables)
    t.bolt("sums", Sums, inputs="tables").bolt("keep", Keep("arrow"), inputs="tables")
    running = started(t).wait(30)
    assert not running.errors
    assert kept("sums") == [3.0] * 3
    assert [row.page for row in kept("arrow")] == ["/0", "/x", "/1", "/x", "/2", "/x"]


# ---- limits, pause, stop --------------------------------------------------------------------------------------------


class Never(Bolt):
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        Keep.kept.setdefault("never", []).append(tuple)


class Failing(Spout):
    """Counts what it is told."""

    outputs = ("n",)
    told: dict[str, list[int]] = {}

    def open(self, config: Any, context: Any, collector: Any) -> None:
        self.told.clear()
        self.next = 0

    def next_tuple(self) -> None:
        self.next += 1
        self.collector.emit((self.next,), message_id=self.next)

    def fail(self, message_id: int) -> None:
        self.told.setdefault("fail", []).append(message_id)


def test_never_more_are_on_their_way_than_is_allowed_and_why_it_idles_is_counted(
    started: Start, eventually: Any
) -> None:
    t = Topology("never", max_spout_pending=7).spout("numbers", Failing).bolt("never", Never, inputs="numbers")
    running = started(t)
    eventually(lambda: len(kept("never")) == 7, within=10)
    eventually(lambda: running.metrics().now.idle["numbers", 1]["max-spout"] > 0.02, within=10)
    assert len(kept("never")) == 7
    assert running.metrics().count("pending", "numbers") == 7
    adds_up(running)
    running.pause()
    eventually(lambda: running.metrics().now.idle["numbers", 1]["inactive"] > 0.02, within=10)
    assert running.state == "paused"
    running.resume()
    eventually(lambda: running.state == "running", within=10)


def test_what_is_not_acked_in_time_fails_after_one_to_two_timeouts(started: Start, eventually: Any) -> None:
    clock = SettableClock()
    t = Topology("slow", max_spout_pending=3, message_timeout=30).spout("numbers", Failing)
    t.bolt("never", Never, inputs="numbers")
    running = started(t, clock=clock)
    eventually(lambda: len(kept("never")) == 3, within=10)
    clock.advance(31)
    running.metrics()
    assert "fail" not in Failing.told
    clock.advance(31)
    eventually(lambda: Failing.told.get("fail") == [1, 2, 3], within=10)
    adds_up(running)


def test_every_scrape_adds_up_while_it_runs(started: Start) -> None:
    class Some(Bolt):
        auto_ack = False

        def prepare(self, config: Any, context: Any, collector: Any) -> None:
            self.held: list[Any] = []

        def execute(self, tuple: Any) -> None:  # noqa: A002
            self.held.append(tuple)
            if len(self.held) > 20:
                one = self.held.pop(self.context.random.randrange(20))
                (self.collector.fail if self.context.random.random() < 0.2 else self.collector.ack)(one)

    t = Topology("scrapes", seed=5).spout("numbers", Failing).bolt("some", Some, inputs="numbers")
    running = started(t)
    for _ in range(50):
        adds_up(running)
    assert running.metrics().count("pending", "numbers") == 20
    running.stop()
    adds_up(running)


def test_it_is_a_run_that_any_process_can_stop(
    started: Start, register: Register, tmp_path: Path, eventually: Any
) -> None:
    running = started(Topology("endless").spout("numbers", Failing).bolt("keep", Last, inputs="numbers"))
    listed = register.runs()
    assert [(one.id, one.kind, one.title, one.state) for one in listed] == [
        (running.id, "topology", "topology endless", "running")
    ]
    eventually(lambda: register.get(running.id).rows > 0, within=10)
    Register(register.path).request_stop(running.id)
    running.wait(10)
    assert running.state == "stopped"
    assert register.get(running.id).state == "stopped"
    running.stop()  # again: nothing


class Last(Bolt):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        pass


def test_without_acking_nothing_is_tracked_and_nothing_replayed(started: Start) -> None:
    t = Topology("unacked", acking=False).spout("words", Words("good", "bad")).bolt("poison", Poison, inputs="words")
    running = started(t).wait(30)
    assert kept("poison") == ["good"]
    assert running.metrics().count("untracked", "words") == 2
    assert running.dead_letters == []
