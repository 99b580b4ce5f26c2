"""What do two hundred people cost who look at one topology, beside a kernel for each of them?

Ours: a Jupyter server with the hub, one engine in a process of its own that tells of 20 events a second (ten points of
three lines, and a number), and 200 viewers with a WebSocket each; CPU is that of the server and the engine. The peer is
the way of Voila: a kernel for each viewer, which sends the same frames by its comm through the same kind of server; CPU
is that of the server and the kernels. Both by update and viewer. Then 20 viewers more who never read.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests
import websocket

from benchmarks.harness import HERE, arguments, figure
from benchmarks.lab_start import heard, send
from tests.browser.jupyter import WORKBENCH_LAB, JupyterServer, isolated
from tests.services.process import cpu_seconds

HZ = 20
KERNEL = """import comm, json, math, threading, time, ipywidgets
link = comm.create_comm(target_name="frames")
def push():
    due, number = time.perf_counter(), 0
    while True:
        due, number = due + 1 / 20, number + 1
        time.sleep(max(0, due - time.perf_counter()))
        sent = 1000 * time.time()
        ats = [math.floor(sent) + point * 5 for point in range(10)]
        points = [[at, *(2 + math.sin(at / 500 + line) for line in range(3))] for at in ats]
        append = {"points/0": points, "points/1": [[float(number), sent]]}
        link.send({"topic": "t", "number": number, "append": append})
threading.Thread(target=push, daemon=True).start()
print("ready", 6 * 7)"""


def rss(process: int) -> float:
    """MB of its own memory, and of what it shares its part."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return int(text.partition("Pss:")[2].split()[0]) / 1e3


def children(process: int) -> list[int]:
    """All processes below it."""
    found = [int(one) for path in Path(f"/proc/{process}/task").glob("*/children") for one in path.read_text().split()]
    return [*found, *(below for one in found for below in children(one))]


@contextlib.contextmanager
def worker(script: str, *words: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.workers.{script}", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=HERE.parent,
    )  # fmt: skip
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(30)


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def watched(address: str, topic: str, viewers: int, seconds: float, processes: list[int]) -> tuple[Any, float, float]:
    """What the viewers saw, CPU seconds of the processes meanwhile, and MB of the first of them at the end."""
    with worker("live_clients", address, topic, str(viewers), str(seconds)) as clients:
        assert line(clients).strip() == "go"
        before = sum(map(cpu_seconds, processes))
        said = json.loads(line(clients))
        used = sum(map(cpu_seconds, processes)) - before
        return said, used, rss(processes[0])


def ours(folder: Path, viewers: int, seconds: float, deaf: int) -> dict[str, Any]:
    server = JupyterServer(folder, (sys.executable, *WORKBENCH_LAB.split()))
    with ExitStack() as stack:
        stack.callback(server.close)
        engine = stack.enter_context(worker("live_engine", environment=os.environ | isolated(folder)))
        topic = json.loads(line(engine))["topic"]
        address = f"{server.url.replace('http', 'ws')}/workbench/api/live?token={server.token}"
        processes = [server._process.pid, engine.pid]
        one, _, alone = watched(address, topic, 1, 3, processes)
        all_of_them, used, full = watched(address, topic, viewers, seconds, processes)
        links = [websocket.create_connection(address, timeout=20) for _ in range(deaf)]
        for link in links:
            stack.callback(link.close)
            link.send(json.dumps({"subscribe": topic}))
        beside, with_deaf, fuller = watched(address, topic, viewers, seconds, processes)
        return {
            "one": one, "all": all_of_them, "cpu": used, "rss": (full - alone) / (viewers - 1),
            "beside": beside, "beside_cpu": with_deaf, "beside_rss": fuller - full,
        }  # fmt: skip


def kernels(folder: Path, count: int, seconds: float) -> dict[str, float]:
    server = JupyterServer(folder)
    sent = {"Authorization": f"token {server.token}"}
    frames = [0] * count
    over = threading.Event()

    def read(link: websocket.WebSocket, number: int) -> None:
        while not over.is_set():
            with contextlib.suppress(websocket.WebSocketException, OSError):
                frames[number] += b"comm_msg" in link.recv_data(control_frame=True)[1]

    with ExitStack() as stack:
        stack.callback(server.close)
        stack.callback(over.set)
        for number in range(count):
            kernel = requests.post(f"{server.url}/api/kernels", headers=sent, timeout=60).json()["id"]
            address = f"{server.url.replace('http', 'ws')}/api/kernels/{kernel}/channels?token={server.token}"
            link = websocket.create_connection(address, timeout=60)
            send(link, "kernel_info_request", {})
            heard(link, "kernel_info_reply")
            send(
                link, "execute_request", {"code": KERNEL, "silent": False, "store_history": False, "allow_stdin": False}
            )
            heard(link, "ready 42")
            threading.Thread(target=read, args=(link, number), daemon=True).start()
        time.sleep(2)
        processes = [server._process.pid, *children(server._process.pid)]
        before, begun = sum(map(cpu_seconds, processes)), sum(frames)
        time.sleep(seconds)
        used = sum(map(cpu_seconds, processes)) - before
        memory = sum(map(rss, processes[1:])) / count
        return {"cpu": used / (sum(frames) - begun), "rss": memory}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--viewers", type=int, default=200)
    options = parser.parse_args()
    seconds, count = (6.0, 3) if options.quick else (20.0, 6)
    with tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True) as name:
        (Path(name) / "ours").mkdir()
        (Path(name) / "kernels").mkdir()
        found = ours(Path(name) / "ours", options.viewers, seconds, 20)
        peer = kernels(Path(name) / "kernels", count, seconds)
    viewed, beside = found["all"], found["beside"]
    print(f"one viewer: {found['one']}\n{options.viewers} viewers: {viewed}\nbeside 20 who never read: {beside}")
    each = 1000 * found["cpu"] / viewed["frames"]
    figure("live_viewers_cpu_vs_kernels", each, "ms of CPU an update and viewer", 1000 * peer["cpu"])
    figure("live_viewers_memory_vs_kernels", found["rss"], "MB a viewer", peer["rss"])
    figure("live_viewers_late_p50", viewed["p50"], "ms from the event to the viewer's socket")
    figure("live_viewers_late_p99", viewed["p99"], "ms from the event to the viewer's socket")
    figure("live_viewers_lost", viewed["lost"] + beside["lost"], "numbers that are missing")
    figure("live_viewers_updates", viewed["fewest"] / seconds, "updates a second of the viewer who got the fewest")
    figure("live_viewers_updates_beside_slow", beside["fewest"] / seconds, "updates a second, beside 20 who never read")
    figure("live_viewers_late_p99_beside_slow", beside["p99"], "ms, beside 20 who never read", viewed["p99"])
    figure("live_viewers_memory_of_slow", found["beside_rss"] / 20, "MB of the server for each who never reads")


if __name__ == "__main__":
    main()
