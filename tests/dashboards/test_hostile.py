"""F11 of the hostile list: a viewer who is logged in, and tries everything but looking.

    pytest tests/dashboards/test_hostile.py -s        prints `hostile: tried N, survived N`

Every route that Jupyter's own server has, every verb, every type of message that a kernel knows.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import pytest
import requests
import websocket

from tests.dashboards.conftest import FAILS, KERNEL, SLIDER, ViewerServer
from workbench.server.viewer import routes

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MARKS = ("SOURCE-MARK", "TRACEBACK-MARK", "source_mark", "Traceback")
SERVICES = (
    "api", "config", "contents", "events", "kernels", "kernelspecs", "nbconvert", "security", "sessions",
)  # fmt: skip
OTHERS = [
    "/voila", "/voila/", "/voila/tree", "/voila/tree/x", "/voila/render/orders.ipynb", "/voila/render/../orders.ipynb",
    "/voila/files/orders.ipynb", "/voila/api/contents/", "/voila/execution/x", "/voila/query/x", "/lab", "/lab/tree/x",
    "/lab/api/settings", "/lab/api/workspaces", "/lab/api/translations", "/tree", "/notebooks/orders.ipynb", "/edit/x",
    "/files/orders.ipynb", "/files/..%2f..%2fetc/passwd", "/view/orders.ipynb", "/terminals/1", "/api/terminals",
    "/terminals/websocket/1", "/workbench/api/connections", "/workbench/api/runs", "/metrics",
    "/workbench/api/metrics", "/workbench/api/results/x", "/workbench/api/live/x",
    "/static/base/images/logo.png", "/custom/custom.css", "/nbextensions/x", "/kernelspecs/python3/logo-64x64.png",
    "/api/me", "/api/status", "/api/shutdown", "/logout", "/d/", "/d/orders/", "/d/orders.ipynb", "/d/../orders",
    "/d/%2e%2e%2forders", "/d/nothing", "/d/orders%00", "/voila/static/../../../../../etc/passwd",
    "/voila/static/%2e%2e/%2e%2e/conf.json",
    "/voila/templates/lab/static/../index.html.j2", "/voila/templates/base/static/x", "/voila/api/themes/../../x",
    "/voila/labextensions/analytics-workbench/package.json", "/voila/labextensions/anywidget/static/../package.json",
]  # fmt: skip
TYPES = [
    "execute_request", "inspect_request", "complete_request", "history_request", "is_complete_request", "input_reply",
    "connect_request", "shutdown_request", "interrupt_request", "debug_request", "create_subshell_request",
    "delete_subshell_request", "list_subshell_request", "usage_request", "apply_request", "abort_request",
    "clear_request", "restart_request", "execute_reply", "status", "error", "", "EXECUTE_REQUEST", "execute_request ",
]  # fmt: skip


def jupyter_routes() -> list[str]:
    found = set()
    for name in SERVICES:
        for path, *_ in import_module(f"jupyter_server.services.{name}.handlers").default_handlers:
            plain = re.sub(r"\(\?P<kernel_id>[^)]*\)", "{kernel}", path)
            plain = re.sub(r"\(\?P<action>[^)]*\)", "interrupt", plain)
            plain = re.sub(r"\((?:[^()]|\([^()]*\))*\)\??", "/x", plain).rstrip("$?")
            found.add(re.sub("/+", "/", plain.replace("\\", "").replace("[", "").replace("]", "")))
    return sorted(found)


class Fence:
    """One viewer with two who look: `mine` tries, `other` has a kernel, too."""

    def __init__(self, server: ViewerServer) -> None:
        self.server, self.tried, self.survived = server, 0, 0
        server.publish("orders", "# Orders", SLIDER)
        self.mine, self.other = server.logged_in(), server.logged_in()
        self.kernel = server.kernel_of(self.mine, "orders")
        self.page = self.channels(self.kernel)  # as its page would
        self.foreign = server.kernel_of(self.other, "orders")
        self.other_page = self.channels(self.foreign, self.other)

    def ask(self, verb: str, path: str, **given: Any) -> requests.Response:
        xsrf = {"X-XSRFToken": self.mine.cookies["_xsrf"]}
        request = requests.Request(verb, self.server.url, headers=xsrf, cookies=self.mine.cookies, **given).prepare()
        request.url = self.server.url + path  # as it is: `..` stays
        return self.mine.send(request, timeout=30, allow_redirects=False)

    def channels(
        self, kernel: str, session: requests.Session | None = None, protocols: Sequence[str] | None = None
    ) -> websocket.WebSocket:
        kept = (session or self.mine).cookies
        cookie = "; ".join(f"{name}={value}" for name, value in kept.items())
        address = f"{self.server.url.replace('http', 'ws')}/api/kernels/{kernel}/channels?session_id={uuid.uuid4().hex}"
        return websocket.create_connection(
            address, cookie=cookie, timeout=20, origin=self.server.url, subprotocols=protocols
        )


@pytest.fixture(scope="module")
def fence(viewer: ViewerServer, request: pytest.FixtureRequest) -> Iterator[Fence]:
    fence = Fence(viewer)
    yield fence
    fence.page.close()
    fence.other_page.close()
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nhostile: tried {fence.tried}, survived {fence.survived}")


def message(kind: str, content: dict[str, Any], channel: str = "shell") -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "x", "session": "x", "version": "5.4"}
    header["date"] = "2026-11-28T12:00:00Z"
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": channel,
        "buffers": [],
    }


def replies(socket: websocket.WebSocket, seconds: float) -> list[dict[str, Any]]:
    """What comes within that time; an info request at the end shows that all before it was seen."""
    found, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        socket.settimeout(max(0.05, deadline - time.monotonic()))
        try:
            raw = socket.recv()
        except websocket.WebSocketTimeoutException:
            break
        assert isinstance(raw, str)
        found.append(json.loads(raw))
    return found


def test_no_route_of_jupyter_s_server_is_there(fence: Fence) -> None:
    for path in [*jupyter_routes(), *OTHERS]:
        for kernel in (fence.kernel, fence.foreign) if "{kernel}" in path else ("",):
            address = path.replace("{kernel}", kernel)
            for verb in VERBS:
                fence.tried += 1
                body = (
                    {"name": "python3", "path": "/", "type": "notebook"} if verb in ("POST", "PUT", "PATCH") else None
                )
                reply = fence.ask(verb, address, json=body)
                allowed = verb == "GET" and address == f"/api/kernels/{fence.kernel}"
                assert allowed or reply.status_code in (400, 403, 404, 405), (verb, address, reply.status_code)
                assert not any(mark in reply.text for mark in (*MARKS, "root:")), (verb, address)
                fence.survived += 1
    assert fence.ask("GET", f"/api/kernels/{fence.foreign}").status_code == 403
    assert fence.other.get(f"{fence.server.url}/api/kernels/{fence.foreign}", timeout=9).status_code == 200, "it lives"


def test_every_route_of_ours_asks_who_it_is(fence: Fence) -> None:
    public = (
        "/login",
        "/(no-formulas",
        "/voila/static",
        "/voila/templates",
        "/voila/labextensions",
        "/voila/api/themes",
    )
    tokens = {"Authorization": f"token {fence.server.token}"}
    for path, _, _ in routes():
        if path.startswith(public):
            continue
        address = re.sub(r"\(\?P<kernel_id>.*\)", fence.kernel, path).replace("([a-z0-9_-]+)", "orders")
        address = address.replace("(.*)", "@jupyterlab/theme-dark-extension/index.css")
        for verb in ("GET", "POST"):
            for query, headers in (("", {}), (f"?token={fence.server.token}", {}), ("", tokens)):
                fence.tried += 1
                reply = requests.request(
                    verb, fence.server.url + address + query, headers=headers, timeout=20, allow_redirects=False
                )
                assert reply.status_code in (302, 403, 404, 405), (verb, address, query)
                assert reply.status_code != 302 or "/login" in reply.headers["Location"]
                fence.survived += 1


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "iopub", "hb", "x"])
def test_a_kernel_does_nothing_that_a_page_asks(fence: Fence, channel: str) -> None:
    socket = fence.channels(fence.kernel)
    code = {"code": "print('RAN' + '-IT', source_mark)", "silent": False, "store_history": True, "user_expressions": {}}
    for kind in TYPES:
        fence.tried += 1
        content = {**code, "cursor_pos": 5, "detail_level": 1, "hist_access_type": "tail", "n": 9, "raw": True}
        content |= {
            "output": True,
            "restart": False,
            "value": "x",
            "command": "evaluate",
            "arguments": {},
            "type": "request",
        }
        socket.send(json.dumps(message(kind, content, channel)))
        fence.survived += 1
    for target in ("jupyter.widget", "ipython.debugger", "dask", "x", None):
        fence.tried += 1
        socket.send(json.dumps(message("comm_open", {"comm_id": "x", "target_name": target, "data": {}}, channel)))
        fence.survived += 1
    for raw in ("", "[]", "null", "{}", '{"header": 3}', "x" * 1000, '{"header": {"msg_type": ["execute_request"]}}'):
        fence.tried += 1
        socket.send(raw)
        fence.survived += 1
    socket.send_binary(b"\0\0\0\x01\0\0")
    asked = message("kernel_info_request", {})
    socket.send(json.dumps(asked))
    seen = replies(socket, 4)
    socket.close()
    kinds = {
        one["header"]["msg_type"] for one in seen if one["parent_header"].get("msg_id") == asked["header"]["msg_id"]
    }
    assert "kernel_info_reply" in kinds, "it is still there"
    assert kinds <= {"kernel_info_reply", "status"}
    assert not any(mark in json.dumps(seen) for mark in (*MARKS, "RAN-IT"))


def test_another_s_kernel_is_not_reached(fence: Fence) -> None:
    for kernel in (fence.foreign, str(uuid.uuid4())):
        fence.tried += 2
        with pytest.raises(websocket.WebSocketBadStatusException):
            fence.channels(kernel)
        reply = fence.ask("POST", f"/voila/api/shutdown/{kernel}")
        assert reply.status_code == 404
        fence.survived += 2
    fence.tried += 1
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(
            f"{fence.server.url.replace('http', 'ws')}/api/kernels/{fence.kernel}/channels", timeout=20,
            cookie="; ".join(f"{k}={v}" for k, v in fence.mine.cookies.items()), origin="http://evil.example",
        )  # fmt: skip
    fence.survived += 1


def test_a_page_has_neither_source_nor_traceback(fence: Fence) -> None:
    fence.server.publish("fails", "# Fails", SLIDER, FAILS, "print('after')")
    for name in ("orders", "fails"):
        fence.tried += 1
        text = fence.mine.get(f"{fence.server.url}/d/{name}", timeout=120).text
        assert not any(mark in text for mark in (*MARKS, "ValueError", "OUTPUT-MARK", fence.server.token))
        assert ("could not be computed" in re.sub(r"\s+", " ", text)) == (name == "fails")
        fence.survived += 1


def test_while_a_page_is_made_its_kernel_does_not_say_what_it_runs(fence: Fence) -> None:
    fence.tried += 1
    fence.server.publish("slow", "import time; source_mark = 'SOURCE-' 'MARK'", "time.sleep(4)  # SOURCE-MARK", FAILS)
    with fence.mine.get(f"{fence.server.url}/d/slow", stream=True, timeout=120) as page:
        text = ""
        pieces = page.iter_content(65536, decode_unicode=True)  # kept: without it the connection is closed
        for piece in pieces:
            text = (text + piece)[-100_000:]
            if found := re.search(KERNEL, text):
                break
        assert found is not None
        socket = fence.channels(found[1])
        seen = json.dumps(replies(socket, 9))
        socket.close()
    assert '"status"' in seen
    assert "execute_input" not in seen
    assert not any(mark in seen for mark in MARKS)
    fence.survived += 1


def test_a_widget_s_failure_is_no_traceback(fence: Fence) -> None:
    fence.tried += 1
    socket = fence.channels(fence.kernel)
    socket.send(json.dumps(message("comm_info_request", {"target_name": "jupyter.widget"})))
    comms = next(
        one["content"]["comms"] for one in replies(socket, 4) if one["header"]["msg_type"] == "comm_info_reply"
    )
    for comm in comms:
        data = {"method": "update", "state": {"value": 9}, "buffer_paths": []}
        socket.send(json.dumps(message("comm_msg", {"comm_id": comm, "data": data})))
    seen = json.dumps(replies(socket, 5))
    socket.close()
    assert "comm_msg" in seen, "the widgets move"
    assert not any(mark in seen for mark in (*MARKS, "ValueError"))
    fence.survived += 1


@pytest.mark.parametrize(
    "query",
    [
        "top=0", "top=9", "top=3&top=4", "country=FR", "country=DE%27", "country=%3Cscript%3E", "token=x", "theme=blue",
        "theme=dark&theme=dark", "template=base", "x=1", "__import__=os", "top=3%0a", "voila=1", "top=%00",
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit_start_nothing(fence: Fence, query: str) -> None:
    fence.tried += 1
    before = fence.server.kernels()
    reply = fence.mine.get(f"{fence.server.url}/d/orders?{query}", timeout=20)
    assert reply.status_code == 400
    assert "<script>alert" not in reply.text
    assert "%3Cscript" not in reply.text
    assert "does not fit" in reply.text
    assert fence.server.kernels() == before
    fence.survived += 1
