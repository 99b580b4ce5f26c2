"""Whose places a request takes: what may be slow takes none of those that a Stop needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from workbench.server.pool import Places
from workbench.server.services import Services

PLACES = {
    ("GET", "catalog/shop/tables"): "shop",
    ("GET", "catalog/shop/schemas"): "shop",
    ("GET", "catalog/shop/table?name=t"): "shop",
    ("GET", "catalog/shop/sample?name=t"): "shop",
    ("POST", "connections/shop/test"): "shop",
    ("GET", "results/aaaa"): "result aaaa",
    ("GET", "results/aaaa/page"): "result aaaa",
    ("GET", "results/aaaa/export"): "result aaaa",
    ("DELETE", "runs/aaaa"): "",
    ("GET", "runs"): "",
    ("GET", "connections"): "",
}


@pytest.mark.parametrize(("verb", "path"), PLACES)
async def test_places(verb: str, path: str, jp_fetch: Any, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, str]] = []
    run = services.pool.run

    async def noted(work: Callable[[], Any], source: str = "", begun: bool = False, among: Places = "sources") -> Any:
        taken.append((source, among))
        return await run(work, source, begun, among)

    monkeypatch.setattr(services.pool, "run", noted)
    path, _, query = path.partition("?")
    params = dict([query.split("=")]) if query else {}
    try:
        body = "{}" if verb == "POST" else None
        headers = {"Content-Type": "application/json"}
        await jp_fetch("workbench", "api", *path.split("/"), method=verb, params=params, body=body, headers=headers)
    except HTTPClientError as error:
        assert error.code == 404  # noqa: PT017 - there is no such thing, and for some of them that is an answer
    source = PLACES[verb, path + ("?" + query if query else "")]
    assert taken == [(source, "results" if source.startswith("result ") else "sources")]
