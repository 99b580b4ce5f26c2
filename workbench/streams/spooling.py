"""Spouts that only listen keep what has come in a spool until it is done, so that it outlives their process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from workbench.contract.errors import PositionLost
from workbench.streams.component import Collector, Context
from workbench.streams.depot import Depot
from workbench.streams.receiving import Coming, Receiving, whole
from workbench.streams.spool_folders import claimed, damaged, folder_of, released

__all__ = ["MOST_SPOOL", "Spooled"]

MOST_SPOOL = 1 << 30
"""Bytes on the disk, where nothing else is said."""
LEAST_SPOOL = 1 << 20


class Spooled(Receiving):
    """What its spouts share: they say what they listen to (`address`), hand on what comes by `hand_on` or `_depot`, and
    make rows of it again by `unpack`. With `durable` senders are told that it is kept, so it is on the disk by then."""

    durable = False
    _depot: Depot | None = None
    _given = 0

    def _kept(self, spool: int, queue: int | None) -> None:
        """To be called when it is made: `spool` bytes, 0: none, and how many rows may wait, None: 1,000 without a spool
        and any number with one. Raises InvalidParameter."""
        self.spool = whole(spool, "spool", 0, 1 << 40) and whole(spool, "spool", LEAST_SPOOL, 1 << 40)
        least = Receiving.queue if not spool else 0
        self.queue = least if queue is None else whole(queue, "queue", 1, 1_000_000)
        self.replays = bool(spool)

    def address(self) -> str:
        raise NotImplementedError

    def unpack(self, body: bytes) -> Sequence[Any]:
        """Raises Unreadable."""
        raise NotImplementedError

    def go_on_behind(self, newest: bytes | None, note: bytes) -> None:
        """An earlier run has kept this message last; it is None where `note` says more."""

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        self._state = str(config.get("state_file", ""))
        try:
            super().open(config, context, collector)
        except BaseException:
            if self._depot is not None:
                self._depot.spool.close()
                released(self._depot.spool.folder, self._lock, remove=False)
            raise

    def _queued(self) -> Coming:
        if not self.spool:
            return super()._queued()
        topology, name, log = self.context.topology, self.context.component, self.collector.log
        source = hashlib.sha256(f"{type(self).__name__} {self.address()}".encode()).digest()[:16]
        store, self._lock = claimed(
            topology,
            folder_of(topology, name, self._state),
            source,
            self.spool,
            alone=bool(self._state),
            durable=self.durable,
            log=log,
        )
        self._depot = Depot(
            store, self.unpack, self.queue or None, self.durable, log, lambda error: damaged(topology, error)
        )
        self._given = store.begin
        self.go_on_behind(store.newest, store.note)
        if store.left and not self._state:
            log(f"{store.left:,} rows in its spool were accepted before and are not done: they come first.")
        return self._depot

    def rows(self) -> Iterator[Any]:
        if self._depot is None:
            yield from super().rows()
            return
        for taken in super().rows():
            if taken is None:
                yield None
                continue
            number, values = taken
            self._given = number + 1
            if self._tracked:
                self._replay.last = number  # so that its message id is the next one
            yield values
            if not self._tracked:
                self.settled((number + 1,), True)

    def hand_on(self, rows: Sequence[Any], size: int, body: bytes, note: bytes = b"") -> bool:
        """As `give`; `body` is what `unpack` makes these rows of. False: nobody takes any more."""
        if self._depot is None:
            return self.give(rows, size)
        self.came(size)
        return self._depot.keep(body, len(rows), note)

    # --- what is done

    def settled(self, message_ids: Sequence[int], acked: bool) -> None:
        """They are acked, or given up."""
        if self._depot is not None and not self._state:
            for begin, end in _ranges(message_ids):
                self._depot.done(begin - 1, end - 1)

    def ack(self, message_id: Any) -> None:
        super().ack(message_id)
        self.settled((message_id,), True)

    def ack_each(self, message_ids: Sequence[Any]) -> None:
        self._replay.acked_each(message_ids)
        self.settled(message_ids, True)

    def fail(self, message_id: Any) -> None:
        super().fail(message_id)
        if message_id not in self._replay.kept:
            self.settled((message_id,), False)

    def _acked_place(self) -> Any:
        """A new instance finds what is not done in the spool."""
        return None

    # --- in a run with state

    def position(self) -> Any:
        assert self._depot is not None
        self._depot.sync()
        return (self._depot.spool.id.hex(), self._given)

    def seek(self, position: Any) -> None:
        assert self._depot is not None
        store, (known, number) = self._depot.spool, position
        if known != store.id.hex() or not store.begin <= number <= store.end:
            remedy = f'Put that folder back as it was, or leave it out: forget=("{self.context.component}",).'
            raise PositionLost(f"row {number:,} of the spool in {store.folder}", remedy)
        store.begin_at(number)  # a newer snapshot than this one, whose file was put back, may have had more
        self._given, self._depot.waiting = number, store.left

    def committed(self, position: Any) -> None:
        if self._depot is not None:
            self._depot.done(0, position[1])

    # --- the end

    def counts(self) -> Mapping[str, float]:
        if self._depot is None:
            return super().counts()
        return {**super().counts(), "spool_rows": self._depot.spool.left, "spool_bytes": self._depot.spool.size}

    def close(self) -> None:
        super().close()
        if self._depot is None or not self._depot.finish():
            return
        store, lost = self._depot.spool, len(self._depot) - self._depot.waiting
        if lost:
            self.collector.log(f"{lost:,} rows had come and could not be kept: {self._depot.why}.")
        if left := store.left:
            log = f"{left:,} rows that were accepted are not done: they lie in its spool"
            self.collector.log(f"{log}, and the next run of this topology gives them.")
        try:
            if self._state and not left:
                store.empty()
        finally:
            store.close()
            released(store.folder, self._lock, remove=not left and not self._state)


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Those that follow each other, as the first one and the one behind the last."""
    begin = end = -1
    for number in numbers:
        if number != end:
            if end > begin:
                yield begin, end
            begin = number
        end = number + 1
    if end > begin:
        yield begin, end
