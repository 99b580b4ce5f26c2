"""memory_ours.py SECONDS: a topology at full rate, and the memory of its process: one line of JSON a second.

Views without end, every user a new one: grouped by user to four tasks, some fail and come again until they are dead
letters, some are late; a bolt that acks later holds a hundred; what is left is counted in windows of a second.
"""

import itertools
import json
import random
import sys
import time

from workbench.streams import Bolt, IteratorSpout, Topology, fields, tumbling


def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024


class Views(IteratorSpout):
    outputs = ("at", "page", "user")

    def rows(self):
        chance = random.Random(3).randrange
        for number in itertools.count():
            yield number - chance(700), f"/p/{chance(200)}", f"user {number}"


class Parse(Bolt):
    outputs = ("at", "page", "user")

    def execute(self, tuple):  # noqa: A002
        if hash(tuple.user) % 1000 == 0:
            raise ValueError(tuple.user)
        self.collector.emit(tuple)


class Later(Bolt):
    """Holds a hundred before it acks the first."""

    auto_ack = False

    def prepare(self, config, context, collector):
        self.held = []

    def execute(self, tuple):  # noqa: A002
        self.held.append(tuple)
        if len(self.held) > 100:
            self.collector.ack(self.held.pop(0))


class Count(Bolt):
    outputs = ("end", "page", "views")

    def execute(self, window):
        counts = {}
        for row in window.rows:
            counts[row.page] = counts.get(row.page, 0) + 1
        self.collector.emit_each([(window.end, page, views) for page, views in counts.items()])


class Keep(Bolt):
    def execute(self, tuple):  # noqa: A002
        self.last = tuple


def topology():
    t = Topology("memory", max_retries=1, retry_backoff=0.01)
    t.spout("views", Views)
    t.bolt("parse", Parse, inputs=[("views", fields("user"))], parallelism=4)
    t.bolt("later", Later, inputs=[("parse", "shuffle")])
    t.bolt("count", Count, inputs="parse", window=tumbling("1s", time="at", lag="500ms"))
    return t.bolt("keep", Keep, inputs=["count", "count.late", "views.dead_letter"])


def main():
    running, began = topology().run(), time.monotonic()
    while time.monotonic() < began + float(sys.argv[1]):
        time.sleep(1)
        metrics = running.metrics()
        told = {what: metrics.count(what, "views") for what in ("emitted", "acked", "failed", "pending", "untracked")}
        late = sum(one["late"] for one in metrics.now.windows.values())
        print(json.dumps({**told, "late": late, "dead": metrics.dead_letters, "mib": resident()}), flush=True)
    running.stop()


main()
