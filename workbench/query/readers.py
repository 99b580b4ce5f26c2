"""Readers of shared results that are kept while somebody asks for them, and no longer: one that is kept holds the disk
of a result that was removed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from workbench.contract.errors import WorkbenchError
from workbench.execution.shared_reading import SharedReader

__all__ = ["IDLE_SECONDS", "MOST", "Readers"]

MOST = 64
IDLE_SECONDS = 60.0
LOOK_SECONDS = 5.0
"""So often it is seen whether one was not asked for, or its result removed, meanwhile."""


class Readers:
    """Of the results in `folder`, at most `MOST`. Thread-safe. A reader that is let go stays good for whoever reads in
    it, and is closed after that. `gone` is told of results that were removed meanwhile."""

    def __init__(self, folder: Path, gone: Callable[[str], object] = lambda _: None) -> None:
        self._folder, self._gone = folder, gone
        self._changed = threading.Condition()
        self._kept: OrderedDict[str, tuple[SharedReader, float]] = OrderedDict()
        self._looking = False

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, result_id: str) -> SharedReader:
        """Of that result, refreshed. Raises UnknownResult, DocumentError."""
        reader = self._kept.get(result_id, (None, 0.0))[0]
        try:
            if reader is None:
                reader = SharedReader(self._folder, result_id)
            else:
                reader.refresh()
        except WorkbenchError:
            with self._changed:
                self._kept.pop(result_id, None)
            raise
        with self._changed:
            self._kept[result_id] = reader, time.monotonic()
            self._kept.move_to_end(result_id)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
            if not self._looking:
                self._looking = True
                threading.Thread(target=self._look, name="workbench-readers", daemon=True).start()
        return reader

    def clear(self) -> None:
        """Lets all go."""
        with self._changed:
            self._kept.clear()
            self._changed.notify_all()

    def _look(self) -> None:
        """Until none is kept."""
        while True:
            with self._changed:
                if not self._kept:
                    self._looking = False
                    return
                self._changed.wait(LOOK_SECONDS)
                oldest = time.monotonic() - IDLE_SECONDS
                removed = [result_id for result_id, (reader, _) in self._kept.items() if reader.removed]
                idle = [result_id for result_id, (_, used) in self._kept.items() if used < oldest]
                for result_id in {*removed, *idle}:
                    del self._kept[result_id]
            for result_id in removed:  # outside, for it has a lock of its own
                self._gone(result_id)
