"""Which process is it, and is it still there? A pid alone does not say: pids are used again."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["Process"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process for good: `started` tells it from a later one with the same pid (empty where nothing can say it),
    `host` from one on another machine or in another container that shares the home folder."""

    pid: int
    started: str
    host: str

    @classmethod
    def current(cls) -> Process:
        """The calling process; right in a forked child too."""
        return _identity(os.getpid())

    @property
    def here(self) -> bool:
        """Whether it runs, or ran, on this host, so that its end can be seen from here."""
        return self.host == _host()

    def alive(self) -> bool | None:
        """Whether it still runs; None when that cannot be known from here. A zombie is not alive."""
        if not self.here:
            return None
        if self.started:
            return _started(self.pid) == self.started
        return _exists(self.pid)


@lru_cache(maxsize=4)
def _identity(pid: int) -> Process:
    return Process(pid, _started(pid), _host())


@lru_cache(maxsize=1)
def _host() -> str:
    return platform.node()


@lru_cache(maxsize=1)
def _boot() -> str:
    """Start times count from the boot, so the boot is a part of them."""
    path = _PROC / "sys/kernel/random/boot_id"
    return path.read_text().strip()[:8] if path.exists() else ""


def _started(pid: int) -> str:
    """When `pid` began, in a form that is only compared; empty when there is no such process, or none can say."""
    if _PROC.joinpath("self/stat").exists():
        try:
            stat = _PROC.joinpath(str(pid), "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""
        fields = stat[stat.rindex(b")") + 2 :].split()  # the command's name before may hold spaces and brackets
        return "" if fields[0] in (b"Z", b"X") else f"{_boot()}-{fields[19].decode()}"
    ps = shutil.which("ps")
    if ps is None:
        return ""
    reply = subprocess.run(
        [ps, "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")},
    ).stdout.split()
    return "" if not reply or reply[0].startswith("Z") else " ".join(reply[1:])


def _exists(pid: int) -> bool | None:
    if os.name != "posix":
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
