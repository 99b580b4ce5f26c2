"""Components for topologies that run in processes of their own; what they do is seen in files."""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from workbench.streams import Batch, Bolt, IteratorSpout, ParquetReplay, Spout, StatefulBolt, bolt, spout


class Numbers(IteratorSpout):
    """So many numbers with a key of some; those of a task are its own. It can go on where a killed one was. `gate` is a
    file that says which number is not emitted yet."""

    outputs = ("key", "number")
    repeats = True

    def __init__(self, count: int, batch: int = 0, keys: int = 7, gate: str = "") -> None:
        self.count, self.batch, self.keys, self.gate = count, batch, keys, gate

    def rows(self) -> Iterator[Any]:
        let = 0 if self.gate else self.count
        for number in range(self.context.index, self.count, len(self.context.tasks)):
            while number >= let:
                let = int(Path(self.gate).read_text() or 0)
                if number >= let:
                    yield None
            yield (f"k{number % self.keys}", number)


class NumbersAnew(Numbers):
    repeats = False


@spout("key")
def forgot() -> Any:
    """To yield."""


class Shy(ParquetReplay):
    """Does not begin while there is a file `busy`."""

    def open(self, config: Any, context: Any, collector: Any) -> None:
        if (Path(self.folder) / "busy").exists():
            raise LookupError("it is busy")
        super().open(config, context, collector)

    def at_speed(self, speed: float) -> Any:
        return Shy(self.folder, self.time, speed)


