"""streams_ours.py SENTENCES VIEWS: topologies on the inline runner, and the same by hand (`loop`, `loop_windows`)."""

import sys

import numpy as np
import pyarrow as pa
from loop import serve
from streams_data import WINDOW, digest, loop_views, loop_words, sentences, views

from workbench.streams import Bolt, IteratorSpout, Topology, bolt, fields, tumbling

SENTENCES, VIEWS = sentences(int(sys.argv[1])), views(int(sys.argv[2]))
found = []


class Sentences(IteratorSpout):
    outputs = ("sentence",)

    def __init__(self, batch=0):
        self.batch = batch

    def rows(self):
        return iter(SENTENCES)


@bolt("word")
def split(tuple):  # noqa: A002
    return tuple.sentence.split(" ")


class SplitBatch(Bolt):
    outputs = ("word",)

    def execute_batch(self, batch):
        self.collector.emit_batch([(word,) for (sentence,) in batch for word in sentence.split(" ")])


class Count(Bolt):
    def prepare(self, config, context, collector):
        self.counts = {}
        found.append(self.counts)

    def execute(self, tuple):  # noqa: A002
        word = tuple.word
        self.counts[word] = self.counts.get(word, 0) + 1


class CountBatch(Count):
    def execute_batch(self, batch):
        counts = self.counts
        for (word,) in batch:
            counts[word] = counts.get(word, 0) + 1


def words(acking, batch=0, tasks=4):
    found.clear()
    t = Topology("words", acking=acking)
    t.spout("sentences", Sentences(batch))
    t.bolt("split", SplitBatch if batch else split, inputs="sentences")
    t.bolt(
        "count", CountBatch if batch else Count, inputs=[("split", fields("word"))], parallelism=1 if batch else tasks
    )
    t.run().wait()
    return {word: count for counts in found for word, count in counts.items()}


# Our windows end at a multiple of their length and include it, the others begin at one: a millisecond makes them alike.
ROWS = [(at + 1, page, user, took) for at, page, user, took in VIEWS]
TABLES = []
if VIEWS:
    columns = pa.table(dict(zip(("at", "page", "user", "took"), map(list, zip(*ROWS, strict=True)), strict=True)))
    columns = columns.set_column(1, "page", columns["page"].dictionary_encode())
    TABLES = [columns.slice(place, 10_000).combine_chunks() for place in range(0, len(ROWS), 10_000)]


class Views(IteratorSpout):
    outputs = ("at", "page", "user", "took")

    def __init__(self, rows):
        self.given = rows

    def rows(self):
        return iter(self.given)


@bolt("window", "page", "views", "took")
def by_row(window):
    sums = {}
    for _, page, _, took in window.rows:
        one = sums.get(page)
        if one is None:
            sums[page] = [1, took]
        else:
            one[0] += 1
            one[1] += took
    end = int(window.end) // WINDOW - 1
    return [(end, page, views, took) for page, (views, took) in sums.items()]


@bolt("window", "page", "views", "took")
def by_table(window):
    page = window.table.column("page").combine_chunks()
    codes = page.indices.to_numpy()
    views, took = np.bincount(codes), np.bincount(codes, window.table.column("took").to_numpy())
    there = np.flatnonzero(views)
    end = np.full(len(there), int(window.end) // WINDOW - 1)
    names = ("window", "page", "views", "took")
    return pa.table(
        dict(zip(names, (end, page.dictionary.take(pa.array(there)), views[there], took[there]), strict=True))
    )


class Keep(Bolt):
    def execute(self, tuple):  # noqa: A002
        found.append(tuple)


class KeepTables(Bolt):
    def execute_batch(self, batch):
        found.append(batch.table)


def windows(rows, counting):
    found.clear()
    t = Topology("views")
    t.spout("views", Views(rows))
    t.bolt("count", counting, inputs="views", window=tumbling("1s", time="at", lag="500ms"))
    t.bolt("keep", Keep if counting is by_row else KeepTables, inputs="count")
    t.run().wait()
    return found


TASKS = {
    "windows": lambda: windows(ROWS, by_row),
    "windows_batch": lambda: windows(TABLES, by_table),
    "running": lambda: words(True),
    "acked": lambda: words(True),
    "unacked": lambda: words(False),
    "batch_acked": lambda: words(True, 1000),
    "batch_unacked": lambda: words(False, 1000),
    "loop": lambda: loop_words(SENTENCES),
    "loop_windows": lambda: loop_views(VIEWS),
}


def check(result):
    if isinstance(result, list):
        rows = (
            pa.concat_tables(result).to_pylist()
            if isinstance(result[0], pa.Table)
            else [row.as_dict() for row in result]
        )
        result = {(row["window"], row["page"]): row["views"] for row in rows}
    return digest(result)


serve(lambda task: TASKS[task](), check)
