"""What the processes of `streams_processes.py` import."""

import hashlib

from workbench.streams import Bolt, IteratorSpout


class Numbers(IteratorSpout):
    outputs = ("number",)
    repeats = True

    def __init__(self, count, batch=0):
        self.count, self.batch = count, batch

    def rows(self):
        return ((number,) for number in range(self.count))


class Heavy(Bolt):
    """Some 100 µs of Python and hashing a row."""

    def __init__(self, turns):
        self.turns = turns

    def execute(self, tuple):  # noqa: A002
        found = b"%d" % tuple.number
        for _ in range(self.turns):
            found = hashlib.sha256(found).digest()
        self.found = found


class HeavyBatch(Bolt):
    def execute_batch(self, batch):
        self.found = sum(number for (number,) in batch)
