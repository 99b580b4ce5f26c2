"""Reading a shared result, in any process. Nothing in the files is believed before it is checked. Nothing is locked:
what the index names is whole, whatever the owner does."""

from __future__ import annotations

import base64
import bisect
import json
import mmap
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.contract.errors import DocumentError, UnknownResult
from workbench.execution.layouts import sound
from workbench.execution.shared import ID, RECORD, VERSION, Paths
from workbench.runs import Process

__all__ = ["Head", "SharedReader"]

STATES = ("running", "done", "failed", "stopped", "capped")
_LARGEST_HEAD = 64 << 20
_LARGEST_INDEX = 256 << 20
_GONE = "The process that made it has ended before all rows were there."


@dataclass(frozen=True)
class Head:
    """How a result stands: `rows` so far; `state` is `running`, `done`, `failed`, `stopped`, or `capped`: more rows
    exist than were kept. `note` says the cap or the error. `estimate`: about so many there are at the source."""

    state: str
    note: str
    rows: int
    title: str = ""
    estimate: int | None = None


class SharedReader:
    """The rows of a shared result, as far as they are there. Thread-safe. Raises UnknownResult when there is no such
    result (any more), DocumentError when its files are damaged."""

    def __init__(self, folder: Path, result_id: str) -> None:
        if not ID.fullmatch(result_id):
            raise UnknownResult(result_id[:40], hint=_HINT)
        self.id = result_id
        self._paths = Paths(folder, result_id)
        self._lock = threading.Lock()
        self._places: list[tuple[int, int, int, int]] = []
        self._firsts: list[int] = []
        self._checked: set[tuple[int, int]] = set()
        self._mapped: pa.Buffer = pa.py_buffer(b"")
        said = self._said()
        self.schema = self._schema(said)
        self._rows = _opened(self._paths.rows, result_id)
        self._inode = os.fstat(self._rows).st_ino
        self._final = False
        self._head = Head("running", "", 0)
        self.refresh()

    def refresh(self) -> Head:
        """How it stands now."""
        with self._lock:
            if self._final and self._paths.head.exists():
                return self._head
            said = self._said()
            self._extend()
            rows = self._places[-1][2] + self._places[-1][3] if self._places else 0
            state, note = said["state"], said["note"]
            if state == "running":
                owner = Process(said["pid"], said["started"], said["host"])
                if owner.alive() is False:
                    state, note = "failed", _GONE
            else:
                self._final = True
                if rows < said["rows"]:
                    raise self._damaged(f"its index has {rows:,} of {said['rows']:,} rows")
            self._head = Head(state, note, rows, said["title"], said.get("estimate"))
            return self._head

    @property
    def removed(self) -> bool:
        """Whether its files are no longer there by name, or are others since it gave its disk back; what was read stays
        good, and holds their disk."""
        try:
            there = os.stat(self._paths.rows, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return not self._paths.head.exists() or there.st_ino != self._inode

    @property
    def rows(self) -> int:
        """Rows that were there at the last `refresh`."""
        return self._head.rows

    @property
    def batches(self) -> int:
        """Batches that were there at the last `refresh`."""
        return len(self._places)

    @property
    def bytes(self) -> int:
        """Bytes of these batches."""
        return self._places[-1][0] + self._places[-1][1] if self._places else 0

    def span(self, number: int) -> tuple[int, int]:
        """The first row of a batch, and how many it has."""
        return self._places[number][2:]

    def at(self, row: int) -> int:
        """The number of the batch that has the row."""
        return bisect.bisect_right(self._firsts, row) - 1

    def batch(self, number: int, columns: list[int], checked: bool = True) -> pa.RecordBatch:
        """The columns with these numbers, ascending, of a batch; nothing else of it is read. It lies in mapped memory,
        which goes with the last reference to it. With `checked=False` the caller checks what it uses of it."""
        start, length, _, rows = self._places[number]
        try:
            options = pa.ipc.IpcReadOptions(included_fields=columns, use_threads=False)
            read = pa.ipc.open_stream(self._mapped.slice(start, length), options=options).read_next_batch()
            schema = pa.schema([self.schema.field(at) for at in columns])
            if read.num_rows != rows or read.schema.types != schema.types:
                raise self._damaged(f"batch {number} is not what the index says")
            if checked:
                for at, column in zip(columns, read.columns, strict=True):
                    if (number, at) not in self._checked:
                        sound(column)
                        self._checked.add((number, at))
        except (pa.ArrowException, OSError, StopIteration, ValueError) as error:
            raise self._damaged(f"batch {number}: {error}") from None
        return pa.RecordBatch.from_arrays(read.columns, schema=schema) if columns else read

    def close(self) -> None:
        """Lets the file go; what was read stays good."""
        with self._lock:
            if self._rows >= 0:
                os.close(self._rows)
                self._rows = -1

    # --- inside

    def _said(self) -> dict[str, Any]:
        data = _bytes(self._paths.head, _LARGEST_HEAD, self.id)
        try:
            said = json.loads(data)
            kinds = {"state": str, "note": str, "title": str, "rows": int, "pid": int, "started": str, "host": str}
            fits = said["version"] == VERSION and all(type(said[key]) is kind for key, kind in kinds.items())
            fits = fits and type(said.get("estimate")) in (int, type(None))
            if not fits or said["state"] not in STATES or said["rows"] < 0:
                raise ValueError("it says what no version says")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(f"its head cannot be read ({error})") from None
        found: dict[str, Any] = said
        return found

    def _schema(self, said: dict[str, Any]) -> pa.Schema:
        try:
            return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said["schema"], validate=True)))
        except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
            raise self._damaged(f"its columns cannot be read ({error})") from None

    def _extend(self) -> None:
        """Takes in the records that are new. One that is half written is none yet."""
        data = _bytes(self._paths.index, _LARGEST_INDEX, self.id, len(self._places) * RECORD.size)
        last = self._places[-1] if self._places else (0, 0, 0, 0)
        end, next_row = last[0] + last[1], last[2] + last[3]
        size = os.fstat(self._rows).st_size
        found: list[tuple[int, int, int, int]] = []
        for start, length, first, rows in RECORD.iter_unpack(data[: len(data) - len(data) % RECORD.size]):
            if start != end or first != next_row or not 0 < rows < 1 << 31 or not 0 < length <= size - start:
                raise self._damaged(f"record {len(self._places) + len(found)} of its index does not fit")
            found.append((start, length, first, rows))
            end, next_row = start + length, first + rows
        if found:
            self._mapped = pa.py_buffer(mmap.mmap(self._rows, end, prot=mmap.PROT_READ))
            self._places += found
            self._firsts += [one[2] for one in found]

    def _damaged(self, why: str) -> DocumentError:
        return DocumentError(f"results/{self.id}", f"is damaged: {why}. Run the statement again.")

    def __del__(self) -> None:
        if getattr(self, "_rows", -1) >= 0:
            self.close()


_HINT = "Results are kept as long as the notebook holds them. Run the cell again."


def _opened(path: Path, result_id: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise UnknownResult(result_id, hint=_HINT) from None
    except OSError as error:
        raise DocumentError(f"results/{result_id}", f"cannot be read: {error.strerror}.") from None


def _bytes(path: Path, most: int, result_id: str, skip: int = 0) -> bytes:
    descriptor = _opened(path, result_id)
    with open(descriptor, "rb") as file:
        file.seek(skip)
        data = file.read(most + 1)
    if len(data) > most:
        raise DocumentError(f"results/{result_id}", f"is damaged: `{path.suffix}` is larger than {most >> 20} MiB.")
    return data
