"""latency_ours.py SECONDS: a count of paced events by a topology, every one acked. Task `waits`: the spout waits for
the next event; `asked`: it says that there is nothing; `woken`: another thread has the events, and wakes the runner."""

import sys
import threading
import time
from collections import deque

from latency_data import Clock, Counted, check, pages
from loop import serve

from workbench.streams import Bolt, IteratorSpout, Topology, fields

PAGES = pages(int(sys.argv[1]))


class Paced(IteratorSpout):
    outputs = ("page", "due")

    def rows(self):
        clock = Clock()
        for number, page in enumerate(PAGES):
            clock.sleep_until(number)
            yield page, clock.due(number)


class Asked(Paced):
    def rows(self):
        clock = Clock()
        for number, page in enumerate(PAGES):
            while time.perf_counter() < clock.due(number):
                yield None
            yield page, clock.due(number)


class Woken(Paced):
    wakes = True

    def rows(self):
        come = deque()

        def receive():
            for row in Paced.rows(self):
                come.append(row)
                self.context.wake()

        thread = threading.Thread(target=receive)
        thread.start()
        for _ in PAGES:
            while not come:
                yield None
            yield come.popleft()
        thread.join()


class Count(Bolt):
    counted = None

    def execute(self, tuple):  # noqa: A002
        self.counted.add(tuple.page, tuple.due)


def count(task):
    Count.counted = Counted()
    t = Topology("latency").spout("events", {"waits": Paced, "asked": Asked, "woken": Woken}[task])
    t.bolt("count", Count, inputs=[("events", fields("page"))], parallelism=4)
    t.run().wait()
    return Count.counted


serve(count, check)
