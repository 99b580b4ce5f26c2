"""Kernels of the viewer: one for each open page, reached by the one who opened it, gone with the page."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable
from typing import Any

from jupyter_server._tz import utcnow
from jupyter_server.services.kernels.connection.base import deserialize_binary_message, deserialize_msg_from_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import Integer

from workbench.contract.errors import LimitExceeded
from workbench.dashboards.parameters import ENVIRONMENT
from workbench.dashboards.published import Dashboard
from workbench.server.viewer_rounds import OUT, Rounds

__all__ = ["INCOMING", "OUTGOING", "ViewerConnection", "ViewerKernels", "incoming", "outgoing"]

_log = logging.getLogger(__name__)
INCOMING = ("comm_open", "comm_msg", "comm_close", "comm_info_request", "kernel_info_request")
"""What a browser may ask of a kernel."""
OPENED_BY_PAGES = ("jupyter.widget.control",)
OUTGOING = frozenset(
    {
        "clear_output", "comm_close", "comm_info_reply", "comm_msg", "comm_open", "display_data", "error",
        "execute_result", "kernel_info_reply", "status", "stream", "update_display_data",
    }
)  # fmt: skip
"""What a kernel may say to a browser: `execute_input` is not among it, which has the source."""
_V1 = "v1.kernel.websocket.jupyter.org"
FAILED = "This could not be computed."
KEPT_ENDED = 1_000


def incoming(raw: str | bytes, v1: bool = False) -> dict[str, Any] | None:
    """The message, if a page may send it; in the newer form of messages, or in the older one."""
    try:
        if isinstance(raw, bytes) and not _in_order(raw, v1):
            return None
        message = _v1(raw) if v1 else deserialize_binary_message(raw) if isinstance(raw, bytes) else json.loads(raw)
        kind, channel = message["header"]["msg_type"], message.get("channel") or "shell"
        content = message["content"]
    except Exception:  # noqa: BLE001 (bytes of whoever: whatever they break, they are no message)
        return None
    if channel != "shell" or kind not in INCOMING or not isinstance(content, dict):
        return None
    if kind == "comm_open" and content.get("target_name") not in OPENED_BY_PAGES:
        return None
    found: dict[str, Any] = message
    return found


def _in_order(raw: bytes, v1: bool) -> bool:
    """Whether a frame's parts lie one behind the other within it, and are as many as it has room to name. Jupyter's
    readers believe the count that a frame begins with: eight bytes would keep the server busy for ever."""
    size, order = (8, "little") if v1 else (4, "big")
    count = int.from_bytes(raw[:size], order)  # type: ignore[arg-type]
    if not 1 <= count <= len(raw) // size - 1:
        return False
    starts = [int.from_bytes(raw[at : at + size], order) for at in range(size, size * (count + 1), size)]  # type: ignore[arg-type]
    return size * (count + 1) <= starts[0] and starts == sorted(starts) and starts[-1] <= len(raw)


def _v1(raw: Any) -> dict[str, Any]:
    channel, parts = deserialize_msg_from_ws_v1(raw)
    return {"channel": channel, "header": json.loads(parts[0]), "content": json.loads(parts[3])}


def outgoing(message: dict[str, Any]) -> dict[str, Any] | None:
    """The message as a page may see it: no source, no traceback, no stderr; also not within a widget that shows the
    output of others."""
    kind, content = message["header"]["msg_type"], message["content"]
    if kind not in OUTGOING or (kind == "stream" and content.get("name") != "stdout"):
        return None
    if kind == "error":
        _log.error("A dashboard's code has failed:\n%s", "\n".join(map(str, content.get("traceback", []))))
        content = _failure()
    return {**message, "content": _without_faults(content)}


def _without_faults(value: Any) -> Any:
    if isinstance(value, dict):
        kind = value.get("output_type")
        if kind == "error":
            return {"output_type": "error", **_failure()}
        if kind == "stream" and value.get("name") == "stderr":
            return {**value, "text": ""}
        return {key: _without_faults(one) for key, one in value.items()}
    return [_without_faults(one) for one in value] if isinstance(value, list) else value


def _failure() -> dict[str, Any]:
    return {"ename": "Error", "evalue": FAILED, "traceback": [FAILED]}


class ViewerConnection(ZMQChannelsWebsocketConnection):
    """Between a page and its kernel."""

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        if incoming(incoming_msg, self.subprotocol == _V1) is None:
            self.log.warning("A message that pages may not send was dropped.")
            return
        super().handle_incoming_message(incoming_msg)

    def _on_zmq_reply(self, stream: Any, msg_list: Any) -> None:
        if isinstance(msg_list, dict):
            kept = outgoing(msg_list)
            if kept is not None:
                super()._on_zmq_reply(stream, kept)
            return
        header, parent, metadata, content, *buffers = msg_list
        seen = outgoing({"header": self.session.unpack(header), "content": self.session.unpack(content)})
        if seen is not None:
            super()._on_zmq_reply(stream, [header, parent, metadata, self.session.pack(seen["content"]), *buffers])


class ViewerKernels(AsyncMappingKernelManager):
    """`most` kernels at a time, and `most_each` for one viewer."""

    most = Integer(24).tag(config=True)
    most_each = Integer(8).tag(config=True)

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._owners: dict[str, str] = {}
        self._opened: dict[str, tuple[str, str]] = {}
        """By which secret each was opened, and for which page."""
        self.rounds: Rounds | None = None
        """Says which secret holds now, and what is published; set by the server."""
        self._rendering: set[str] = set()
        self._ended: dict[str, tuple[str, str]] = {}
        self._starting: list[str] = []
        self.on_change: Callable[[int], object] = lambda kernels: None

    def check_room(self, viewer: str) -> None:
        """Raises LimitExceeded when one more page cannot be opened."""
        owners = [*self._owners.values(), *self._starting]
        if owners.count(viewer) >= self.most_each:
            raise LimitExceeded("open dashboards of one log-in", str(self.most_each), "Close one of your pages.")
        if len(owners) >= self.most:
            raise LimitExceeded("open dashboards", str(self.most), "Close a page, or try again in a minute.")

    async def open(self, dashboard: Dashboard, values: dict[str, Any], viewer: str, theme: str) -> str:
        """A kernel for one page. It knows the values and the theme, and of the request nothing else."""
        self.check_room(viewer)
        self._starting.append(viewer)
        mark = self._mark()
        folder = dashboard.folder if os.path.isdir(dashboard.folder) else None
        own = {ENVIRONMENT: json.dumps(values), "WORKBENCH_DASHBOARD": dashboard.name, "WORKBENCH_THEME": theme}
        own["WORKBENCH_PAGE"] = dashboard.page
        environment = {**os.environ, **own}
        kernel_id = str(uuid.uuid4())
        try:
            await self.start_kernel(kernel_id=kernel_id, kernel_name="python3", cwd=folder, env=environment)
        except BaseException:
            if kernel_id in self._kernels:  # nobody would know its id
                await self.shutdown_kernel(kernel_id, now=True)
            raise
        finally:
            self._starting.remove(viewer)
        self._owners[kernel_id], self._opened[kernel_id] = viewer, (mark, dashboard.page)
        self._rendering.add(kernel_id)
        self._changed()
        return kernel_id

    def _changed(self) -> None:
        """Who is told may fail, on a full disk say: that keeps no kernel from its page, nor from its end."""
        try:
            self.on_change(len(self._owners))
        except Exception:  # noqa: BLE001 (it may be anything, and is logged)
            _log.exception("How many dashboards are open (%d) could not be told", len(self._owners))

    def rendered(self, kernel_id: str) -> None:
        """The page is whole, and connects now."""
        self._rendering.discard(kernel_id)
        if kernel_id in self._kernels:
            self._kernels[kernel_id].last_activity = utcnow()

    def is_of(self, kernel_id: str, viewer: str) -> bool:
        return self._owners.get(kernel_id) == viewer

    def _mark(self) -> str:
        return self.rounds.mark if self.rounds is not None else ""

    def why_out(self, kernel_id: str) -> str:
        """Why a kernel's page is shown no more: the secret that opened it holds no more, or its dashboard was taken
        back, or published anew. Nothing where it is."""
        mark, page = self._opened.get(kernel_id, ("none", ""))
        try:
            if mark != self._mark():
                return OUT
        except OSError as error:
            _log.warning("Which secret holds could not be read: %s", error)
        return self.rounds.why_not(page) if self.rounds is not None else ""

    async def put_out(self) -> None:
        """Ends the kernels of pages that are shown no more."""
        for kernel_id in list(self._opened):
            if why := self.why_out(kernel_id):
                try:
                    await self.end(kernel_id, why)
                except Exception:  # noqa: BLE001 (it may be anything; the next look for idle ones ends it)
                    _log.exception("A kernel that is out could not be ended")

    def why_ended(self, kernel_id: str, viewer: str) -> str:
        """Why a kernel of this viewer was ended, if that is known."""
        owner, why = self._ended.get(kernel_id, ("", ""))
        return why if owner == viewer else ""

    async def end(self, kernel_id: str, why: str = "") -> None:
        """Idempotent: a page that closes says so, and so does its connection. `why` is said to one that is open."""
        owner = self._owners.pop(kernel_id, None)
        if owner is None:
            return
        if why:
            self._ended[kernel_id] = owner, why
            while len(self._ended) > KEPT_ENDED:
                del self._ended[next(iter(self._ended))]
        self._opened.pop(kernel_id, None)
        self._rendering.discard(kernel_id)
        try:
            if kernel_id in self._kernels:
                await self.shutdown_kernel(kernel_id, now=True)
        except BaseException:
            if kernel_id in self._kernels:
                self._owners[kernel_id] = owner  # without a mark: the next look for idle ones ends it
            raise
        finally:
            self._changed()

    def notify_disconnect(self, kernel_id: str) -> None:
        super().notify_disconnect(kernel_id)
        if kernel_id in self._kernels:
            self._kernels[kernel_id].last_activity = utcnow()  # the page may come back

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """Also one whose cells are busy without end, while nobody looks, and one that should be out; never one whose
        page is still being made."""
        if why := self.why_out(kernel_id):
            await self.end(kernel_id, why)
            return
        if kernel_id in self._rendering:
            return
        if not await self._kernels[kernel_id].is_alive():
            await self.end(kernel_id)
            return
        await super().cull_kernel_if_idle(kernel_id)
        if kernel_id not in self._kernels and self._owners.pop(kernel_id, None) is not None:
            self._opened.pop(kernel_id, None)
            self._changed()
