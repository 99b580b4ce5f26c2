"""A cluster on this machine, as a process of its own: a scheduler, and workers that are its children.

`python -P -m workbench.execution.cluster_child` reads one line of JSON (`workers`, `threads`, `memory`, `parent`) and
writes one with where it is and the certificates to get in by. It ends, and its workers with it, when its stdin does, or
when the process `parent` that started it is gone: whoever was forked from that one holds its end of the pipe, too.

It listens on loopback alone, and only talks to who has its certificate: whoever reaches a scheduler runs code in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from collections import Counter
from typing import Any

__all__ = ["main"]

CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.tick.limit": "10s",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.deploy.lost-worker-timeout": "300s",
}
"""Dask looks after itself many times a second in each process; beside a notebook that cost a tenth of a core. And it
gives a worker up that does not come up again within 15 s, which a slow machine needs."""
LOOKING_SECONDS, LOOKS = 1.0, 3
"""So often workers are looked at, and so many times one is found dead in a row before it is started again: Dask's own
restart comes first."""


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    said, sys.stdout = sys.stdout, sys.stderr  # nobody else may write there
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # for modules of the notebook's folder that are sent by name; after all others
    asyncio.run(_serve(asked, said))


async def _serve(asked: dict[str, Any], said: Any) -> None:
    import dask
    from distributed import LocalCluster, Security

    dask.config.set(CALM)
    security = Security.temporary()  # requires encryption
    cluster = LocalCluster(
        n_workers=int(asked["workers"]),
        threads_per_worker=int(asked["threads"]),
        memory_limit=asked["memory"],
        processes=True,
        host="tls://127.0.0.1",
        security=security,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None,
        asynchronous=True,
        silence_logs=40,
    )
    async with cluster:
        client = security.get_tls_config_for_role("client")
        told = {
            "address": cluster.scheduler_address,
            "dashboard": cluster.dashboard_link,
            "ca": client["ca_file"],
            "cert": client["cert"],
            "key": client["key"],
        }
        said.write(json.dumps(told) + "\n")
        said.flush()
        keeping = asyncio.create_task(_keep(cluster, int(asked["workers"])))
        await _left(int(asked["parent"]))
        keeping.cancel()


async def _left(parent: int) -> None:
    """Returns when stdin ends, or the parent does."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def read() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            """Nothing more is asked."""
        with contextlib.suppress(RuntimeError):  # it has ended otherwise
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=read, daemon=True, name="workbench-stdin").start()
    while not over.is_set() and (sys.platform == "win32" or os.getppid() == parent):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), LOOKING_SECONDS)


async def _keep(cluster: Any, workers: int) -> None:
    """Starts workers again that Dask takes for started: one that a task ends in the moment in which it comes up."""
    from distributed.core import Status

    dead: Counter[object] = Counter()
    while True:
        await asyncio.sleep(LOOKING_SECONDS)
        if len(cluster.workers) < workers:
            cluster.scale(workers)  # those that were given up
        for name, nanny in list(cluster.workers.items()):
            dead[name] = 0 if nanny.is_alive() else dead[name] + 1
            if dead[name] < LOOKS:
                continue
            dead[name] = 0
            with contextlib.suppress(Exception):  # it is looked at again
                if nanny.status in (Status.closed, Status.failed):
                    cluster.workers.pop(name, None)
                    cluster.scale(workers)
                else:
                    await nanny.instantiate()


if __name__ == "__main__":
    main()
