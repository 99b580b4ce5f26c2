"""So many viewers of a topic, each with a socket of its own: what came, how late, and whether a number is missing."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect


class Viewer:
    def __init__(self) -> None:
        self.late: list[float] = []
        self.number, self.lost, self.frames = -1, 0, 0

    def took(self, text: str, now: float) -> None:
        frame = json.loads(text)
        if "snapshot" in frame:
            self.number = frame["number"]
            return
        if "change" not in frame and "append" not in frame:
            return
        self.lost += frame.get("after", frame["number"] - 1) != self.number
        self.number, self.frames = frame["number"], self.frames + 1
        points = frame.get("append", {}).get("points/1") or frame.get("change", {}).get("points/1")
        if points:
            self.late.append(1000 * now - points[-1][1])


async def watch(link: WebSocketClientConnection, viewer: Viewer) -> None:
    while (text := await link.read_message()) is not None:
        viewer.took(str(text), time.time())


async def main() -> None:
    address, topic, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    viewers = [Viewer() for _ in range(count)]
    links = [await websocket_connect(address) for _ in viewers]
    tasks: list[asyncio.Task[Any]] = []
    for link, viewer in zip(links, viewers, strict=True):
        await link.write_message(json.dumps({"subscribe": topic}))
        tasks.append(asyncio.ensure_future(watch(link, viewer)))
    await asyncio.sleep(2)
    for viewer in viewers:
        viewer.frames = viewer.lost = 0
        viewer.late.clear()
    print("go", flush=True)
    await asyncio.sleep(seconds)
    late = sorted(one for viewer in viewers for one in viewer.late)
    said = {
        "frames": sum(viewer.frames for viewer in viewers),
        "fewest": min(viewer.frames for viewer in viewers),
        "lost": sum(viewer.lost for viewer in viewers),
        "p50": late[len(late) // 2],
        "p99": late[int(len(late) * 0.99)],
    }
    print(json.dumps(said), flush=True)
    sys.stdin.read()  # the sockets stay open while memory is looked at


if __name__ == "__main__":
    asyncio.run(main())
