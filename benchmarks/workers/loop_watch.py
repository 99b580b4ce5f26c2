"""A Jupyter server extension that writes down how late the event loop is: a line a tick, its time and delay in s."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

TICK = 0.005


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "benchmarks.workers.loop_watch"}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.io_loop.add_callback(_watch)


async def _watch() -> None:
    loop = asyncio.get_running_loop()
    with open(os.environ["LOOP_WATCH"], "a", buffering=1) as file:
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            file.write(f"{time.time():.6f} {loop.time() - due:.6f}\n")
