"""The hub's side of live views: the frames of a topic of another process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, TypeVar

from workbench.contract.errors import ConnectionLost, ProtocolError, Unreachable, UsageError
from workbench.runs.publisher import ASKING, LINE
from workbench.runs.register import Engine
from workbench.runs.topics import Frame

__all__ = ["ask", "frames", "text"]

T = TypeVar("T")
LOOPBACK = "127.0.0.1:"


async def frames(engine: Engine, topic: str, patience: float = 5.0) -> AsyncGenerator[Frame, None]:
    """The topic's frames, a snapshot first, until its end. Raises Unreachable when nobody answers at the engine's
    address within `patience` seconds, ConnectionLost when it ends before the topic does, ProtocolError for what is no
    frame, or where the engine refuses. Who does not read to the end closes it: `contextlib.aclosing`."""
    async with _asked(engine, {"topic": topic}, patience) as reader:
        frame = await _soon(engine, _frame(reader, topic), patience)  # a snapshot is there at once
        while True:
            yield frame
            if "end" in frame:
                return
            frame = await _frame(reader, topic)


async def ask(engine: Engine, run_id: str, what: str, patience: float = 5.0) -> str:
    """Asks a run of that engine for something (`pause`), and returns when it is done: the run that goes on. An engine
    may send us on to another one. Raises as `frames` does."""
    for _ in range(2):
        async with _asked(engine, {"run": run_id, "ask": what}, patience) as reader:
            said = await _soon(engine, _said(reader, f"run {run_id}"), patience)
        if not str(said.get("ask", "")).startswith(LOOPBACK):
            break
        engine = dataclasses.replace(engine, address=said["ask"])
    if "ask" in said:
        raise ProtocolError(f"The engine sends us on to {str(said['ask'])[:100]}, which is not asked.")
    return str(said.get("run") or run_id)


async def show(engine: Engine, run_id: str, views: list[dict[str, Any]], patience: float = 5.0) -> str:
    """The topic of a dashboard of that run's streams. Raises as `frames` does."""
    async with _asked(engine, {"run": run_id, "show": views}, patience) as reader:
        said = await _soon(engine, _said(reader, f"run {run_id}"), patience)
    return str(said.get("topic"))


async def text(engine: Engine, run_id: str, what: str, most: int, patience: float = 5.0) -> str:
    """That run's text of that name, in all within `patience` seconds. Raises as `frames` does, and ProtocolError for
    one of more than `most` characters."""

    async def whole(reader: asyncio.StreamReader) -> str:
        parts, length = list[str](), 0
        while "done" not in (said := await _said(reader, f"run {run_id}")):
            parts.append(str(said.get("text", "")))
            length += len(parts[-1])
            if length > most or not parts[-1]:
                raise ProtocolError(f"The engine sent a text of more than {most:,} characters, or none.")
        return "".join(parts)

    async with _asked(engine, {"run": run_id, "text": what}, patience) as reader:
        return await _soon(engine, whole(reader), patience)


async def _soon(engine: Engine, answer: Awaitable[T], patience: float) -> T:
    try:
        return await asyncio.wait_for(answer, patience)
    except TimeoutError:
        raise Unreachable(f"The engine of process {engine.pid}", "no answer") from None


@contextlib.asynccontextmanager
async def _asked(engine: Engine, what: dict[str, Any], patience: float) -> AsyncIterator[asyncio.StreamReader]:
    host, _, port = engine.address.rpartition(":")
    line = json.dumps({"token": engine.token, **what}).encode() + b"\n"
    if len(line) > ASKING:
        raise UsageError(f"What is asked has {len(line):,} bytes, and {ASKING:,} are the most.")
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(host, int(port), limit=LINE)
            writer.write(line)
            await writer.drain()
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"The engine of process {engine.pid}", str(error) or "no answer") from error
    try:
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _said(reader: asyncio.StreamReader, about: str) -> dict[str, Any]:
    try:
        line = await reader.readline()
    except ValueError:
        raise ProtocolError(f"The engine sent a line of more than {LINE:,} bytes.") from None
    except OSError as error:
        raise ConnectionLost(f"The engine behind `{about}` was lost: {error}.") from error
    if not line.endswith(b"\n"):
        raise ConnectionLost(f"The engine behind `{about}` has ended, or does not know us.")
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("The engine sent what is no JSON.") from None
    if not isinstance(said, dict):
        raise ProtocolError("The engine sent what is no frame.")
    if "error" in said and "topic" not in said:
        raise ProtocolError(f"The engine refuses: {said['error']}.")
    return said


async def _frame(reader: asyncio.StreamReader, topic: str) -> Frame:
    frame = await _said(reader, topic)
    if frame.get("topic") != topic or not isinstance(frame.get("number"), int):
        raise ProtocolError("The engine sent a frame of something else.")
    if not all(isinstance(frame.get(part, {}), dict) for part in ("snapshot", "change", "append", "keep")):
        raise ProtocolError("The engine sent a frame whose parts are none.")
    if not all(isinstance(values, list) for values in frame.get("append", {}).values()):
        raise ProtocolError("The engine sent a frame that appends what is no list.")
    return Frame(frame)
