"""A file at WebHDFS as one that can be read anywhere."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator

from workbench_hive.webhdfs import WebHdfs

__all__ = ["RemoteFile", "reading"]

_AHEAD = 1 << 20
"""Bytes that are asked for at least: a request costs more than they do."""


class RemoteFile(io.RawIOBase):
    """Of `size` bytes. Used by one thread at a time. Reads give all that was asked for, or raise what WebHdfs does,
    which is also kept in `trouble`: not everybody who calls hands it on. `fetched` counts the parts that came."""

    def __init__(self, hdfs: WebHdfs, path: str, size: int, check: Callable[[], None]) -> None:
        super().__init__()
        self.trouble: BaseException | None = None
        self.fetched = 0
        self._hdfs, self._path, self._size, self._check = hdfs, path, size, check
        self._at = self._start = 0
        self._kept = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("a place before the beginning")
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self._size - self._at, 0)
        size = left if size is None or size < 0 else min(size, left)
        if not size:
            return b""
        if not self._start <= self._at <= self._at + size <= self._start + len(self._kept):
            self._fetch(min(max(size, _AHEAD), left))
        begin = self._at - self._start
        self._at += size
        return self._kept[begin : begin + size]

    def _fetch(self, size: int) -> None:
        if self.trouble is not None:
            raise self.trouble
        try:
            self._kept = b""
            self._kept, self._start = self._hdfs.read(self._path, self._at, size, self._check), self._at
            self.fetched += 1
        except BaseException as error:
            self.trouble = error
            raise


@contextlib.contextmanager
def reading(file: RemoteFile) -> Iterator[RemoteFile]:
    """What went wrong with the file is raised as it was, whatever a library made of it."""
    try:
        yield file
    except Exception as error:
        if file.trouble is None or file.trouble is error:
            raise
        raise file.trouble from None
