"""Files and folders that are made under a hidden name and renamed when they are whole: held while their process
lives, and swept away by the next one when it was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["HalfMade", "sweep"]

OLD_SECONDS = 86_400.0
"""Where the file system has no locks, what nobody wrote to for so long is taken for left behind."""


class HalfMade:
    """A new file (or folder) at `path`, locked until `release` or the end of the process, however that comes.

    Rename it first, then release it. Raises OSError where it cannot be made, FileExistsError where it is there.
    """

    def __init__(self, path: Path, *, folder: bool = False) -> None:
        self.path = path
        self._handle: int | None = None
        while not self._made(folder):
            pass  # swept away between making and locking

    def release(self) -> None:
        """Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _made(self, folder: bool) -> bool:
        if folder:
            self.path.mkdir(mode=0o700)
        else:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        if sys.platform == "win32":
            return True
        try:
            self._handle = os.open(self.path, os.O_RDONLY if folder else os.O_RDWR)
            with contextlib.suppress(OSError):  # no locks here: then its age says how it is with it
                _lock(self._handle, wait=True)
            if os.path.samestat(os.stat(self.path), os.fstat(self._handle)):
                return True
        except FileNotFoundError:
            pass
        self.release()
        return False


def sweep(paths: Iterable[Path]) -> None:
    """Removes those that no living process holds. What cannot be removed stays."""
    for path in paths:
        with contextlib.suppress(OSError):  # gone by now, or not ours to remove
            _sweep(path)


def _sweep(path: Path) -> None:
    if path.is_symlink():
        return
    if sys.platform == "win32":
        if _is_old(path):
            _remove(path)
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        try:
            _lock(handle, wait=False)
        except BlockingIOError:
            return
        except OSError:
            if not _is_old(path):
                return
        _remove(path)
    finally:
        os.close(handle)


def _lock(handle: int, *, wait: bool) -> None:
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > OLD_SECONDS


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
