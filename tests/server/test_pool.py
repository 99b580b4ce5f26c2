"""Calls in threads: bounded, fair between sources, and never a reason for the server not to end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from workbench.server.pool import Busy, Places, Pool


async def until(probe: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not probe():
            await asyncio.sleep(0.005)


class Hanging:
    """Calls that wait until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.inside = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.inside += 1
        self.go.wait(10)
        with self._lock:
            self.inside -= 1
        return "done"


def test_a_source_that_hangs_holds_up_itself_alone() -> None:
    async def main() -> None:
        pool, hanging = Pool(sources=6, per_source=2), Hanging()
        stuck = [asyncio.ensure_future(pool.run(hanging, "shop")) for _ in range(5)]
        await until(lambda: hanging.inside == 2)
        assert await asyncio.wait_for(pool.run(lambda: 7, "lake"), 2) == 7
        assert hanging.inside == 2
        hanging.go.set()
        assert await asyncio.gather(*stuck) == ["done"] * 5
        assert not pool._sources

    asyncio.run(main())


def test_sources_that_all_hang_hold_up_nothing_of_our_own() -> None:
    async def main() -> None:
        pool, hanging = Pool(sources=4, per_source=2), Hanging()
        stuck = [asyncio.ensure_future(pool.run(hanging, f"c{number}")) for number in range(8)]
        await until(lambda: hanging.inside == 4)
        assert await asyncio.wait_for(pool.run(lambda: "stopped"), 2) == "stopped"
        hanging.go.set()
        await asyncio.gather(*stuck)

    asyncio.run(main())


@pytest.mark.parametrize("among", ["stops", "results", "work"])
def test_sources_that_all_hang_hold_up_no_stop_and_no_result(among: Places) -> None:
    async def main() -> None:
        pool, hanging = Pool(sources=4, per_source=2), Hanging()
        stuck = [asyncio.ensure_future(pool.run(hanging, f"c{number}")) for number in range(8)]
        await until(lambda: hanging.inside == 4)
        assert await asyncio.wait_for(pool.run(lambda: 7, "one of them", among=among), 2) == 7
        hanging.go.set()
        await asyncio.gather(*stuck)

    asyncio.run(main())


def test_more_than_may_wait_is_refused() -> None:
    async def main() -> None:
        pool, hanging = Pool(sources=1, waiting=2), Hanging()
        stuck = [asyncio.ensure_future(pool.run(hanging, "shop")) for _ in range(3)]
        await until(lambda: hanging.inside == 1)
        with pytest.raises(Busy):
            await pool.run(hanging, "shop")
        others = [asyncio.ensure_future(pool.run(lambda: "done", "lake")) for _ in range(2)]  # is not full
        begun = asyncio.ensure_future(pool.run(lambda: "done", "shop", begun=True))
        await asyncio.sleep(0)
        hanging.go.set()
        assert await asyncio.gather(*stuck, *others, begun) == ["done"] * 6
        assert not pool._waiting

    asyncio.run(main())


def test_who_goes_away_leaves_the_place_taken_until_the_call_ends() -> None:
    async def main() -> None:
        pool, hanging = Pool(sources=1), Hanging()
        gone = asyncio.ensure_future(pool.run(hanging, "shop"))
        await until(lambda: hanging.inside == 1)
        gone.cancel()
        waiting = asyncio.ensure_future(pool.run(lambda: 1, "shop"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        waiting.cancel()  # gives its turn back
        hanging.go.set()
        assert await asyncio.wait_for(pool.run(lambda: 2, "shop"), 2) == 2

    asyncio.run(main())


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration()])
def test_what_a_call_raises_is_raised(error: Exception) -> None:
    def fails() -> None:
        raise error

    async def main() -> None:
        with pytest.raises((ValueError, RuntimeError)):
            await Pool().run(fails)

    asyncio.run(main())


def test_a_call_that_never_ends_does_not_keep_the_process() -> None:
    code = (
        "import asyncio, time\n"
        "from workbench.server.pool import Pool\n"
        "async def main():\n"
        "    task = asyncio.ensure_future(Pool().run(lambda: time.sleep(60), 'shop'))\n"
        "    await asyncio.sleep(0.2)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert time.monotonic() - started < 20
