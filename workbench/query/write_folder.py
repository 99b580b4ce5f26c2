"""Writing a result as a folder of Parquet files, which appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.contract.errors import ClusterFailed, PathUnreachable, UsageError
from workbench.kit.halfmade import HalfMade, sweep
from workbench.query.write import write_stream

if TYPE_CHECKING:
    from workbench.query.delivery import Stream
    from workbench.query.result import Result

__all__ = ["whole_folder", "write_by_workers", "write_here"]


def write_here(rows: Callable[[], Stream], folder: str | os.PathLike[str]) -> int:
    """One file, by this process. `rows` is asked for them once it is known where they go."""
    with whole_folder(folder) as half, rows() as stream, open(half / "part-00000.parquet", "xb") as file:
        count = write_stream(stream, file, ".parquet")
        os.fsync(file.fileno())
        return count


def write_by_workers(files: Callable[[str], Result], folder: str | os.PathLike[str]) -> int:
    """`files` has the workers write into a folder and gives what they wrote. What is there and not named is of a task
    that was tried again, and is removed. Raises ClusterFailed where a file is not to be seen from here."""
    with whole_folder(folder) as half:
        written = {row["file"]: row for row in files(str(half))}
        sizes = {path.name: path.stat().st_size for path in half.iterdir()}
        for name, row in written.items():
            if sizes.get(name) != row["bytes"]:
                why = f"a worker wrote `{name}` to a folder {half.parent} of its own. Name one that all of them share"
                raise ClusterFailed("of these workers", why)
        for name in sizes.keys() - written.keys():
            (half / name).unlink()
        return sum(row["rows"] for row in written.values())


@contextlib.contextmanager
def whole_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder that gets that name when all went well, and is removed else; what a killed process left behind is
    removed by the next write. Raises UsageError for a name that is taken, PathUnreachable."""
    target = _target(folder)
    half: HalfMade | None = None
    try:
        sweep(target.parent.glob(".workbench-" + "[0-9a-f]" * 12))
        half = HalfMade(target.with_name(f".workbench-{secrets.token_hex(6)}"), folder=True)
        yield half.path
        mask = os.umask(0)
        os.umask(mask)
        half.path.chmod(0o777 & ~mask)
        os.rename(half.path, target)  # an empty folder may be there
    except OSError as error:
        raise PathUnreachable(str(target), error.strerror or str(error), act="write") from None
    finally:
        if half is not None:
            shutil.rmtree(half.path, ignore_errors=True)
            half.release()


def _target(folder: str | os.PathLike[str]) -> Path:
    try:
        text = os.fspath(folder)
    except TypeError:
        text = ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{folder!r} is no path of a folder. Write `result.write_parquet('name')`.")
    target = Path(text).expanduser().absolute()
    try:
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(f"The folder `{text}` has something in it. Name a new one, or empty it.")
        if target.exists() and not target.is_dir():
            raise UsageError(f"`{text}` is a file. Name a folder; one file is written by `write('name.parquet')`.")
    except OSError as error:
        raise PathUnreachable(text, error.strerror or str(error), act="write") from None
    return target
