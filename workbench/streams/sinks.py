"""Sinks of the room itself. A list's `append`, or any other function, is a sink, too: `t.bolt("out", rows.append)`."""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.contract.change import Guarantee
from workbench.contract.errors import InvalidParameter, PathUnreachable
from workbench.streams.component import Bolt
from workbench.streams.configuration import seconds
from workbench.streams.topology import DEAD_LETTER, DEAD_LETTER_FIELDS
from workbench.streams.tuples import Batch
from workbench.streams.writing import Target

__all__ = ["ParquetSink", "Sink"]

KEY_LETTERS = 40
MODES = ("insert", "upsert")


class Sink(Bolt):
    """Writes its rows into a table of a writable connection: `t.bolt("save", Sink("shop.minutes", mode="upsert",
    key=("minute", "page")), inputs="minutes")`. Fields go to the columns of their names.

    `rows` are gathered, or what comes in `every` so long, and committed together; their tuples are acked then. In a run
    with state they are committed with each snapshot, or when there are more. `create` makes a table that is not there,
    with the columns of the first rows, or of `types` (`{"at": "int64"}`, names as Arrow's). `insert` refuses a key that
    is there, `upsert` replaces its row. Rows that the target refuses are dead letters, also on the sink's stream
    `dead_letter`. While the target is out of reach, everything waits, `patience` long at most.
    """

    outputs = {DEAD_LETTER: DEAD_LETTER_FIELDS}  # noqa: RUF012

    def __init__(
        self,
        table: str,
        mode: str = "",
        key: str | Sequence[str] = (),
        create: bool = False,
        types: Mapping[str, str] | None = None,
        rows: int = 10_000,
        every: Any = "1s",
        patience: Any = "1m",
    ) -> None:
        keys = (key,) if isinstance(key, str) else tuple(key)
        mode = mode or ("upsert" if keys else "insert")
        if mode not in MODES:
            raise InvalidParameter("mode", f"is {mode!r}; a sink knows {' and '.join(MODES)}.")
        if mode == "upsert" and not keys:
            raise InvalidParameter("key", "is needed for an upsert: the fields that say which row is replaced.")
        if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
            raise InvalidParameter("rows", f"is {rows!r}; it is a whole number, 1 or more.")
        self.table, self.mode = table, mode
        self._made = (table, mode, keys, create, dict(types or {}), rows, seconds(every, "every"))
        self._patience = seconds(patience, "patience")
        self._count = 0

    def target(self) -> Target:
        """Of one task. Raises UnknownConnection, Unsupported when it is asked what it is."""
        return Target(*self._made, self._patience)

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self._target: Target | None = None

    def execute_batch(self, batch: Batch) -> None:
        """For a runner that knows no sinks' tasks: written and committed when it returns."""
        if self._target is None:
            self._target = self.target()
            self._target.open("")
        self._count += 1
        rows, refused = self._target.converted([batch], batch.fields)
        for row, why in [*refused, *self._target.write(rows, self._count, None, "")]:
            self.collector.emit((row, self.context.component, why, 1), DEAD_LETTER)


class ParquetSink(Bolt):
    """Writes each window as a Parquet file: `t.bolt("save", ParquetSink("views"), inputs="views",
    window=tumbling("1m"))`. A file appears whole or not at all, and rows are acked when it is there.

    Its name has the component and the task, the window's end in milliseconds (where it has one), of a session's key
    the letters and a hash, a mark of this start of the task, and the window's number since then. So no file stands in
    another one's place, and a topology that is run again adds its files to those that are there: a folder for each run
    keeps them apart.
    """

    guarantee = Guarantee.FILE

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = str(folder)

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        self._number = 0
        self._start = secrets.token_hex(6)  # not of the context's chance: with a seed two runs would have the same

    def execute(self, window: Any) -> None:
        import pyarrow.parquet as pq

        self._number += 1
        path = Path(self.folder) / self._name(window)
        if path.exists():
            raise PathUnreachable(str(path), "it is there already, and is not written over")
        hidden = path.with_name(f".{path.name}.part")
        try:
            pq.write_table(window.table, hidden)
            os.replace(hidden, path)
        finally:
            hidden.unlink(missing_ok=True)

    def _name(self, window: Any) -> str:
        parts = [self.context.component, str(self.context.index)]
        if window.end is not None:
            parts.append(f"{math.floor(window.end):013d}")
        if window.key:
            letters = re.sub("[^A-Za-z0-9]+", "", "".join(map(str, window.key)))[:KEY_LETTERS]
            parts += [letters] if letters else []
            parts.append(hashlib.sha256(repr(window.key).encode(errors="surrogatepass")).hexdigest()[:12])
        return "-".join([*parts, self._start, f"{self._number:09d}"]) + ".parquet"
