"""A result as files, so that other processes can page in it while it grows, and while its owner is busy.

`<id>.rows` holds batches one after another, each an Arrow stream of its own. `<id>.index` holds a record of fixed size
for each, written after it: only what it names is there. `<id>.head` says the schema, how it stands and whose it is; it
is replaced whole, comes last and goes first. Names are random, the folder is 0700, the files are 0600.

The batches are not compressed, unlike those of a spool: a page of sorted rows lies in as many batches as it has rows,
and is read from memory that is mapped, eight times faster than by decompressing (5 million rows of 8 columns).
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
import secrets
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from workbench.contract.errors import Cancelled, UsageError, WorkbenchError
from workbench.documents.private import private_folder
from workbench.execution.batches import cut
from workbench.execution.spool import Spool
from workbench.runs import Process

__all__ = ["ID", "RECORD", "Paths", "Shared", "flat", "sweep"]

ID = re.compile(r"[a-z2-7]{26}")
RECORD = struct.Struct("<QQQQ")
"""Of the index: where the batch starts in the file, its bytes, the number of its first row, its rows."""
VERSION = 1
ORPHAN_SECONDS = 60.0
"""Files without a head are of a process that died while it made or removed them, when they are older than this."""
FOREIGN_SECONDS = 7 * 86_400
"""A result of a host that we cannot look into is believed this long after its last change."""
SWEEP_SECONDS = 60.0
RESERVE = 4 << 20
"""Bytes that stay free on the disk: the register of what runs must be able to grow, or no statement runs any more."""

_BUFFER = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FREE = "Free some, and run the statement again."
_swept: dict[Path, float] = {}


@dataclass(frozen=True)
class Paths:
    """Where the three files of a result are."""

    folder: Path
    id: str
    rows: Path = field(init=False)
    index: Path = field(init=False)
    head: Path = field(init=False)

    def __post_init__(self) -> None:
        for name in ("rows", "index", "head"):
            object.__setattr__(self, name, self.folder / f"{self.id}.{name}")

    def remove(self) -> None:
        """The head first: who has not read it finds nothing, who has reads on from what is open."""
        for path in (self.head, self.rows, self.index):
            path.unlink(missing_ok=True)


class Shared:
    """A spool's rows as files: what is there is written at once, then each new batch, until the spool ends. A thread of
    its own does it, so that a slow disk holds nobody up.

    It ends, and takes its files away, with `close` and with the process. When the disk is full, or all but `RESERVE` of
    it, the files give back what they took and say so (`capped`); the spool is not concerned. The spool must know its
    schema. `estimate`: about so many rows there are at the source.
    """

    def __init__(self, folder: Path, spool: Spool, title: str = "", estimate: int | None = None) -> None:
        assert spool.schema is not None
        self.id = base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]
        self.schema = flat(spool.schema)
        """The columns as the files have them."""
        self._spool, self._title, self._estimate = spool, title, estimate
        self._paths = Paths(private_folder(folder), self.id)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._done = threading.Event()
        self._count = 0
        now = time.monotonic()
        if now - _swept.get(folder, -SWEEP_SECONDS) >= SWEEP_SECONDS:
            _swept[folder] = now
            sweep(folder)
        weakref.finalize(self, _remove, self._paths, self._closed, os.getpid())
        self._rows = _new(self._paths.rows)
        try:
            self._index = _new(self._paths.index)
            self._tell("running", "", 0)
        except BaseException:
            os.close(self._rows)
            self._paths.remove()
            raise
        threading.Thread(target=self._work, name="workbench-shared", daemon=True).start()

    def wait(self, timeout: float | None = None) -> bool:
        """Until all that will come is in the files."""
        return self._done.wait(timeout)

    def close(self) -> None:
        """Takes the files away. Who reads them just now is not disturbed. Idempotent, from any thread."""
        with self._lock:
            self._closed.set()
            self._paths.remove()

    # --- the thread

    def _work(self) -> None:
        state, note = "done", ""
        try:
            self._copy()
            if self._spool.capped:
                state, note = "capped", self._spool.cap
        except Cancelled:
            state = "stopped"
        except BaseException as error:  # noqa: BLE001  # of the source's driver, say; its readers are told
            if isinstance(error, UsageError) and error is not self._spool.error:  # the spool was closed
                self.close()
            elif isinstance(error, OSError) and error is not self._spool.error and error.errno in _FULL:
                state, note = "capped", f"no rows could be kept for want of disk: {error.strerror}. {_FREE}"
                self._give_back()
            elif isinstance(error, OSError) and error is not self._spool.error:
                state, note = "capped", f"only the first {self._count:,} rows could be kept: {error.strerror or error}"
            elif isinstance(error, WorkbenchError):
                state, note = "failed", str(error)
            else:
                state, note = "failed", f"{type(error).__name__}: {error}"
        finally:
            with contextlib.suppress(OSError):  # a full disk: the index alone says then what is there
                self._tell(state, note, self._count)
            self._done.set()

    def _copy(self) -> None:
        with open(self._rows, "wb", buffering=_BUFFER) as rows, open(self._index, "wb", buffering=0) as index:
            start = 0
            for batch in self._spool.batches():
                for piece, _ in cut(batch):
                    if self._closed.is_set():
                        return
                    _check_room(self._rows, piece.nbytes)
                    size = _write(rows, _flattened(piece, self.schema))
                    index.write(RECORD.pack(start, size, self._count, piece.num_rows))
                    start, self._count = start + size, self._count + piece.num_rows

    def _give_back(self) -> None:
        """New files without rows: who has the old ones mapped would die of their being cut."""
        with self._lock:
            self._count = 0
            if not self._closed.is_set():
                for path in (self._paths.index, self._paths.rows):
                    path.unlink(missing_ok=True)
                    with contextlib.suppress(OSError):  # it is then a result that is not there, as after `close`
                        os.close(_new(path))

    def _tell(self, state: str, note: str, rows: int) -> None:
        me = Process.current()
        head = {
            "version": VERSION,
            "state": state,
            "note": note,
            "rows": rows,
            "title": self._title[:10_000],
            "estimate": self._estimate,
            "pid": me.pid,
            "started": me.started,
            "host": me.host,
            "schema": base64.b64encode(self.schema.serialize()).decode(),
        }
        half = self._paths.head.with_suffix(".half")
        with self._lock:
            if not self._closed.is_set():
                descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
                with open(descriptor, "wb") as file:
                    file.write(json.dumps(head).encode())
                os.replace(half, self._paths.head)


def flat(schema: pa.Schema) -> pa.Schema:
    """With plain values in place of dictionaries and of views, which each slice would bring along whole."""
    return pa.schema([one.with_type(_flat(one.type)) for one in schema])


def sweep(folder: Path) -> None:
    """Removes the results of processes that are gone."""
    if not folder.is_dir():
        return
    now = time.time()
    for path in list(folder.iterdir()):
        name, _, kind = path.name.partition(".")
        if not ID.fullmatch(name) or kind not in ("head", "rows", "index", "half"):
            continue
        paths = Paths(folder, name)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            age = now - path.stat().st_mtime
            if kind != "head":
                if age > ORPHAN_SECONDS and not paths.head.exists():
                    path.unlink()
                continue
            owner = _owner(path)
            alive = owner.alive() if owner is not None else False
            if alive is False or (alive is None and age > FOREIGN_SECONDS):
                paths.remove()


def _owner(head: Path) -> Process | None:
    """None where the head is none of ours: a head is written whole or not at all."""
    try:
        said = json.loads(head.read_bytes())
        return Process(int(said["pid"]), str(said["started"]), str(said["host"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _remove(paths: Paths, closed: threading.Event, owner: int) -> None:
    if os.getpid() == owner:  # a forked process has the object, too
        closed.set()
        paths.remove()


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def _check_room(descriptor: int, size: int) -> None:
    disk = os.fstatvfs(descriptor)
    if disk.f_bavail * disk.f_frsize < RESERVE + size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write(file: object, batch: pa.RecordBatch) -> int:
    """The bytes written. The file ends where it did before when it fails, as far as the index goes."""
    counted = _Counted(file)
    with pa.ipc.new_stream(pa.PythonFile(counted, "w"), batch.schema) as writer:
        writer.write_batch(batch)
    counted.flush()
    return counted.size


class _Counted:
    """What pyarrow writes goes to the file without being put together first: a cell may have a gigabyte."""

    closed = False

    def __init__(self, file: object) -> None:
        self._file, self.size = file, 0

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self._file.write(view)  # type: ignore[attr-defined]
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        self._file.flush()  # type: ignore[attr-defined]

    def close(self) -> None:
        """The file stays open for the next batch."""


def _flat(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def _flattened(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(_columns(batch, schema)), schema=schema)


def _columns(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.Array]:
    for column, one in zip(batch.columns, schema, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        yield column if column.type == one.type else column.cast(one.type)
