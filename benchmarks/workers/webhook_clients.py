"""Clients that post as fast as they are answered, each over a connection of its own:
`python -m benchmarks.workers.webhook_clients <port> <seconds> <clients> <rows>`; the key is `HOOK_KEY`.

Says, as JSON, how many rows were answered with 202, and the median milliseconds of an answer.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import sys
import threading
import time


def main(port: int, seconds: float, clients: int, rows: int) -> None:
    body = json.dumps([{"n": number} for number in range(rows)])
    known, until = {"Authorization": f"Bearer {os.environ['HOOK_KEY']}"}, time.perf_counter() + seconds
    answered: list[float] = []

    def post() -> None:
        link = http.client.HTTPConnection("127.0.0.1", port)
        while (began := time.perf_counter()) < until:
            link.request("POST", "/", body, known)
            answer = link.getresponse()
            answer.read()
            assert answer.status == 202, answer.status
            answered.append(time.perf_counter() - began)
        link.close()

    threads = [threading.Thread(target=post) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"rows": len(answered) * rows, "p50": statistics.median(answered) * 1e3}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
