"""Thrift's binary protocol: what is written is read again; hostile bytes end in a typed error."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import ProtocolError
from workbench.kit import thrift

BODY: thrift.Struct = {
    1: (thrift.BOOL, True),
    2: (thrift.BYTE, -128),
    3: (thrift.DOUBLE, -0.5),
    4: (thrift.I16, -32768),
    5: (thrift.I32, 2**31 - 1),
    6: (thrift.I64, -(2**63)),
    7: (thrift.STRING, b"\x00\xff"),
    8: (thrift.STRUCT, {-1: (thrift.LIST, (thrift.STRING, [b"a", b""]))}),
    9: (thrift.MAP, (thrift.STRING, thrift.I32, [(b"k", 1), (b"k", 2)])),
    10: (thrift.SET, (thrift.BOOL, [])),
}
READ = {
    1: True,
    2: -128,
    3: -0.5,
    4: -32768,
    5: 2**31 - 1,
    6: -(2**63),
    7: b"\x00\xff",
    8: {-1: [b"a", b""]},
    9: [(b"k", 1), (b"k", 2)],
    10: [],
}


def answer(body: bytes, kind: int = 2, name: bytes = b"ask", number: int = 7) -> bytes:
    return struct.pack(">Ii", 0x80010000 | kind, len(name)) + name + struct.pack(">i", number) + body


def whole() -> bytes:
    sent = bytearray(thrift.call("ask", 7, BODY))
    sent[3] = 2  # a call and its reply differ in the kind alone
    return bytes(sent)


def test_what_is_written_is_read_again_and_its_end_is_known() -> None:
    found = thrift.reply(whole() + b"next", "ask", 7)
    assert found.body == READ
    assert found.size == len(whole())


def test_the_bytes_of_a_call_are_those_of_the_specification() -> None:
    expected = bytes.fromhex("800100010000000361736b000000070800010000000900")
    assert thrift.call("ask", 7, {1: (thrift.I32, 9)}) == expected


def test_a_reply_that_is_cut_at_any_byte_is_truncated_and_says_how_much_is_missing_at_least() -> None:
    for end in range(len(whole())):
        with pytest.raises(thrift.Truncated) as raised:
            thrift.reply(whole()[:end], "ask", 7)
        assert 0 < raised.value.missing <= len(whole()) - end


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\x0b\0\1\xff\xff\xff\xff", "text of -1"),
        (b"\x0f\0\1\x08\xff\xff\xff\xff", "container of -1"),
        (b"\x0f\0\1\x01\0\0\0\1\0", "type 1"),
        (b"\x0d\0\1\x0b\x63\0\0\0\1" + bytes(9), "type 99"),
        (b"\x01\0\1\0", "type 1"),
        (b"\x0c\0\1" * 100, "deeper than 64"),
        (b"\x0f\0\1" + b"\x0f\0\0\0\1" * 100, "deeper than 64"),
        (b"\x0f\0\1\x02\0\x10\0\0" + bytes(1 << 20), "more than were allowed"),
    ],
)
def test_a_hostile_body_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        thrift.reply(answer(body), "ask", 7)


@pytest.mark.parametrize("kind", [b"\x0b", b"\x0f\x08", b"\x0e\x0c", b"\x0d\x0b\x0b"])
def test_a_length_of_two_billion_costs_nothing(kind: bytes) -> None:
    with pytest.raises(thrift.Truncated) as raised:
        thrift.reply(answer(kind[:1] + b"\0\1" + kind[1:] + b"\x7f\xff\xff\xff" + bytes(64)), "ask", 7)
    assert raised.value.missing > 2**30


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "not Thrift's binary protocol"),
        (answer(b"\0", kind=1), "kind 1"),
        (answer(b"\0", name=b"other"), "`other` number 7"),
        (answer(b"\0", number=8), "number 8"),
        (answer(b"\x0b\0\1\0\0\0\4no_m\0", kind=3), "could not answer `ask`: no_m"),
        (answer(b"\0", kind=3), "does not say why"),
    ],
)
def test_another_message_is_no_reply(data: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        thrift.reply(data, "ask", 7)


def test_a_value_of_no_type_is_not_written() -> None:
    with pytest.raises(ValueError, match="99"):
        thrift.call("ask", 1, {1: (99, 0)})


@settings(max_examples=500, deadline=None)
@given(body=st.binary(max_size=200), at=st.integers(0, 200), byte=st.integers(0, 255))
def test_any_bytes_are_a_reply_or_a_typed_error(body: bytes, at: int, byte: int) -> None:
    changed = bytearray(whole())
    changed[at % len(changed)] = byte
    for data in (answer(body), bytes(changed)):
        _read(data)


def _read(data: bytes) -> Any:
    try:
        found = thrift.reply(data, "ask", 7)
    except ProtocolError as error:
        return error
    assert found.size <= len(data)
    return found
