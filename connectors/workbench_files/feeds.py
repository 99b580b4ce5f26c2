"""Following text files: the lines that are written to them, over rotation, as rows of the table."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from workbench.contract import Changes, Control, Heartbeat, Position, SchemaChange, TableRef
from workbench.contract.errors import (
    Cancelled,
    InvalidParameter,
    LimitExceeded,
    PathUnreachable,
    PositionLost,
    ProtocolError,
    UnknownTable,
    Unsupported,
    WorkbenchError,
)
from workbench.kit.batches import pieces
from workbench.kit.tail_files import is_rotated
from workbench.kit.tailing import Block, BrokenFile, Follower, Place, PlaceLost
from workbench_files.folder import Folder, FoundTable
from workbench_files.parsing import parsed
from workbench_files.unify import Conflict

if TYPE_CHECKING:
    from workbench_files.connector import FilesTables

__all__ = ["FilesFeed", "FilesFeeds", "rotated"]

HEARTBEAT = 1.0
GOOD = 1.0
"""Seconds for which a look at the folder holds, for who opens one of its files."""
SHORT_NAP, LONG_NAP = 0.01, 0.1
_FOLLOWED = ("lines", "jsonl", "csv")
_WHO = "A connection to files"
_REMEDY = (
    "Follow it from the beginning (after=None): all that is left of it comes, rotated files first; what was removed "
    "meanwhile is gone."
)
T = TypeVar("T")
_now = time.monotonic


@dataclass(frozen=True)
class _Seen:
    """A table as its folder was looked at last: the files that are written to, by partition, and its columns."""

    at: float
    found: FoundTable
    paths: Mapping[str, str]
    schema: pa.Schema | None


class FilesFeeds:
    """A partition is a file that is written to, with those that rotation has made of it."""

    looks = True
    """Its feeds have `look`, so that one thread reads many files."""

    def __init__(self, connection: str, folder: Folder, tables: FilesTables) -> None:
        self._connection, self._folder, self._tables = connection, folder, tables
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, str]] = {}
        self._seen: dict[str, _Seen] = {}

    def partitions(self, table: TableRef) -> Sequence[str]:
        """The files' paths within the connection's folder. Raises UnknownTable, and Unsupported for Parquet and Arrow:
        these appear whole, and have no end to follow."""
        return sorted(self._paths(table)[1])

    def subscribe(self, table: TableRef, partition: str, after: Position | None, control: Control) -> FilesFeed:
        seen = self._look(table, partition)
        found, paths = seen.found, seen.paths
        path = paths[partition]
        source = f"files:{path}"
        if after is not None and after.source != source:
            raise PositionLost(f"of {after.source} in {source}", f"It is another file's. {_REMEDY}", self._connection)
        try:
            place = None if after is None else Place.of(after.value)
            follower = _named(self._connection, lambda: Follower(path, after=place))
        except PlaceLost as lost:
            told = f"{after.value if after else ''}: {lost}"
            raise PositionLost(told, _REMEDY, self._connection) from None
        return FilesFeed(table, found, source, follower, seen.schema, control, self._connection)

    def now(self, table: TableRef, partition: str) -> Position:
        path = self._path(table, partition)
        follower = _named(self._connection, lambda: Follower(path, "end"))
        try:
            return Position(f"files:{path}", str(follower.place()))
        finally:
            follower.close()

    def reached(self, now: Position, mark: Position) -> bool:
        return Place.of(now.value).reached(Place.of(mark.value))

    def _path(self, table: TableRef, partition: str) -> str:
        return self._look(table, partition).paths[partition]

    def _look(self, table: TableRef, partition: str) -> _Seen:
        """With that partition. A look of just now will do: there may be thousands of them to be opened."""
        seen = self._seen.get(table.name)
        if seen is None or table.schema is not None or partition not in seen.paths or _now() - seen.at > GOOD:
            found, paths = self._paths(table)
            schema = self._schema(table, found)
            seen = self._seen[table.name] = _Seen(_now(), found, paths, schema)
        if partition not in seen.paths:
            names = sorted(seen.paths)
            shown = ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
            raise InvalidParameter("partition", f"is `{partition}`; `{table}` has {shown or 'none'}.")
        return seen

    def _paths(self, table: TableRef) -> tuple[FoundTable, Mapping[str, str]]:
        """The paths of the files that are written to, by partition. One that is just being rotated is still known."""
        if table.schema is not None:
            raise UnknownTable(str(table), self._folder.names(), "Files have no schemas.")
        with self._lock:
            before = self._known.get(table.name, {})
        try:
            found = self._folder.table(table.name)
        except UnknownTable:
            if not before:
                raise
            found = FoundTable(table.name, "", (), self._folder.settings(table.name))
        kind = found.format or found.settings.get("format", "lines")
        if kind not in _FOLLOWED:
            told = f"follow {kind} files (`{table}`)"
            raise Unsupported(_WHO, told, "It follows text: JSON lines, CSV, and plain lines.")
        if (encoding := found.settings.get("encoding", "utf-8")) not in ("utf-8", "utf8"):
            raise Unsupported(_WHO, f"follow text in {encoding} (`{table}`)", "It follows UTF-8.")
        paths = {file.shown: file.path for file in found.files}
        gone = rotated({**before, **paths})
        live = {**before, **{name: path for name, path in paths.items() if name not in gone}}
        with self._lock:
            self._known[table.name] = live
        return found, live

    def _schema(self, table: TableRef, found: FoundTable) -> pa.Schema | None:
        """None where nothing is known before the first rows come."""
        if found.format == "lines":
            return pa.schema([("line", pa.string())])
        try:
            schema = self._tables.schema(table)
        except WorkbenchError:
            return None
        return pa.schema([column.remove_metadata() for column in schema])


class FilesFeed:
    """Waits for what is written; a Heartbeat says that all up to its position was said."""

    def __init__(
        self,
        table: TableRef,
        found: FoundTable,
        source: str,
        follower: Follower,
        schema: pa.Schema | None,
        control: Control,
        connection: str,
    ) -> None:
        self._table, self._found, self._source, self._follower = table, found, source, follower
        self._schema, self._control, self._connection = schema, control, connection
        self._waiting: deque[Changes | SchemaChange] = deque()
        self._turn, self._closed = threading.Lock(), threading.Event()
        self._naps, self._rested = 0, 0.0

    def __iter__(self) -> FilesFeed:
        return self

    def __next__(self) -> Changes | SchemaChange | Heartbeat:
        with self._turn:
            while not self._closed.is_set():
                if self._control.cancelled():
                    raise Cancelled("The feed")
                if (said := self._next()) is not None:
                    return said
                if (beat := self._nap()) is not None:
                    return beat
            self._follower.close()
            raise StopIteration

    def look(self) -> Changes | SchemaChange | Heartbeat | None:
        """What there is just now, without waiting; a Heartbeat when there is nothing more, and then None."""
        with self._turn:
            if self._closed.is_set():
                return None
            said = self._next()
            if said is None and self._naps == 0:
                self._naps = 1
                return Heartbeat(self._at(self._follower.place()))
            return said

    def confirm(self, upto: Position) -> None:
        """Files forget nothing."""

    def close(self) -> None:
        self._closed.set()
        if self._turn.acquire(blocking=False):  # else who waits sees it
            try:
                self._follower.close()
            finally:
                self._turn.release()

    def _next(self) -> Changes | SchemaChange | None:
        while not self._waiting:
            if (block := _named(self._connection, self._follower.read)) is None:
                return None
            self._naps = 0
            self._waiting.extend(self._said(block))
        return self._waiting.popleft()

    def _nap(self) -> Heartbeat | None:
        if self._naps == 0 or self._rested >= HEARTBEAT:
            self._naps, self._rested = self._naps + 1, 0.0
            return Heartbeat(self._at(self._follower.place()))
        pause = SHORT_NAP if self._naps < 20 else LONG_NAP
        self._naps += 1
        self._rested += pause
        self._closed.wait(pause)
        return None

    def _at(self, place: Place) -> Position:
        return Position(self._source, str(place))

    def _said(self, block: Block) -> Iterator[Changes | SchemaChange]:
        first, last = self._at(block.first), self._at(block.last)
        try:
            rows = parsed(block, self._found, self._schema)
        except (pa.ArrowException, Conflict, UnicodeError) as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            lines = f"between the bytes {block.start:,} and {block.start + len(block.data):,}"
            told = (
                f"{os.path.basename(block.path)} has a line {lines} that is none of `{self._table}`: {why}. Mend it, "
            )
            told += "or follow the file in the format `lines`."
            raise ProtocolError(told, self._connection) from None
        if rows is None:
            return
        if self._schema is None or rows.schema != self._schema:
            self._schema = rows.schema
            yield SchemaChange(self._table, rows.schema, first)
        parts = list(pieces(rows))
        for number, part in enumerate(parts):
            whole = number == len(parts) - 1
            yield Changes(self._table, part, None, first, last if whole else first, whole)


def rotated(names: Iterable[str]) -> set[str]:
    """Those that rotation made of another one of them. A name is only compared with those that it may be of, for there
    may be thousands."""
    whole, stems = set[str](), dict[str, list[str]]()
    for name in names:
        whole.add(name)
        stems.setdefault(name.rpartition(".")[0], []).append(name)
    found = set[str]()
    for name in whole:
        start = len(os.path.split(name)[0])
        for cut in re.finditer(r"[.\-_]", name):
            live = name[: cut.start()] if cut.start() > start else ""
            others = [*stems.get(live, ()), *({live} & whole)] if live else ()
            if any(is_rotated(os.path.basename(name), os.path.basename(other)) for other in others):
                found.add(name)
                break
    return found


def _named(connection: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except BrokenFile as error:
        raise ProtocolError(f"{error.path} cannot be followed: {error.why}. Remove it.", connection) from None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            hint = "Raise it (ulimit -n), or follow fewer files (a narrower pattern, more tasks in more workers)."
            raise LimitExceeded("open files", "what this process may have", hint) from None
        path = str(error.filename or "the file")
        raise PathUnreachable(path, error.strerror or str(error), connection, act="follow") from None
