"""Cells as Python values: for what is asked about tables and samples, never for a scan's rows."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workbench.contract.errors import ProtocolError

__all__ = ["Cell", "cells", "rows"]

_LEAST = 12


@dataclass(frozen=True, slots=True)
class Cell:
    row: bytes
    family: bytes
    qualifier: bytes
    time: int
    value: bytes


def cells(block: bytes | memoryview) -> Iterator[Cell]:
    """Of a block as `KeyValueCodec` writes it. Raises ProtocolError."""
    at, end = 0, len(block)
    try:
        while at < end:
            length, key, value, row = struct.unpack_from(">iiiH", block, at)
            if key < _LEAST or value < 0 or length != key + value + 8 or at + 4 + length > end:
                raise ProtocolError("The server's block of cells is not one")
            start, stop = at + 12, at + 12 + key
            family = block[start + 2 + row]
            names = start + 3 + row
            if names + family > stop - 9:
                raise ProtocolError("The server's block of cells is not one")
            (time,) = struct.unpack_from(">q", block, stop - 9)
            yield Cell(
                bytes(block[start + 2 : start + 2 + row]),
                bytes(block[names : names + family]),
                bytes(block[names + family : stop - 9]),
                time,
                bytes(block[stop : stop + value]),
            )
            at += 4 + length
    except (struct.error, IndexError):
        raise ProtocolError("The server's block of cells ends within one") from None


def rows(found: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that follow each other, by their row."""
    grouped: list[list[Cell]] = []
    for cell in found:
        if not grouped or grouped[-1][0].row != cell.row:
            grouped.append([])
        grouped[-1].append(cell)
    return grouped
