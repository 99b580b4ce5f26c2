"""latency_bytewax.py SECONDS: a running count of paced events by bytewax; its source waits for the next event."""

import sys
import time

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from latency_data import Clock, Counted, check, pages
from loop import serve

PAGES = pages(int(sys.argv[1]))


class Paced(StatelessSourcePartition):
    def __init__(self):
        self.clock, self.next = Clock(), 0

    def next_batch(self):
        if self.next == len(PAGES):
            raise StopIteration
        self.clock.sleep_until(self.next)
        found, now = [], time.perf_counter()
        while self.next < len(PAGES) and self.clock.due(self.next) <= now:
            found.append((PAGES[self.next], self.clock.due(self.next)))
            self.next += 1
        return found


class Source(DynamicSource):
    def build(self, step_id, worker_index, worker_count):
        return Paced()


class Keep(StatelessSinkPartition):
    def __init__(self, counted):
        self.counted = counted

    def write_batch(self, items):
        for page, due in items:
            self.counted.add(page, due)


class Sink(DynamicSink):
    def __init__(self, counted):
        self.counted = counted

    def build(self, step_id, worker_index, worker_count):
        return Keep(self.counted)


def count(task):
    counted, flow = Counted(), Dataflow("latency")
    keyed = op.key_on("key", op.input("in", flow, Source()), lambda event: event[0])
    running = op.stateful_map("count", keyed, lambda n, event: ((n or 0) + 1, event[1]))
    op.output("out", running, Sink(counted))
    run_main(flow)
    return counted


serve(count, check)
