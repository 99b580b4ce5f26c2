"""Events that go on: visits of now, one event after the other, for whatever follows a file."""

from __future__ import annotations

import datetime
import heapq
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.demo.shape import CATEGORIES, CHANNELS, COUNTRIES, DEVICES, Shape
from workbench.demo.sql import weighted

__all__ = ["Live", "append"]

_STEPS = {
    "session_start": [("page_view", 1.0)],
    "page_view": [("scroll", 0.35), ("view_item", 0.35), ("search", 0.08), ("", 0.22)],
    "scroll": [("page_view", 0.45), ("view_item", 0.15), ("", 0.4)],
    "search": [("view_item", 0.7), ("page_view", 0.1), ("", 0.2)],
    "view_item": [("page_view", 0.3), ("view_item", 0.2), ("add_to_cart", 0.16), ("", 0.34)],
    "add_to_cart": [("begin_checkout", 0.55), ("page_view", 0.25), ("", 0.2)],
    "begin_checkout": [("purchase", 0.6), ("", 0.4)],
    "purchase": [("page_view", 0.2), ("", 0.8)],
}


class Live:
    """Decides which event is next, and when. Time is passed in as seconds since 1970 and only compared, so the same
    seed and start give the same events however fast they are taken.

    `rate` is in events a second. Orders are numbered from `first_order`.
    """

    def __init__(self, start: float, rate: float = 10.0, seed: int = 7, first_order: int = 10_000_000) -> None:
        self._random = random.Random(seed)
        self._shape = Shape()
        self._gap = 1.0 / rate
        self._now = start
        self._number = 0
        self._order = first_order
        self._visits: list[tuple[float, int, dict[str, Any]]] = []

    def next(self) -> tuple[float, dict[str, Any]]:
        """The time at which the next event is due, and the event, with the columns of `web.events`."""
        self._now += self._random.expovariate(1.0) * self._gap
        # Half of the moments go to a visit that is under way and due, if there is one.
        if self._visits and self._visits[0][0] <= self._now and self._random.random() < 0.85:
            _, _, visit = heapq.heappop(self._visits)
        else:
            visit = self._visit()
        self._number += 1
        event = self._event(visit)
        after = self._choose(_STEPS[visit["step"]])
        if after:
            visit["step"] = after
            heapq.heappush(self._visits, (self._now + self._random.uniform(1, 20), self._number, visit))
        return self._now, event

    def _choose(self, options: list[tuple[str, float]]) -> str:
        return self._random.choices([word for word, _ in options], [weight for _, weight in options])[0]

    def _visit(self) -> dict[str, Any]:
        choose = self._random
        source, medium, campaign, referrer, _ = choose.choices(CHANNELS, [one[-1] for one in CHANNELS])[0]
        client = choose.randrange(4_000_000, 4_000_000 + self._shape.clients)
        return {
            "step": "session_start",
            "user_id": choose.randint(1, self._shape.customers) if choose.random() < 0.3 else None,
            "client_id": f"{1_000_000_000 + client * 7919 % 1_000_000_000}.{client}",
            "session_id": int(self._now),
            "source": source, "medium": medium, "campaign": campaign, "referrer": referrer,
            "device": choose.choice(weighted(DEVICES)), "country": choose.choice(weighted(COUNTRIES)),
            "item_id": None,
        }  # fmt: skip

    def _event(self, visit: dict[str, Any]) -> dict[str, Any]:
        step, choose = visit["step"], self._random
        if step == "view_item":
            visit["item_id"] = 1 + int(self._shape.items * choose.random() ** 2.2)
        item = visit["item_id"] if step in ("view_item", "add_to_cart", "begin_checkout", "purchase") else None
        order = None
        if step == "purchase":
            self._order, order = self._order + 1, self._order
            visit["user_id"] = visit["user_id"] or choose.randint(1, self._shape.customers)
        page = {
            "search": f"/search?q={choose.choice(CATEGORIES)}", "begin_checkout": "/checkout", "purchase": "/thanks",
            "session_start": "/", "page_view": f"/c/{choose.choice(CATEGORIES)}", "scroll": "/",
        }.get(step, f"/item/{item}")  # fmt: skip
        moment = datetime.datetime.fromtimestamp(self._now, datetime.UTC).replace(tzinfo=None)
        return {
            "event_id": 1_000_000_000 + self._number,
            "ts": moment.isoformat(sep=" ", timespec="microseconds"),
            "event_name": step,
            "user_id": visit["user_id"], "client_id": visit["client_id"], "session_id": visit["session_id"],
            "source": visit["source"], "medium": visit["medium"], "campaign": visit["campaign"],
            "device": visit["device"], "country": visit["country"], "page": page,
            "referrer": visit["referrer"] if step == "session_start" else None,
            "item_id": item, "order_id": order,
            "value": round(4.99 + (item or 0) * 7 % 85, 2) if item else None,
        }  # fmt: skip


def append(
    path: Path, live: Live, *, clock: Callable[[], float], wait: Callable[[float], bool], limit: int | None = None
) -> Iterator[int]:
    """Appends events to a JSON-lines file as they fall due; yields how many there are so far.

    `wait(seconds)` waits and says whether to stop. Lines of one moment go out in one write, so that who follows the
    file sees whole lines.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        done = 0
        due, event = live.next()
        while limit is None or done < limit:
            lines: list[str] = []
            while due <= clock() and len(lines) < 10_000 and (limit is None or done + len(lines) < limit):
                lines.append(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
                due, event = live.next()
            if lines:
                _write_all(descriptor, ("\n".join(lines) + "\n").encode())
                done += len(lines)
                yield done
            if wait(max(0.0, min(due - clock(), 1.0))):
                return
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
