"""Answers that break off, and askers that leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tornado.simple_httpclient import HTTPStreamClosedError

from tests.server.test_pool import Hanging, until
from tests.server.test_results import Share, fetch, share
from workbench.execution.shared import Paths
from workbench.query import exporting
from workbench.server import handlers
from workbench.server.pool import PER_SOURCE
from workbench.server.services import Services

__all__ = ["fetch", "share"]


async def test_a_download_that_fails_midway_is_no_whole_file(
    fetch: Callable[..., Any], share: Share, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = share(pa.table({"text": ["x" * 1_000_000] * 6}))
    rows = Paths(home / "results", result).rows
    with open(rows, "r+b") as file:
        file.seek(int(rows.stat().st_size * 0.67))
        file.seek(-(1 << 20), 1)
        file.write(b"\xff" * (2 << 20))  # the last of three batches, its description too
    with pytest.raises(HTTPStreamClosedError):
        await fetch(result, "export", format="csv")
    assert "failed midway: " in caplog.text
    assert "is damaged" in caplog.text


async def test_a_piece_that_takes_too_long_ends_the_download(
    fetch: Callable[..., Any], share: Share, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go, closed = threading.Event(), threading.Event()

    def encoded(*_: object) -> Iterator[bytes]:
        try:
            yield b"first"
            go.wait(10)
            yield b"second"
        finally:
            closed.set()

    monkeypatch.setattr(exporting, "encoded", encoded)
    monkeypatch.setattr(handlers, "SECONDS", 0.2)
    with pytest.raises(HTTPStreamClosedError):
        await fetch(share(pa.table({"n": [1]})), "export", format="csv")
    assert "The answer took longer than" in caplog.text
    assert not closed.is_set()
    go.set()
    await until(closed.is_set)


async def test_who_leaves_does_not_wait(
    services: Services, fetch: Callable[..., Any], share: Share, jp_auth_header: dict[str, str], jp_http_port: int
) -> None:
    result, hanging = share(pa.table({"n": [1]})), Hanging()
    source = f"result {result}"
    stuck = [asyncio.ensure_future(services.blocking(hanging, source)) for _ in range(PER_SOURCE)]
    await until(lambda: hanging.inside == PER_SOURCE)
    head = "".join(f"{name}: {value}\r\n" for name, value in jp_auth_header.items())
    _, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
    writer.write(f"GET /a%40b/workbench/api/results/{result}/page HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
    await until(lambda: services.pool._waiting == {source: 1})
    writer.close()
    await until(lambda: not services.pool._waiting)
    hanging.go.set()
    await asyncio.gather(*stuck)
    assert (await fetch(result, "page")).code == 200
