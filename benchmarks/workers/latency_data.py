"""Events at a pace, the same for every side; the standard library only."""

import random
import time

from streams_data import digest

RATE = 1000


def pages(seconds):
    chance = random.Random(2)
    return [f"/p/{chance.randrange(200):03d}" for _ in range(RATE * seconds)]


class Clock:
    """When each event is due, from the first time that it is asked. A side that is late with one event has every later
    one wait, and its latency counts from when it was due, not from when it was taken."""

    def __init__(self):
        self._began = None

    def due(self, number):
        if self._began is None:
            self._began = time.perf_counter() + 0.01
        return self._began + number / RATE

    def sleep_until(self, number):
        left = self.due(number) - time.perf_counter()
        if left > 0:
            time.sleep(left)


class Counted:
    """What is counted, and how long after it was due."""

    def __init__(self):
        self.counts, self.late = {}, []

    def add(self, page, due):
        self.counts[page] = self.counts.get(page, 0) + 1
        self.late.append(time.perf_counter() - due)


def check(counted):
    late = sorted(counted.late)
    return {
        "counts": digest(counted.counts),
        "p50": late[len(late) // 2] * 1e3,
        "p99": late[len(late) * 99 // 100] * 1e3,
        "worst": late[-1] * 1e3,
    }