class Write(Bolt):
    """Appends each row to a file of its task, whatever happens to its process afterwards."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        name = f"{context.component}-{context.index}.txt"
        self._file = os.open(Path(self.folder) / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        os.write(self._file, repr((*tuple,)).encode() + b"\n")


def written(folder: Path, component: str) -> dict[int, list[Any]]:
    """What `Write` has, by the index of its task."""
    found: dict[int, list[Any]] = {}
    for path in sorted(folder.glob(f"{component}-*.txt")):
        lines = path.read_text().splitlines()
        found[int(path.stem.rpartition("-")[2])] = [eval(line) for line in lines]
    return found


class WriteWindow(Write):
    def execute(self, window: Any) -> None:
        os.write(self._file, repr((window.start, window.end, window.key, *sorted(map(tuple, window)))).encode() + b"\n")


class Upsert(Bolt):
    """A keyed sink: the rows of a table by their number, in one transaction a batch."""

    def __init__(self, path: str) -> None:
        self.path = path

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        self._db.execute("pragma synchronous = off")
        self._db.execute("create table if not exists events (number integer primary key, key text, value integer)")

    def execute_batch(self, batch: Batch) -> None:
        self._db.execute("begin immediate")
        self._db.executemany(
            "insert into events values (?, ?, ?) on conflict (number) do update set key = excluded.key, "
            "value = excluded.value",
            [(number, key, value) for key, number, value in batch.rows],
        )
        self._db.execute("commit")


@bolt("key", "number", "value")
def squared(tuple: Any) -> Any:  # noqa: A002
    return (tuple.key, tuple.number, tuple.number**2)


@bolt("key", "number", "value", batch=True)
def squared_batch(batch: Batch) -> Any:
    return [(key, number, number**2) for key, number in batch.rows]


@bolt("key", "number")
def twice(tuple: Any) -> Any:  # noqa: A002
    return [tuple, tuple]


class Mixed(Bolt):
    """Emits by what the row is alone, so that all runners emit the same: 0 to 2 rows, as rows or as a batch, and on a
    direct stream to a task by the number."""

    outputs = {"default": ("key", "number"), "chosen": ("key", "number")}
    direct = ("chosen",)

    def __init__(self, name: str, first: int = 0, tasks: int = 0, fails: float = 0.0) -> None:
        self.name, self.first, self.tasks, self.fails = name, first, tasks, fails

    def give(self, row: Any) -> list[Any]:
        key, number = row
        chance = Random(f"{self.name} {key} {number}")
        if chance.random() < self.fails:
            raise ValueError(f"{self.name} fails {number}")
        return [(f"k{chance.randrange(5)}", 1000 * number + place) for place in range(chance.choice((0, 1, 1, 2)))]

    def execute(self, tuple: Any) -> None:  # noqa: A002
        for row in self.give(tuple):
            self.collector.emit(row)
            if self.tasks:
                self.collector.emit_direct(self.first + row[1] % self.tasks, row, stream="chosen")


class MixedBatch(Mixed):
    execute = Bolt.execute

    def execute_batch(self, batch: Batch) -> None:
        rows = [made for row in batch.rows for made in self.give(row)]
        if rows:
            self.collector.emit_batch(rows)


class MixedLater(Mixed):
    """Acks by itself: some rows later, in another thread."""

    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        try:
            rows = self.give(tuple)
        except ValueError:
            self.collector.fail(tuple)
            return
        for row in rows:
            self.collector.emit(row, anchors=[tuple])
        if tuple.number % 2:
            self.collector.ack(tuple)
        else:
            threading.Timer(0.001, self.collector.ack, [tuple]).start()


class MixedWindow(Mixed):
    def execute(self, window: Any) -> None:
        failed = None
        for row in sorted(map(tuple, window)):
            try:
                for made in self.give(row):
                    self.collector.emit(made)
            except ValueError as error:
                failed = error
        if failed is not None:
            raise failed


class Slow(Bolt):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def execute(self, tuple: Any) -> None:  # noqa: A002
        time.sleep(self.seconds)


class Endless(Spout):
    """Emits without a message id, as fast as it is asked."""

    outputs = ("number",)
    number = 0

    def next_tuple(self) -> None:
        self.number += 1
        self.collector.emit((self.number,))


class Ends(Write):
    """Does what ends its process with one number, and writes the others."""

    def __init__(self, folder: str, how: str, number: int) -> None:
        super().__init__(folder)
        self.how, self.number = how, number

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple.number == self.number:
            self.end()
        super().execute(tuple)

    def end(self) -> None:
        if self.how == "exit":
            os._exit(3)
        elif self.how == "segfault":
            ctypes.string_at(0)
        elif self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.how == "hang":
            while True:
                time.sleep(0.05)
        elif self.how == "raise":
            raise ValueError("never that one")
        elif self.how == "leak":
            kept = []
            while True:
                kept.append(bytearray(8 << 20))
                time.sleep(0.01)
        elif self.how == "print":
            for _ in range(1_000):
                print("x" * (1 << 20))
        elif self.how == "print below":
            for _ in range(100):
                os.write(1, b"y" * (1 << 20) + b"\n")
        elif self.how == "exit in python":
            sys.exit("enough")


class Broken(Bolt):
    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        raise ValueError("no table there")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        pass


class NeverSays(Numbers):
    """Cannot say whether it has anything left."""

    @property
    def finished(self) -> bool:  # type: ignore[override]
        raise LookupError("the source is gone")


@spout("number")
def raising() -> Iterator[int]:
    yield 1
    raise LookupError("the source is gone")


@spout("number")
def forever() -> Iterator[Any]:
    number = 0
    while True:
        number += 1
        yield number


@bolt("number")
def unsendable(tuple: Any) -> Any:  # noqa: A002
    return [(tuple.number if tuple.number != 5 else (lambda: 5),)]


class EndsWithin(Numbers):
    """Each task ends its process once, at that moment of a snapshot, when it has given something."""

    def __init__(self, count: int, gate: str, moment: str, folder: str) -> None:
        super().__init__(count, gate=gate)
        self.moment, self.folder = moment, folder
        self.given = self.skip = 0

    def rows(self) -> Iterator[Any]:
        for values in super().rows():
            if values is not None and self.skip:
                self.skip -= 1
                continue
            self.given += values is not None
            yield values

    def _end(self, moment: str) -> None:
        mark = Path(self.folder) / f"ended-{self.context.index}"
        if moment == self.moment and self.given > 20 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def position(self) -> Any:
        self._end("position")
        return self.given

    def seek(self, position: Any) -> None:
        self.given = self.skip = position

    def committed(self, position: Any) -> None:
        self._end("committed")


class FailsOnce(Bolt):
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def execute(self, tuple: Any) -> None:  # noqa: A002
        mark = Path(self.folder) / f"failed-{tuple.key}"
        if tuple.number > 50 and not mark.exists():
            mark.touch()
            raise ValueError("the first time")


class Keeps(StatefulBolt):
    """So many bytes for each row."""

    outputs = ("number", "kept")

    def __init__(self, length: int) -> None:
        self.length = length

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.state[tuple.number] = "x" * self.length
        self.collector.emit((tuple.number, len(self.state)))


class CountKeys(StatefulBolt):
    outputs = ("key", "number", "count")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        count = self.state[tuple.key] = self.state.get(tuple.key, 0) + 1
        self.collector.emit((tuple.key, tuple.number, count))


@bolt("end", "number")
def each_of(window: Any) -> Any:
    return [(int(window.end), row.number) for row in window]


@bolt("number")
def late_number(tuple: Any) -> Any:  # noqa: A002
    return (tuple.row[1],)


class Tables(IteratorSpout):
    outputs = ("page", "ms")

    def __init__(self, count: int) -> None:
        self.count = count

    def rows(self) -> Iterator[Any]:
        import pyarrow as pa

        for number in range(self.count):
            whole = pa.table({"page": ["/", "/a", "/b", "/c"], "ms": [99, 1, 2, 10 * number]})
            yield whole.slice(1)


@bolt("columnar", "rows", "sum", batch=True)
def column_sums(batch: Batch) -> Any:
    return [(batch.columnar, len(batch), sum(batch.column("ms")))]


class EndingSpout(Spout):
    outputs = ("number",)

    def next_tuple(self) -> None:
        os._exit(4)


class Late(Bolt):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        time.sleep(self.seconds)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        pass


class Large(IteratorSpout):
    outputs = ("text",)

    def __init__(self, count: int, length: int) -> None:
        self.count, self.length = count, length

    def rows(self) -> Iterator[Any]:
        for number in range(self.count):  # each another one, for equal ones would be sent as one
            yield f"\u20ac{number}".ljust(self.length, "x")


class Refuses(Bolt):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        raise ValueError("not that\ud83d one " + "\u20ac" * 1_900)


@bolt("end", "key", "count")
def counted(window: Any) -> Any:
    counts: dict[str, int] = {}
    for row in window:
        counts[row.key] = counts.get(row.key, 0) + 1
    return [(window.end, key, count) for key, count in sorted(counts.items())]


@bolt("number", "what")
def of_all_kinds(tuple: Any) -> Any:  # noqa: A002
    """Rows with a value that is no plain one; which, the number says."""
    import datetime
    import decimal

    values: list[Any] = [
        None, True, -1, 2.5, float("nan"), 2**53, 2**70, 10**5000, "text", "x" * 300, "1e3", b"bytes", "\ud83d",
        decimal.Decimal("12.50"), datetime.datetime(2026, 1, 2, 3, 4, 5), (1, "two"), {"a": [1, 2]}, object,
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6000, datetime.UTC), datetime.date(2026, 1, 2),
    ]  # fmt: skip
    return [(tuple.number, values[tuple.number % len(values)])]
