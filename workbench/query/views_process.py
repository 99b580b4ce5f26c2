"""The other process that finds a view's rows (`views_child.py`), and the numbers that came from it."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.contract.errors import LimitExceeded
from workbench.kit.halfmade import HalfMade, sweep
from workbench.query.views_child import FRAME, LARGEST

__all__ = ["GRACE", "Broken", "Child", "Numbers"]

_TICK, _LAST = 0.05, 0.5
_PREFIX = "workbench-view-"
GRACE = 1.0
"""Seconds that the process has to stop by itself; then it is ended."""


class Broken(Exception):
    """The process is not there any more, or says nonsense."""


class Numbers:
    """Row numbers in a file without a name, mapped into memory: they cost the process nothing of its own. One thread
    writes, others read what is there."""

    def __init__(self, folder: Path) -> None:
        self._file, path = tempfile.mkstemp(dir=folder, prefix="view-")
        os.unlink(path)
        weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()
        self._mapped: pa.UInt32Array = pa.nulls(0, pa.uint32())
        self.count = 0
        """Those that can be read."""

    @property
    def size(self) -> int:
        """In bytes."""
        return 4 * self.count

    def write(self, data: bytes) -> None:
        """Of numbers that come next; they can be read when they are `told`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def told(self, count: int) -> None:
        with self._lock:
            self.count += count

    def read(self) -> pa.UInt32Array:
        with self._lock:
            if len(self._mapped) < self.count:
                mapped = mmap.mmap(self._file, 4 * self.count, prot=mmap.PROT_READ)
                self._mapped = pa.Array.from_buffers(pa.uint32(), self.count, [None, pa.py_buffer(mapped)])
            return self._mapped


class Child:
    """Asked one thing at a time. Whatever goes wrong with it, it is ended, and the next one asked is new."""

    def __init__(self) -> None:
        self._place = _place()
        kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TZDIR")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "workbench.query.views_child", os.fspath(self._place.path)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={name: os.environ[name] for name in kept if name in os.environ},
        )
        self._number = 0
        self.result = ""
        """The one that it was asked of last, which it has open."""

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        code = self._process.poll()
        if code is None:
            return "saying what nobody understands"
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    @property
    def crashed(self) -> bool:
        """Whether it has ended by itself, not because somebody ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST)  # its pipes close a moment before it is gone
        code = self._process.poll()
        return code is not None and -code not in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def ask(self, asked: dict[str, Any]) -> None:
        """Raises LimitExceeded, Broken."""
        self._number += 1
        self.result = asked["result"]
        data = json.dumps({**asked, "number": self._number}).encode()
        if len(data) > LARGEST:
            raise LimitExceeded("bytes of a view's conditions", f"{LARGEST:,}")
        self._send(data)

    def answer(self, until: float, stopped: Callable[[], bool]) -> dict[str, Any] | None:
        """The next part; its `rows` numbers are to be read then. None when time is up; once `stopped`, the process is
        told, and the answer is soon over. Raises Broken."""
        told = False
        limit = until
        said = bytearray()
        size = FRAME.size
        head = True
        while True:
            if stopped() and not told:
                told, limit = True, min(limit, time.monotonic() + GRACE)
                self._send(json.dumps({"stop": self._number}).encode())
            if time.monotonic() > limit:
                return None
            self._some(size - len(said), said.extend)
            if len(said) < size:
                continue
            if not head:
                try:
                    found: dict[str, Any] = json.loads(said)
                except ValueError:
                    raise Broken from None
                return found
            (size,) = FRAME.unpack(said)
            if size > LARGEST:
                raise Broken
            head = False
            said.clear()

    def numbers(self, rows: int, put: Callable[[bytes], object], until: float) -> bool:
        """Whether they came in time; the process is sending them already. Raises Broken."""
        left = 4 * rows
        while left:
            if time.monotonic() > until:
                return False
            left -= self._some(left, put)
        return True

    def _some(self, size: int, put: Callable[[bytes], object]) -> int:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(_TICK * 1000):
            return 0
        data = os.read(descriptor, min(size, 1 << 20))
        if not data:
            raise Broken
        put(data)
        return len(data)

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        rest = memoryview(FRAME.pack(len(data)) + data)
        try:
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0 :]
        except OSError:
            raise Broken from None

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()
        shutil.rmtree(self._place.path, ignore_errors=True)
        self._place.release()


def _place() -> HalfMade:
    """A new folder for what does not fit in a child's memory. Those of servers that were killed are removed."""
    base = Path(tempfile.gettempdir())
    sweep(base.glob(f"{_PREFIX}*"))
    return HalfMade(base / f"{_PREFIX}{secrets.token_hex(8)}", folder=True)
