"""A real Jupyter server with the extension, in a process of its own, asked over plain HTTP."""

from __future__ import annotations

import http.client
import json
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.browser.jupyter import isolated
from tests.services.process import Process, free_port

BASE = "a%40b"  # a sign that is quoted, so that an address which was put together by hand is found out
API = f"/{BASE}/workbench/api"
COMMAND = (
    "-m jupyter_server --allow-root --no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 "
    "--ServerApp.root_dir={root} --ServerApp.log_level=DEBUG --ServerApp.base_url=/a%40b/"
)


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def ok(self) -> Any:
        """The body of a reply that must be a good one."""
        assert 200 <= self.status < 300, (self.status, self.body)
        return self.json if self.body else None


class Served:
    """`ask` sends one request, with the token in its header unless `headers` are given whole."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """`options` are Jupyter's own; `environment` is added to what the server sees."""
        self.folder, self.port, self.token = folder, free_port(), secrets.token_hex(16)
        self.home = folder / "workbench"
        (folder / "root").mkdir()
        words = [word.format(port=self.port, root=folder / "root") for word in COMMAND.split()]
        # Not among the words, for Jupyter's log shows those.
        whole = {**isolated(folder), "JUPYTER_TOKEN": self.token, **(environment or {})}
        self._process = Process("jupyter", [sys.executable, *words, *options], folder, environment=whole)
        try:
            self._process.wait_ready(lambda: self.ask("GET", "/connectors").ok(), timeout=60)
        except BaseException:
            self.close()
            raise
        self._lock = threading.Lock()
        self._cookies: dict[str, str] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.alive()

    def log(self) -> str:
        return self._process.log.read_text()

    def ask(
        self,
        verb: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        query: Mapping[str, object] | None = None,
        timeout: float = 30,
    ) -> Reply:
        """`path` follows `/workbench/api`; one that starts with `//` is taken as the whole address. `raw` is a body
        as it is; `body` is made JSON. `headers` replace the usual ones."""
        whole = path[1:] if path.startswith("//") else API + path
        whole += f"?{urlencode(query)}" if query else ""
        sent = dict({"Authorization": f"token {self.token}"} if headers is None else headers)
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        if raw is not None and headers is None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(verb, whole, raw, sent)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def cookies(self) -> dict[str, str]:
        """Those of a browser that has logged in, `_xsrf` with them."""
        with self._lock:
            if not self._cookies:
                self._keep(self.ask("GET", f"//{BASE}/login", headers={}))
                form = urlencode({"password": self.token, "_xsrf": self._cookies["_xsrf"]}).encode()
                headers = self._cookie_header() | {"Content-Type": "application/x-www-form-urlencoded"}
                self._keep(self.ask("POST", f"//{BASE}/login", raw=form, headers=headers))
            return dict(self._cookies)

    def _keep(self, reply: Reply) -> None:
        assert reply.status in (200, 302), reply.body
        for line in reply.headers.get_all("Set-Cookie", []):
            name, _, value = line.split(";")[0].partition("=")
            self._cookies[name] = value

    def _cookie_header(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}

    def browser(self, **more: str) -> dict[str, str]:
        """Headers of a page of this server; `more` with `_` for `-`."""
        cookies = self.cookies()
        sent = {
            **self._cookie_header(),
            "X-XSRFToken": cookies["_xsrf"],
            "Content-Type": "application/json",
            "Origin": f"http://127.0.0.1:{self.port}",
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "cors",
        }
        return {**sent, **{name.replace("_", "-"): value for name, value in more.items()}}

    def close(self) -> None:
        self._process.stop()


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    server = Served(folder)
    try:
        yield server
    finally:
        server.close()


def part(text: str) -> str:
    """A part of a path."""
    return quote(text, safe="")
