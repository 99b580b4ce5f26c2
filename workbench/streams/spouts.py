"""Spouts of the room itself: the lines of a file that grows, and a folder of Parquet files played again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from workbench.contract.errors import InvalidParameter, PathUnreachable, PositionLost, UnknownField
from workbench.kit.tailing import Block, BrokenFile, Follower, Place, PlaceLost
from workbench.streams.component import Collector, Context, IteratorSpout, Outputs
from workbench.streams.tuples import Batch, Origin

__all__ = ["ParquetReplay", "Tail"]

T = TypeVar("T")


class Tail(IteratorSpout):
    """The lines of a text file as they are written, without their end; `whole=True` those from before, too.

    Rotation is followed, by rename and by copy and cut, over packed files, as often as it happens between two looks,
    the way the files connector does it. A line is a tuple when its end is there; a longer one than a MiB is given in
    parts. A file that is not there yet is waited for. Bytes that are no UTF-8 become U+FFFD. One task reads it: a
    second one would give each line again.

    With `batch=N` lines go in batches of up to N, whose origin is the file (its number and first line) and the bytes
    that they stand in. A run that goes on from a snapshot finds its place again, also when the file was rotated
    meanwhile. Patterns (`*.log`), JSON lines and CSV are for the feeds of a connection to the folder.
    """

    outputs = ("line",)
    replays = True

    def __init__(self, path: str | os.PathLike[str], whole: bool = False, batch: int = 0) -> None:
        if batch < 0:
            raise InvalidParameter("batch", f"is {batch!r}; it is lines, or 0 for each line by itself.")
        self.path, self.whole, self.lines = Path(path), whole, batch

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        if len(context.tasks) > 1:
            raise InvalidParameter(
                "parallelism",
                f"of `{context.component}` is {len(context.tasks)}, and each task would give all lines of {self.path}. "
                "Say 1, and more for the bolts that take the lines.",
            )
        super().open(config, context, collector)

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()

    def position(self) -> Any:
        """A place in the file, and how many lines were given from there on."""
        return self._given

    def seek(self, position: Any) -> None:
        self._given = position

    _follower: Follower | None = None
    _given: Any = None

    def rows(self) -> Iterator[Any]:
        skip = 0
        if self._given is None:
            begin = "file" if self.whole else "end"
            self._follower = follower = self._reads(lambda: Follower(str(self.path), begin))
        else:
            text, skip = str(self._given[0]), int(self._given[1])
            self._follower = follower = self._reads(lambda: Follower(str(self.path), after=Place.of(text)))
        self._given = (str(follower.place()), skip)
        while True:
            block = self._reads(follower.read)
            if block is None:
                yield None
                continue
            yield from self._told(block, skip)
            skip = max(0, skip - len(block.lines()))
            self._given = (str(block.last), skip)

    def _told(self, block: Block, skip: int) -> Iterator[Any]:
        lines = block.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        place, offset = str(block.first), block.start
        for start in range(0, len(lines), most := self.lines or 1):
            some = lines[start : start + most]
            first, offset = offset, offset + sum(map(len, some)) + len(some)
            if start + len(some) <= skip:
                continue
            self._given = (place, start + len(some))
            rows = [(line.removesuffix(b"\r").decode(errors="replace"),) for line in some]
            if not self.lines:
                yield rows[0]
                continue
            batch = Batch.of_rows(rows, self.outputs)
            last = min(offset, block.start + len(block.data)) - 1
            batch.origin = Origin(str(self.path), block.file, str(first), str(last))
            yield batch

    def _reads(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except PlaceLost as lost:
            raise PositionLost(
                str(lost), "Start without the snapshot; what was removed or overwritten meanwhile is gone."
            ) from None
        except BrokenFile as broken:
            raise PathUnreachable(broken.path, broken.why, act="follow") from None
        except OSError as error:
            raise PathUnreachable(str(self.path), error.strerror or str(error), act="follow") from None


def _version(path: Path) -> str:
    there = path.stat()
    return f"{path.name} {there.st_size} {there.st_mtime_ns}"


class ParquetReplay(IteratorSpout):
    """The Parquet files of a folder, in the order of their names, as Arrow tables of up to `rows` rows. Several tasks
    have the files in turn, each its own.

    With `time`, a column of milliseconds or timestamps in which the rows are in order, they come when their time has
    come: `speed=1` as fast as they were, `speed=60` an hour a minute, counted from the first row of the first file.
    Without, as fast as they are taken. A row whose time jumps back comes right behind the one before it. One without a
    time ends the run, for it would never come. A run of it can be started again: `run.replay(speed=600)`.
    """

    replayable = True

    def __init__(self, folder: str | os.PathLike[str], time: str = "", speed: float = 1.0, rows: int = 10_000) -> None:
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < float("inf"):
            raise InvalidParameter("speed", f"is {speed!r}; 1 is as fast as it was, 60 an hour a minute.")
        self.folder, self.time, self.speed, self.most = str(folder), time, speed, rows

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        self._opened = context.clock()  # of all tasks before the first row of any
        super().open(config, context, collector)

    def at_speed(self, speed: float) -> ParquetReplay:
        return ParquetReplay(self.folder, self.time, speed, self.most)

    def declared_outputs(self) -> Outputs:
        import pyarrow.parquet as pq

        names = tuple(pq.read_schema(self._files()[0]).names)
        if self.time and self.time not in names:
            raise UnknownField(self.time, names)
        return names

    def _files(self) -> list[Path]:
        files = sorted(Path(self.folder).glob("*.parquet"))
        if not files:
            raise PathUnreachable(self.folder, "there is no .parquet file in it")
        return files

    def rows(self) -> Iterator[Any]:
        import pyarrow.parquet as pq

        files = self._files()
        if self.time:
            self._begin(files)
        for path in self._left(files[self.context.index :: len(self.context.tasks)]):
            version = _version(path)
            skip, self._row = self._row if self._place == ("", version) else 0, 0
            self._place = str(path.parent.resolve()), version
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=self.most):
                    if self._row < skip:  # given before
                        gone = min(len(batch), skip - self._row)
                        self._row, batch = self._row + gone, batch.slice(gone)
                    if len(batch):
                        yield from self._timed(batch, path) if self.time else (self._given(batch),)

    def position(self) -> Any:
        """The file, and how many of its rows it has given."""
        return (self._place[1], self._row) if self._place[1] else None

    def seek(self, position: Any) -> None:
        if position is not None:
            self._place, self._row = ("", str(position[0])), int(position[1])

    def _left(self, files: list[Path]) -> Iterator[Path]:
        """Those from the position on. Raises PositionLost."""
        wanted = self._place[1]
        places = [place for place, path in enumerate(files) if _version(path) == wanted] if wanted else [0]
        if not places:
            raise PositionLost(
                f"row {self._row:,} of {wanted.split()[0]} in {self.folder}",
                "The file is another one now, or is gone. Put it back, or begin anew: run(state=…, recover=False).",
            )
        yield from files[places[0] :]

    def _given(self, rows: Any) -> Batch:
        """A file's rows are numbered, and one that was written anew is another partition."""
        first, self._row = self._row, self._row + len(rows)
        return Batch(rows, origin=Origin(*self._place, str(first), str(self._row - 1)))

    _row = 0
    _place = ("", "")
    _origin: float
    _opened: float
    replays = True

    def _begin(self, files: list[Path]) -> None:
        """All tasks count from the same row on."""
        import pyarrow.parquet as pq

        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1, columns=[self.time]):
                    self._origin = self._opened - float(self._times(batch, path)[0]) / 1000 / self.speed
                    return

    def _times(self, batch: Any, path: Path) -> Any:
        """Milliseconds."""
        import numpy as np
        import pyarrow as pa

        if self.time not in batch.schema.names:
            raise UnknownField(self.time, batch.schema.names, f"It is not in {path}.")
        column = batch.column(batch.schema.names.index(self.time))
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
        times = column.to_numpy(zero_copy_only=False)
        if column.null_count or not np.isfinite(times).all():
            raise InvalidParameter(
                "time",
                f"is `{self.time}`, and in {path} some rows have none (NULL, NaN, infinite), so they would never come. "
                "Write the file again without them, or play it without `time`.",
            )
        return np.maximum.accumulate(times)  # a row whose time jumps back comes right behind the one before it

    def _timed(self, batch: Any, path: Path) -> Iterator[Any]:
        """The part of the batch whose time has come, and then the next one."""
        import numpy as np

        times = self._times(batch, path)
        start = 0
        while start < len(times):
            now = self.context.clock()
            upto = int(np.searchsorted(times, (now - self._origin) * 1000 * self.speed + 1e-6, side="right"))
            if upto > start:
                yield self._given(batch.slice(start, upto - start))
                start = upto
            else:
                yield None
