"""Replies with random damage: the rows, or an error of the contract. Never a hang, never another exception."""

from __future__ import annotations

import contextlib
import random
import socket
from collections import Counter

import pytest

from tests.connectors.mysql.scripted import EOF, Scripted, definition, error, prepared, result
from tests.native import rows as encoded
from workbench.contract.errors import WorkbenchError
from workbench.kit.columns import Slot
from workbench_mysql import types, wire
from workbench_mysql.types import Kind

COLUMNS = [
    definition("n", 3),
    definition("u", 8, 20, flags=32),
    definition("d", 246, 12, decimals=2),
    definition("t", 253, 40, charset=255),
    definition("b", 252, 40),
    definition("day", 10, 10),
    definition("at", 12, 26, decimals=6),
    definition("lasted", 11, 17, decimals=6),
    definition("f", 5, 22, decimals=31),
    definition("nothing", 6, 0),
]
_KINDS = (
    Kind.W4,
    Kind.W8,
    Kind.DECIMAL,
    Kind.TEXT,
    Kind.BINARY,
    Kind.DATE,
    Kind.DATETIME,
    Kind.TIME,
    Kind.W8,
    Kind.NULL,
)


def _binary(source: random.Random) -> bytes:
    slots = [Slot(kind, encoded.WIDTHS.get(kind, 0), 10, 2) for kind in _KINDS]
    rows = [encoded.row([encoded.random_value(source, slot) for slot in slots], slots) for _ in range(20)]
    return result(COLUMNS, rows, source.choice((EOF, error(1317, "stopped"))))


def _text(source: random.Random) -> bytes:
    values = (b"1", b"18446744073709551615", b"-1.25", "é".encode(), b"\xff\0", b"2024-02-29", b"2024-01-02 03:04:05.6")
    rows = []
    for _ in range(20):
        cells = [*values, b"-838:59:59", b"1.5e10", None]
        rows.append(
            b"".join(
                b"\xfb" if cell is None or source.random() < 0.1 else encoded.length_encoded(len(cell)) + cell
                for cell in cells
            )
        )
    return result(COLUMNS, rows)


def _damaged(source: random.Random, reply: bytes) -> bytes:
    out = bytearray(reply)
    for _ in range(source.choice((1, 1, 2, 5))):
        at, kind = source.randrange(len(out)), source.random()
        if kind < 0.5:
            out[at] ^= 1 << source.randrange(8)
        elif kind < 0.8:
            out[at] = source.choice((0, 1, 0x7F, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF))
        elif kind < 0.9:
            del out[at : at + source.randint(1, 20)]
        else:
            out[at:at] = source.randbytes(source.randint(1, 20))
    return bytes(out)


@pytest.mark.parametrize("way", ["binary", "text", "prepare"])
@pytest.mark.parametrize("policy", ["null", "error", "string"])
def test_damage_is_an_error_of_the_contract(way: str, policy: types.Policy) -> None:
    source = random.Random(f"{way} {policy}")
    sent = b""
    seen: Counter[str] = Counter()

    def say(peer: socket.socket) -> None:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)

    make = _text if way == "text" else _binary
    scripts = {"binary": "execute", "text": "query", "prepare": "prepare"}
    with Scripted(**{"prepare": prepared(COLUMNS), "execute": _binary(source), scripts[way]: say}) as server:
        for _ in range(100):
            sent = _damaged(source, prepared(COLUMNS) if way == "prepare" else make(source))
            with contextlib.closing(server.connect()) as connection:
                try:
                    if way == "text":
                        wire.query(connection, "select 1", policy=policy).validate(full=True)
                    else:
                        for batch in wire.prepare(connection, "select 1").execute(policy=policy):
                            batch.validate(full=True)
                    seen["read"] += 1
                except WorkbenchError as refused:
                    seen[type(refused).__name__] += 1
    assert seen["ProtocolError"], seen
