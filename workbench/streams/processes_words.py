"""What workers tell each other's ledgers, as messages: what was acked, failed, or takes longer, of which roots.

Plain code, the standard library only.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from workbench.streams.processes_tracking import SHIFT, PartTracking

__all__ = ["KINDS", "Words"]

KINDS = (b"A", b"F", b"O", b"T")
"""Acks, failures, flights that are over, time-outs that begin anew."""
Send = Callable[[bytes, int, bytes], None]
"""`(kind, owner, data)`, to the worker whose start has that number."""
Said = TypeVar("Said")


class Words:
    """Of one worker: sends what its ledger has for others, and tells it what others have sent."""

    def __init__(self, tracking: PartTracking, send: Send) -> None:
        self._tracking, self._send = tracking, send

    def flush(self) -> None:
        tracking = self._tracking
        # Failures first: rows of a window that has failed are let go, too, and that alone would be an ack.
        if tracking.failures:
            told = [(root, [root, component, error[:2000]]) for root, (component, error) in tracking.failures]
            tracking.failures.clear()
            self._each(b"F", told, _json)
        if tracking.messages:
            acks = [(root, (root, *message)) for root, message in tracking.messages.items()]
            tracking.messages.clear()
            self._each(b"A", acks, _acks)
        if tracking.resets:
            resets = [(root, root) for root in tracking.resets]
            tracking.resets.clear()
            self._each(b"T", resets, _json)
        if tracking.landed:  # last: those rows of a flight have left it by then of which more is told
            landed, tracking.landed = tracking.landed, []
            self._each(b"O", [(base, (base, number)) for base, number in landed], _landed)

    def _each(self, kind: bytes, told: Iterable[tuple[int, Said]], text: Callable[[list[Said]], bytes]) -> None:
        by_owner: dict[int, list[Said]] = {}
        for root, one in told:
            by_owner.setdefault(root >> SHIFT, []).append(one)
        for owner, every in by_owner.items():
            self._send(kind, owner, text(every))

    def hear(self, kind: bytes, data: bytes) -> None:
        tracking = self._tracking
        if kind == b"A":
            for message in _read_acks(data):
                tracking.acked(*message)
        elif kind == b"O":
            for base, number in _read_landed(data):
                tracking.flights.landed(base, number)
        elif kind == b"F":
            for root, component, error in json.loads(data):
                tracking.fail((root,), (component, error))
        elif kind == b"T":
            for root in json.loads(data):
                tracking.reset(root)


def _json(told: Any) -> bytes:
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def _acks(told: Iterable[tuple[int, ...]]) -> bytes:
    """Of each the root, the value, how many more have some of it (negative: less), and which workers."""
    flat = array("Q")
    for root, value, more, workers in told:
        flat.extend((root, value, more & 0xFFFFFFFFFFFFFFFF, workers))
    return flat.tobytes()


def _read_acks(data: bytes) -> list[tuple[int, int, int, int]]:
    flat = array("Q")
    flat.frombytes(data)
    every = iter(flat)
    return [
        (root, value, more - (1 << 64) if more >> 63 else more, of)
        for root, value, more, of in zip(*[every] * 4, strict=True)
    ]


def _landed(told: Iterable[tuple[int, int]]) -> bytes:
    """Of each flight its first root, and how many of its rows are done."""
    flat = array("Q")
    for one in told:
        flat.extend(one)
    return flat.tobytes()


def _read_landed(data: bytes) -> list[tuple[int, int]]:
    flat = array("Q")
    flat.frombytes(data)
    every = iter(flat)
    return list(zip(every, every, strict=True))
