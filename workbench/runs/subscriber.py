"""The hub's side of live views: the frames of a topic of another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from workbench.contract.errors import ConnectionLost, ProtocolError, Unreachable
from workbench.runs.publisher import LINE
from workbench.runs.register import Engine
from workbench.runs.topics import Frame

__all__ = ["frames"]


async def frames(engine: Engine, topic: str, patience: float = 5.0) -> AsyncIterator[Frame]:
    """The topic's frames, a snapshot first, until its end. Raises Unreachable when nobody answers at the engine's
    address within `patience` seconds, ConnectionLost when it ends before the topic does, ProtocolError for what is no
    frame, or where the engine refuses."""
    host, _, port = engine.address.rpartition(":")
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(host, int(port), limit=LINE)
            writer.write(json.dumps({"token": engine.token, "topic": topic}).encode() + b"\n")
            await writer.drain()
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"The engine of process {engine.pid}", str(error) or "no answer") from error
    try:
        while True:
            frame = await _frame(reader, topic)
            yield frame
            if "end" in frame:
                return
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _frame(reader: asyncio.StreamReader, topic: str) -> Frame:
    try:
        line = await reader.readline()
    except ValueError:
        raise ProtocolError(f"The engine sent a line of more than {LINE:,} bytes.") from None
    except OSError as error:
        raise ConnectionLost(f"The engine behind `{topic}` was lost: {error}.") from error
    if not line.endswith(b"\n"):
        raise ConnectionLost(f"The engine behind `{topic}` has ended, or does not know us.")
    try:
        frame: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("The engine sent what is no JSON.") from None
    if not isinstance(frame, dict):
        raise ProtocolError("The engine sent what is no frame.")
    if "error" in frame:
        raise ProtocolError(f"The engine refuses: {frame['error']}.")
    if frame.get("topic") != topic or not isinstance(frame.get("number"), int):
        raise ProtocolError("The engine sent a frame of something else.")
    return frame
