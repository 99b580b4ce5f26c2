"""The bytes of a text file, as pyarrow's readers and people's eyes need them: unpacked, and in UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from workbench.contract.errors import InvalidParameter

__all__ = ["Passing", "delimiter", "encoding", "has_content", "header", "opened", "text"]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def opened(path: str, settings: Mapping[str, Any]) -> Any:
    """A stream of UTF-8 (if the file is what it is said to be: only other encodings are looked at here)."""
    stream = _unpacked(path)
    chosen = encoding(path, settings)
    return stream if chosen == "utf-8" else pa.transcoding_input_stream(stream, chosen, "utf-8")


def text(path: str, settings: Mapping[str, Any], errors: str = "backslashreplace") -> io.TextIOWrapper:
    """For people's eyes: bytes that are not of the encoding are shown as such."""
    raw: Any = gzip.GzipFile(path) if path.lower().endswith(".gz") else io.FileIO(path)
    chosen = encoding(path, settings)
    chosen = "utf-8-sig" if chosen == "utf-8" else chosen
    return io.TextIOWrapper(io.BufferedReader(raw), encoding=chosen, errors=errors, newline="")


def encoding(path: str, settings: Mapping[str, Any]) -> str:
    """What the settings say, else UTF-16 where the file begins with its mark, else `utf-8`."""
    if (name := settings.get("encoding")) is None:
        with _unpacked(path) as stream:
            return "utf-16" if stream.read(2) in _UTF16 else "utf-8"
    try:
        "".encode(name)  # refuses codecs that are not of text, too
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        why = f"is `{name}`; known are `utf-8`, `latin-1`, `cp1252`, `utf-16` and Python's other names."
        raise InvalidParameter("encoding", why) from None


def has_content(path: str, settings: Mapping[str, Any]) -> bool:
    """Whether anything but blanks is in it."""
    with opened(path, settings) as stream:
        while data := stream.read(1 << 16):
            if data.removeprefix(codecs.BOM_UTF8).strip():
                return True
    return False


def delimiter(path: str, settings: Mapping[str, Any]) -> str:
    return str(settings.get("delimiter", "\t" if path.lower().endswith((".tsv", ".tsv.gz")) else ","))


def header(settings: Mapping[str, Any]) -> bool:
    """Whether the first row of a CSV file has the names."""
    return bool(settings.get("header", True)) and "columns" not in settings


class Passing:
    """A stream that counts the quotes which pass, and ends after `most` bytes: pyarrow reads 32 blocks ahead, whether
    they are needed or not."""

    closed = False

    def __init__(self, stream: Any, quote: bytes = b"", most: int | None = None) -> None:
        self._stream, self._quote, self._left = stream, quote, most
        self.quotes = 0

    def read(self, size: int = -1) -> bytes:
        if self._left is not None:
            size = self._left if size < 0 else min(size, self._left)
        data: bytes = self._stream.read(size)
        if self._left is not None:
            self._left -= len(data)
        self.quotes += data.count(self._quote) if self._quote else 0
        return data

    def close(self) -> None:
        """Who opened the stream closes it."""


def _unpacked(path: str) -> Any:
    raw = pa.OSFile(path)
    return pa.CompressedInputStream(raw, "gzip") if path.lower().endswith(".gz") else raw
