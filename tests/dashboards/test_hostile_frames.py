"""The hostile list of a viewer's kernel, in the binary frames of both protocols: `v1.kernel.websocket.jupyter.org`,
which Lab speaks, and the older one. Prints `hostile: tried N, survived N`."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import websocket
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from tests.dashboards.conftest import ViewerServer
from tests.dashboards.test_hostile import MARKS, TYPES, Fence, message

V1 = "v1.kernel.websocket.jupyter.org"
RUN = {"code": "print('RAN' + '-IT', source_mark)", "silent": False, "store_history": True, "user_expressions": {}}
COUNTS = (0, 1, 2, 3, 4, 7, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


@pytest.fixture(scope="module")
def fence(viewer: ViewerServer, request: pytest.FixtureRequest) -> Iterator[Fence]:
    fence = Fence(viewer)
    yield fence
    fence.page.close()
    fence.other_page.close()
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nhostile: tried {fence.tried}, survived {fence.survived}")


def packed(value: Any) -> bytes:
    return json.dumps(value).encode()


def v1(kind: str, content: dict[str, Any], channel: str = "shell") -> bytes:
    made: bytes = serialize_msg_to_ws_v1(message(kind, content, channel), channel, pack=packed)
    return made


def older(kind: str, content: dict[str, Any], channel: str = "shell") -> bytes:
    made: bytes = serialize_binary_message(message(kind, content, channel))
    return made


def broken_v1() -> list[bytes]:
    """Counts and places that are not true, and parts that are nothing."""
    whole = v1("kernel_info_request", {})
    found = [count.to_bytes(8, "little") + whole[8:] for count in (*COUNTS, 1 << 40, (1 << 64) - 1)]
    found += [count.to_bytes(8, "little") for count in (*COUNTS, (1 << 64) - 1)]
    found += [whole[:8] + place.to_bytes(8, "little") + whole[16:] for place in (0, 9, len(whole) + 1, (1 << 64) - 1)]
    many = 60_000  # each of which would be nearly the whole frame
    found.append(many.to_bytes(8, "little") + (8).to_bytes(8, "little") * many)
    found += [whole[:end] for end in (0, 1, 7, 8, 16, len(whole) - 1)]
    parts: list[list[bytes]] = [[], [b""], [b"{}"] * 3, [b"{", b"{}", b"{}", b"{}"], [b"[]"] * 4, [b"null"] * 4]
    found += [serialize_msg_to_ws_v1(one, "shell") for one in parts]
    header = packed({"msg_type": ["execute_request"], "msg_id": "x"})
    found.append(serialize_msg_to_ws_v1([header, b"{}", b"{}", packed(RUN)], "shell"))
    twice = b'{"msg_type": "comm_info_request", "msg_type": "execute_request", "msg_id": "x", "session": "x"}'
    found.append(serialize_msg_to_ws_v1([twice, b"{}", b"{}", packed(RUN)], "shell"))
    return found


def broken_older() -> list[bytes]:
    whole = older("kernel_info_request", {})
    found = [struct.pack("!I", count) + whole[4:] for count in COUNTS]
    found += [struct.pack("!I", count) for count in COUNTS]
    found += [whole[:4] + struct.pack("!I", place) + whole[8:] for place in (0, 5, len(whole) + 1, (1 << 32) - 1)]
    many = 60_000
    found.append(struct.pack("!I", many) + struct.pack("!I", 4) * many)
    return [*found, *(whole[:end] for end in (0, 1, 3, 4, 8, len(whole) - 1))]


def answered(socket: websocket.WebSocket, protocol: str | None, within: float = 6) -> list[tuple[str, str]]:
    """Asks for what is allowed; the types of the replies to it, and all that came in between as text."""
    asked = message("kernel_info_request", {})
    if protocol == V1:
        socket.send_binary(serialize_msg_to_ws_v1(asked, "shell", pack=packed))
    else:
        socket.send(json.dumps(asked))
    found, deadline = [], time.monotonic() + within
    while time.monotonic() < deadline and not any(kind == "kernel_info_reply" for kind, _ in found):
        socket.settimeout(max(0.05, deadline - time.monotonic()))
        try:
            raw = socket.recv()
        except websocket.WebSocketTimeoutException:
            break
        if protocol == V1:
            _, parts = deserialize_msg_from_ws_v1(raw)
            header, text = json.loads(parts[0]), b" ".join(parts).decode(errors="replace")
        else:
            header, text = json.loads(raw)["header"], str(raw)
        found.append((header["msg_type"], text))
    return found


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "iopub", "hb", "x", "", "shell\0"])
@pytest.mark.parametrize("protocol", [V1, None], ids=["v1", "older"])
def test_a_kernel_does_nothing_that_a_frame_asks(fence: Fence, protocol: str | None, channel: str) -> None:
    socket = fence.channels(fence.kernel, protocols=[protocol] if protocol else None)
    assert socket.subprotocol == protocol
    make = v1 if protocol else older
    for kind in TYPES:
        fence.tried += 1
        socket.send_binary(make(kind, {**RUN, "restart": True, "value": "x", "command": "evaluate"}, channel))
    for target in ("jupyter.widget", "ipython.debugger", "dask", None):
        fence.tried += 1
        socket.send_binary(make("comm_open", {"comm_id": "x", "target_name": target, "data": {}}, channel))
    seen = answered(socket, protocol)
    socket.close()
    assert {"kernel_info_reply"} <= {kind for kind, _ in seen} <= {"kernel_info_reply", "status"}
    assert not any(mark in text for _, text in seen for mark in (*MARKS, "RAN-IT"))
    fence.survived += len(TYPES) + 4


@pytest.mark.parametrize("protocol", [V1, None], ids=["v1", "older"])
def test_frames_that_are_not_what_they_say_keep_nobody_busy(fence: Fence, protocol: str | None) -> None:
    socket = fence.channels(fence.kernel, protocols=[protocol] if protocol else None)
    for raw in broken_v1() if protocol else broken_older():
        fence.tried += 1
        socket.send_binary(raw)
        fence.survived += 1
    assert requests.get(f"{fence.server.url}/login", timeout=10).status_code == 200
    seen = answered(socket, protocol)
    socket.close()
    assert {"kernel_info_reply"} <= {kind for kind, _ in seen} <= {"kernel_info_reply", "status"}
    assert not any(mark in text for _, text in seen for mark in (*MARKS, "RAN-IT"))


def test_the_other_protocol_s_frames_are_no_messages(fence: Fence) -> None:
    for protocol, made in ((V1, older("execute_request", RUN)), (None, v1("execute_request", RUN))):
        fence.tried += 2
        socket = fence.channels(fence.kernel, protocols=[protocol] if protocol else None)
        socket.send_binary(made)
        socket.send(json.dumps(message("execute_request", RUN)))
        seen = answered(socket, protocol)
        socket.close()
        assert {"kernel_info_reply"} <= {kind for kind, _ in seen} <= {"kernel_info_reply", "status"}
        fence.survived += 2
