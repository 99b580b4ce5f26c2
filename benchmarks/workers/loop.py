"""The worker's side of the harness: one task a line in, one measured answer a line out. The standard library only, for
it runs in peers' environments too."""

import json
import sys
import time


def serve(do, check=lambda result: result):
    """`do(task)` is measured; `check(result)` makes the answer that is compared, and is not."""
    for line in sys.stdin:
        task = json.loads(line)
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            result = do(task)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            reply = {"cpu": cpu, "wall": wall, "answer": check(result)}
            del result  # else the next one is made beside it
        except BaseException as error:  # noqa: BLE001 (connectorx raises outside of Exception)
            reply = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(reply, default=str), flush=True)
