"""Files that are the user's alone: folders 0700, files 0600, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

__all__ = ["private_folder", "write_private"]


def private_folder(path: Path) -> Path:
    """Makes the folder, and its parents, for the user alone; tightens one of ours that is too open."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = path.stat()
    loose = stat.S_IMODE(state.st_mode) & 0o077
    # A folder that is shared on purpose (sticky, as /tmp is) or is not ours is left as it is: what we put in is 0600.
    if loose and os.name == "posix" and state.st_uid == os.geteuid() and not state.st_mode & stat.S_ISVTX:
        path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Replaces the file, mode 0600, so that a reader sees the old bytes or the new ones, also after a power cut.
    Writers at the same time do not mix: the last one stays."""
    waiting = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            waiting.unlink()
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
