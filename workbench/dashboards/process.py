"""The viewer's process: found, started, stopped. There is one for each home folder."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.contract.errors import UsageError, WorkbenchError
from workbench.documents.private import private_folder, write_private
from workbench.runs.process import Process

__all__ = ["HOST", "PORT", "Viewer", "check", "folder", "log_of", "say", "shorten", "start", "stop", "viewer"]

HOST, PORT = "127.0.0.1", 8899
HOME = "WORKBENCH_HOME"
COMMAND = "workbench-viewer"
_PATIENCE = 40.0
LOG_BYTES = 4 << 20
"""So long does the viewer's log become; the last quarter is kept then."""


@dataclass(frozen=True)
class Viewer:
    """A viewer that runs. `kernels` is how many notebooks it runs now, one for each page that is open."""

    process: Process
    host: str
    port: int
    kernels: int = 0

    def address(self, name: str = "", token: str | None = None) -> str:
        """What to send to colleagues. The token stands behind `#`, so no browser sends it to a server's log: the page
        for the log-in takes it from there."""
        host = socket.gethostname() if self.host in ("", "0.0.0.0", "::") else self.host
        path = f"d/{name}" if name else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{path}" + (f"#{token}" if token else "")


def folder(home: Path) -> Path:
    """Where the viewer keeps what is its own: its secrets, its log, and where it is to be found."""
    return private_folder(home / "viewer")


def viewer(home: Path) -> Viewer | None:
    """The viewer of this home folder, if it runs."""
    try:
        kept = json.loads((folder(home) / "viewer.json").read_text())
        found = Viewer(**{**kept, "process": Process(**kept["process"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None  # not started, or just being written by another version
    return found if found.process.alive() else None


def say(home: Path, this: Viewer) -> None:
    """Called by the viewer: where it is, and how many kernels it has."""
    write_private(folder(home) / "viewer.json", json.dumps(asdict(this)).encode())


def check(home: Path, host: str | None = None, port: int | None = None) -> None:
    """Raises UsageError where `start` would, as far as that can be known."""
    if port is not None and not 0 < port < 65_536:
        raise UsageError(f"A port is a number from 1 to 65535, not {port}.")
    running = viewer(home)
    if running is not None and (host or running.host, port or running.port) != (running.host, running.port):
        at = running.address()
        raise UsageError(f"The viewer runs at {at} already: stop it first (workbench dashboards --stop).")


def start(
    home: Path, host: str | None = None, port: int | None = None, waits: Callable[[], object] = lambda: None
) -> Viewer:
    """The viewer that runs, else a new one, up and listening: at `PORT`, or where another has that, at a free one. It
    goes on when we end. `waits` is called again and again until it is up. Raises UsageError when the one that runs is
    at another address, and WorkbenchError when it does not come up."""
    with _one_at_a_time(home):
        check(home, host, port)
        if (running := viewer(home)) is not None:
            return running
        host = host or HOST
        return _started(home, host, _free(host) if port is None else port, waits)


def stop(home: Path) -> Viewer | None:
    """Ends the viewer and its kernels; the one that was there. Returns when it is gone."""
    running = viewer(home)
    if running is None:
        return None
    if not running.process.here:
        raise UsageError(f"The viewer runs on {running.process.host}: stop it there.")
    os.kill(running.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while running.process.alive():
        if time.monotonic() > deadline:
            os.kill(running.process.pid, signal.SIGKILL)
        time.sleep(0.05)
    with contextlib.suppress(FileNotFoundError):
        (folder(home) / "viewer.json").unlink()
    return running


def _free(host: str) -> int:
    """The usual port, else any that is free: another user of this machine may have a viewer, too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (PORT, 0):
        with socket.socket(family) as tried:
            tried.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as the viewer does, after one that was stopped
            try:
                tried.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return PORT  # the viewer will say what is wrong with the address
                continue
            found: int = tried.getsockname()[1]
            return found
    return PORT


def _started(home: Path, host: str, port: int, waits: Callable[[], object]) -> Viewer:
    module = next(iter(importlib.metadata.entry_points(group="console_scripts", name=COMMAND))).module
    log = log_of(home)
    shorten(log)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", module, f"--host={host}", f"--port={port}"],
            cwd=folder(home), env=_environment(home), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = viewer(home)
        if found is not None and found.process.pid == child.pid:
            # It goes on without us; where it ends first, somebody must take note, or it stays as a zombie.
            threading.Thread(target=child.wait, name="workbench-viewer", daemon=True).start()
            return found
        if child.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise WorkbenchError(f"The viewer has ended at its start: {last[0]} ({log} has more).")
        waits()
        time.sleep(0.05)
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    raise WorkbenchError(f"The viewer did not come up within {_PATIENCE:g} s; {log} may say why.")


def log_of(home: Path) -> Path:
    """Where the viewer and its kernels write."""
    return folder(home) / "viewer.log"


def shorten(log: Path, most: int = LOG_BYTES) -> None:
    """Leaves the last quarter of a log that is longer than so many bytes, in place: whoever writes to it appends."""
    with contextlib.suppress(FileNotFoundError), open(log, "r+b") as file:
        if file.seek(0, os.SEEK_END) <= most:
            return
        file.seek(-(most // 4), os.SEEK_END)
        kept = file.read(most // 4).partition(b"\n")[2]
        file.seek(0)
        file.write(b"(what was before is let go)\n" + kept)
        file.truncate()


def _environment(home: Path) -> dict[str, str]:
    """That of whoever starts it, for secrets may lie there, but for what says that one is a kernel of a notebook."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("JPY_")}, HOME: str(home)}


@contextlib.contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Two that publish at once start one viewer."""
    if os.name != "posix":
        yield
        return
    import fcntl

    with open(folder(home) / "starting.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
