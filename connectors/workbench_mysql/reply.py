"""Taking a packet apart, with every length checked."""

from __future__ import annotations

from dataclasses import dataclass

from workbench_mysql.channel import Channel

__all__ = ["Ending", "Reader", "ending"]

_MORE_RESULTS = 8
_WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}


class Reader:
    """Reads on from the front of a payload; what is not there breaks the protocol."""

    __slots__ = ("_at", "_channel", "_payload")

    def __init__(self, channel: Channel, payload: bytes | bytearray, at: int = 0) -> None:
        self._channel, self._payload, self._at = channel, payload, at

    def take(self, count: int) -> bytes:
        at, self._at = self._at, self._at + count
        if self._at > len(self._payload):
            raise self._channel.broken("a packet is shorter than it says")
        return bytes(self._payload[at : self._at])

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def length(self) -> int:
        """A length-encoded integer."""
        value = self.optional_length()
        if value is None:
            raise self._channel.broken("a packet has NULL for a length")
        return value

    def optional_length(self) -> int | None:
        """The same, or None for NULL."""
        first = self.number(1)
        if first < 0xFB:
            return first
        if first == 0xFB:
            return None
        if first == 0xFF:
            raise self._channel.broken("a packet has an impossible length")
        return self.number(_WIDTHS[first])

    def optional_bytes(self) -> bytes | None:
        count = self.optional_length()
        return None if count is None else self.take(count)

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8", "replace")

    def done(self) -> None:
        if self._at != len(self._payload):
            raise self._channel.broken("a packet is longer than it says")


@dataclass(frozen=True, slots=True)
class Ending:
    """What the last packet of a reply says."""

    affected: int
    warnings: int
    more: bool
    """Another reply follows."""


def ending(channel: Channel, payload: bytes) -> Ending:
    """Reads an OK packet, or the EOF or OK packet after rows."""
    reader = Reader(channel, payload, 1)
    if payload[0] == 0xFE and not channel.deprecate_eof:
        warnings, status, affected = reader.number(2), reader.number(2), 0
        reader.done()
    else:
        affected, _inserted = reader.length(), reader.length()
        status, warnings = reader.number(2), reader.number(2)
    return Ending(affected, warnings, bool(status & _MORE_RESULTS))
