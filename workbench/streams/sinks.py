"""Sinks of the room itself. A list's `append`, or any other function, is a sink, too: `t.bolt("out", rows.append)`."""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
from pathlib import Path
from typing import Any

from workbench.contract.change import Guarantee
from workbench.contract.errors import PathUnreachable
from workbench.streams.component import Bolt

__all__ = ["ParquetSink"]

KEY_LETTERS = 40


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
