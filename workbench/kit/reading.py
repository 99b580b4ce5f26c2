"""A reader made of a generator: the part that is the same wherever a split is read within this process."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Self

from workbench.contract.change import Position
from workbench.contract.errors import Cancelled
from workbench.contract.scan import Control, Split

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["GeneratedReader"]


class GeneratedReader(ABC):
    """Implements `workbench.contract.Reader` over `_all`. Nothing of it runs anywhere else, so `native_id` is None.

    `_all` is a generator of the batches. It counts the bytes that come from the source in `_received`, calls `_check`
    between batches, and tidies up in a `finally`, which runs as soon as the reader is over. `_waiting` is entered
    around each step of it.
    """

    native_id: str | None = None
    snapshot: Position | None = None

    def __init__(self, split: Split, control: Control) -> None:
        self._split, self._control = split, control
        self._closed = threading.Event()
        self._turn = threading.Lock()
        self._received = 0
        self._exhausted = False
        self._outcome: BaseException | None = None
        self._batches = self._all()

    @abstractmethod
    def _all(self) -> Generator[pa.RecordBatch, None, None]: ...

    def _waiting(self) -> AbstractContextManager[object]:
        return nullcontext()

    def _asked_to_end(self) -> bool:
        return self._closed.is_set() or self._control.cancelled()

    def _check(self) -> None:
        if self._asked_to_end():
            raise Cancelled("The scan")

    @property
    def schema(self) -> pa.Schema:
        return self._split.schema

    @property
    def lost(self) -> Mapping[str, int]:
        return {}

    @property
    def received(self) -> int:
        return self._received

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pa.RecordBatch:
        with self._turn:
            if self._outcome is not None:
                raise self._outcome
            if self._exhausted:
                raise StopIteration
            try:
                with self._waiting():
                    self._check()
                    return next(self._batches)
            except StopIteration:
                self._exhausted = (
                    True  # the exception is not kept: it holds the frames of callers, and so all their rows
                )
                raise
            except BaseException as error:
                self._outcome = error
                self._batches.close()
                raise

    def close(self) -> None:
        self._closed.set()
        if self._turn.acquire(blocking=False):  # else the step that runs sees it at its next `_check`
            try:
                if not self._exhausted:
                    self._outcome = self._outcome or Cancelled("The scan")
                self._batches.close()
            finally:
                self._turn.release()
