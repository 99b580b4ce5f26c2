"""What the processes of `streams_processes.py` import."""

import datetime
import hashlib
import re
from itertools import cycle, islice
from urllib.parse import parse_qs, urlsplit

from workbench.streams import Bolt, IteratorSpout

LINE = re.compile(r'(\S+) \S+ (\S+) \[([^\]]+)\] "(\S+) (\S+) [^"]*" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)"')


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


class Lines(IteratorSpout):
    """Lines of a web server's log, a thousand different ones again and again."""

    outputs = ("line",)

    def __init__(self, count):
        self.count = count

    def rows(self):
        lines = [
            f"10.0.{n % 7}.{n % 250} - user{n % 40} [29/Nov/2026:{n % 24:02d}:{n % 60:02d}:07 +0000] "
            f'"GET /shop/{n % 90}?from=mail&item={n} HTTP/1.1" {200 if n % 9 else 404} {n * 37} "-" "Mozilla/5.0 ({n})"'
            for n in range(1_000)
        ]
        return islice(cycle(lines), self.count)


class Parse(Bolt):
    outputs = ("page", "item", "at", "status", "bytes")

    def execute(self, tuple):  # noqa: A002
        _, _, at, _, url, status, size, _, _ = LINE.fullmatch(tuple.line).groups()
        parts = urlsplit(url)
        at = datetime.datetime.strptime(at, "%d/%b/%Y:%H:%M:%S %z").timestamp()
        item = parse_qs(parts.query).get("item", [""])[0]
        self.collector.emit((parts.path, item, at, int(status), int(size)))


class Pages(Bolt):
    def prepare(self, config, context, collector):
        self.pages = {}

    def execute(self, tuple):  # noqa: A002
        views, size = self.pages.get(tuple.page, (0, 0))
        self.pages[tuple.page] = views + 1, size + tuple.bytes
