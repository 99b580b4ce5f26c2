"""Viewers of live topics by each way there is, as others' programs are: each in a thread, a gate before it reads."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import httpx
import socketio
import websocket

from workbench.runs.topics import apply

__all__ = ["WAYS", "Viewer", "follows"]


class Viewer:
    """`address` is that of the API, `headers` who it is. `frames` is what came, `state` what it has by now."""

    def __init__(self, address: str, topic: str, headers: Mapping[str, str], ticket: str = "") -> None:
        self.address, self.topic, self.headers, self.ticket = address, topic, dict(headers), ticket
        self.frames: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.keep: dict[str, int] = {}
        self.error: BaseException | None = None
        self.gate, self.over = threading.Event(), threading.Event()
        self.gate.set()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def take(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        if "error" not in frame or "number" in frame:
            apply(self.state, self.keep, frame)
        self.gate.wait(60)

    def look(self) -> None:
        raise NotImplementedError

    def _main(self) -> None:
        try:
            self.look()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    def close(self) -> None:
        self.over.set()
        self.gate.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


class WebSocketViewer(Viewer):
    def look(self) -> None:
        link = websocket.create_connection(
            f"ws{self.address.removeprefix('http')}live", header=dict(self.headers), timeout=60
        )
        link.settimeout(0.2)
        link.send(json.dumps({"subscribe": self.topic, **({"ticket": self.ticket} if self.ticket else {})}))
        with contextlib.closing(link):
            while not self.over.is_set():
                with contextlib.suppress(websocket.WebSocketTimeoutException):
                    self.take(json.loads(link.recv()))


class EventsViewer(Viewer):
    def look(self) -> None:
        headers = {**self.headers, "X-Workbench-Tickets": self.ticket}
        last = ""
        while not self.over.is_set():
            sent = {**headers, "Last-Event-ID": last} if last else headers
            timeout = httpx.Timeout(60, read=0.5)
            with (
                contextlib.suppress(httpx.ReadTimeout),
                httpx.stream(
                    "GET", f"{self.address}live/events", params={"topics": self.topic}, headers=sent, timeout=timeout
                ) as answer,
            ):
                answer.raise_for_status()
                for line in answer.iter_lines():
                    if self.over.is_set():
                        return
                    name, _, value = line.partition(": ")
                    last = value if name == "id" else last
                    if name == "event":
                        return
                    if name == "data":
                        self.take(json.loads(value))


class PollViewer(Viewer):
    def look(self) -> None:
        cursors = ""
        headers = {**self.headers, "X-Workbench-Tickets": self.ticket}
        while not self.over.is_set():
            query = urlencode({"topics": self.topic, "cursors": cursors, "wait": 1})
            answer = httpx.get(f"{self.address}live/poll?{query}", headers=headers, timeout=60)
            answer.raise_for_status()
            said = answer.json()
            cursors = said["cursors"]
            for frame in said["frames"]:
                self.take(frame)
            if any("error" in frame or "end" in frame for frame in said["frames"]):
                return


class SocketIOViewer(Viewer):
    def look(self) -> None:
        client = socketio.Client(reconnection=False)
        client.on("frame", self.take)
        address, _, path = self.address.removesuffix("/").partition("//")
        host, _, rest = path.partition("/")
        client.connect(
            f"{address}//{host}", headers=self.headers, transports=["websocket"], socketio_path=f"/{rest}/socket.io",
            wait_timeout=60,
        )  # fmt: skip
        link = client.eio.ws
        try:
            asked = {"topic": self.topic, "ticket": self.ticket}
            assert client.call("subscribe", asked, timeout=60) == {"topic": self.topic}
            self.over.wait()
        finally:
            client.disconnect()
            client.eio.wait()
            with contextlib.suppress(OSError, websocket.WebSocketException):
                link.close()  # the library leaves it to the garbage collector


WAYS: dict[str, type[Viewer]] = {
    "websocket": WebSocketViewer,
    "events": EventsViewer,
    "poll": PollViewer,
    "socketio": SocketIOViewer,
}


def follows(frames: list[dict[str, Any]]) -> None:
    """Fails where a number is missing and there is no snapshot."""
    for before, after in pairwise(frames):
        if "snapshot" not in after and "end" not in after:
            assert after.get("after", after["number"] - 1) == before["number"], (before["number"], after["number"])
