"""How long one waits for brokers that do not answer: librdkafka itself would wait for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench_kafka.clients import Clients
    from workbench_kafka.faults import Said

__all__ = ["Patience"]


class Patience:
    """`heard` after each look. Raises ConnectionLost, AuthenticationFailed when no broker was reached for the
    connection's `connect_timeout`."""

    def __init__(self, clients: Clients, said: Said, clock: Callable[[], float] = time.monotonic) -> None:
        self._clients, self._said, self._clock = clients, said, clock
        self._since: float | None = None

    def heard(self, something: bool) -> None:
        if something:
            self._said.heard()
        if not self._said.down:
            self._since = None
            return
        if self._since is None:
            self._since = self._clock()
        if self._said.refusal is not None or self._clock() - self._since > self._clients.seconds:
            raise self._clients.faults.lost(self._said)
