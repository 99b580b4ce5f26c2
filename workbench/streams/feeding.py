"""A spout of what a connection can follow: topics, streams, change logs, files that are written to."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Position
from workbench.contract.errors import (
    DocumentError,
    InvalidParameter,
    LimitExceeded,
    PathUnreachable,
    SourceError,
    UnknownTable,
    Unsupported,
)
from workbench.streams.component import Collector, Context, IteratorSpout, Outputs
from workbench.streams.following import Following, Partition
from workbench.streams.growing import Polls
from workbench.streams.looking import Looks
from workbench.streams.polling import unattended_catalog
from workbench.streams.tuples import Batch, Origin

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.catalog import Catalog
    from workbench.catalog.catalog import Found

__all__ = ["Feed"]

NEW_PARTITIONS = 10.0
"""Seconds between two looks at the partitions that there are."""
PARTITIONS, LOOKED_AT = 256, 10_000
"""At most for one task: those that have a thread each, and those that share one."""
KEEP = 1.0
"""Seconds between two writes of the position file."""
BEGINNINGS = ("beginning", "now")
LOSSES = ("fail", "begin")
Positions = Mapping[str, Sequence[str]]


class Feed(IteratorSpout):
    """What is written to a table that its connection can follow, as Arrow batches: `Feed("kafka.orders")`.

    Its fields are the table's columns. `begin="beginning"` gives all that the source still has, `"now"` what comes from
    now on; `after` the positions to go on from, `{partition: (source, value)}`, as `acked_position` gives them.
    With `position_file` they are kept there when all rows up to them are done or given up, and the next run goes on
    from them. A source that does not have a position any more fails the run and says what to do; with `lost="begin"`
    its partition begins anew, which the log says and `lost` counts.

    Partitions are shared by the spout's tasks, new ones too; each is read into a queue of 4 batches and about 8 MiB, so
    a topology that is behind holds the source up, and not the memory: by a thread of its own, but for files that are
    written to, which share one, and 64 MiB. Rows of a partition come in order. A batch's `origin` is the source, the
    partition, and the positions that it lies between.

    **At least once**: what fails is emitted again from memory. What is done in a partition without a gap is confirmed
    to the source, which may forget it then. In a run with state the positions are in its snapshots, and only what is in
    one is confirmed. A source that cannot be reached is asked again after a while, from where it was read to.

    `ops="op"` gives a change log's operation (`insert`, `update`, `delete`) as a field of that name, the first one;
    without it a change that is no insert fails the run. Columns that come later than the run began are left out, and
    the log says so. Raises UnknownConnection, UnknownTable, Unsupported, InvalidParameter, DocumentError.
    """

    replays = True
    wakes = True

    def __init__(
        self,
        table: str,
        *,
        begin: str = "beginning",
        after: Positions | None = None,
        position_file: str | os.PathLike[str] | None = None,
        lost: str = "fail",
        ops: str = "",
    ) -> None:
        if begin not in BEGINNINGS:
            raise InvalidParameter("begin", f"is {begin!r}; it is `beginning` or `now`.")
        if lost not in LOSSES:
            raise InvalidParameter("lost", f"is {lost!r}; it is `fail` or `begin`.")
        self._table, self._first, self._lost, self._ops = table, begin, lost, ops
        self._file = None if position_file is None else Path(position_file)
        self._given = _positions(after or {}, "after")

    def declared_outputs(self) -> Outputs:
        catalog = unattended_catalog()
        try:
            found = self._found(catalog)
        finally:
            catalog.close()
        names = tuple(found.schema.names)
        if self._ops in names:
            raise InvalidParameter("ops", f"is `{self._ops}`, which is a column of {self._table}. Say another name.")
        return (self._ops, *names) if self._ops else names

    # --- in the runner's thread

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        self._snapshots = bool(config.get("snapshots"))
        self._tracking = bool(config["acking"])
        self._partitions: dict[str, Partition] = {}
        self._readers: list[Following | Looks] = []
        self._looks: Looks | None = None
        self._polls: dict[str, Polls] = {}
        self._of: dict[int, str] = {}
        self._emitted = {**self._kept(), **self._given, **self._resuming}
        self._parts: set[str] = set()
        self._acked = dict(self._emitted)
        self._listed, self._written, self._unwritten = 0.0, 0.0, False
        self._counted = dict.fromkeys(("received", "bytes", "reconnects", "lost"), 0)
        self._catalog: Catalog | None = None
        super().open(config, context, collector)

    def rows(self) -> Iterator[Any]:
        """Of the partitions by turns."""
        self._connect()
        while True:
            self._look_for_partitions()
            some = False
            for name, one in list(self._partitions.items()):
                if (taken := one.incoming.take()) is None:
                    continue
                some = True
                rows, first, last, complete = taken
                self._acked.setdefault(name, first)  # so that a new instance begins here, too, where this one began now
                (self._parts.discard if complete else self._parts.add)(name)
                if rows is not None and self._tracking:
                    number = self._replay.last + 1  # the number that this batch is given next
                    self._of[number] = name
                    self._polls[name].add(number)
                upto = self._polls[name].end(last) if complete else None
                if complete:
                    self._emitted[name] = last
                if rows is not None:
                    self._count("received", rows.num_rows)
                    self._count("bytes", rows.nbytes)
                    yield Batch(rows, origin=Origin(last.source, name, first.value, last.value) if complete else None)
                self._done(name, upto)
            self._write(soon=False)
            if not some:
                yield None

    def ack(self, message_id: Any) -> None:
        super().ack(message_id)
        self._settled(message_id)

    def fail(self, message_id: Any) -> None:
        last, name = self._replay.last_half, self._of.get(message_id)
        super().fail(message_id)
        if name is None:
            return
        if halves := range(self._replay.last_half, last):
            del self._of[message_id]
            self._of.update(dict.fromkeys(halves, name))
            self._polls[name].split(message_id, halves)
        elif message_id not in self._replay.kept:
            self._settled(message_id)

    @property
    def midway(self) -> bool:  # type: ignore[override]
        """Whether a batch is emitted in part: a transaction, or what the source gave in one piece."""
        return bool(self._parts)

    def position(self) -> Any:
        return {name: (one.source, one.value) for name, one in self._emitted.items()}

    def seek(self, position: Any) -> None:
        self._emitted = _positions(position or {}, "position")
        self._acked = dict(self._emitted)

    def committed(self, position: Any) -> None:
        for name, one in _positions(position or {}, "position").items():
            if name in self._partitions:
                self._partitions[name].confirm(one)
        self._acked.update(_positions(position or {}, "position"))
        self._unwritten = True
        self._write(soon=True)

    def resume(self, position: Any) -> None:
        self._resuming = _positions(position or {}, "position")

    _resuming: Mapping[str, Position] = {}

    def acked_position(self) -> Any:
        """As `position`, of what is done: whoever goes on from there leaves out nothing that is not."""
        return {name: (one.source, one.value) for name, one in self._acked.items()}

    def counts(self) -> Mapping[str, float]:
        """`lag_batches` wait to be taken; `partitions` are read by this task."""
        running = list(self._partitions.values())
        return {
            **self._counted,
            "reconnects": sum(one.reconnects for one in running),
            "lost": sum(one.lost for one in running),
            "partitions": len(running),
            "connected": sum(one.connected for one in running),
            "queued": sum(len(one.incoming) for one in running),
            "queued_bytes": sum(one.incoming.bytes for one in running),
        }

    def close(self) -> None:
        self._write(soon=True)
        for one in self._partitions.values():
            one.stop()
        for reader in self._readers:
            reader.join()
        if self._catalog is not None:
            self._catalog.close()

    # --- inside

    def _found(self, catalog: Catalog) -> Found:
        from workbench.query.writing import parts_of

        found = catalog.find(parts_of(self._table))
        if found.connector.feeds is None:
            hint = "TablePoll asks a table for its new rows again and again."
            raise Unsupported(f"Connection `{found.connection}`", "be followed", hint)
        return found

    def _connect(self) -> None:
        self._catalog = catalog = unattended_catalog()
        self._place = self._found(catalog)
        self._names = tuple(self._place.schema.names)

    def _look_for_partitions(self) -> None:
        first = not self._looked
        if not first and (self.context.clock() - self._listed < NEW_PARTITIONS or not self._lister_is_done()):
            return
        feeds = self._place.connector.feeds
        assert feeds is not None
        names = feeds.partitions(self._place.table) if first else self._names_listed
        self._looked, self._listed = True, self.context.clock()
        for name in names:
            if name not in self._partitions and self._is_mine(name):
                now = first and self._first == "now" and name not in self._emitted
                self._follow(name, now)

    def _lister_is_done(self) -> bool:
        """Partitions are listed in a thread, for a server may let one wait."""
        if self._lister is None:
            self._lister = threading.Thread(target=self._list, name="workbench-partitions", daemon=True)
            self._lister.start()
            return False
        if self._lister.is_alive():
            return False
        self._lister = None
        return True

    _looked = False
    _lister: threading.Thread | None = None
    _names_listed: Sequence[str] = ()

    def _list(self) -> None:
        feeds = self._place.connector.feeds
        try:
            self._names_listed = tuple(feeds.partitions(self._place.table)) if feeds is not None else ()
        except (SourceError, UnknownTable):  # its threads say so, and go on when it is there again
            self._names_listed = ()

    def _follow(self, name: str, now: bool) -> None:
        together = bool(getattr(self._place.connector.feeds, "looks", False))
        if len(self._partitions) >= (most := LOOKED_AT if together else PARTITIONS):
            hint = "Say a higher parallelism, or a table with fewer (a narrower pattern of files)."
            raise LimitExceeded("partitions", f"{most:,} for one task", hint)
        self._polls[name] = Polls()
        self._partitions[name] = one = Partition(
            self._place,
            name,
            after=self._emitted.get(name),
            now=now,
            begin_anew=self._lost == "begin",
            shaped=self._shaped,
            log=self.collector.log,
            context=self.context,
        )
        if not together:
            self._readers.append(Following(one))
            return
        if self._looks is None:
            self._looks = Looks(self.context.component)
            self._readers.append(self._looks)
        self._looks.add(one)

    def _shaped(self, rows: pa.RecordBatch, ops: pa.Array | None) -> pa.RecordBatch:
        """With the declared columns. Called in the partition's thread."""
        import pyarrow as pa

        if ops is not None and not self._ops and any(op != "insert" for op in ops.to_pylist()):
            raise InvalidParameter("ops", f'is not said, and {self._table} has updates and deletes: say ops="op".')
        columns = []
        for field in self._place.schema:
            there = rows.schema.get_field_index(field.name)
            columns.append(pa.nulls(rows.num_rows, field.type) if there < 0 else _cast(rows.column(there), field.type))
        names = list(self._names)
        if self._ops:
            names.insert(0, self._ops)
            columns.insert(0, pa.array(["insert"] * rows.num_rows) if ops is None else ops.cast(pa.string()))
        return pa.RecordBatch.from_arrays(columns, names=names)

    def _count(self, name: str, by: int) -> None:
        self._counted[name] += by

    def _settled(self, number: Any) -> None:
        name = self._of.pop(number, None)
        if name is not None:
            self._done(name, self._polls[name].done(number))

    def _done(self, name: str, upto: Position | None) -> None:
        if upto is None:
            return
        self._acked[name] = upto
        if not self._snapshots:
            self._partitions[name].confirm(upto)
            self._unwritten = True

    # --- the position file

    def _kept(self) -> dict[str, Position]:
        """Of this task's partitions, from the files of all tasks: there may have been others, or more or fewer. What
        was written last holds."""
        if self._file is None:
            return {}
        found: dict[str, Position] = {}
        for _, path in sorted(self._there()):
            found.update(self._read(path))
        return {name: one for name, one in found.items() if self._is_mine(name)}

    def _there(self) -> Iterator[tuple[int, Path]]:
        """The files that there are, with the times when they were written."""
        assert self._file is not None
        name = re.compile(re.escape(self._file.name) + r"(\.\d+)?")
        try:
            for path in self._file.absolute().parent.iterdir():
                if name.fullmatch(path.name):
                    with contextlib.suppress(FileNotFoundError):
                        yield path.stat().st_mtime_ns, path
        except FileNotFoundError:
            return
        except OSError as error:
            raise PathUnreachable(str(self._file), error.strerror or str(error)) from None

    def _read(self, path: Path) -> dict[str, Position]:
        try:
            body = json.loads(path.read_bytes())
            same, positions = body["table"] == self._table, body["positions"]
        except OSError as error:
            raise PathUnreachable(str(path), error.strerror or str(error)) from None
        except (ValueError, KeyError, TypeError) as error:
            why = f"is damaged ({type(error).__name__}). Remove it to begin anew."
            raise DocumentError(str(path), why) from None
        if not same:
            raise DocumentError(str(path), "is of another table. Say another file.")
        return _positions(positions, "position_file")

    def _is_mine(self, partition: str) -> bool:
        return _task_of(partition, len(self.context.tasks)) == self.context.index

    def _path(self) -> Path:
        """A file for each task."""
        assert self._file is not None
        many = len(self.context.tasks) > 1
        return self._file.with_name(f"{self._file.name}.{self.context.index}") if many else self._file

    def _write(self, soon: bool) -> None:
        if self._file is None or not self._unwritten or not (soon or time.monotonic() - self._written > KEEP):
            return
        from workbench.documents.private import write_private

        mine = {name: one for name, one in self.acked_position().items() if self._is_mine(name)}
        body = {"table": self._table, "positions": mine}
        try:
            write_private(self._path().absolute(), json.dumps(body).encode())
        except OSError as error:
            raise PathUnreachable(str(self._path()), error.strerror or str(error), act="write") from None
        self._written, self._unwritten = time.monotonic(), False


def _positions(given: Any, name: str) -> dict[str, Position]:
    try:
        return {str(partition): Position(str(one[0]), str(one[1])) for partition, one in given.items()}
    except (AttributeError, TypeError, IndexError):
        raise InvalidParameter(name, f"is {given!r}; it is a source and a value for each partition.") from None


def _task_of(partition: str, tasks: int) -> int:
    """The same when more partitions come."""
    return (int(partition) if partition.isdecimal() else zlib.crc32(partition.encode())) % tasks


def _cast(column: Any, kind: Any) -> Any:
    return column if column.type == kind else column.cast(kind)
