"""Where the batches of an execution go: into a spool that many read, or straight to one reader."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from workbench.execution.spool import Spool

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Direct", "Spooled", "Stream"]


class Spooled:
    """Everything is kept, up to the spool's cap; the source is never held up."""

    def __init__(self, make: Callable[[], Spool]) -> None:
        self.spool = make()

    def begin(self, schema: pa.Schema) -> None:
        self.spool.begin(schema)

    def append(self, batch: pa.RecordBatch) -> bool:
        return self.spool.append(batch)

    def end(self) -> None:
        self.spool.finish()

    def fail(self, error: BaseException) -> None:
        self.spool.fail(error)


class Direct:
    """A few batches wait for the one reader; then the engine waits, and with it the sources."""

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._waiting: collections.deque[pa.RecordBatch] = collections.deque()
        self._ended = self._closed = False

    def begin(self, schema: pa.Schema) -> None:
        """The schema is the execution's."""

    def append(self, batch: pa.RecordBatch) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._most or self._closed)
            if not self._closed:
                self._waiting.append(batch)
                self._changed.notify_all()
            return not self._closed

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        self.close()

    # --- the reader's side

    def ready(self) -> bool:
        """Whether there is a batch."""
        return bool(self._waiting)

    def take(self) -> pa.RecordBatch | None:
        with self._changed:
            batch = self._waiting.popleft() if self._waiting else None
            self._changed.notify_all()
            return batch

    def close(self) -> None:
        """No more are wanted."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()


class Stream:
    """The rows of one use of a result, for a `with`. Its end ends what is done for this use alone at once, also where
    an error's traceback still holds all that was under way."""

    def __init__(
        self, schema: pa.Schema, batches: Generator[pa.RecordBatch, None, None], stop: Callable[[], object]
    ) -> None:
        self.schema = schema
        self._batches, self._stop = batches, stop

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches

    def stop(self) -> None:
        """Whoever waits for the next batch is let go. From any thread, any number of times."""
        self._stop()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._batches.close()
        self._stop()
