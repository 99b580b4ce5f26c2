"""When this process dies, also by `kill -9`, what it still runs at its sources is ended by a small child.

The child (`watchdog_child.py`) lives in a session of its own, watches this process, and acts only after its end. All
that it needs to log in comes over its stdin: a frame a connection, kept in its memory, never in its arguments, its
environment or a file. It imports next to nothing until it has something to do.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from workbench.contract.connector import ConnectionConfig, Manifest
from workbench.runs import Process

__all__ = ["ensure", "pid"]

_CHILD = Path(__file__).with_name("watchdog_child.py")
_LENGTH = struct.Struct(">I")


class _Watchdog:
    """The child of this process, and what it was told."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.child: subprocess.Popen[bytes] | None = None
        self.told: dict[tuple[str, str], tuple[str, ConnectionConfig]] = {}

    def ensure(self, register: str, config: ConnectionConfig, implementation: str) -> None:
        with self.lock:
            fact = implementation, config
            key = register, config.name
            running = self.child is not None and self.child.poll() is None
            if running and self.told.get(key) == fact:
                return
            self.told[key] = fact
            if running:
                try:
                    self._tell(key, fact)
                    return
                except BrokenPipeError:  # it died just now
                    running = False
            self._start()

    def _start(self) -> None:
        self._reap()
        # By its path and with -S: nothing of ours and no site-packages are imported, nor looked for, until needed.
        with _deaf():
            self.child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid())],
                bufsize=0,  # a buffer would be copied into forked children, and flushed there
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                close_fds=True,
                cwd="/",
            )
        me = Process.current()
        self._send(
            {
                "pid": me.pid,
                "started": me.started,
                "host": me.host,
                "path": [os.path.abspath(entry) for entry in sys.path],
            }
        )
        for key, fact in self.told.items():
            self._tell(key, fact)

    def _tell(self, key: tuple[str, str], fact: tuple[str, ConnectionConfig]) -> None:
        (register, name), (implementation, config) = key, fact
        self._send(
            {
                "register": register,
                "connection": name,
                "implementation": implementation,
                "parameters": dict(config.parameters),
                "secrets": {key: secret.reveal() for key, secret in config.secrets.items()},
                "tables": {table: dict(settings) for table, settings in config.tables.items()},
            }
        )

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps(message).encode()
        rest = memoryview(_LENGTH.pack(len(body)) + body)
        while rest:
            rest = rest[self._pipe().write(rest) :]

    def _pipe(self) -> IO[bytes]:
        assert self.child is not None
        assert self.child.stdin is not None
        return self.child.stdin

    def _reap(self) -> None:
        if self.child is not None:
            self._pipe().close()
            self.child.wait()

    def let_go(self) -> None:
        """At this process's end, and in a forked child: the watchdog is not ours to wait for."""
        if self.child is not None:
            self._pipe().close()  # says nothing to it: it watches the process
            self.child.returncode = 0  # else Popen warns that it still runs, which is what it is for

    def forked(self) -> None:
        """A forked child starts a watchdog of its own; the parent's pipe is closed, so that nothing is sent twice."""
        self.let_go()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A child that is started here is not ended by signals that come before it has said that it ignores them: it
    inherits this thread's mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_watchdog = _Watchdog()


def ensure(register_path: Path, config: ConnectionConfig, manifest: Manifest) -> None:
    """From now on, what this process runs over that connection and has in that register is ended after its death.

    Starts the child at the first call; later ones are cheap. Call before the first query of a connection is sent.
    """
    _watchdog.ensure(os.path.abspath(register_path), config, manifest.implementation)


def pid() -> int | None:
    """The child's pid; None before the first `ensure`."""
    return _watchdog.child.pid if _watchdog.child is not None else None


def _after_fork() -> None:
    global _watchdog
    _watchdog.forked()
    _watchdog = _Watchdog()


atexit.register(lambda: _watchdog.let_go())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
