"""streams_bytewax.py SENTENCES VIEWS: word count (running, and final), and tumbling page views, by bytewax."""

import sys
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main
from loop import serve
from streams_data import LAG, WINDOW, digest, sentences, views

SENTENCES, VIEWS = sentences(int(sys.argv[1])), views(int(sys.argv[2]))
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


def words(task):
    flow = Dataflow("words")
    split = op.flat_map(
        "split", op.input("in", flow, TestingSource(SENTENCES, batch_size=1000)), lambda s: s.split(" ")
    )
    out = []
    if task == "final":
        counted = op.count_final("count", split, lambda word: word)
    else:
        keyed = op.key_on("key", split, lambda word: word)
        counted = op.stateful_map("count", keyed, lambda n, _: ((n or 0) + 1, (n or 0) + 1))
    op.output("out", counted, TestingSink(out))
    run_main(flow)
    return dict(out)


def windows():
    flow, out = Dataflow("views"), []
    keyed = op.key_on("key", op.input("in", flow, TestingSource(VIEWS, batch_size=1000)), lambda view: view[1])
    # Its watermark moves with the wall clock, too: with our lag some rows are late on a busy machine.
    clock = win.EventClock(
        lambda view: EPOCH + timedelta(milliseconds=view[0]), wait_for_system_duration=timedelta(milliseconds=4 * LAG)
    )
    tumbling = win.TumblingWindower(align_to=EPOCH, length=timedelta(milliseconds=WINDOW))
    folded = win.fold_window(
        "fold",
        keyed,
        clock,
        tumbling,
        lambda: [0, 0.0],
        lambda sums, view: [sums[0] + 1, sums[1] + view[3]],
        lambda a, b: [a[0] + b[0], a[1] + b[1]],
    )
    op.output("out", folded.down, TestingSink(out))
    run_main(flow)
    return {(window, page): sums[0] for page, (window, sums) in out}


serve(lambda task: windows() if task == "windows" else words(task), digest)
