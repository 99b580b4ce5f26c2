"""A small cache with a time to live."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Cache"]

T = TypeVar("T")


class Cache:
    """At most `size` values, each for `seconds`. The clock is passed in. Thread-safe; nothing is computed under the
    lock, so two threads that miss at once both compute."""

    def __init__(self, seconds: float, size: int, clock: Callable[[], float]) -> None:
        self._seconds, self._size, self._clock = seconds, size, clock
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def held(self, key: tuple[Hashable, ...]) -> Any | None:
        """What is there now, if it is not too old."""
        with self._lock:
            held = self._values.get(key)
            if held is None or self._clock() - held[0] >= self._seconds:
                return None
            self._values.move_to_end(key)
            return held[1]

    def get(self, key: tuple[Hashable, ...], compute: Callable[[], T]) -> T:
        value: T
        if (there := self.held(key)) is not None:
            value = there
            return value
        asked = self._clock()
        value = compute()
        with self._lock:
            self._values[key] = (asked, value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value

    def drop(self, first: Hashable | None = None) -> None:
        """Forgets all, or what has `first` at the front of its key."""
        with self._lock:
            for key in list(self._values):
                if first is None or (isinstance(key, tuple) and key[0] == first):
                    del self._values[key]
