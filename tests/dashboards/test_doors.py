"""What lets a viewer see topics, without a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.dashboards import Dashboards
from workbench.dashboards.access import Access
from workbench.runs import tickets
from workbench.runs.register import Engine
from workbench.server.viewer_live import ViewerDoor, ViewerHub
from workbench.server.viewer_rounds import Rounds

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, of which nothing here has need."""


@pytest.fixture
def dashboards(tmp_path: Path) -> Dashboards:
    return Dashboards(tmp_path / "documents")


@pytest.fixture
def rounds(dashboards: Dashboards, tmp_path: Path) -> Rounds:
    (tmp_path / "viewer").mkdir()
    return Rounds(Access(tmp_path / "viewer"), dashboards)


def topic(run: str) -> str:
    return f"runs/{run}/topology"


def test_a_viewer_that_asks_for_all_there_is_has_nobody_else_wait(
    dashboards: Dashboards, rounds: Rounds, write: Write
) -> None:
    page = dashboards.publish(write("shop.ipynb", "1")).page
    engine, gate = Engine(1, "127.0.0.1:1", "secret"), threading.Event()

    class Register:
        def engine(self, run: str) -> Engine:
            if run.startswith("a"):
                gate.wait(60)
            return engine

    async def main() -> None:
        hub = ViewerHub(Register(), rounds)  # type: ignore[arg-type]

        def door(viewer: str, run: str) -> ViewerDoor:
            handler: Any = SimpleNamespace(services=hub, viewer=viewer, still_in=lambda: True)
            return ViewerDoor(handler, {topic(run): tickets.ticket(engine, topic(run), page)})

        runs = [f"a{number:011d}" for number in range(300)]
        many = [asyncio.ensure_future(door("ada", run).why_not(topic(run))) for run in runs]
        for number in range(10):
            await asyncio.sleep(0)
            run = f"b{number:011d}"
            assert await door("bob", run).why_not(topic(run)) == ""
        assert not any(one.done() for one in many)
        gate.set()
        assert set(await asyncio.gather(*many)) == {""}

    asyncio.run(main())


def test_what_is_let_in_is_told_when_it_is_out(dashboards: Dashboards, rounds: Rounds, write: Write) -> None:
    woken: list[int] = []

    async def main() -> None:
        await rounds.look()
        end = rounds.listen(lambda: woken.append(rounds.number))
        await rounds.look()
        assert woken == []
        page = dashboards.publish(write("shop.ipynb", "1")).page
        await rounds.look()
        assert len(woken) == 1
        assert rounds.why_not(page) == ""
        again = dashboards.publish(write("shop.ipynb", "2")).page
        assert "newer" in rounds.why_not(page)  # whether it was looked or not
        assert rounds.why_not(again) == ""
        await rounds.look()
        dashboards.remove("shop")
        assert rounds.why_not(again) == "This dashboard is not published any more."
        await rounds.look()
        assert len(woken) == 3
        end()
        rounds._access.renew()
        number = rounds.number
        await rounds.look()
        assert (len(woken), rounds.number) == (3, number + 1)

    asyncio.run(main())


@pytest.mark.parametrize("page", ["", ".", "shop", "shop.", "..", "../shop.0", "shop.0\n", "SHOP.0", "a" * 5_000])
def test_what_names_no_page_is_none(dashboards: Dashboards, rounds: Rounds, write: Write, page: str) -> None:
    dashboards.publish(write("shop.ipynb", "1"))
    assert rounds.why_not(page)


def test_a_document_that_cannot_be_read_puts_nobody_out(
    dashboards: Dashboards, rounds: Rounds, write: Write, tmp_path: Path
) -> None:
    page = dashboards.publish(write("shop.ipynb", "1")).page
    [file] = (tmp_path / "documents" / "dashboards").iterdir()
    file.write_text("{")
    assert rounds.why_not(page) == ""
    assert not rounds.why_not("shop.anything")  # such a ticket was refused by its engine
